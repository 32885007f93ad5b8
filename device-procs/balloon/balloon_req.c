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
        run->fn(run->arg, run->start, run->end - run->start);
    run->start = run->end = 0;
}

static void add(struct balloon_run *run, uint64_t start, uint64_t end)
{
    if (start >= end)
        return;
    run->bytes += end - start;
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
    struct gslice slice;
    uint64_t start;
    int r =
        gmem_slice(run->mem, GPA((uint64_t)pfn * BALLOON_PAGE_BYTES), BALLOON_PAGE_BYTES, &slice);

    if (r != 0)
        return r;
    start = gslice_file_offset(run->mem, slice);
    add(run, start, start + BALLOON_PAGE_BYTES);
    return 0;
}

void balloon_run_slice(struct balloon_run *run, struct gslice slice)
{
    uint64_t start = gslice_file_offset(run->mem, slice);
    uint64_t end = start + slice.len_;

    add(run, align_up(start, BALLOON_PAGE_BYTES), end & ~(uint64_t)(BALLOON_PAGE_BYTES - 1));
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
