/* SPDX-License-Identifier: Apache-2.0 */
/* bus.h - who answers at a port or a guest-physical address.
 *
 * A bus is a short sorted list of ranges, built before the guest runs and never changed after, so
 * that vCPU threads read it without a lock. What no range covers reads as all ones and swallows
 * writes. A device sees accesses of 1, 2, 4 or 8 bytes that lie wholly inside its range, aligned
 * or not; an access of another size, or one that touches two ranges, reaches it byte by byte.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "base/compiler.h"

struct bus_ops {
    /* off: from the start of the range; size: 1, 2, 4 or 8; values are little-endian numbers. */
    uint64_t (*read)(void *dev, uint64_t off, unsigned size);
    void (*write)(void *dev, uint64_t off, unsigned size, uint64_t value);
};

enum { BUS_MAX_RANGES = 16, BUS_MAX_ACCESS = 8 };

struct bus_range {
    uint64_t base, len;
    const struct bus_ops *ops;
    void *dev;
};

struct bus {
    struct bus_range ranges[BUS_MAX_RANGES];
    unsigned n_ranges;
};

/* -EEXIST when the range overlaps another or wraps, -ENOSPC when the table is full. */
int bus_add(struct bus *bus, uint64_t base, uint64_t len, const struct bus_ops *ops,
            void *dev) must_check;
/* size: 1..8 bytes at `data`. */
void bus_read(const struct bus *bus, uint64_t addr, unsigned size, void *data);
void bus_write(const struct bus *bus, uint64_t addr, unsigned size, const void *data);

/* The low `size` bytes set. */
static inline uint64_t bus_ones(unsigned size)
{
    return size >= 8 ? UINT64_MAX : (UINT64_C(1) << (size * 8)) - 1;
}

/* Little-endian number out of, and into, a register image of len bytes; what lies beyond the
 * image reads as zero and is not written. */
uint64_t bus_image_read(const void *image, uint64_t len, uint64_t off, unsigned size);
