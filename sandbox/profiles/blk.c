/* SPDX-License-Identifier: Apache-2.0 */
/* blk.c - the disk. */
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <sys/uio.h>
#include "common.h"
#include "profile.h"

#ifndef IORING_ENTER_REGISTERED_RING
#define IORING_ENTER_REGISTERED_RING (1u << 4)
#endif

static const struct profile_rule rules[] = {
    ALLOW(io_uring_enter,
          "submit and reap; the ring itself only takes reads, writes and flushes of "
          "the disk, of a block device also fallocate (IORING_REGISTER_RESTRICTIONS)",
          ARG_ONLY(3, IORING_ENTER_GETEVENTS | IORING_ENTER_SQ_WAKEUP | IORING_ENTER_EXT_ARG |
                          IORING_ENTER_REGISTERED_RING)),
    ALLOW(preadv2, "reads, where the host forbids io_uring", ARG_ONLY(5, 0)),
    ALLOW(pwritev2, "writes to the page cache; all, where the host forbids io_uring",
          ARG_ONLY(5, RWF_DSYNC)),
    ALLOW(fdatasync, "flush, where the host forbids io_uring"),
    ALLOW(fallocate, "discard: punch a hole, size kept",
          ARG_IS(1, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)),
    ALLOW(
        fallocate,
        "write zeroes: zero a range. Without KEEP_SIZE, which would let it take blocks behind the "
        "end of the file; without it RLIMIT_FSIZE stops that, as it stops a write",
        ARG_IS(1, FALLOC_FL_ZERO_RANGE)),
    ALLOW(ioctl, "discard on a block device", ARG_IS(1, BLKDISCARD)),
};
static PROFILE_SET(set, rules);

const struct profile profile_blk = {
    .id = SANDBOX_BLK,
    .name = "blk",
    .max_syscalls = 22,
    .sets = { &profile_base, &profile_loop, &profile_control, &profile_ram, &set, &profile_extra },
};
