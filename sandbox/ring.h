/* SPDX-License-Identifier: Apache-2.0 */
/* ring.h - the io_uring that a worker is born with.
 *
 * The spawner makes it, disabled, before it clones the worker, restricts it to the operations of its
 * purpose, and keeps a duplicate of a disk's. So the duplicate outlives the worker without
 * anybody's right to ptrace, and a worker can't have a ring without that fence: it may only register
 * its files and enable it. (Linux refuses to send an io_uring through a socket: EINVAL.)
 */
#pragma once

#include <linux/io_uring.h>
#include <stdbool.h>
#include "base/compiler.h"

enum ring_purpose {
    RING_NONE,
    /* On registered files: READV, WRITEV and FSYNC. No FALLOCATE: some of its modes give a file blocks
     * behind its end, past every limit, and the ring can't tell the modes apart. */
    RING_DISK,
    RING_BLOCK_DEVICE, /* FALLOCATE as well: a device has an end */
    RING_FRAMES,       /* WRITEV */
};

enum {
    RING_DISK_ENTRIES = 256,
    RING_FRAMES_ENTRIES = 64,
    RING_TEXT_BYTES = 320, /* what ring_print() needs at most */
};

static inline bool ring_is_disks(enum ring_purpose purpose)
{
    return purpose == RING_DISK || purpose == RING_BLOCK_DEVICE;
}

/* entries: a power of two. 0 with *ret_fd (owned by the caller, close-on-exec) and what the kernel
 * said of the layout; or a negative errno with an origin: the host has no io_uring for the caller. */
int ring_make(enum ring_purpose purpose, unsigned entries, struct io_uring_params *ret_params,
              int *ret_fd) must_check;

/* The layout as one word of text, for the worker's arguments, and back (-EINVAL: not such a word). */
void ring_print(const struct io_uring_params *params, char ret_text[RING_TEXT_BYTES]);
int ring_parse(const char *text, struct io_uring_params *ret_params) must_check;
