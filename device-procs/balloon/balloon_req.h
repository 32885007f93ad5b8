/* SPDX-License-Identifier: Apache-2.0 */
/* balloon_req.h - what a balloon driver names: pages by number (virtio 1.2 section 5.5.6), free
 * ranges (5.5.6.8) and statistics (5.5.6.3). Turns them into few, large, checked pieces of guest
 * RAM. Pure: what is done with a piece is the caller's. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include "base/compiler.h"
#include "shm/gmem.h"

enum { BALLOON_PAGE_BYTES = 4096, BALLOON_STAT_BYTES = 10 };
/* At most so much at once: a piece of any request is a matter of milliseconds. */
enum { BALLOON_PIECE_PFNS = 64, BALLOON_PIECE_BYTES = 16 << 20 };

typedef void (*balloon_range_fn)(void *arg, gpa_t at, uint64_t len_bytes);

/* Adjacent pages, in rising or falling order, gathered into one range of BALLOON_PIECE_BYTES. */
struct balloon_run {
    const struct gmem *mem;
    balloon_range_fn fn;
    void *arg;
    uint64_t start, end; /* guest-physical; equal: empty */
    uint64_t bytes;      /* in all ranges so far */
};

void balloon_run_init(struct balloon_run *run, const struct gmem *mem, balloon_range_fn fn,
                      void *arg);
/* 0, or GMEM_E_RANGE when the guest has no such page. */
int balloon_run_page(struct balloon_run *run, uint32_t pfn) must_check;
/* The whole pages of a checked slice of RAM, from its byte at `at` on: BALLOON_PIECE_BYTES at most.
 * Where to go on: at the slice's end, nothing is left. */
size_t balloon_run_slice(struct balloon_run *run, struct gslice slice, size_t at);
void balloon_run_end(struct balloon_run *run);

/* Statistics: stores the values whose tag is below n; ignores the others and a cut last one. */
void balloon_stats_parse(const uint8_t *data, size_t len, uint64_t *ret_stats, size_t n);
