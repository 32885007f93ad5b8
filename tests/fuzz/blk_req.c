/* SPDX-License-Identifier: Apache-2.0 */
/* blk_req.c - fuzz target: one disk request. Whatever the guest writes, an order that comes out
 * lies on the disk and within its own buffers.
 *
 * Input: flags, where the readable part is cut in two, writable bytes (2), then the readable part. */
#include "blk_req.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct blk_order *order, const struct blk_limits *limits,
                  const struct vq_chain *chain)
{
    uint64_t disk = limits->sectors * BLK_SECTOR_BYTES;

    if (order->op == BLK_OP_NONE || order->op == BLK_OP_FLUSH)
        return;
    if (order->op == BLK_OP_GET_ID) {
        if (order->len_bytes > BLK_ID_BYTES || order->len_bytes > chain->write_bytes - 1)
            abort();
        return;
    }
    if (limits->fail_all || (limits->readonly && order->op != BLK_OP_READ))
        abort();
    if (order->len_bytes == 0 || order->len_bytes % BLK_SECTOR_BYTES != 0 || order->offset > disk ||
        order->len_bytes > disk - order->offset)
        abort();
    if (order->op == BLK_OP_READ && order->len_bytes != chain->write_bytes - 1)
        abort();
    if (order->op == BLK_OP_WRITE && order->len_bytes != chain->read_bytes - BLK_HEADER_BYTES)
        abort();
    if ((order->op == BLK_OP_DISCARD || order->op == BLK_OP_ZEROES) &&
        (!limits->discard || order->len_bytes > (uint64_t)BLK_MAX_RANGE_SECTORS * BLK_SECTOR_BYTES))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char id[BLK_ID_BYTES] = "serial";
    struct gslice slices[3];
    struct vq_chain chain = { .slices = slices };
    struct blk_limits limits = { .sectors = 2048 };
    struct blk_order order;
    uint8_t *readable, *writable;
    size_t cut;

    if (size < 4)
        return 0;
    limits.readonly = data[0] & 1;
    limits.discard = data[0] & 2;
    limits.fail_all = (data[0] & 12) == 12;
    chain.write_bytes = data[2] | (uint64_t)data[3] << 8;
    chain.read_bytes = size - 4;
    readable = malloc(size - 4 + 1);
    writable = malloc(chain.write_bytes + 1);
    if (!readable || !writable)
        abort();
    memcpy(readable, data + 4, size - 4);
    cut = MIN((size_t)data[1], size - 4);
    slices[chain.n_read++] = gslice_for_test(readable, cut);
    slices[chain.n_read++] = gslice_for_test(readable + cut, size - 4 - cut);
    slices[2] = gslice_for_test(writable, (size_t)chain.write_bytes);
    chain.n_write = chain.write_bytes > 0;
    if (blk_req_parse(&chain, &limits, &order) == 0) {
        check(&order, &limits, &chain);
        if (order.op == BLK_OP_GET_ID)
            blk_req_put_id(&chain, id);
        if (blk_req_finish(&chain, &order, BLK_STATUS_IOERR) != (chain.write_bytes == 1) ||
            blk_req_finish(&chain, &order, BLK_STATUS_OK) > chain.write_bytes ||
            writable[chain.write_bytes - 1] != BLK_STATUS_OK)
            abort();
    }
    free(readable);
    free(writable);
    return 0;
}
