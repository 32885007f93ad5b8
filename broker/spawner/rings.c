/* SPDX-License-Identifier: Apache-2.0 */
/* rings.c - see rings.h. */
#include "spawner/rings.h"

#include <errno.h>
#include "base/err.h"
#include "base/fd.h"

static struct held_ring *find(struct rings *rings, uint32_t id)
{
    for (unsigned i = 0; i < RINGS_MAX; i++)
        if (rings->held[i].id == id)
            return &rings->held[i];
    return NULL;
}

int rings_make(struct rings *rings, uint32_t id, uint32_t slot, enum ring_purpose purpose,
               struct held_ring **ret_ring)
{
    struct held_ring *ring = find(rings, 0);
    unsigned entries = ring_is_disks(purpose) ? RING_DISK_ENTRIES : RING_FRAMES_ENTRIES;

    int r;

    if (!ring)
        return err_origin(-ENOSPC, "an io_uring more");
    r = ring_make(purpose, entries, &ring->params, &ring->fd);
    if (r < 0)
        return err_trace(r);
    ring->id = id;
    ring->slot = slot;
    *ret_ring = ring;
    return 0;
}

struct held_ring *rings_find(struct rings *rings, uint32_t id, uint32_t slot)
{
    struct held_ring *ring = id != 0 ? find(rings, id) : NULL;

    if (ring && ring->slot == slot)
        return ring;
    err_origin(ring ? -EPERM : -EBADF, "the io_uring of process %u for slot %u", id, slot);
    return NULL;
}

void rings_drop(struct rings *rings, uint32_t id)
{
    struct held_ring *ring = id != 0 ? find(rings, id) : NULL;

    if (!ring)
        return;
    fd_closep(&ring->fd);
    ring->id = 0;
}

void rings_drop_slot(struct rings *rings, uint32_t slot)
{
    for (unsigned i = 0; i < RINGS_MAX; i++)
        if (rings->held[i].id != 0 && rings->held[i].slot == slot)
            rings_drop(rings, rings->held[i].id);
}
