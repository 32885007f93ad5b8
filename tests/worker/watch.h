/* SPDX-License-Identifier: Apache-2.0 */
/* watch.h - the broker's view of a worker that may hang: its heartbeat, looked at in ticks, and the
 * broker's own judgement of its silence (broker/resources/liveness.h), which leaves out what the host keeps it
 * from: a CPU, a disk. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "resources/liveness.h"

enum { WATCH_TICK_MS = 50 };

/* The broker's own: 900 ms without a beat is a hang, 30 s without a disk are too. */
extern const struct starved_limits watch_limits;

struct watch {
    pid_t pid;
    const uint64_t *heartbeat;
    uint64_t seen, seen_ns;
    struct starved starved;
    enum starved_of of;
    uint64_t silent_ns;  /* at the last tick */
    uint64_t longest_ns; /* of all ticks */
};

struct watch watch_of(pid_t pid, const uint64_t *heartbeat);
/* One tick: true when it is to be replaced. */
bool watch_tick(struct watch *w, const struct starved_limits *with);
