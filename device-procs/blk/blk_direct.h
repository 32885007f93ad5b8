/* SPDX-License-Identifier: Apache-2.0 */
/* blk_direct.h - what O_DIRECT asks for and the guest need not keep to: memory, offsets and lengths
 * in whole blocks of the host's. Data goes through a bounce buffer; a write of a part of a block
 * reads the block first and writes it back whole. No I/O here. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "base/compiler.h"
#include "blk_io_req.h"

enum { BLK_DIRECT_BUFFERS = 4, BLK_DIRECT_BYTES = 128 * 1024 };
enum { BLK_DIRECT_MAX_ALIGN = 64 * 1024 };

struct blk_bounce {
    uint8_t *bytes; /* BLK_DIRECT_BYTES, page aligned */
    struct blk_bounce *next_free;
};

struct blk_direct {
    uint32_t align; /* a power of two, BLK_DIRECT_MAX_ALIGN at most */
    struct blk_bounce buffers[BLK_DIRECT_BUFFERS];
    struct blk_bounce *free_buffers;
    struct blk_io_req *writers; /* those that change the disk now, by next_writer */
};

int blk_direct_init(struct blk_direct *d, uint32_t align) must_check;
/* Whether the kernel takes the step as it is aimed at the guest's memory. */
bool blk_direct_takes(const struct blk_direct *d, const struct blk_io_req *req);
/* Whether the order begins or ends within a block. */
bool blk_direct_splits(const struct blk_direct *d, const struct blk_order *order);

/* A buffer for req, until blk_direct_give(). False: none is free. */
bool blk_direct_take(struct blk_direct *d, struct blk_io_req *req);
void blk_direct_give(struct blk_direct *d, struct blk_io_req *req);
/* The next step of req, through its buffer: sets stage, iov, step_bytes and skew. */
void blk_direct_aim(const struct blk_direct *d, struct blk_io_req *req);
/* The blocks of BLK_STAGE_READ_FIRST are there, res bytes: puts the data in. False: too few. */
bool blk_direct_merge(const struct blk_direct *d, struct blk_io_req *req, int64_t res);
/* How many bytes of the request res bytes of I/O are; those of a read are copied to the guest. */
int64_t blk_direct_done(struct blk_io_req *req, int64_t res);

/* Between reading a block and writing it back nobody else may write to it: what he wrote would be
 * lost. False: somebody who is at it has a block in common with req; ask again when one is done. */
bool blk_direct_enter(struct blk_direct *d, struct blk_io_req *req);
void blk_direct_leave(struct blk_direct *d, struct blk_io_req *req); /* if it entered */
