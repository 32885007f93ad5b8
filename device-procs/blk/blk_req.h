/* SPDX-License-Identifier: Apache-2.0 */
/* blk_req.h - one request of a virtio block driver (virtio 1.2, section 5.2.6): what the guest
 * asked for, copied once and checked; and its answer. No I/O here. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "base/compiler.h"
#include "vq.h"

enum { BLK_SECTOR_BYTES = 512, BLK_HEADER_BYTES = 16, BLK_ID_BYTES = 20 };
/* One discard or write-zeroes covers at most this: it bounds how long one operation may take. */
enum { BLK_MAX_RANGE_SECTORS = 131072 };

enum blk_op {
    BLK_OP_NONE, /* answered already: status says how */
    BLK_OP_READ,
    BLK_OP_WRITE,
    BLK_OP_FLUSH,
    BLK_OP_DISCARD,
    BLK_OP_ZEROES,
    BLK_OP_GET_ID,
};

enum { BLK_STATUS_OK = 0, BLK_STATUS_IOERR = 1, BLK_STATUS_UNSUPP = 2 }; /* virtio 1.2, 5.2.6 */

/* What the disk allows. */
struct blk_limits {
    uint64_t sectors;
    bool readonly;
    bool fail_all;              /* the device failed for good */
    bool discard, write_zeroes; /* were negotiated */
};

struct blk_order {
    enum blk_op op;
    uint8_t status;     /* when op is BLK_OP_NONE */
    uint64_t offset;    /* bytes; within the disk together with len */
    uint64_t len_bytes; /* of data, or of the range */
    bool unmap;         /* write zeroes may give the space back */
};

/* 0, or VQ_E_GUEST when there is no header or no status byte, so that no answer is possible. */
int blk_req_parse(const struct vq_chain *chain, const struct blk_limits *limits,
                  struct blk_order *ret_order) must_check;
/* Writes the status byte, the last of the writable part. Returns what to give to vq_push(). */
uint32_t blk_req_finish(const struct vq_chain *chain, const struct blk_order *order,
                        uint8_t status);
/* GET_ID: the serial, padded with zeroes. */
void blk_req_put_id(const struct vq_chain *chain, const char id[BLK_ID_BYTES]);
