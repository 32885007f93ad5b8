/* SPDX-License-Identifier: Apache-2.0 */
/* memmap.h - the memory map that a kernel is given. The windows for BARs are in no entry: where one is
 * reserved Linux takes it out of what the DSDT says that the PCI root has. */
#pragma once

#include <stdint.h>
#include "loader.h"

struct memmap_entry {
    uint64_t addr, size; /* bytes */
    uint32_t type;       /* 1 RAM, 2 reserved: the same in E820 (ACPI 6.4, 15.1) and PVH */
};
enum { MEMMAP_MAX = 8 };

/* Ascending, without overlap; returns how many entries there are. */
unsigned memmap_build(const struct loader *l, struct memmap_entry entries[MEMMAP_MAX]);
