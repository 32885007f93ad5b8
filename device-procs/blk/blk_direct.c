/* SPDX-License-Identifier: Apache-2.0 */
/* blk_direct.c - see blk_direct.h. */
#include "blk_direct.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include "base/err.h"

int blk_direct_init(struct blk_direct *d, uint32_t align)
{
    uint8_t *area = mmap(NULL, (size_t)BLK_DIRECT_BUFFERS * BLK_DIRECT_BYTES,
                         PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (area == MAP_FAILED)
        return err_origin(-errno, "bounce buffers");
    *d = (struct blk_direct){ .align = align };
    for (unsigned i = 0; i < BLK_DIRECT_BUFFERS; i++) {
        d->buffers[i].bytes = area + (size_t)i * BLK_DIRECT_BYTES;
        d->buffers[i].next_free = d->free_buffers;
        d->free_buffers = &d->buffers[i];
    }
    return 0;
}

bool blk_direct_takes(const struct blk_direct *d, const struct blk_io_req *req)
{
    uintptr_t bits = 0;

    for (unsigned i = 0; i < req->n_iov; i++)
        bits |= (uintptr_t)req->iov[i].iov_base | req->iov[i].iov_len;
    return bits % d->align == 0;
}

bool blk_direct_splits(const struct blk_direct *d, const struct blk_order *order)
{
    return (order->offset | order->len_bytes) % d->align != 0;
}

bool blk_direct_take(struct blk_direct *d, struct blk_io_req *req)
{
    if (req->bounce)
        return true;
    req->bounce = d->free_buffers;
    if (!req->bounce)
        return false;
    d->free_buffers = req->bounce->next_free;
    return true;
}

void blk_direct_give(struct blk_direct *d, struct blk_io_req *req)
{
    if (!req->bounce)
        return;
    req->bounce->next_free = d->free_buffers;
    d->free_buffers = req->bounce;
    req->bounce = NULL;
}

/* The data of the step: the guest's, or zeroes. */
static void fill(struct blk_io_req *req)
{
    uint8_t *to = req->bounce->bytes + req->skew_bytes;

    if (req->order.op == BLK_OP_WRITE)
        vq_chain_read(&req->chain, BLK_HEADER_BYTES + (size_t)req->done_bytes, to,
                      (size_t)req->step_bytes);
    else
        memset(to, 0, (size_t)req->step_bytes);
}

void blk_direct_aim(const struct blk_direct *d, struct blk_io_req *req)
{
    uint64_t cover;

    req->skew_bytes = (uint32_t)((req->order.offset + req->done_bytes) % d->align);
    req->step_bytes =
        MIN(req->order.len_bytes - req->done_bytes, (uint64_t)BLK_DIRECT_BYTES - req->skew_bytes);
    cover = align_up(req->skew_bytes + req->step_bytes, d->align);
    req->iov[0] = (struct iovec){ .iov_base = req->bounce->bytes, .iov_len = (size_t)cover };
    req->n_iov = 1;
    req->stage = BLK_STAGE_IO;
    if (req->order.op == BLK_OP_READ)
        return;
    if (cover != req->step_bytes)
        req->stage = BLK_STAGE_READ_FIRST;
    else
        fill(req);
}

bool blk_direct_merge(const struct blk_direct *d, struct blk_io_req *req, int64_t res)
{
    uint64_t blocks = res > 0 ? (uint64_t)res & ~(uint64_t)(d->align - 1) : 0;

    if (blocks <= req->skew_bytes || blocks > req->iov[0].iov_len)
        return false; /* the file is shorter than it was */
    /* What was read is written back, and the rest is a step of its own. */
    req->iov[0].iov_len = (size_t)blocks;
    req->step_bytes = MIN(req->step_bytes, blocks - req->skew_bytes);
    fill(req);
    req->stage = BLK_STAGE_IO;
    return true;
}

int64_t blk_direct_done(struct blk_io_req *req, int64_t res)
{
    int64_t n = MIN(res - (int64_t)req->skew_bytes, (int64_t)req->step_bytes);

    if (n > 0 && req->order.op == BLK_OP_READ)
        vq_chain_write(&req->chain, (size_t)req->done_bytes, req->bounce->bytes + req->skew_bytes,
                       (size_t)n);
    return n;
}

static bool share_a_block(const struct blk_direct *d, const struct blk_order *a,
                          const struct blk_order *b)
{
    uint64_t mask = ~(uint64_t)(d->align - 1);

    return (a->offset & mask) < align_up(b->offset + b->len_bytes, d->align) &&
           (b->offset & mask) < align_up(a->offset + a->len_bytes, d->align);
}

bool blk_direct_enter(struct blk_direct *d, struct blk_io_req *req)
{
    bool splits = blk_direct_splits(d, &req->order);

    if (req->entered)
        return true;
    /* Two that write whole blocks are as they are on any disk: the guest's affair. */
    for (const struct blk_io_req *w = d->writers; w; w = w->next_writer)
        if ((splits || blk_direct_splits(d, &w->order)) && share_a_block(d, &w->order, &req->order))
            return false;
    req->next_writer = d->writers;
    d->writers = req;
    req->entered = true;
    return true;
}

void blk_direct_leave(struct blk_direct *d, struct blk_io_req *req)
{
    struct blk_io_req **at = &d->writers;

    if (!req->entered)
        return;
    while (*at != req)
        at = &(*at)->next_writer;
    *at = req->next_writer;
    req->entered = false;
}
