/* SPDX-License-Identifier: Apache-2.0 */
/* blk_plain.h - a plain loop on the disk's file, without a ring, a guest or a check: what there is
 * to get out of the file at most. With O_DIRECT an io_uring that is kept as full as the guest would
 * keep its queue; from the page cache one read or write after the other. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct blk_plain_work {
    bool write, sequential;
    uint32_t bytes; /* of a request */
    unsigned depth;
    uint64_t ms;
    uint64_t (*random)(void);
};

struct blk_plain;

/* Ends the process when something fails, as the harness does. */
struct blk_plain *blk_plain_new(const char *path, uint64_t file_bytes, bool direct);
void blk_plain_free(struct blk_plain *plain);
/* Requests done; *ret_ns: the time they took, and of that this thread's CPU time. */
uint64_t blk_plain_run(struct blk_plain *plain, const struct blk_plain_work *work, uint64_t *ret_ns,
                       uint64_t *ret_cpu_ns);
