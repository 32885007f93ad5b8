/* SPDX-License-Identifier: Apache-2.0 */
/* memmap.c - see memmap.h. */
#include "memmap.h"

#include "shm/layout.h"

enum { TYPE_RAM = 1, TYPE_RESERVED = 2 };

unsigned memmap_build(const struct loader *l, struct memmap_entry entries[MEMMAP_MAX])
{
    unsigned n = 0;

    entries[n++] = (struct memmap_entry){ 0, LAYOUT_EBDA, TYPE_RAM };
    entries[n++] =
        (struct memmap_entry){ LAYOUT_EBDA, LAYOUT_KERNEL_MIN - LAYOUT_EBDA, TYPE_RESERVED };
    entries[n++] =
        (struct memmap_entry){ LAYOUT_KERNEL_MIN, l->low_ram_end - LAYOUT_KERNEL_MIN, TYPE_RAM };
    entries[n++] = (struct memmap_entry){ LAYOUT_ECAM_BASE, LAYOUT_ECAM_BYTES, TYPE_RESERVED };
    if (l->high_ram_bytes > 0)
        entries[n++] = (struct memmap_entry){ LAYOUT_HIGH_RAM_BASE, l->high_ram_bytes, TYPE_RAM };
    return n;
}
