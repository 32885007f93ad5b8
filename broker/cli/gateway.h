/* SPDX-License-Identifier: Apache-2.0 */
/* gateway.h - the HTTP API of a VM of `bulkhead run` (--api-socket): this end of it. The socket is ours; a bulkhead-gateway
 * is started when somebody connects, and again if it has ended. It has no right of its own: what it needs, it asks us for,
 * in two words: a connection to the VM's broker, and a process that opens devices with our rights. */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <sys/types.h>
#include "ipc/channel.h"
#include "resources/socket_path.h"

enum {
    GATEWAY_MAX_OPENERS = 40, /* that live: some stay as long as their device */
    GATEWAY_IDLE_S = 60,
};

struct gateway {
    const char *vm;            /* its name */
    struct socket_path socket; /* none: it was handed in, or there is none */
    int listen_fd, log_fd;     /* -1: none */
    bool insecure, failed;     /* failed: the next one waits for gateway_again() */
    pid_t pid;                 /* of the one that runs, 0: none */
    struct channel *link;      /* to it */
    uint32_t uid, gid;         /* its */
    struct channel
        *broker; /* as who ran the VM; the caller's, and set by him. NULL: the VM is over */
    pid_t openers[GATEWAY_MAX_OPENERS];
};

/* There is none yet. */
void gateway_init(struct gateway *g);
/* path, or a listening socket (path NULL); both none: there is no API, and nothing below does anything. EXIT_OK, or it
 * has said what is wrong. log_fd: for a gateway's log, copied. */
int gateway_open(struct gateway *g, const char *vm, const char *path, int listen_fd, int log_fd,
                 bool insecure);
/* What to wait for. */
struct pollfd gateway_wanted(const struct gateway *g);
/* What came of that; it may be out of date. */
void gateway_act(struct gateway *g, const struct pollfd *p);
/* One that has ended at once is not started again before. */
void gateway_again(struct gateway *g);
/* Another broker has taken over: it is told of the gateway. */
void gateway_tell(const struct gateway *g);
/* A child has ended: perhaps one of these. */
void gateway_reap(struct gateway *g);
/* The VM has ended: the file goes, if it is still ours. */
void gateway_close(struct gateway *g);
