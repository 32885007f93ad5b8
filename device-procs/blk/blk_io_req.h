/* SPDX-License-Identifier: Apache-2.0 */
/* blk_io_req.h - a request while it is carried out, which blk_io.c and blk_direct.c share. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>
#include "blk_req.h"

struct blk_bounce;

enum blk_stage {
    BLK_STAGE_NEXT,       /* between two steps */
    BLK_STAGE_READ_FIRST, /* the blocks of which a part is to be written */
    BLK_STAGE_IO,
    BLK_STAGE_SYNC, /* all is done, but may not be on the disk yet */
};

/* One request being carried out; embedded in the caller's own. */
struct blk_io_req {
    struct vq_chain chain;
    struct blk_order order;
    uint64_t done_bytes;
    uint64_t step_bytes;       /* of the order, in the operation under way */
    uint32_t skew_bytes;       /* so far before them the operation begins */
    struct blk_bounce *bounce; /* the data goes through this buffer */
    bool needs_bounce;
    bool entered;  /* among the writers of blk_direct.h */
    uint8_t stage; /* enum blk_stage */
    uint8_t way;   /* zeroes: which is being tried */
    unsigned n_iov;
    struct blk_io_req *next_waiting, *next_writer;
    struct iovec iov[VQ_MAX_SEGMENTS];
};
