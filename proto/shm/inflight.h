/* SPDX-License-Identifier: Apache-2.0 */
/* inflight.h - the journal that lets a new worker finish what a dead one had begun.
 *
 * Layout of one queue's region is vhost-user's "inflight split virtqueue" (vhost-user protocol,
 * "Inflight I/O tracking", struct QueueRegionSplit / DescStateSplit), so that it can be handed to
 * an external back end as it is. The memfd holds n_queues such regions, each rounded up to 64
 * bytes. The broker holds the memfd; the worker maps it; its content is only ever trusted to be
 * wrong: every head is checked against the queue's size.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/compiler.h"

struct inflight_desc {
    uint8_t inflight;
    uint8_t batch; /* ours, padding to vhost-user: its place in its batch of completions, from 1 */
    uint8_t padding[4];
    uint16_t next;
    uint64_t counter;
};

struct inflight_region {
    uint64_t features;
    uint16_t version; /* 1 */
    uint16_t desc_num;
    uint16_t last_batch_head;
    uint16_t used_idx;
    struct inflight_desc desc[];
};

static inline size_t inflight_region_bytes(unsigned queue_size)
{
    return (sizeof(struct inflight_region) + queue_size * sizeof(struct inflight_desc) + 63) &
           ~(size_t)63;
}

/* One queue's view. A NULL region is legal everywhere and means "no journal". */
struct inflight {
    struct inflight_region *region;
    uint64_t counter; /* next order number */
};

void inflight_attach(struct inflight *j, void *region, unsigned queue_size, int resume);
/* Before the request is submitted. */
void inflight_begin(struct inflight *j, uint16_t head);
/* Around the publication of used entries, in this order: note the heads that are being completed,
 * each with its place in the batch (0 to INFLIGHT_MAX_BATCH - 1), store used.idx once for all, then
 * end each head: used_idx is the old one but for the last. */
enum { INFLIGHT_MAX_BATCH = 255 };
void inflight_complete_begin(struct inflight *j, uint16_t head, unsigned place);
void inflight_complete_end(struct inflight *j, uint16_t head, uint16_t used_idx);
/* After a restart: whether used.idx in guest memory is one that the dead worker can have stored:
 * the journal's, or with the last batch added. Anything else was written by the guest. */
bool inflight_used_is_ours(const struct inflight_region *region, uint16_t guest_used_idx);
/* After a restart: repairs the step between used.idx and the journal (vhost-user's rule for
 * last_batch_head), then gives the heads still in flight, oldest first. Returns their number. */
unsigned inflight_recover(struct inflight *j, uint16_t guest_used_idx, uint16_t *ret_heads,
                          unsigned max_heads);
