/* SPDX-License-Identifier: Apache-2.0 */
/* watch.c - see watch.h. */
#include "watch.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include "base/compiler.h"
#include "base/fd.h"
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
    char path[32];
    bool too_long;
    int stat_fd;

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
    snprintf(path, sizeof path, "/proc/%d/stat", (int)w->pid);
    stat_fd = open(path, O_RDONLY | O_CLOEXEC);
    too_long = starved_too_long(&w->starved, stat_fd, w->silent_ns, now, with, &w->of);
    fd_closep(&stat_fd);
    return too_long;
}
