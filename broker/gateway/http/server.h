/* SPDX-License-Identifier: Apache-2.0 */
/* server.h - HTTP/1.1 at one listening socket: connections, each with one request at a time, in the order in which they come.
 *
 * Nobody waits for anybody: a request that is being answered, or a client that sends or reads slowly, has its own
 * connection and its own time limit. When all places are taken the connection that has gone longest without a whole request
 * makes room for the next one. Descriptors (SCM_RIGHTS) that come with a request's bytes are that request's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/loop.h"
#include "http/request.h"

enum {
    SERVER_MAX_CONNECTIONS = 32,
    SERVER_MAX_FDS = 16,       /* of one request */
    SERVER_REQUEST_MS = 10000, /* from its first byte to its last */
    SERVER_IDLE_MS = 60000,    /* between requests */
    SERVER_ANSWER_MS = 40000,  /* until the answer is known */
    SERVER_SEND_MS = 10000,    /* until it is read */
};

/* Limits in ms; a test has others. */
struct server_limits {
    unsigned request_ms, idle_ms, answer_ms, send_ms;
};

struct server;
struct connection;

/* A request that is to be answered: now or later, once, by server_answer(). */
struct server_request {
    const char *method, *target;
    const uint8_t *body; /* NULL: none; all three until the answer */
    size_t body_len;
    int *fds; /* take with fd_take() */
    size_t n_fds;
    uint64_t number; /* for server_answer() */
};

struct server_answer {
    int status;
    const char *body; /* of JSON; NULL: none */
    size_t body_len;
    const char *ignored; /* fields of the request that were not known; NULL: none */
};

/* listen_fd stays the caller's. on_request may answer before it returns. */
int server_new(struct server **ret_server, struct loop *loop, int listen_fd,
               const struct server_limits *limits,
               void (*on_request)(void *arg, const struct server_request *request),
               void *arg) must_check;
void server_free(struct server *server);
/* One whose client has gone meanwhile is answered to nobody. */
void server_answer(struct server *server, uint64_t number, const struct server_answer *answer);
/* How many there are, and since when there is none (CLOCK_MONOTONIC). */
unsigned server_connections(const struct server *server, uint64_t *ret_empty_ns);
extern const struct server_limits server_usual_limits;
