/* SPDX-License-Identifier: Apache-2.0 */
/* facts.h - the facts of the service: its tenants, their VMs, who is connected, who waits for what. rules/ is data and
 * rules: it takes one event and leaves a list of actions (step.h). It holds no descriptor, reads no clock and makes no
 * system call. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "client/hostdir.h"
#include "hostd/rules/action.h"
#include "hostd/rules/event.h"
#include "hostd/rules/tally.h"

enum {
    HOST_MAX_VMS = 1024,
    HOST_MAX_SESSIONS = 512,
    HOST_MAX_ASKS = 32768, /* more than sessions and VMs can have between them */
    HOST_FEW_ASKS = 1024,  /* whose places are memory that stays */
    HOST_MAX_PENDING = 32, /* of a session: requests without an answer */
    HOST_MAX_NOTE_BYTES = 4096,
    HOST_MAX_OPENING = 32, /* of a VM: channels that the starter was asked for */
};

/* What a VM takes of its tenant's quota. */
struct cost {
    uint32_t vcpus, disks;
    uint64_t memory;
};

enum claim_kind { CLAIM_DISK, CLAIM_TAP, CLAIM_SOCKET, CLAIM_FILE };

/* What no two VMs of the service have at once, unless both only read it. */
struct claim {
    enum claim_kind kind;
    bool readonly;
    bool told;         /* the VM's broker says so, the description doesn't */
    uint64_t dev, ino; /* of a file that was opened, as the broker says; 0: not known */
    char *name;        /* path, or interface; on the heap */
};

struct claims {
    struct claim *list;
    size_t n;
};

enum life {
    LIFE_STOPPED,
    LIFE_STARTING, /* the starter and the launcher are at work */
    LIFE_RUNNING,
    LIFE_HALTING,  /* its power button was, or is to be, pressed */
    LIFE_STOPPING, /* its broker was, or is to be, told to stop it */
    LIFE_LEAVING,  /* the guest has ended; its processes leave */
};

enum moving { MOVING_NONE, MOVING_THERE, MOVING_BACK };

struct vm_end_fact {
    Bulkhead__GuestStateKind state;
    bool by_user, host_failure;
    char detail[FAULT_TEXT_MAX];
};

enum wait_kind {
    WAIT_SAVED,   /* of a new VM */
    WAIT_RUNS,    /* or has failed to */
    WAIT_STOPPED, /* a halt */
    WAIT_DETAILS, /* the same, answered by VmDetails */
    WAIT_REMOVED,
    WAIT__MAX,
};

/* A request that is answered when its VM is so far. */
struct wait {
    enum wait_kind kind;
    struct host_ticket ticket;
    struct wait *next;
};

struct host_vm {
    uint64_t serial; /* of no other VM, ever */
    char tenant[HOSTDIR_TENANT_BYTES], name[HOSTDIR_VM_BYTES];
    Bulkhead__VmSpec *spec; /* owned; NULL: one that lives and has no description */
    struct cost cost;
    struct claims claims;
    bool claims_full; /* its broker has more than is remembered */
    uint32_t disks;   /* that it has by now, with those that were added, as its broker says */
    uint64_t created_ns, started_ns, ended_ns; /* CLOCK_REALTIME; 0: never */
    uint32_t starts;
    bool has_end; /* how the last run ended */
    struct vm_end_fact end;

    /* What is on the disk. */
    bool saved;   /* there is a description of it */
    bool unsaved; /* it differs */
    bool saving;
    uint64_t save_ns; /* after a failure: when to try again */

    enum life life;
    uint64_t life_ns;  /* since when */
    uint64_t grace_ns; /* LIFE_HALTING: until when */
    bool told;         /* the broker was, of what `life` says */
    bool killed;       /* all of it was to be killed */
    uint64_t killed_ns;
    bool launching;     /* the launcher is expected to say how it went */
    uint64_t orphan_ns; /* while it does: since when its broker is gone */
    uint64_t busy_ns;   /* since when its directory is held by what nobody knew of; 0: it isn't */

    /* What is wanted of it; looked at when it can be done. */
    bool want_start, want_remove;
    bool again;           /* the start is of a reboot: kept from before its stop until it runs */
    bool autostart;       /* the start is of the host's start: not too many at once */
    bool removing;        /* the starter was asked */
    struct fault why_not; /* of the start that failed last */

    /* The session with its broker. */
    bool linking, linked, joined; /* asked for; there; it has said where its VM stands */
    uint64_t asked_ns;            /* when it was asked that */
    uint64_t joined_ns;           /* when it said so */
    uint64_t link_ns;             /* when to try again; 0: now, if there is need */
    unsigned link_tries;
    bool paused, booting; /* as it said */
    unsigned opening;     /* channels that the starter was asked for */

    /* A device that its guest has asked for, or gives back. */
    enum moving moving;
    char device[33];
    struct host_ticket moving_for;
    uint64_t moving_ns;

    struct wait *waits; /* owned */
    unsigned n_waits[WAIT__MAX];

    bool has_console, console_asked;
    uint64_t console_ns; /* when to try again */
    unsigned console_tries;
};

struct session {
    uint64_t serial; /* 0: free */
    uint32_t uid;
    uint32_t *gids; /* owned */
    unsigned n_gids;
    const Bulkhead__Tenant *tenant; /* NULL: it speaks for nobody */
    uint64_t holder;                /* the VM whose guest it is; 0: it is a client's */
    uint32_t run;                   /* of that VM: `starts` when it came */
    bool follows;
    unsigned pending;
};

/* What the starter has not answered yet. */
struct ask {
    uint32_t id; /* 0: free */
    enum ask_kind kind;
    enum ask_channel channel;
    uint64_t vm;
    uint64_t since_ns;
    bool opens; /* a channel for who has, or had, that ticket */
    struct host_ticket ticket;
};

enum host_phase {
    HOST_NEW,
    HOST_LOADING, /* the starter says what there is */
    HOST_FINDING, /* VMs that live are asked where they stand */
    HOST_OPEN,
    HOST_ENDED,
};

struct host {
    const char *version;      /* not owned */
    uint64_t memory_bytes;    /* the host's; 0: not known */
    uint64_t booted_realtime; /* when the host was started */
    uint64_t started_realtime;
    enum host_phase phase;
    uint64_t phase_ns;
    Bulkhead__HostConfig *config; /* owned; NULL: not known yet */

    struct host_vm *places[HOST_MAX_VMS]; /* by serial */
    struct host_vm *vms[HOST_MAX_VMS];    /* the same, by tenant and name */
    unsigned n_vms;
    uint64_t n_serials;
    struct session sessions[HOST_MAX_SESSIONS];
    uint64_t n_sessions;            /* ever */
    struct ask asks[HOST_MAX_ASKS]; /* by id */
    uint32_t first_ask, last_ask;   /* ids: none before, none after */
    unsigned n_asks;
    struct tally events; /* that there were */

    /* Of the event that is looked at. */
    uint64_t now, realtime;
    struct host_actions actions;
};

/* *host is all zeroes. */
void host_init(struct host *host, const char *version, uint64_t memory_bytes);
void host_deinit(struct host *host);

/* ---- VMs ---- */
void host_claims_clear(struct claims *claims);
/* NULL: there is none. */
struct host_vm *host_vm(const struct host *host, uint64_t serial);
struct host_vm *host_find(const struct host *host, const char *tenant, const char *name);
/* The first after that one, in order. */
unsigned host_find_after(const struct host *host, const char *tenant, const char *name);
/* NULL: there is no room. tenant and name are usable, and not taken. */
struct host_vm *host_vm_new(struct host *host, const char *tenant, const char *name);
void host_vm_free(struct host *host, struct host_vm *vm);
void host_vm_enter(struct host *host, struct host_vm *vm, enum life life);
/* It has processes, or is about to. */
bool host_vm_is_up(const struct host_vm *vm);

/* ---- sessions ---- */
struct session *host_session(struct host *host, uint64_t serial);
/* NULL: there is no room. */
struct session *host_session_new(struct host *host);
void host_session_free(struct session *session);
/* Those of its guest are to be closed. */
void host_close_sessions_of(struct host *host, const struct host_vm *vm);

/* ---- what is asked and waited for ---- */
/* Asks the starter. vm: NULL: about none. ticket: who is answered with what comes of it; NULL: nobody. There is room for
 * what the rules themselves ask; who asks for a tenant looks first. */
bool host_may_ask(const struct host *host);
void host_ask(struct host *host, enum ask_kind kind, enum ask_channel channel,
              const struct host_vm *vm, const struct host_ticket *ticket);
struct ask *host_find_ask(struct host *host, uint32_t id);
void host_ask_free(struct host *host, struct ask *ask);
/* Answers at once that there is no memory for it, if so. */
void host_wait(struct host *host, enum wait_kind kind, struct host_vm *vm,
               struct host_ticket *ticket);
/* The next of that kind waits no longer; false: there is none. */
bool host_take_wait(struct host_vm *vm, enum wait_kind kind, struct host_ticket *ret_ticket);
/* Nobody waits for that session's answers any more. */
void host_forget_tickets(struct host *host, uint64_t session);

/* ---- what is said ---- */
/* Answers the ticket, once; nothing for one of nobody, or of who has left. A guest is told that it failed and not why: paths
 * and names of other VMs are none of its business. Who knows better writes the answer's text anew. */
struct host_action *host_reply(struct host *host, struct host_ticket *ticket,
                               const struct fault *fault);
void host_reply_ok(struct host *host, struct host_ticket *ticket, const char *fmt, ...)
    printf_like(3, 4);
void host_answer(struct host *host, struct host_ticket *ticket, enum answer_kind kind,
                 const struct host_vm *vm);
/* An event of the service's own about a VM; its text may be empty. vm: NULL: of the service. */
void host_notice(struct host *host, const struct host_vm *vm, const char *name, const char *fmt,
                 ...) printf_like(4, 5);
/* What its broker has said, for who follows. */
void host_pass_on(struct host *host, const struct host_vm *vm, const Bulkhead__Event *said);
