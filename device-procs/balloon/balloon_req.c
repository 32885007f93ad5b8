/* SPDX-License-Identifier: Apache-2.0 */
/* balloon_req.c - what a balloon driver names. */
#include "balloon_req.h"

#include <string.h>

void balloon_run_init(struct balloon_run *run, const struct gmem *mem, balloon_range_fn fn,
                      void *arg)
{
    *run = (struct balloon_run){ .mem = mem, .fn = fn, .arg = arg };
}

void balloon_run_end(struct balloon_run *run)
{
    if (run->start != run->end)
        run->fn(run->arg, GPA(run->start), run->end - run->start);
    run->start = run->end = 0;
}

static void add(struct balloon_run *run, uint64_t start, uint64_t end)
{
    if (start >= end)
        return;
    run->bytes += end - start;
    if (run->end - run->start + (end - start) > BALLOON_PIECE_BYTES)
        balloon_run_end(run);
    if (run->start != run->end && start == run->end) {
        run->end = end;
    } else if (run->start != run->end && end == run->start) {
        run->start = start; /* Linux's page lists often run downwards */
    } else {
        balloon_run_end(run);
        run->start = start;
        run->end = end;
    }
}

int balloon_run_page(struct balloon_run *run, uint32_t pfn)
{
    uint64_t start = (uint64_t)pfn * BALLOON_PAGE_BYTES;
    struct gslice slice;
    int r = gmem_slice(run->mem, GPA(start), BALLOON_PAGE_BYTES, &slice);

    if (r != 0)
        return r;
    add(run, start, start + BALLOON_PAGE_BYTES);
    return 0;
}

size_t balloon_run_slice(struct balloon_run *run, struct gslice slice, size_t at)
{
    const uint64_t page = BALLOON_PAGE_BYTES, piece = BALLOON_PIECE_BYTES;
    uint64_t base = gslice_address(slice);
    uint64_t start = align_up(base + at, page);
    uint64_t end = (base + slice.len_) & ~(page - 1);
    uint64_t cut = (start + piece) & ~(piece - 1); /* never within a huge page */

    add(run, start, MIN(end, cut));
    return cut < end ? (size_t)(cut - base) : slice.len_;
}

void balloon_stats_parse(const uint8_t *data, size_t len, uint64_t *ret_stats, size_t n)
{
    for (size_t at = 0; len - at >= BALLOON_STAT_BYTES; at += BALLOON_STAT_BYTES) {
        uint16_t tag;
        uint64_t value;

        memcpy(&tag, data + at, sizeof(tag));
        memcpy(&value, data + at + sizeof(tag), sizeof(value));
        if (tag < n)
            ret_stats[tag] = value;
    }
}
