/* SPDX-License-Identifier: Apache-2.0 */
/* worker_memory.c - see worker_memory.h. */
#include "worker_memory.h"

#include <errno.h>
#include "base/err.h"
#include "base/log.h"
#include "ipc/regions.h"
#include "vq.h"
#include "worker.h"
#include "worker_say.h"
#include "worker_state.h"

/* The broker waits for each answer: there is never more than one to keep. */
static int check_idle(const struct worker *w)
{
    return w->want_remove || w->say.due & WORKER_SAYS_RAM_CHANGED
               ? err_origin(-EPROTO, "the answer about guest RAM is still to be read")
               : 0;
}

/* r: of the change, 0 or a negative errno with an origin. */
static void answer(struct worker *w, int r)
{
    if (r < 0)
        log_warn("%s", err_text());
    w->say.ram_error = -r;
    worker_say(w, WORKER_SAYS_RAM_CHANGED);
}

int worker_memory_add(struct worker *w, const Bulkhead__AddRegion *add, int fd)
{
    struct gmem_region region = regions_of(add->region);
    int r = check_idle(w);

    if (r < 0)
        return err_trace(r);
    answer(w, gmem_add(&w->mem, add->number, &region, fd));
    return 0;
}

int worker_memory_log(struct worker *w, int fd, uint64_t size_bytes)
{
    int r = check_idle(w);

    if (r < 0)
        return err_trace(r);
    answer(w, gmem_set_log(&w->mem, fd, size_bytes));
    return 0;
}

int worker_memory_will_remove(struct worker *w, unsigned number)
{
    int r = check_idle(w);

    if (r < 0)
        return err_trace(r);
    w->want_remove = true;
    w->remove_number = number;
    return 0;
}

/* Whatever was in flight may still write there: no device leaves any after its drain(). */
static int check_drained(struct worker *w)
{
    for (unsigned q = 0; q < w->n_queues; q++)
        if (vq_active(w->queues[q].vq) && vq_inflight(w->queues[q].vq) > 0)
            return err_origin(-EBUSY, "queue %u has requests in flight", q);
    return 0;
}

/* Before the region goes: a ring is looked at again at any time. */
static void lose_rings(struct worker *w, unsigned number)
{
    for (unsigned q = 0; q < w->n_queues; q++)
        if (vq_touches(w->queues[q].vq, number)) {
            vq_lose_rings(w->queues[q].vq);
            worker_needs_reset(w, q, "the ring is in memory that the guest gave up");
        }
}

void worker_memory_remove(struct worker *w)
{
    int r = check_drained(w);

    w->want_remove = false;
    if (r == 0) {
        lose_rings(w, w->remove_number);
        r = gmem_remove(&w->mem, w->remove_number);
    }
    answer(w, r);
}
