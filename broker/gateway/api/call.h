/* SPDX-License-Identifier: Apache-2.0 */
/* call.h - a request on its way through the gateway, from its last byte to its answer. Several are on their way at once. */
#pragma once

#include <jansson.h>
#include "api/link.h"
#include "http/server.h"
#include "options/vm_options.h"

enum {
    CALLS_MAX = 2 * SERVER_MAX_CONNECTIONS, /* some may go on when their client has left */
    CALLS_MAX_OPENERS = 4,                  /* at once */
};

struct call;

/* What the gateway serves, as it was told. */
struct served {
    int pid;
    char *dir, *run_dir;
    enum vm_options_taps taps; /* of who opens devices */
};

struct calls {
    struct loop *loop;
    struct link *link;
    struct server *server;
    struct served served;
    unsigned n_openers;
    struct call *all[CALLS_MAX];
};

struct call {
    struct calls *calls;
    uint64_t number; /* the server's */
    bool answered;
    json_t *body; /* NULL: none */
    int fds[SERVER_MAX_FDS];
    size_t n_fds;
    char *unknown; /* fields of the body */
    struct vm_options
        options; /* a device that is to be added, and the memory of all that is the call's */
    Bulkhead__ClientEnvelope request; /* what is asked at present, and its body */
    union {
        Bulkhead__GetVm get_vm;
        Bulkhead__GetStats get_stats;
        Bulkhead__PauseVm pause;
        Bulkhead__ResumeVm resume;
        Bulkhead__PressPowerButton press;
        Bulkhead__StopVm stop;
        Bulkhead__ResizeBalloon balloon;
        Bulkhead__RemoveDevice remove;
        Bulkhead__AddDevice add;
    } of;
    struct loop_event *timer;
    struct channel *opener;
    struct loop_event *opener_event;
    bool named; /* the client has named the device */
};

/* Takes the descriptors of the request. NULL: too many are on their way, or there is no memory. */
struct call *call_new(struct calls *calls, const struct server_request *request);
void call_free(struct call *call);
/* The answer; the call stays. status 200 with a body of JSON, whose reference it takes. */
void call_answer(struct call *call, int status, json_t *body);
void call_fail(struct call *call, int status, const char *text);
/* As the broker's, or an opener's, Reply says. */
void call_fail_reply(struct call *call, const Bulkhead__Reply *reply);
/* Asks the broker what was put into call->request. */
void call_ask(struct call *call, link_fn fn);
