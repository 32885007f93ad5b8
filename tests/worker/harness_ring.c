/* SPDX-License-Identifier: Apache-2.0 */
/* harness_ring.c - the guest driver's side: split rings in the RAM memfd, event index and all.
 *
 * Memory: queue q's rings at q * 64 KiB, indirect tables behind all rings, then the caller's. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/fd.h"
#include "harness.h"

#define RING_STRIDE 0x10000ull
#define AVAIL_OFFSET 0x4000ull
#define USED_OFFSET 0x8000ull
#define TABLES_BASE (WH_MAX_QUEUES * RING_STRIDE)
#define TABLE_BYTES 4096ull

void *wh_mem(struct wh *wh, uint64_t addr, uint64_t len)
{
    if (addr > wh->ram_bytes || len > wh->ram_bytes - addr)
        wh_die("test uses memory it has not: %#llx", (unsigned long long)addr);
    return wh->ram + addr;
}

uint64_t wh_data_base(const struct wh *wh)
{
    return TABLES_BASE + wh->config.n_queues * wh->config.queue_size * TABLE_BYTES;
}

void wh_fresh_rings(struct wh *wh)
{
    for (unsigned q = 0; q < wh->config.n_queues; q++) {
        struct wh_queue *queue = &wh->queues[q];
        int kick_fd = queue->kick_fd, call_fd = queue->call_fd;

        *queue = (struct wh_queue){ .kick_fd = kick_fd, .call_fd = call_fd };
        queue->size = wh->config.queue_size;
        queue->desc = q * RING_STRIDE;
        queue->avail = queue->desc + AVAIL_OFFSET;
        queue->used = queue->desc + USED_OFFSET;
        memset(wh->ram + queue->desc, 0, RING_STRIDE);
        queue->vring.num = queue->size;
        queue->vring.desc = (vring_desc_t *)(void *)(wh->ram + queue->desc);
        queue->vring.avail = (vring_avail_t *)(void *)(wh->ram + queue->avail);
        queue->vring.used = (vring_used_t *)(void *)(wh->ram + queue->used);
        for (unsigned i = 0; i < queue->size; i++)
            queue->vring.desc[i].next = (uint16_t)(i + 1);
        queue->n_free = queue->size;
        fd_event_drain(kick_fd);
        fd_event_drain(call_fd);
    }
}

void wh_publish(struct wh *wh, unsigned q, uint16_t head)
{
    struct wh_queue *queue = &wh->queues[q];

    queue->vring.avail->ring[queue->next_avail % queue->size] = head;
    queue->next_avail++;
    __atomic_store_n(&queue->vring.avail->idx, queue->next_avail, __ATOMIC_RELEASE);
}

static struct vring_desc to_desc(const struct wh_buf *buf)
{
    return (struct vring_desc){ .addr = buf->addr,
                                .len = buf->len,
                                .flags = buf->write ? VRING_DESC_F_WRITE : 0 };
}

static uint16_t take_desc(struct wh_queue *queue)
{
    uint16_t at = queue->free_head;

    queue->free_head = queue->vring.desc[at].next;
    queue->n_free--;
    return at;
}

int wh_add(struct wh *wh, unsigned q, const struct wh_buf *bufs, unsigned n, bool indirect)
{
    struct wh_queue *queue = &wh->queues[q];
    uint16_t head = queue->free_head;

    if (queue->n_free < (indirect ? 1 : n))
        return -1;
    if (indirect) {
        uint64_t at = TABLES_BASE + (q * queue->size + head) * TABLE_BYTES;
        struct vring_desc *table = wh_mem(wh, at, n * sizeof *table);
        uint16_t next = queue->vring.desc[head].next;

        take_desc(queue);
        for (unsigned i = 0; i < n; i++) {
            table[i] = to_desc(&bufs[i]);
            table[i].next = (uint16_t)(i + 1);
            if (i + 1 < n)
                table[i].flags |= VRING_DESC_F_NEXT;
        }
        queue->vring.desc[head] = (struct vring_desc){
            .addr = at, .len = n * sizeof *table, .flags = VRING_DESC_F_INDIRECT, .next = next
        };
    } else {
        for (unsigned i = 0; i < n; i++) {
            uint16_t at = take_desc(queue);
            uint16_t next = queue->vring.desc[at].next;

            queue->vring.desc[at] = to_desc(&bufs[i]);
            queue->vring.desc[at].next = next;
            if (i + 1 < n)
                queue->vring.desc[at].flags |= VRING_DESC_F_NEXT;
        }
    }
    wh_publish(wh, q, head);
    return head;
}

void wh_kick_always(struct wh *wh, unsigned q)
{
    wh->queues[q].kicks++;
    fd_event_signal(wh->queues[q].kick_fd);
}

void wh_kick(struct wh *wh, unsigned q)
{
    struct wh_queue *queue = &wh->queues[q];
    uint16_t old = queue->kicked;
    bool wanted;

    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    queue->kicked = queue->next_avail;
    if (queue->event_idx) {
        uint16_t event = __atomic_load_n(
            (uint16_t *)wh_mem(wh, queue->used + 4 + 8ull * queue->size, 2), __ATOMIC_RELAXED);

        wanted = vring_need_event(event, queue->next_avail, old);
    } else {
        wanted = !(__atomic_load_n(&queue->vring.used->flags, __ATOMIC_RELAXED) &
                   VRING_USED_F_NO_NOTIFY);
    }
    if (wanted)
        wh_kick_always(wh, q);
}

static void free_chain(struct wh_queue *queue, uint16_t head)
{
    uint16_t at = head;

    while (queue->vring.desc[at].flags & VRING_DESC_F_NEXT) {
        at = queue->vring.desc[at].next;
        queue->n_free++;
    }
    queue->n_free++;
    queue->vring.desc[at].next = queue->free_head;
    queue->free_head = head;
}

bool wh_try_used(struct wh *wh, unsigned q, uint16_t *ret_head, uint32_t *ret_len)
{
    struct wh_queue *queue = &wh->queues[q];
    uint16_t idx = __atomic_load_n(&queue->vring.used->idx, __ATOMIC_ACQUIRE);
    struct vring_used_elem elem;

    if (idx == queue->last_used)
        return false;
    if ((uint16_t)(idx - queue->last_used) > queue->size)
        wh_die("used.idx %u is beyond the queue (%u seen)", idx, queue->last_used);
    elem = queue->vring.used->ring[queue->last_used % queue->size];
    queue->last_used++;
    if (elem.id >= queue->size)
        wh_die("used entry names descriptor %u", elem.id);
    free_chain(queue, (uint16_t)elem.id);
    *ret_head = (uint16_t)elem.id;
    *ret_len = elem.len;
    return true;
}

bool wh_wait_interrupt(struct wh *wh, unsigned q, int timeout_ms)
{
    struct pollfd p = { .fd = wh->queues[q].call_fd, .events = POLLIN };

    if (poll(&p, 1, timeout_ms) != 1)
        return false;
    wh->queues[q].interrupts += fd_event_drain(wh->queues[q].call_fd);
    return true;
}

void wh_want_interrupt(struct wh *wh, unsigned q)
{
    struct wh_queue *queue = &wh->queues[q];

    if (queue->event_idx)
        __atomic_store_n(&queue->vring.avail->ring[queue->size], queue->last_used,
                         __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void wh_wait_used(struct wh *wh, unsigned q, uint16_t *ret_head, uint32_t *ret_len)
{
    struct wh_queue *queue = &wh->queues[q];

    while (!wh_try_used(wh, q, ret_head, ret_len)) {
        wh_want_interrupt(wh, q);
        if (wh_try_used(wh, q, ret_head, ret_len))
            return;
        if (!wh_wait_interrupt(wh, q, WH_PATIENCE_MS))
            wh_die("no interrupt on queue %u: used.idx %u, seen %u, avail.idx %u", q,
                   queue->vring.used->idx, queue->last_used, queue->next_avail);
    }
}
