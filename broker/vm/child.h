/* SPDX-License-Identifier: Apache-2.0 */
/* child.h - one process of the VM: from the request to the spawner until its exit was reported. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "ipc/rules.h"
#include "plan/plan.h"
#include "vm/action.h"

enum {
    CHILD_READY_MS = 5000, /* a replacement's time from its start to Ready */
    CHILD_LEAVE_MS = 1000, /* time to leave in order, then SIGKILL */
    CHILD_CORE_LEAVE_MS = 500,
    CHILD_LOADED_LEAVE_MS =
        10000, /* a loader: it gives back what it had mapped, and the start depends on it */
    CHILD_NO_DEVICE = ~0u,
};

/* Which program it runs. */
enum child_program {
    PROGRAM_OF_DEVICE, /* the installed one, or an upgrade's that was taken */
    PROGRAM_CANDIDATE, /* the one that an upgrade tries */
};

/* The answers that a child may owe. */
enum debt { DEBT_ACTIVATED, DEBT_RESET_DONE, DEBT_QUIESCED, DEBTS };

struct child {
    uint32_t id; /* for the spawner, each larger than the last; 0: this place is free */
    Bulkhead__Role role;
    unsigned device; /* its number; CHILD_NO_DEVICE: core, loader */
    char name[PLAN_NAME_BYTES + 8];
    unsigned uid_slot;
    enum child_program program;
    enum child_state state;
    bool closed; /* its control socket */
    pid_t pid;   /* 0: not started yet */
    char build_id[48];
    unsigned missing_layers;
    bool has_ring;     /* the spawner holds a duplicate of its io_uring */
    uint32_t old_ring; /* it submits nothing before that dead one's is still; 0: none */
    uint64_t started_ns, ready_ns;
    bool loaded; /* loader: did its work */
    /* What it was configured with, or told since. */
    unsigned settings, stream;
    bool link_up;
    uint64_t debt_ns[DEBTS]; /* since when it owes an answer; 0: it doesn't */
    bool needs_reset;        /* it said so; again only after a reset */
    /* The broker before died: where this child stands is not known until it says so, see adopt.h. */
    bool unsure;
    uint64_t asked_ns;    /* since when it is asked for that; 0: it isn't */
    uint64_t leave_by_ns; /* 0: it need not leave */
    uint64_t killed_ns;   /* SIGKILL is on its way; 0: no */
    char reason[160];     /* why it was killed, or what it said before it left */
    bool reason_bad_input;
    uint64_t beat, beat_ns;
    bool stalled; /* the event was given: it waits for the host's disk */
};

/* Ready, running or quiesced, for sure: it takes messages about its work. */
bool child_is_live(const struct child *child);
bool child_owes(const struct child *child, enum debt debt);
/* Notes the message, whose content follows from the facts when it is sent; false if the child can't take
 * it now. The action may be added to by the caller, and is never NULL. */
bool child_tell(struct child *child, struct actions *actions, Bulkhead__Envelope__BodyCase body,
                uint64_t now, struct action **ret_action);
/* SIGKILL; its exit is reported later. The first reason is kept. */
void child_kill(struct child *child, struct actions *actions, uint64_t now, const char *fmt, ...)
    printf_like(4, 5);
/* Asks it to leave; whoever can't be asked is killed. */
void child_stop(struct child *child, struct actions *actions, uint64_t now);
/* What it ended of: the reason that was known before, or how the kernel puts it. */
void child_describe_end(const struct child *child, const char *how, char *ret_text, size_t size);
/* Copies without what could harm a terminal. */
void child_copy_clean(char *dst, size_t size, const char *src);
