/* SPDX-License-Identifier: Apache-2.0 */
/* worker_memory.c - see worker_memory.h. */
#include "worker_memory.h"

#include <errno.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "ipc/regions.h"
#include "vq.h"
#include "worker.h"
#include "worker_say.h"
#include "worker_state.h"

void worker_memory_init(struct worker *w)
{
    for (unsigned i = 0; i < GMEM_MAX_REGIONS; i++)
        w->ram_fds[i] = -1;
}

static void close_all(int *fds, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        fd_closep(&fds[i]);
}

int worker_memory_take(struct worker *w, const Bulkhead__Configure *configure, int *fds)
{
    unsigned n = regions_fds(configure);
    int r = regions_map(&w->mem, configure, fds);

    if (r < 0)
        return err_trace(r);
    /* A region that comes later brings one descriptor: for a moment, or to stay. */
    worker_reserve_fds(w, w->ops->needs_ram_fds ? GMEM_MAX_REGIONS : 1);
    if (!w->ops->needs_ram_fds) {
        close_all(fds, n);
        return 0;
    }
    for (unsigned i = 0; i < w->mem.n_regions; i++)
        w->ram_fds[i] = fds[configure->n_regions > 0 ? configure->regions[i]->memfd : 0];
    for (unsigned i = 0; i < n; i++)
        worker_keep_fd(w, fds[i]);
    return 0;
}

/* What is asked and not answered has its place; the broker asks no more than that before it reads. */
static int check_room(const struct worker *w)
{
    unsigned owed = w->say.n_regions + (unsigned)__builtin_popcount(w->regions_to_remove);

    return owed < WORKER_MAX_REGION_ANSWERS
               ? 0
               : err_origin(-EPROTO, "%u answers about guest RAM are still to be read", owed);
}

int worker_memory_add(struct worker *w, const Bulkhead__AddRegion *add, int *fd)
{
    struct gmem_region region = regions_of(add->region);
    int r = check_room(w);

    if (r < 0)
        return err_trace(r);
    r = gmem_add(&w->mem, add->number, &region, *fd);
    if (r < 0)
        log_warn("%s", err_text());
    else if (w->ops->needs_ram_fds)
        w->ram_fds[add->number] = fd_take(fd);
    worker_say_region(w, WORKER_REGION_ADDED, add->number, -r);
    return 0;
}

int worker_memory_log(struct worker *w, int fd, uint64_t size_bytes)
{
    int r = check_room(w);

    if (r < 0)
        return err_trace(r);
    r = gmem_set_log(&w->mem, fd, size_bytes);
    if (r < 0)
        log_warn("%s", err_text());
    worker_say_region(w, WORKER_DIRTY_LOG_SET, 0, -r);
    return 0;
}

int worker_memory_will_remove(struct worker *w, unsigned number)
{
    int r = check_room(w);

    if (r < 0)
        return err_trace(r);
    if (w->regions_to_remove & UINT32_C(1) << number)
        return err_origin(-EPROTO, "region %u of guest RAM is on its way out already", number);
    w->regions_to_remove |= UINT32_C(1) << number;
    return 0;
}

static void forget_fd(struct worker *w, unsigned number)
{
    int fd = fd_take(&w->ram_fds[number]);

    for (unsigned i = 0; i < GMEM_MAX_REGIONS; i++)
        if (w->ram_fds[i] == fd)
            return; /* another region of the same file */
    fd_closep(&fd);
}

/* 0 or a negative errno: it stays. *ret_lost: a bit of each queue that has lost its rings. */
static int remove_region(struct worker *w, unsigned number, uint64_t *ret_lost)
{
    uint64_t lost = 0;
    int r;

    for (unsigned q = 0; q < w->n_queues; q++) {
        struct vq *vq = w->queues[q].vq;

        if (!vq_active(vq))
            continue;
        if (vq_inflight(vq) > 0) /* no device leaves any after its drain() */
            return err_origin(-EBUSY, "queue %u has requests in flight", q);
        if (vq_touches(vq, number))
            lost |= UINT64_C(1) << q;
    }
    r = gmem_remove(&w->mem, number);
    if (r < 0)
        return err_trace(r);
    forget_fd(w, number);
    *ret_lost = lost;
    return 0;
}

static void remove_one(struct worker *w, unsigned number)
{
    uint64_t lost = 0;
    int r = remove_region(w, number, &lost);

    if (r < 0)
        log_warn("%s", err_text());
    for (unsigned q = 0; q < w->n_queues; q++)
        if (lost & UINT64_C(1) << q) {
            vq_lose_rings(w->queues[q].vq);
            worker_needs_reset(w, q, "the ring is in memory that the guest gave up");
        }
    w->regions_to_remove &= ~(UINT32_C(1) << number);
    worker_say_region(w, WORKER_REGION_REMOVED, number, -r);
}

void worker_memory_remove(struct worker *w)
{
    for (unsigned i = 0; i < GMEM_MAX_REGIONS; i++)
        if (w->regions_to_remove & UINT32_C(1) << i)
            remove_one(w, i);
}
