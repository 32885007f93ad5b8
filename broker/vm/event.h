/* SPDX-License-Identifier: Apache-2.0 */
/* event.h - what can happen to a VM. The one who makes an event owns all that it points to. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "client.pb-c.h"
#include "config/fault.h"
#include "control.pb-c.h"

/* Who asked, and under which number: gets exactly one reply. session 0: nobody. */
struct ticket {
    uint64_t session;
    uint32_t request;
};

enum event_kind {
    EVENT_BOOT,           /* everything that the plan names is open */
    EVENT_BOOT_MADE,      /* answers ACTION_MAKE_BOOT */
    EVENT_BOOT_FAILED,    /* the same: fault */
    EVENT_MESSAGE,        /* child: envelope, n_fds, fd_fits */
    EVENT_BROKEN,         /* child sends what is not a message: fault.text */
    EVENT_CLOSED,         /* child has closed its control socket */
    EVENT_STARTED,        /* child: pid, missing, has_ring */
    EVENT_START_FAILED,   /* child: fault; the host's doing */
    EVENT_DEAF,           /* child does not take messages: fault.text */
    EVENT_NO_ROOM,        /* child: from, to of device's configuration space must wait */
    EVENT_EXITED,         /* child: clean, oom, fault.text is how */
    EVENT_PULSE,          /* device's worker: beat, pulse */
    EVENT_TICK,           /* from time to time while the VM runs: lost_ns */
    EVENT_PASST_SETTLED,  /* device's passt has opened its ports, or is not worth waiting for */
    EVENT_TAP,            /* device's interface, as the host says: tap */
    EVENT_TAP_ATTACHED,   /* answers ACTION_ATTACH_TAP: fault.error is 0, or the fault */
    EVENT_PROGRAM_OPENED, /* answers ACTION_OPEN_PROGRAM: the same */
    EVENT_DEADLINE,       /* vm_next_deadline() has passed */
    EVENT_SPAWNER_GONE,
    EVENT_ADOPTED, /* the facts are a dead broker's: kept, n_kept are the children that the spawner knows */
    EVENT_END,     /* somebody on the host ends the VM: fault.text */
    EVENT_COMMAND, /* command */
};

enum pulse {
    PULSE_BEATS,
    PULSE_SILENT,         /* not for too long */
    PULSE_WAITS_FOR_DISK, /* silent, and the host's disk keeps it waiting */
    PULSE_HANGS,          /* silent for too long */
};

enum tap_state { TAP_WELL, TAP_DOWN, TAP_GONE };

enum command_kind {
    COMMAND_STOP,
    COMMAND_PRESS_POWER_BUTTON,
    COMMAND_PAUSE,
    COMMAND_RESUME,
    COMMAND_REPAIR,  /* device */
    COMMAND_UPGRADE, /* device; opened: its program is held already, else the installed one */
    COMMAND_UPGRADE_ALL,
    COMMAND_SET_LIMIT,   /* device, or group */
    COMMAND_SET_BALLOON, /* size_bytes */
    COMMAND_SET_LINK,    /* device, up */
    COMMAND_ADD,         /* device: its place in the plan is taken, and its back end is open */
    COMMAND_REMOVE,      /* device, force */
};

struct command {
    enum command_kind kind;
    struct ticket ticket;
    unsigned device;
    bool opened, up, force;
    uint64_t size_bytes;
    Bulkhead__RateLimitGroup *group; /* NULL: device */
    Bulkhead__RateLimit *limit;      /* on the heap; the VM takes it over if it accepts */
};

/* A child as the spawner knows it. */
struct kept_child {
    uint32_t id;
    pid_t pid; /* 0: it has ended */
    unsigned missing;
    bool has_ring;
};

struct event {
    enum event_kind kind;
    uint32_t child; /* its id */
    unsigned device;
    const Bulkhead__Envelope *envelope;
    size_t n_fds;
    bool fd_fits; /* the one descriptor is of the kind that the message calls for */
    pid_t pid;
    unsigned missing;
    bool has_ring, clean;
    bool oom; /* the kernel killed it for want of memory */
    uint64_t beat, lost_ns;
    enum pulse pulse;
    enum tap_state tap;
    size_t from, to;
    struct fault fault;
    const struct command *command;
    bool fell_back; /* a new build of the broker was given up */
    const struct kept_child *kept;
    size_t n_kept;
};
