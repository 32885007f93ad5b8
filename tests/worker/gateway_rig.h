/* SPDX-License-Identifier: Apache-2.0 */
/* gateway_rig.h - a real bulkhead-gateway in its real sandbox, for a test that plays its starter, the VM's broker, what opens
 * devices, and the clients. What fails ends the test. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "client.pb-c.h"
#include "ipc/channel.h"

enum { GATEWAY_PATIENCE_MS = 20000, GATEWAY_MAX_RESPONSE = 1 << 16 };

struct gateway_rig {
    char dir[128], path[160];
    int listen_fd, pidfd;
    pid_t pid;
    struct channel *starter, *broker, *opener; /* NULL: none at present */
    unsigned n_brokers, n_openers;
    /* What the broker says. */
    int error; /* of its replies; 0: done */
    bool host_failure, refuses, silent, dies;
    /* What the openers were given: of all, one after the other; and the last one. */
    ino_t inodes[16];
    size_t n_inodes, n_opened;
    char opened_path[256];
};

struct gateway_response {
    int status;
    bool closes;
    char ignored[256], body[GATEWAY_MAX_RESPONSE];
};

struct gateway_rig *gateway_begin(void);
/* It ends by itself, with status 0, when its starter has gone. */
void gateway_end(struct gateway_rig *rig);
int gateway_connect(const struct gateway_rig *rig);
void gateway_send(int client, const char *text, size_t len, const int *fds, size_t n_fds);
/* "PUT /api/v1/PATH" with that body (NULL: none). */
void gateway_ask(int client, const char *method, const char *path, const char *body);
/* Plays all others until that client has a whole answer. */
void gateway_hear(struct gateway_rig *rig, int client, struct gateway_response *ret);
/* Until it is gone. */
void gateway_hear_end(struct gateway_rig *rig, int client);
/* Plays all others until nothing more comes for a moment. */
void gateway_play(struct gateway_rig *rig, int client, int timeout_ms);
