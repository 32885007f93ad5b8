/* SPDX-License-Identifier: Apache-2.0 */
/* worker_poll.c - a moment of looking for work before the loop sleeps.
 *
 * A sleep costs the guest its kick (an exit of the vCPU) and a wake-up across CPUs, many times what
 * a small request costs. So a worker whose sleeps were short looks at its rings for WORKER_POLL_NS first,
 * while kicks stay off. It is the tenant's CPU time: an idle device never polls, and where looking
 * finds nothing (the disk is slow, or the vCPU needs this very CPU), or not in time, it is given up
 * for twice as many sleeps each time.
 */
#include "worker_poll.h"

#include "base/loop.h"
#include "vq.h"
#include "worker_queue.h"
#include "worker_state.h"

enum {
    LATE_NS = 2 * WORKER_POLL_NS,
    BACKOFF_MAX = 8,
    LOOKS_PER_CLOCK = 8,
    TURNS_MAX = 64, /* then the loop's other events are looked at, or earlier: turn_over() */
};

static void pause_cpu(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* One look: runs what it finds. *ret_found_ns: when it was found, if that is asked for. */
static bool look(struct worker *w, uint64_t *ret_found_ns)
{
    enum worker_found what = w->ops->poll(w->device);
    bool found = what == WORKER_FOUND_SOME;

    w->poll_busy = what == WORKER_WAITS_FOR_SOON;
    w->poll_useless = what == WORKER_WAITS_FOR_TASK;
    if (found && ret_found_ns)
        *ret_found_ns = now_ns();
    for (unsigned q = 0; q < w->n_queues && w->running; q++)
        if (vq_has_work(w->queues[q].vq)) {
            if (!found && ret_found_ns)
                *ret_found_ns = now_ns();
            worker_queue_run(w, q);
            found = true;
        }
    return found;
}

/* *ret_pays: found in time. What was found later came while this process was stopped: others need
 * the CPU, and perhaps the very one that brought it. */
static bool look_for_a_while(struct worker *w, bool *ret_pays)
{
    uint64_t start = now_ns(), found_ns = 0;

    *ret_pays = false;
    do
        for (unsigned i = 0; i < LOOKS_PER_CLOCK; i++) {
            if (look(w, &found_ns)) {
                *ret_pays = found_ns - start < LATE_NS;
                return true;
            }
            if (w->poll_useless)
                return false;
            pause_cpu();
        }
    while (now_ns() - start < WORKER_POLL_NS);
    return false;
}

/* Whether there was something, looked for as long as experience says that it pays. */
static bool poll_once(struct worker *w)
{
    struct worker_poll *p;
    bool found, pays;

    if (look(w, NULL))
        return true;
    p = &w->poll[w->poll_busy];
    if (!p->wanted || !w->running || w->poll_useless)
        return false;
    if (p->skip > 0) {
        p->skip--;
        return false;
    }
    found = look_for_a_while(w, &pays);
    if (pays && p->backoff > 0)
        p->backoff--;
    if (!pays) {
        p->backoff = MIN(p->backoff + 1, (unsigned)BACKOFF_MAX);
        p->skip = (1u << p->backoff) - 1;
    }
    return found;
}

void worker_poll(struct worker *w)
{
    for (unsigned turn = 0; turn < TURNS_MAX && !turn_over(&w->turn); turn++) {
        if (w->ops->before_sleep)
            w->ops->before_sleep(w->device);
        if (w->rerun_armed) {
            loop_timer_disarm(w->rerun);
            worker_queue_run_pending(w);
        } else if (!poll_once(w)) {
            return;
        }
    }
    if (w->ops->before_sleep)
        w->ops->before_sleep(w->device);
}

void worker_poll_sleeps(struct worker *w)
{
    if (w->ops->poll)
        w->slept_at_ns = now_ns();
}
