/* SPDX-License-Identifier: Apache-2.0 */
/* msix.h - an MSI-X table as registers (PCI Local Bus 3.0 section 6.8.2). Holds no lock and sends
 * nothing: the function above asks which vectors may fire and keeps the pending bits right. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "base/compiler.h"
#include "shm/layout.h"

enum {
    MSIX_ENTRY_BYTES = 16,
    MSIX_MAX_VECTORS = LAYOUT_MAX_QUEUES + 1,
    MSIX_PBA_BYTES = (MSIX_MAX_VECTORS + 63) / 64 * 8,
    MSIX_CONTROL_ENABLE = 1 << 15,
    MSIX_CONTROL_MASK_ALL = 1 << 14,
    MSIX_NO_VECTOR = 0xffff,
};

struct msix_entry {
    uint32_t addr_lo, addr_hi, data, control; /* control bit 0: masked */
};

struct msix {
    unsigned n_vectors;
    bool enabled, mask_all; /* message control */
    struct msix_entry table[MSIX_MAX_VECTORS];
    uint64_t pending[MSIX_PBA_BYTES / 8];
};

/* All entries masked, as after power-on. */
void msix_init(struct msix *msix, unsigned n_vectors);
/* May this vector fire now? False for a vector that isn't there. */
bool msix_can_fire(const struct msix *msix, unsigned vector);
static inline uint64_t msix_address(const struct msix *msix, unsigned vector)
{
    return (uint64_t)msix->table[vector].addr_hi << 32 | msix->table[vector].addr_lo;
}

/* off: from the start of table or PBA; any offset, size 1, 2, 4 or 8. */
uint64_t msix_table_read(const struct msix *msix, uint64_t off, unsigned size);
/* Only aligned accesses of 4 and 8 bytes have an effect; true if something changed. */
bool msix_table_write(struct msix *msix, uint64_t off, unsigned size, uint64_t value);
uint64_t msix_pba_read(const struct msix *msix, uint64_t off, unsigned size);
void msix_set_pending(struct msix *msix, unsigned vector, bool pending);
bool msix_is_pending(const struct msix *msix, unsigned vector);
