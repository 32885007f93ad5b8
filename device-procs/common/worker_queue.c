/* SPDX-License-Identifier: Apache-2.0 */
/* worker_queue.c - one batch of a queue's work, and whose turn is next. */
#include "worker_queue.h"

#include "worker.h"
#include "worker_state.h"

void worker_queue_run(struct worker *w, unsigned q)
{
    struct vq *vq = w->queues[q].vq;
    int r;

    if (!w->running || !vq_active(vq))
        return;
    if (turn_over(&w->turn)) {
        w->behind = true;
        worker_rerun(w, q);
        return;
    }
    vq_disable_kicks(vq);
    r = w->ops->on_queue(w->device, q);
    if (r == VQ_E_GUEST)
        worker_needs_reset(w, q, "the ring is broken");
    else if (r < 0)
        worker_fail(w, r);
}

/* One after the other in a circle, so that a queue that needs the whole turn leaves the next to
 * another one. */
void worker_queue_run_pending(struct worker *w)
{
    unsigned first = w->next_rerun;

    w->rerun_armed = false;
    w->behind = false;
    for (unsigned i = 0; i < w->n_queues; i++) {
        unsigned q = (first + i) % w->n_queues;

        if (!w->queues[q].rerun)
            continue;
        w->queues[q].rerun = false;
        if (!turn_over(&w->turn))
            w->next_rerun = (q + 1) % w->n_queues;
        worker_queue_run(w, q);
    }
}
