/* SPDX-License-Identifier: Apache-2.0 */
/* session.h - the command socket: who is connected, and what is said to them. Nothing that a client does
 * blocks the broker; one that does not read misses events, and is told how many. */
#pragma once

#include "client/envelope.h"
#include "run/instance.h"

enum { SESSIONS_MAX = 16 };

struct sessions;

struct client {
    struct sessions *sessions;
    uint64_t serial; /* names it in tickets; 0: the place is free */
    struct channel *channel;
    struct loop_event *event;
    bool is_run; /* the one that asked for the VM */
    bool subscribed;
    uint64_t n_heard;     /* requests */
    bool is_limited;      /* LimitSession: of a session that the host's service hands to a tenant */
    bool no_programs;     /* the same */
    uint32_t max_devices; /* the same; 0: no limit */
    bool no_user_net;     /* the same */
    int *fds;             /* of the request that is looked at: take with fd_take() */
    size_t n_fds;
    uint64_t heard_ns; /* its last request, or its connection */
    uint64_t missed;   /* events that it had no room for */
};

struct sessions {
    struct instance *in;
    struct client clients[SESSIONS_MAX];
    struct loop_event *listen_event, *again; /* a timer, for when there are no descriptors */
    uint64_t next;
    void (*on_request)(struct client *client, const Bulkhead__ClientEnvelope *request);
};

/* *s is all zeroes. From now on the instance's notices, replies and its end are told. */
void session_init(struct sessions *s, struct instance *in,
                  void (*on_request)(struct client *client,
                                     const Bulkhead__ClientEnvelope *request));
int session_listen(struct sessions *s) must_check;
/* Owns fd if it succeeds. */
int session_add(struct sessions *s, int fd, bool is_run) must_check;
void session_close_all(struct sessions *s);
int session_send(struct client *client, const Bulkhead__ClientEnvelope *envelope);
void session_reply(struct client *client, uint32_t request, const struct fault *fault);
