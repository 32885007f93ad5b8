/* SPDX-License-Identifier: Apache-2.0 */
/* blk_io.h - carries out orders on one file or block device: by io_uring where the host has it,
 * else by plain system calls; in bounded steps, within the turns of the worker's loop; in whole
 * blocks where O_DIRECT needs them (blk_direct.h). Nothing is allocated after blk_io_new(). */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "base/compiler.h"
#include "blk_io_req.h"
#include "shm/gmem.h"
#include "turn.h"
#include "uring.h"

struct blk_io;

struct blk_io_config {
    int fd; /* not owned */
    struct gmem *mem;
    struct turn *turn; /* the loop's, not owned */
    bool block_device;
    bool direct;          /* the file is open with O_DIRECT */
    uint32_t align;       /* of memory, offset and length that O_DIRECT needs: a power of two */
    uint32_t range_align; /* of what a block device can discard and zero: a power of two */
    struct uring *uring;  /* taken over; NULL: plain system calls */
    bool writes_here; /* not all by the ring: the page cache of a file system of the kernel's own */
    /* A file system in user space, which may keep who calls it for as long as it likes. */
    bool user_space_fs;
};

/* res: 0 or a negative errno. May come from within blk_io_start(). */
typedef void (*blk_io_done_fn)(void *arg, struct blk_io_req *req, int res);

int blk_io_new(struct blk_io **ret_io, const struct blk_io_config *config, blk_io_done_fn on_done,
               void *arg) must_check;
struct uring *blk_io_uring(struct blk_io *io); /* NULL: plain system calls */
/* Without a flush feature whatever changes the disk is on it before it is answered. */
void blk_io_set_writethrough(struct blk_io *io, bool writethrough);
/* The one before died, perhaps of a write to the page cache that hung: all of them go to the ring
 * for the first 10 s. */
void blk_io_be_careful(struct blk_io *io);
/* chain and order are filled in; op is not BLK_OP_NONE or BLK_OP_GET_ID. */
void blk_io_start(struct blk_io *io, struct blk_io_req *req);
/* Submits what was started and takes what is complete, until the turn is over. 0, BLK_IO_MORE (again
 * in the next turn, nothing else will ask for it), or -errno: the host's failure. */
enum { BLK_IO_MORE = 1 };
int blk_io_turn(struct blk_io *io);
