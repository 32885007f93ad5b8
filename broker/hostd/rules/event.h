/* SPDX-License-Identifier: Apache-2.0 */
/* event.h - what can happen to the service. The one who makes an event owns all that it points to, but for what
 * is said to be taken over. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "client.pb-c.h"
#include "config/fault.h"
#include "host.pb-c.h"

/* Who asked, and under which number: gets exactly one answer. session 0: nobody. */
struct host_ticket {
    uint64_t session;
    uint32_t request;
};

enum host_event_kind {
    HOST_BEGIN,         /* the starter listens */
    HOST_CONNECTED,     /* somebody: uid, gids; or the guest of vm, by its vsock */
    HOST_DISCONNECTED,  /* session */
    HOST_REQUEST,       /* session: request, spec */
    HOST_REPORTED,      /* the starter answers `ask`: fault, n_fds; of ASK_TERMS config */
    HOST_KEPT,          /* the starter has this VM: tenant, name, kept, lives */
    HOST_CONSOLE_ENDED, /* tenant, name: its bulkhead-console is gone */
    HOST_BROKER_ENDED,  /* tenant, name: the processes that were started for it are gone */
    HOST_LAUNCHED,      /* vm's launcher: fault.error 0: the guest runs */
    HOST_LAUNCHER_GONE, /* vm: it says no more */
    HOST_SAID,          /* vm's broker, itself or through the launcher: said */
    HOST_LINK_LOST,     /* vm: the session with its broker has ended */
    HOST_DEADLINE,      /* host_next_deadline() has passed */
    HOST_END,           /* the service is to end; VMs go on */
};

struct host_event {
    enum host_event_kind kind;
    uint64_t session, vm; /* serials */
    /* HOST_CONNECTED: the session, which the rules name, is theirs to write here; 0: it is refused. */
    uint64_t *ret_session;
    uint32_t uid;
    const uint32_t *gids; /* the primary one first */
    unsigned n_gids;
    const Bulkhead__HostEnvelope *request;
    /* Of a create: config_fill() has been over it. On the heap; who takes it over sets it to NULL. */
    Bulkhead__VmSpec **spec;
    uint32_t ask;
    size_t n_fds;
    Bulkhead__HostConfig **config; /* as spec */
    const char *tenant, *name;
    Bulkhead__VmDetails **kept; /* as spec; NULL there: it has no description */
    bool lives;
    const Bulkhead__ClientEnvelope *said;
    struct fault fault;
    uint64_t now;      /* CLOCK_MONOTONIC */
    uint64_t realtime; /* CLOCK_REALTIME */
};
