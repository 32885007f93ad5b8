/* SPDX-License-Identifier: Apache-2.0 */
/* worker_stop.c - the ways to stop: drained reset and quiesce, guest RAM that goes, Stop, the core's
 * death. */
#include "worker_stop.h"

#include "base/loop.h"
#include "worker.h"
#include "worker_memory.h"
#include "worker_say.h"
#include "worker_state.h"

void worker_stop_part(struct worker *w, unsigned patience_ms)
{
    w->running = false;
    if (!w->ops->part || loop_timer_arm(w->part, patience_ms, false) < 0)
        worker_leave(w);
    else
        w->ops->part(w->device);
}

static void finish_quiesce(struct worker *w)
{
    w->want_quiesce = false;
    worker_say(w, WORKER_SAYS_QUIESCED);
}

static void finish_reset(struct worker *w)
{
    w->want_reset = false;
    for (unsigned i = 0; i < w->n_queues; i++) {
        vq_deactivate(w->queues[i].vq);
        w->queues[i].rerun = false;
    }
    if (w->activated && w->ops->reset)
        w->ops->reset(w->device);
    w->activated = false;
    w->broken = false;
    worker_say(w, WORKER_SAYS_RESET_DONE);
}

void worker_go_on(struct worker *w)
{
    w->running = w->state == CHILD_RUNNING && w->activated && !w->broken && !w->draining;
    for (unsigned i = 0; i < w->n_queues && w->running; i++)
        worker_rerun(w, i);
}

static void finish_drain(struct worker *w)
{
    w->draining = false;
    if (w->want_remove)
        worker_memory_remove(w);
    if (w->want_quiesce)
        finish_quiesce(w);
    if (w->want_reset)
        finish_reset(w);
    if (w->want_stop)
        worker_stop_part(w, WORKER_PART_MS);
    else
        worker_go_on(w); /* unless it is to stand still */
}

void worker_stop_drain(struct worker *w)
{
    w->running = false;
    if (w->draining)
        return;
    w->draining = true;
    if (w->activated)
        w->ops->drain(w->device);
    else
        finish_drain(w);
}

void worker_drained(struct worker *w)
{
    if (w->draining)
        finish_drain(w);
}
