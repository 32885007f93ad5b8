/* SPDX-License-Identifier: Apache-2.0 */
/* blk_config.c - see blk_config.h. */
#include "blk_config.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include "base/err.h"
#include "base/fd.h"
#include "blk_direct.h"

uint32_t blk_config_direct_align(const Bulkhead__BlkConfig *cfg)
{
    return cfg->direct_align ? cfg->direct_align : cfg->block_size;
}

uint32_t blk_config_range_align(const Bulkhead__BlkConfig *cfg)
{
    return cfg->range_align ? cfg->range_align : cfg->block_size;
}

static bool is_block_size(uint32_t bytes)
{
    return is_power_of_two(bytes) && bytes >= BLK_SECTOR_BYTES && bytes <= BLK_DIRECT_MAX_ALIGN;
}

int blk_config_check(const Bulkhead__BlkConfig *cfg, unsigned n_fds, const int *fds)
{
    enum fd_type type;

    if (!cfg || n_fds != (cfg->rate_limit_group ? 2 : 1))
        return err_origin(-EPROTO, "configure of a disk with %u descriptors", n_fds);
    type = fd_type(fds[0]);
    if (type != (cfg->block_device ? FD_TYPE_BLOCK : FD_TYPE_REGULAR) && type != FD_TYPE_MEMFD)
        return err_origin(-EBADF, "the disk is neither a file nor a block device");
    if (cfg->size == 0 || cfg->size % BLK_SECTOR_BYTES != 0)
        return err_origin(-EINVAL, "disk of %llu bytes", (unsigned long long)cfg->size);
    if (!is_power_of_two(cfg->block_size) || cfg->block_size < 512 || cfg->block_size > 4096 ||
        cfg->physical_block_exp > 8)
        return err_origin(-EINVAL, "block size %u", cfg->block_size);
    if (!is_block_size(blk_config_direct_align(cfg)) || !is_block_size(blk_config_range_align(cfg)))
        return err_origin(-EINVAL, "alignment %u, %u", blk_config_direct_align(cfg),
                          blk_config_range_align(cfg));
    /* The last block would be written beyond the end. */
    if (cfg->direct && cfg->size % blk_config_direct_align(cfg) != 0)
        return err_origin(-EINVAL, "disk of %llu bytes in blocks of %u",
                          (unsigned long long)cfg->size, blk_config_direct_align(cfg));
    return 0;
}

/* Zeroes can be written to any disk. */
static uint64_t announce_ranges(const Bulkhead__BlkConfig *b, bool discard,
                                struct virtio_blk_config *c)
{
    c->max_write_zeroes_sectors = BLK_MAX_RANGE_SECTORS;
    c->max_write_zeroes_seg = 1;
    c->write_zeroes_may_unmap = discard;
    if (!discard)
        return 1ull << VIRTIO_BLK_F_WRITE_ZEROES;
    c->max_discard_sectors = BLK_MAX_RANGE_SECTORS;
    c->max_discard_seg = 1;
    c->discard_sector_alignment = MAX(b->block_size, blk_config_range_align(b)) / BLK_SECTOR_BYTES;
    return 1ull << VIRTIO_BLK_F_DISCARD | 1ull << VIRTIO_BLK_F_WRITE_ZEROES;
}

uint64_t blk_config_announce(const Bulkhead__Configure *cfg, bool discard,
                             struct virtio_blk_config *ret_config)
{
    const Bulkhead__BlkConfig *b = cfg->blk;
    struct virtio_blk_config *c = ret_config;
    uint64_t features = 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX |
                        1ull << VIRTIO_RING_F_INDIRECT_DESC | 1ull << VIRTIO_BLK_F_SEG_MAX |
                        1ull << VIRTIO_BLK_F_BLK_SIZE | 1ull << VIRTIO_BLK_F_TOPOLOGY |
                        1ull << VIRTIO_BLK_F_FLUSH;

    c->capacity = b->size / BLK_SECTOR_BYTES;
    /* Header and status need a descriptor each. */
    c->seg_max = MIN(cfg->queue_size, (uint32_t)VQ_MAX_SEGMENTS) - 2;
    c->blk_size = b->block_size;
    c->physical_block_exp = (uint8_t)b->physical_block_exp;
    c->min_io_size = 1;
    c->opt_io_size = 0;
    if (b->readonly)
        features |= 1ull << VIRTIO_BLK_F_RO;
    if (cfg->num_queues > 1)
        features |= 1ull << VIRTIO_BLK_F_MQ;
    c->num_queues = (uint16_t)cfg->num_queues;
    return b->readonly ? features : features | announce_ranges(b, discard, c);
}
