/* SPDX-License-Identifier: Apache-2.0 */
/* vq.c - see vq.h.
 *
 * What the guest can rewrite at any time is read in three places only: avail.idx, one avail entry
 * per request, one descriptor at a time; each into a local that is then the truth. The device's
 * own positions (next_avail, used_idx) are private and never read back from the ring, but after
 * the death of a worker.
 */
#include "vq.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/fd.h"
#include "failpoint.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "ring cells are read as they are");
static_assert(sizeof(struct vring_desc) == 16, "virtio 1.2, 2.7.5");

/* Offsets in the avail and used rings (virtio 1.2, 2.7.6 and 2.7.8). */
enum { RING_FLAGS = 0, RING_IDX = 2, RING_ENTRIES = 4 };
enum { NO_SLOT = 0xffff };

struct vq {
    struct vq_config config;
    bool active, dead;
    bool event_idx, indirect;
    bool found_empty;  /* popped until nothing was left since kicks were asked for last */
    bool waiting;      /* the last vq_pop() found nothing */
    bool force_notify; /* after a restart the guest may have missed an interrupt */
    uint16_t size;
    uint16_t next_avail; /* free running: the entry vq_pop() takes next */
    uint16_t seen_avail; /* free running: how far vq_pop() ever looked; vq_unpop() leaves it */
    uint16_t used_idx;   /* free running: entries published */
    uint16_t notified;   /* used_idx when the guest was last considered for an interrupt */
    unsigned n_inflight;
    uint16_t staged[INFLIGHT_MAX_BATCH]; /* heads with a used entry that isn't published yet */
    unsigned n_staged;
    struct gslice desc, avail, used;
    struct inflight journal;
    /* Slices of the requests in flight: one block per request, taken from a stack, so that the
     * memory touched follows the requests in flight and not the size of the queue. */
    struct gslice *slices;
    uint16_t slot_of_head[VQ_MAX_SIZE]; /* NO_SLOT: not in flight */
    uint16_t free_slots[VQ_MAX_SIZE];
    unsigned n_free_slots;
    uint16_t replay[VQ_MAX_SIZE]; /* heads of a dead worker, oldest first */
    unsigned n_replay, replay_at, replay_seen;
};

int vq_new(struct vq **ret_vq, const struct vq_config *config)
{
    struct vq *vq;

    if (config->max_size == 0 || config->max_size > VQ_MAX_SIZE)
        return err_origin(-EINVAL, "queue of %u entries", config->max_size);
    vq = calloc(1, sizeof *vq);
    if (!vq)
        return err_origin(-ENOMEM, "queue %u", config->index);
    vq->slices = calloc((size_t)config->max_size * VQ_MAX_SEGMENTS, sizeof *vq->slices);
    if (!vq->slices) {
        free(vq);
        return err_origin(-ENOMEM, "slices of queue %u", config->index);
    }
    vq->config = *config;
    *ret_vq = vq;
    return 0;
}

void vq_free(struct vq *vq)
{
    if (!vq)
        return;
    free(vq->slices);
    free(vq);
}

static int map_rings(struct vq *vq, const struct vq_addresses *a)
{
    const struct gmem *mem = vq->config.mem;
    unsigned size = a->size;

    if (!is_power_of_two(size) || size > vq->config.max_size)
        return VQ_E_GUEST;
    if (a->desc % 16 != 0 || a->avail % 2 != 0 || a->used % 4 != 0)
        return VQ_E_GUEST;
    /* Both rings end with the 16-bit cell of the event index. */
    if (gmem_slice(mem, GPA(a->desc), size * sizeof(struct vring_desc), &vq->desc) != 0 ||
        gmem_slice(mem, GPA(a->avail), RING_ENTRIES + 2ull * size + 2, &vq->avail) != 0 ||
        gmem_slice(mem, GPA(a->used), RING_ENTRIES + 8ull * size + 2, &vq->used) != 0)
        return VQ_E_GUEST;
    return 0;
}

static void take_up_journal(struct vq *vq)
{
    const struct inflight_region *region = vq->config.inflight_region;
    bool usable = region && region->version == 1 && region->desc_num == vq->size;
    uint16_t guest_used = gslice_load16(vq->used, RING_IDX);

    if (usable && !inflight_used_is_ours(region, guest_used))
        guest_used = region->used_idx;
    inflight_attach(&vq->journal, vq->config.inflight_region, vq->size, 1);
    vq->n_replay = inflight_recover(&vq->journal, guest_used, vq->replay, vq->size);
    /* What was published last may not have been marked any more. */
    gslice_mark_written(vq->used);
    vq->used_idx = guest_used;
    vq->notified = guest_used;
    vq->next_avail = (uint16_t)(guest_used + vq->n_replay);
    vq->force_notify = true;
}

int vq_activate(struct vq *vq, const struct vq_addresses *addresses, uint64_t features, bool resume)
{
    int r = map_rings(vq, addresses);

    if (r != 0)
        return r;
    vq->size = addresses->size;
    vq->event_idx = features & (1ull << VIRTIO_RING_F_EVENT_IDX);
    vq->indirect = features & (1ull << VIRTIO_RING_F_INDIRECT_DESC);
    vq->dead = false;
    vq->found_empty = false;
    vq->waiting = false;
    vq->n_inflight = 0;
    vq->n_staged = 0;
    vq->n_replay = 0;
    vq->replay_at = 0;
    vq->n_free_slots = vq->size;
    for (unsigned i = 0; i < vq->size; i++) {
        vq->slot_of_head[i] = NO_SLOT;
        vq->free_slots[i] = (uint16_t)(vq->size - 1 - i);
    }
    if (resume) {
        take_up_journal(vq);
    } else {
        inflight_attach(&vq->journal, vq->config.inflight_region, vq->size, 0);
        vq->next_avail = 0;
        vq->used_idx = 0;
        vq->notified = 0;
        vq->force_notify = false;
    }
    vq->seen_avail = vq->next_avail;
    vq->replay_seen = 0;
    vq->active = true;
    return 0;
}

void vq_deactivate(struct vq *vq)
{
    vq->active = false;
    vq->dead = false;
    vq->n_inflight = 0;
    vq->n_staged = 0;
    vq->n_replay = 0;
    vq->replay_at = 0;
}

bool vq_active(const struct vq *vq)
{
    return vq->active;
}

bool vq_touches(const struct vq *vq, unsigned region)
{
    const struct gmem *mem = vq->config.mem;

    return vq->active &&
           (gslice_touches(mem, vq->desc, region) || gslice_touches(mem, vq->avail, region) ||
            gslice_touches(mem, vq->used, region));
}

void vq_lose_rings(struct vq *vq)
{
    vq->dead = true;
    vq->desc = vq->avail = vq->used = (struct gslice){ 0 };
}

struct walk {
    struct gslice table;
    unsigned table_entries;
    unsigned index;
    unsigned entries; /* walked so far, the one that names the indirect table not counted */
    bool inside_indirect;
};

/* Switches to the table that an indirect descriptor names; 0 or VQ_E_GUEST. */
static int enter_indirect(const struct vq *vq, struct walk *walk, const struct vring_desc *d)
{
    if (!vq->indirect || walk->inside_indirect || (d->flags & VRING_DESC_F_NEXT) || d->len == 0 ||
        d->len % sizeof *d != 0)
        return VQ_E_GUEST;
    if (gmem_slice(vq->config.mem, GPA(d->addr), d->len, &walk->table) != 0)
        return VQ_E_GUEST;
    walk->table_entries = d->len / (unsigned)sizeof *d;
    walk->index = 0;
    walk->inside_indirect = true;
    return 0;
}

/* Checks the private copy of one buffer descriptor and adds its slice. */
static int add_slice(const struct vq *vq, struct vq_chain *chain, const struct vring_desc *d)
{
    bool write = d->flags & VRING_DESC_F_WRITE;
    unsigned n = chain->n_read + chain->n_write;

    if (d->len == 0 || n == VQ_MAX_SEGMENTS || (!write && chain->n_write > 0))
        return VQ_E_GUEST;
    if (d->len > UINT32_MAX - chain->read_bytes - chain->write_bytes)
        return VQ_E_GUEST; /* more than 2^32 bytes in one chain, virtio 1.2, 2.7.5 */
    if (gmem_slice(vq->config.mem, GPA(d->addr), d->len, &chain->slices[n]) != 0)
        return VQ_E_GUEST;
    if (write) {
        chain->n_write++;
        chain->write_bytes += d->len;
    } else {
        chain->n_read++;
        chain->read_bytes += d->len;
    }
    return 0;
}

static int walk_chain(const struct vq *vq, struct vq_chain *chain)
{
    struct walk walk = { .table = vq->desc, .table_entries = vq->size, .index = chain->head };
    struct vring_desc d;

    for (;;) {
        if (walk.index >= walk.table_entries || walk.entries == vq->size)
            return VQ_E_GUEST; /* out of the table, or a loop */
        if (gslice_read(walk.table, walk.index * sizeof d, &d, sizeof d) != 0)
            return VQ_E_GUEST;
        if (!walk.inside_indirect)
            chain->n_descs++;
        if (d.flags & VRING_DESC_F_INDIRECT) {
            if (enter_indirect(vq, &walk, &d) != 0)
                return VQ_E_GUEST;
            continue;
        }
        walk.entries++;
        if (add_slice(vq, chain, &d) != 0)
            return VQ_E_GUEST;
        if (!(d.flags & VRING_DESC_F_NEXT))
            return 0;
        walk.index = d.next;
    }
}

/* The next head to work on, without taking it: 0, VQ_EMPTY or VQ_E_GUEST. */
static int peek_head(struct vq *vq, uint16_t *ret_head, bool *ret_replayed)
{
    uint16_t avail_idx;
    uint16_t waiting;

    if (vq->replay_at < vq->n_replay) {
        *ret_head = vq->replay[vq->replay_at];
        *ret_replayed = true;
        return 0;
    }
    avail_idx = gslice_load16_acquire(vq->avail, RING_IDX);
    waiting = (uint16_t)(avail_idx - vq->next_avail);
    if (waiting > vq->size)
        return VQ_E_GUEST;
    /* A driver takes nothing back (virtio 1.2, 2.7.6.1); if we let it, all that was seen and given back
     * unread would look like more that came, for ever. */
    if ((int16_t)(avail_idx - vq->seen_avail) < 0)
        return VQ_E_GUEST;
    if (waiting == 0)
        return VQ_EMPTY;
    *ret_head =
        gslice_load16(vq->avail, RING_ENTRIES + 2 * (size_t)(vq->next_avail & (vq->size - 1)));
    *ret_replayed = false;
    return 0;
}

static void take_head(struct vq *vq, uint16_t head, bool replayed)
{
    vq->slot_of_head[head] = vq->free_slots[--vq->n_free_slots];
    vq->n_inflight++;
    if (replayed) {
        vq->replay_at++; /* it is in the journal already, with its old place in the order */
        vq->replay_seen = MAX(vq->replay_seen, vq->replay_at);
    } else {
        vq->next_avail++;
        if ((int16_t)(vq->next_avail - vq->seen_avail) > 0)
            vq->seen_avail = vq->next_avail;
        inflight_begin(&vq->journal, head);
    }
    failpoint("after_fetch");
}

int vq_pop(struct vq *vq, struct vq_chain *ret_chain)
{
    struct vq_chain chain = { 0 };
    int r;

    if (!vq->active)
        return VQ_EMPTY;
    if (vq->dead)
        return VQ_E_GUEST;
    r = peek_head(vq, &chain.head, &chain.replayed);
    vq->waiting = r == VQ_EMPTY;
    if (vq->waiting)
        vq->found_empty = true;
    /* A head that is in flight already would be completed twice and spoil the journal. */
    if (r == 0 && (chain.head >= vq->size || vq->slot_of_head[chain.head] != NO_SLOT))
        r = VQ_E_GUEST;
    if (r == 0) {
        unsigned slot = vq->free_slots[vq->n_free_slots - 1];

        chain.slices = vq->slices + (size_t)slot * VQ_MAX_SEGMENTS;
        r = walk_chain(vq, &chain);
    }
    if (r == VQ_E_GUEST)
        vq->dead = true;
    if (r != 0)
        return r;
    take_head(vq, chain.head, chain.replayed);
    *ret_chain = chain;
    return 0;
}

static void release_head(struct vq *vq, uint16_t head)
{
    vq->free_slots[vq->n_free_slots++] = vq->slot_of_head[head];
    vq->slot_of_head[head] = NO_SLOT;
    vq->n_inflight--;
}

void vq_unpop(struct vq *vq, const struct vq_chain *chain)
{
    if (!vq->active)
        return;
    assert(chain->head < vq->size && vq->slot_of_head[chain->head] != NO_SLOT);
    release_head(vq, chain->head);
    if (chain->replayed) {
        assert(vq->replay_at > 0 && vq->replay[vq->replay_at - 1] == chain->head);
        vq->replay_at--;
    } else {
        vq->next_avail--;
        inflight_complete_end(&vq->journal, chain->head, vq->used_idx);
    }
}

void vq_stage(struct vq *vq, uint16_t head, uint32_t written)
{
    struct vring_used_elem elem = { .id = head, .len = written };
    size_t off =
        RING_ENTRIES + sizeof elem * (size_t)((vq->used_idx + vq->n_staged) & (vq->size - 1u));

    if (!vq->active)
        return;
    assert(head < vq->size && vq->slot_of_head[head] != NO_SLOT);
    assert(vq->n_staged < INFLIGHT_MAX_BATCH);
    inflight_complete_begin(&vq->journal, head, vq->n_staged);
    if (gslice_write(vq->used, off, &elem, sizeof elem) != 0)
        abort(); /* map_rings() checked the whole ring */
    vq->staged[vq->n_staged++] = head;
}

void vq_publish(struct vq *vq)
{
    uint16_t old = vq->used_idx;

    if (vq->n_staged == 0)
        return;
    failpoint("before_used");
    vq->used_idx = (uint16_t)(old + vq->n_staged);
    gslice_store16_release(vq->used, RING_IDX, vq->used_idx);
    failpoint("after_used");
    for (unsigned i = 0; i < vq->n_staged; i++) {
        bool last = i + 1 == vq->n_staged;

        inflight_complete_end(&vq->journal, vq->staged[i], last ? vq->used_idx : old);
        release_head(vq, vq->staged[i]);
    }
    vq->n_staged = 0;
}

void vq_push(struct vq *vq, uint16_t head, uint32_t written)
{
    vq_stage(vq, head, written);
    vq_publish(vq);
}

static bool guest_wants_interrupt(struct vq *vq)
{
    uint16_t old = vq->notified;

    if (vq->used_idx == old && !vq->force_notify)
        return false;
    /* The used index must be seen by the guest before its event index is read by us, or both
     * sides may decide to sleep. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    vq->notified = vq->used_idx;
    if (vq->force_notify) {
        vq->force_notify = false;
        return true;
    }
    if (vq->event_idx) {
        uint16_t event = gslice_load16(vq->avail, RING_ENTRIES + 2 * (size_t)vq->size);

        return vring_need_event(event, vq->used_idx, old);
    }
    return !(gslice_load16(vq->avail, RING_FLAGS) & VRING_AVAIL_F_NO_INTERRUPT);
}

void vq_notify(struct vq *vq)
{
    if (!vq->active || !guest_wants_interrupt(vq))
        return;
    failpoint("before_interrupt");
    if (vq->config.interrupts)
        ++*vq->config.interrupts;
    fd_event_signal(vq->config.call_fd);
}

bool vq_enable_kicks(struct vq *vq)
{
    if (!vq->active || vq->dead)
        return false;
    /* What was given back unread was not enough: a kick is wanted for what comes behind it. */
    if (vq->event_idx)
        gslice_store16(vq->used, RING_ENTRIES + 8 * (size_t)vq->size, vq->seen_avail);
    else
        gslice_store16(vq->used, RING_FLAGS, 0);
    /* Our wish must be visible before avail.idx is looked at for the last time. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return vq->replay_seen < vq->n_replay ||
           gslice_load16_acquire(vq->avail, RING_IDX) != vq->seen_avail;
}

void vq_disable_kicks(struct vq *vq)
{
    /* With an event index the old one lies behind and asks for nothing. */
    if (vq->active && !vq->event_idx)
        gslice_store16(vq->used, RING_FLAGS, VRING_USED_F_NO_NOTIFY);
}

bool vq_rearm(struct vq *vq)
{
    if (!vq->found_empty)
        return false;
    vq->found_empty = false;
    return vq_enable_kicks(vq);
}

bool vq_has_work(const struct vq *vq)
{
    return vq->waiting && vq->active &&
           gslice_load16_acquire(vq->avail, RING_IDX) != vq->seen_avail;
}

unsigned vq_inflight(const struct vq *vq)
{
    return vq->n_inflight;
}

unsigned vq_size(const struct vq *vq)
{
    return vq->size;
}

int vq_kick_fd(const struct vq *vq)
{
    return vq->config.kick_fd;
}
