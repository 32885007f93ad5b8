/* SPDX-License-Identifier: Apache-2.0 */
/* worker_state.h - what the skeleton's parts share, types only: worker_say <- worker <- worker_queue,
 * worker_memory <- worker_stop <- worker_poll <- worker_run <- worker_main. Devices see only worker.h,
 * worker_say.h, worker_stop.h and worker_main.h. */
#pragma once

#include "ipc/channel.h"
#include "ipc/rules.h"
#include "shm/gmem.h"
#include "shm/layout.h"
#include "shm/stats.h"
#include "turn.h"
#include "worker_ops.h"

enum {
    WORKER_MAX_KEEP = 3 * RULE_MAX_QUEUES + 32,
    WORKER_POLL_NS = 50 * 1000, /* so long work is looked for before a sleep */
};

struct worker_queue {
    struct worker *worker;
    unsigned index;
    struct vq *vq;
    int kick_fd, call_fd;
    struct loop_event *on_kick;
    bool rerun;
};

/* What polling has learnt, about a device with and without something in flight. */
struct worker_poll {
    bool wanted;      /* the last sleep was short: looking would have found it */
    unsigned backoff; /* looking in vain doubles the sleeps until it is tried again */
    unsigned skip;
};

/* What a worker may have to say, as bits. */
enum worker_word {
    WORKER_SAYS_SNAPSHOT = 1 << 0,
    WORKER_SAYS_CONFIG = 1 << 1,
    WORKER_SAYS_MORE = 1 << 2, /* the device's own */
    WORKER_SAYS_RING_DRAINED = 1 << 3,
    WORKER_SAYS_ACTIVATED = 1 << 4,
    WORKER_SAYS_NEEDS_RESET = 1 << 5,
    WORKER_SAYS_RAM_CHANGED = 1 << 6,
    WORKER_SAYS_QUIESCED = 1 << 7,
    WORKER_SAYS_RESET_DONE = 1 << 8,
};

enum { WORKER_CONFIG_WORDS = RULE_MAX_CONFIG_BYTES / 64 };

struct worker_say {
    unsigned due;   /* enum worker_word */
    bool busy;      /* saying it */
    bool waiting;   /* for room */
    char why[96];   /* of NeedsReset */
    uint32_t epoch; /* of the last Resync */
    /* Bytes of the configuration space that the device changed: ever, and not said yet. */
    uint64_t config_changed[WORKER_CONFIG_WORDS], config_due[WORKER_CONFIG_WORDS];
    int ram_error; /* of RamChanged: an errno value, positive */
    struct loop_event *on_room, *again;
};

/* What the worker was activated with. */
struct worker_activation {
    uint64_t features, number;
    unsigned n_queues;
    struct {
        uint32_t index, size;
        uint64_t desc, avail, used;
    } queues[RULE_MAX_QUEUES];
};

struct worker {
    const struct worker_ops *ops;
    void *device;
    struct channel *channel;
    struct loop *loop;
    enum child_state state;
    struct gmem mem;
    struct stats_page *stats;
    struct worker_queue queues[RULE_MAX_QUEUES];
    unsigned n_queues, queue_size;
    uint64_t offered;           /* features announced */
    ProtobufCBinaryData config; /* the device's configuration space, its own memory */
    struct worker_activation activation;
    struct worker_say say;
    int life_fd;
    int keep[WORKER_MAX_KEEP];
    unsigned n_keep, n_reserved;
    uint64_t file_bytes;
    struct worker_ring own_ring, old_ring;
    bool old_ring_drained;
    struct loop_event *on_control, *on_life, *heartbeat, *rerun, *part;
    bool rerun_armed;
    bool behind;         /* a queue was kept waiting because the turn was over */
    unsigned next_rerun; /* the queue that comes first when several run again */
    struct turn turn;
    bool control_gone; /* the broker died: the guest is served all the same */
    bool activated;    /* the device has driver state, until reset */
    bool running;      /* queues are worked on */
    bool broken;       /* NeedsReset was said */
    bool draining;
    bool want_reset, want_quiesce, want_stop;
    bool want_remove; /* a region of guest RAM: this one */
    unsigned remove_number;
    struct worker_poll poll[2]; /* nothing, something in flight */
    bool poll_busy;             /* which of them is meant now */
    bool poll_useless;          /* neither: another task is waited for */
    uint64_t slept_at_ns;       /* 0: not asleep */
};
