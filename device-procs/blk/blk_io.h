/* SPDX-License-Identifier: Apache-2.0 */
/* blk_io.h - carries out orders on one file or block device: by io_uring where the host has it,
 * else by plain system calls; with bounce buffers where O_DIRECT needs alignment that the guest's
 * buffers lack. Nothing is allocated after blk_io_new(). */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>
#include "base/compiler.h"
#include "blk_req.h"
#include "shm/gmem.h"
#include "uring.h"

struct blk_io;
struct blk_bounce;

struct blk_io_config {
    int fd; /* not owned */
    struct gmem *mem;
    bool block_device;
    bool direct;         /* the file is open with O_DIRECT */
    uint32_t block_size; /* alignment that O_DIRECT needs */
    bool use_io_uring;
    bool writes_here; /* not all by the ring: the page cache of a file system of the kernel's own */
    unsigned entries; /* most requests at once */
};

/* One request being carried out; embedded in the caller's own. */
struct blk_io_req {
    struct vq_chain chain;
    struct blk_order order;
    uint64_t done_bytes;
    uint64_t step_bytes;       /* of the operation under way */
    struct blk_bounce *bounce; /* the data goes through this buffer */
    bool needs_bounce;
    uint8_t attempt; /* zeroes: which way is being tried */
    unsigned n_iov;
    struct blk_io_req *next_waiting;
    struct iovec iov[VQ_MAX_SEGMENTS];
};

/* res: 0 or a negative errno. May come from within blk_io_start(). */
typedef void (*blk_io_done_fn)(void *arg, struct blk_io_req *req, int res);

int blk_io_new(struct blk_io **ret_io, const struct blk_io_config *config, blk_io_done_fn on_done,
               void *arg) must_check;
struct uring *blk_io_uring(struct blk_io *io); /* NULL: plain system calls */
/* Without a flush feature each write is on the disk before it is answered. */
void blk_io_set_writethrough(struct blk_io *io, bool writethrough);
/* The one before died, perhaps of a write to the page cache that hung: all of them go to the ring
 * for the first 10 s. */
void blk_io_be_careful(struct blk_io *io);
/* chain and order are filled in; op is not BLK_OP_NONE or BLK_OP_GET_ID. */
void blk_io_start(struct blk_io *io, struct blk_io_req *req);
/* Submits what was started and takes what is complete. 0, or -errno: the host's failure. */
int blk_io_turn(struct blk_io *io);
