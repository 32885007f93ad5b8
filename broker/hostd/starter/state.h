/* SPDX-License-Identifier: Apache-2.0 */
/* state.h - what the starter knows. It is little: which processes it started for which VM. All else is in files. */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/loop.h"
#include "client/hostdir.h"
#include "hostd/starter/folders.h"
#include "hostd/starter/groups.h"
#include "hostd/starter/out.h"
#include "hostd/starter/process.h"
#include "hostd/starter/terms.h"
#include "hostd/starter/wire.h"
#include "sandbox/spawn.h"
#include "spawner/handed.h"

enum {
    STATE_MAX_VMS = 2048,   /* that have processes: hostd's limit is lower */
    STATE_MAX_LEAVING = 32, /* VMs of a tenant of which nothing but a launcher is left */
    STATE_MAX_REMOVALS = 1024,
    STATE_TICK_MS = 50,
};

struct starter;

/* A VM that has processes of ours. */
struct place {
    struct starter *starter;
    char tenant[HOSTDIR_TENANT_BYTES], vm[HOSTDIR_VM_BYTES]; /* "": the place is free */
    struct process broker, launcher, console;
    struct process note; /* who keeps one, for a moment */
    struct process
        old_launcher; /* of an earlier run, killed: a file system may hold it up for as long as it likes */
    struct process killer; /* of the VM's processes: kill.h */
    uint32_t kill_id;
    bool broker_leaves; /* it has ended, and its spawner perhaps not: */
    uint64_t look_ns;   /* when to look for that, */
    uint64_t look_step_ns;
    struct sandbox_spawning console_starts; /* error_fd -1: no */
    struct loop_event *console_event;
    int fifo_fd; /* of a run whose console has not started: else what was logged would go; -1 */
    bool console_next;       /* another one when this one, of the last run, has ended: */
    uint64_t console_end_ns; /* which is killed then; 0: it isn't */
};

/* A description on its way to the disk, or all of a VM off it. */
struct save {
    struct starter *starter;
    struct process process; /* pid 0: it waits for its turn */
    uint32_t id;            /* 0: free */
    char tenant[HOSTDIR_TENANT_BYTES], vm[HOSTDIR_VM_BYTES];
};

/* What a LOAD has still to tell. */
struct listing {
    uint32_t id; /* 0: none */
    struct folder_names names;
    size_t next;
};

struct starter {
    struct loop *loop;
    struct loop_event *request_event, *room_event, *signal_event, *tick;
    int fd; /* to hostd */
    int signal_fd;
    int null_fd;
    int lock_fd;
    struct service_groups groups;
    bool paused, awaits_room, ticks, ending;
    uint64_t end_ns;
    struct process hostd;
    int hostd_status;
    bool hostd_ended;
    struct folders folders;
    struct terms terms;
    struct closers closers;
    struct out out;
    struct listing listing;
    struct save saves[STARTER_MAX_SAVES], removals[STATE_MAX_REMOVALS];
    struct place places[STATE_MAX_VMS];
    bool is_root, no_userns;
    char program_dir[PATH_MAX - 64];
    unsigned refusals;
    uint8_t datagram[sizeof(struct starter_request) + STARTER_MAX_BYTES + 1];
    uint8_t description[STARTER_MAX_BYTES];
};
