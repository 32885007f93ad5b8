/* SPDX-License-Identifier: Apache-2.0 */
/* blk_req.c - see blk_req.h. */
#include "blk_req.h"

#include <assert.h>
#include <linux/virtio_blk.h>

static_assert(sizeof(struct virtio_blk_outhdr) == BLK_HEADER_BYTES, "virtio 1.2, 5.2.6");
static_assert(sizeof(struct virtio_blk_discard_write_zeroes) == 16, "virtio 1.2, 5.2.6");

static void answer(struct blk_order *order, uint8_t status)
{
    *order = (struct blk_order){ .op = BLK_OP_NONE, .status = status };
}

/* Whether [sector, sector + n) is on the disk; no sum that could wrap. */
static bool on_disk(const struct blk_limits *limits, uint64_t sector, uint64_t n)
{
    return sector <= limits->sectors && n <= limits->sectors - sector;
}

static void parse_data(const struct blk_limits *limits, struct blk_order *order, uint64_t sector,
                       uint64_t len_bytes, bool write)
{
    if (len_bytes % BLK_SECTOR_BYTES != 0 ||
        !on_disk(limits, sector, len_bytes / BLK_SECTOR_BYTES) || (write && limits->readonly)) {
        answer(order, BLK_STATUS_IOERR);
        return;
    }
    if (len_bytes == 0) {
        answer(order, BLK_STATUS_OK);
        return;
    }
    order->op = write ? BLK_OP_WRITE : BLK_OP_READ;
    order->offset = sector * BLK_SECTOR_BYTES;
    order->len_bytes = len_bytes;
}

/* Discard and write zeroes: one range, as the configuration space announces. */
static void parse_range(const struct vq_chain *chain, const struct blk_limits *limits,
                        struct blk_order *order, bool zeroes)
{
    struct virtio_blk_discard_write_zeroes range;
    uint32_t known = zeroes ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0;

    if (zeroes ? !limits->write_zeroes : !limits->discard) {
        answer(order, BLK_STATUS_UNSUPP);
        return;
    }
    if (chain->read_bytes != BLK_HEADER_BYTES + sizeof range || limits->readonly ||
        vq_chain_read(chain, BLK_HEADER_BYTES, &range, sizeof range) != sizeof range) {
        answer(order, BLK_STATUS_IOERR);
        return;
    }
    if (range.flags & ~known) {
        answer(order, BLK_STATUS_UNSUPP);
        return;
    }
    if (range.num_sectors > BLK_MAX_RANGE_SECTORS ||
        !on_disk(limits, range.sector, range.num_sectors)) {
        answer(order, BLK_STATUS_IOERR);
        return;
    }
    if (range.num_sectors == 0) {
        answer(order, BLK_STATUS_OK);
        return;
    }
    order->op = zeroes ? BLK_OP_ZEROES : BLK_OP_DISCARD;
    order->offset = range.sector * BLK_SECTOR_BYTES;
    order->len_bytes = (uint64_t)range.num_sectors * BLK_SECTOR_BYTES;
    order->unmap = range.flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
}

int blk_req_parse(const struct vq_chain *chain, const struct blk_limits *limits,
                  struct blk_order *ret_order)
{
    struct virtio_blk_outhdr header;
    struct blk_order order = { 0 };

    if (chain->write_bytes == 0 || vq_chain_read(chain, 0, &header, sizeof header) != sizeof header)
        return VQ_E_GUEST;
    if (limits->fail_all) {
        answer(&order, BLK_STATUS_IOERR);
        *ret_order = order;
        return 0;
    }
    switch (header.type) {
    case VIRTIO_BLK_T_IN:
        parse_data(limits, &order, header.sector, chain->write_bytes - 1, false);
        break;
    case VIRTIO_BLK_T_OUT:
        parse_data(limits, &order, header.sector, chain->read_bytes - BLK_HEADER_BYTES, true);
        break;
    case VIRTIO_BLK_T_FLUSH:
        order.op = BLK_OP_FLUSH;
        break;
    case VIRTIO_BLK_T_GET_ID:
        order.op = BLK_OP_GET_ID;
        order.len_bytes = MIN(chain->write_bytes - 1, (uint64_t)BLK_ID_BYTES);
        break;
    case VIRTIO_BLK_T_DISCARD:
        parse_range(chain, limits, &order, false);
        break;
    case VIRTIO_BLK_T_WRITE_ZEROES:
        parse_range(chain, limits, &order, true);
        break;
    default:
        answer(&order, BLK_STATUS_UNSUPP);
        break;
    }
    *ret_order = order;
    return 0;
}

uint32_t blk_req_finish(const struct vq_chain *chain, const struct blk_order *order, uint8_t status)
{
    bool data = order->op == BLK_OP_READ || order->op == BLK_OP_GET_ID;
    uint64_t before = data && status == BLK_STATUS_OK ? order->len_bytes : 0;

    vq_chain_write(chain, chain->write_bytes - 1, &status, 1);
    /* What the used length counts was written from the first byte on (virtio 1.2, 2.7.8.2): after an error
     * nothing is promised about the data before the status, so that one doesn't count either. */
    return (uint32_t)(before == chain->write_bytes - 1 ? before + 1 : before);
}

void blk_req_put_id(const struct vq_chain *chain, const char id[BLK_ID_BYTES])
{
    vq_chain_write(chain, 0, id, MIN(chain->write_bytes - 1, (uint64_t)BLK_ID_BYTES));
}
