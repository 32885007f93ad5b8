/* SPDX-License-Identifier: Apache-2.0 */
/* worker.c - what a device asks of its skeleton; see worker.h. worker_main.c is the start, worker_run.c
 * the loop. */
#include "worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/log.h"
#include "worker_say.h"
#include "worker_state.h"

enum { SHORT_SLEEP_NS = 2 * WORKER_POLL_NS }; /* a wake-up's own cost is in it */

struct loop *worker_loop(struct worker *w)
{
    return w->loop;
}

struct gmem *worker_mem(struct worker *w)
{
    return &w->mem;
}

struct vq *worker_vq(struct worker *w, unsigned q)
{
    return w->queues[q].vq;
}

unsigned worker_num_queues(const struct worker *w)
{
    return w->n_queues;
}

struct stats_page *worker_stats(struct worker *w)
{
    return w->stats;
}

struct turn *worker_turn(struct worker *w)
{
    return &w->turn;
}

void worker_keep_fd(struct worker *w, int fd)
{
    if (w->n_keep == WORKER_MAX_KEEP)
        abort(); /* our own count is wrong */
    w->keep[w->n_keep++] = fd;
}

void worker_reserve_fds(struct worker *w, unsigned n)
{
    w->n_reserved += n;
}

void worker_limit_files(struct worker *w, uint64_t max_bytes)
{
    w->file_bytes = max_bytes;
}

struct worker_ring *worker_own_ring(struct worker *w)
{
    return &w->own_ring;
}

struct worker_ring *worker_old_ring(struct worker *w)
{
    return &w->old_ring;
}

/* ---- to the broker ---- */

static void say_failed(struct worker *w, int r)
{
    Bulkhead__Failed failed = BULKHEAD__FAILED__INIT;
    char what[256];
    ENVELOPE(e, FAILED, failed, &failed);

    strncpy(what, err_text(), sizeof what - 1);
    what[sizeof what - 1] = '\0';
    log_debug("%s (%s)", what, err_frames());
    failed.error = -r;
    failed.what = what;
    if (worker_send(w, &e) < 0) /* else the broker says it, once */
        log_error("%s", what);
}

void worker_fail(struct worker *w, int r)
{
    say_failed(w, r);
    if (w->loop) /* not in the middle of the start */
        loop_quit(w->loop, 1);
}

void worker_needs_reset(struct worker *w, unsigned q, const char *why)
{
    w->stats->guest_faults++;
    log_guest("queue %u: %s; waiting for the driver's reset", q, why);
    w->running = false;
    if (w->broken)
        return;
    w->broken = true;
    snprintf(w->say.why, sizeof w->say.why, "queue %u: %s", q, why);
    worker_say(w, WORKER_SAYS_NEEDS_RESET);
}

bool worker_ring_drained(struct worker *w)
{
    if (!w->old_ring_drained && w->state >= CHILD_READY) /* else Ready says so */
        worker_say(w, WORKER_SAYS_RING_DRAINED);
    w->old_ring_drained = true;
    return !(w->say.due & WORKER_SAYS_RING_DRAINED);
}

/* ---- the loop ---- */

bool worker_running(const struct worker *w)
{
    return w->running;
}

void worker_rerun(struct worker *w, unsigned q)
{
    w->queues[q].rerun = true;
    if (w->rerun_armed)
        return;
    w->rerun_armed = true;
    loop_timer_arm(w->rerun, 0, false);
}

void worker_leave(struct worker *w)
{
    loop_quit(w->loop, 0);
}

void worker_poll_woken(struct worker *w)
{
    if (w->slept_at_ns == 0)
        return;
    if (!w->poll_useless)
        w->poll[w->poll_busy].wanted = now_ns() - w->slept_at_ns < SHORT_SLEEP_NS;
    w->slept_at_ns = 0;
}
