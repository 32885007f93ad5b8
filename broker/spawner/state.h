/* SPDX-License-Identifier: Apache-2.0 */
/* state.h - all that the spawner has. Order of its parts: main <- successor, start <- handover, children. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "resources/programs.h"
#include "resources/rundir.h"
#include "resources/socket_path.h"
#include "sandbox/spawn.h"
#include "spawner/handed.h"
#include "spawner/reports.h"
#include "spawner/rings.h"
#include "spawner/slots.h"
#include "spawner/store.h"
#include "spawner/wire.h"

struct spawned {
    uint32_t id; /* 0: this place is free */
    uint32_t slot, uid_slot;
    pid_t pid; /* 0: it has ended, and the broker has not acknowledged that */
    struct sandbox_spawning spawning; /* error_fd -1: it was heard how exec went */
    int log_reader;                   /* keeps the log pipe writable when the broker is gone */
    int control;                      /* a copy of the broker's end; -1: none */
    bool is_core;
    bool next_boot; /* started after the core's end: a reboot's, which that end is not for */
    bool started;   /* it has executed its program */
    int error;      /* of a start that failed: positive errno */
    int32_t wait_code, wait_status;
    bool oom; /* the kernel killed it for want of memory */
    char text[160];
};

/* The broker that is, or was last, and whether there is to be another. */
struct brokers {
    int program_fd; /* of the broker; -1: none can be started */
    int pidfd;
    /* When that said that it is dead, although its end of the socket is open; 0: it doesn't. */
    uint64_t dead_ns;
    uint64_t hung_up_ns; /* the loss of the connection to the last one */
    pid_t pid;           /* if it is a child of ours; 0: it forked us */
    bool left;           /* in order */
    bool awaited;        /* it is lost: when it is dead, another is started */
    int candidate_fd;    /* a new build, that has not taken over yet; -1: none */
    int prev_fd;         /* the build before one that has; -1: none */
    bool renewing;       /* the one that asked for a new build is being killed */
    bool fell_back;      /* the last new build was given up */
    uint64_t adopted_ns;
    bool adopted;      /* it has taken over */
    uint32_t epoch;    /* how many there were before */
    uint64_t since_ns; /* the loss of the last one, or the start of a successor */
    bool
        killed; /* a successor that has not taken over in time, or one that does not end with its VM */
    uint32_t limit, window_s;
    uint64_t window_ns; /* deaths are counted from here on */
    uint32_t deaths;
};

/* How much of all that is kept the successor was told. */
struct handover {
    bool active;
    uint32_t place;
    unsigned child;
};

/* Of excess.h. */
struct excess {
    int events[SPAWNER_MAX_SLOTS]; /* memory.events of the slot's group; -1: it has none */
};

struct state {
    struct groups *groups;
    const struct spawner_terms *terms;
    struct programs programs;
    struct slots slots;
    struct rings rings;
    struct excess excess;
    uint64_t oom_kills[SPAWNER_MAX_SLOTS]; /* of the slot's group, as far as is known (oom.h) */
    struct reports reports;
    struct store store;
    struct closers closers;
    struct brokers brokers;
    struct handover handover;
    uint32_t last_id;
    unsigned refusals;
    int fd;           /* to the broker; -1: it is gone */
    bool sends_later; /* its uid has too many descriptors in flight */
    int null_fd;
    struct spawned children[SPAWNER_MAX_CHILDREN];
    bool core_started;
    bool core_ended;
    uint64_t core_ended_ns;
    bool killed_rest;
    uint64_t told_ns;
    bool told_to_end; /* by a signal: the broker's affair while there is one */
    int signal_fd;
    struct rundir_place place;
    struct socket_path sockets[SOCKET_PATHS_MAX];
};
