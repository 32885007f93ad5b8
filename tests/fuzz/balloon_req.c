/* SPDX-License-Identifier: Apache-2.0 */
/* balloon_req.c - any page numbers and any statistics: every hole lies in guest RAM. */
#include "balloon/balloon_req.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { LOW_PAGES = 64, NEXT_PAGES = 16, FAR_PAGES = 16, HIGH_PAGES = 32 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Four regions: two that follow each other, one behind a gap, one far above. */
static uint8_t ram[(LOW_PAGES + NEXT_PAGES + FAR_PAGES + HIGH_PAGES) * BALLOON_PAGE_BYTES]
    __attribute__((aligned(4096)));
static struct gmem mem;

static void on_hole(void *arg, gpa_t at, uint64_t len)
{
    struct gslice slice;

    (void)arg;
    if (len == 0 || len > BALLOON_PIECE_BYTES || at.v % BALLOON_PAGE_BYTES ||
        len % BALLOON_PAGE_BYTES || gmem_slice(&mem, at, len, &slice) != 0)
        abort();
}

static void add(uint64_t base, uint64_t at_page, uint64_t pages)
{
    if (gmem_add_for_test(&mem, base, ram + at_page * BALLOON_PAGE_BYTES,
                          pages * BALLOON_PAGE_BYTES) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct balloon_run run;
    uint64_t stats[16];

    gmem_init_for_test(&mem, 0, ram, LOW_PAGES * BALLOON_PAGE_BYTES);
    add((uint64_t)LOW_PAGES * BALLOON_PAGE_BYTES, LOW_PAGES, NEXT_PAGES);
    add(0x200000, LOW_PAGES + NEXT_PAGES, FAR_PAGES);
    add(0x100000000ull, LOW_PAGES + NEXT_PAGES + FAR_PAGES, HIGH_PAGES);
    balloon_run_init(&run, &mem, on_hole, NULL);
    for (size_t at = 0; size - at >= 4; at += 4) {
        uint32_t pfn;

        memcpy(&pfn, data + at, sizeof(pfn));
        (void)!balloon_run_page(&run, pfn);
    }
    for (size_t at = 0; size - at >= 8; at += 8) {
        struct gslice slice;
        uint32_t gpa, len;

        memcpy(&gpa, data + at, sizeof(gpa));
        memcpy(&len, data + at + 4, sizeof(len));
        if (gmem_slice(&mem, GPA(gpa), len, &slice) == 0)
            for (size_t from = 0; from < slice.len_;) {
                size_t next = balloon_run_slice(&run, slice, from);

                if (next <= from || next > slice.len_)
                    abort();
                from = next;
            }
    }
    balloon_run_end(&run);
    balloon_stats_parse(data, size, stats, ARRAY_SIZE(stats));
    return 0;
}
