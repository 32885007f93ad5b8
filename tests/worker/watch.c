/* SPDX-License-Identifier: Apache-2.0 */
/* watch.c - see watch.h. */
#include "watch.h"

#include <poll.h>
#include "base/compiler.h"
#include "base/loop.h"

const struct starved_limits watch_limits = { .hang_ns = 900000000, .stall_ns = 30000000000 };

struct watch watch_of(pid_t pid, const uint64_t *heartbeat)
{
    return (struct watch){
        .pid = pid, .heartbeat = heartbeat, .seen = *heartbeat, .seen_ns = now_ns()
    };
}

bool watch_tick(struct watch *w, const struct starved_limits *with)
{
    uint64_t beat, now;

    poll(NULL, 0, WATCH_TICK_MS);
    now = now_ns();
    beat = __atomic_load_n(w->heartbeat, __ATOMIC_RELAXED);
    if (beat != w->seen) {
        w->seen = beat;
        w->seen_ns = now;
        w->starved = (struct starved){ 0 };
    }
    w->silent_ns = now - w->seen_ns;
    w->longest_ns = MAX(w->longest_ns, w->silent_ns);
    return starved_too_long(&w->starved, w->pid, w->silent_ns, now, with, &w->of);
}
