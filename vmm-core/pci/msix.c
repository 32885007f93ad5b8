/* SPDX-License-Identifier: Apache-2.0 */
/* msix.c - see msix.h. */
#include "pci/msix.h"

#include <string.h>
#include "bus/bus.h"

enum { CONTROL_MASKED = 1 };

void msix_init(struct msix *msix, unsigned n_vectors)
{
    *msix = (struct msix){ .n_vectors = n_vectors };
    for (unsigned i = 0; i < n_vectors; i++)
        msix->table[i].control = CONTROL_MASKED;
}

bool msix_can_fire(const struct msix *msix, unsigned vector)
{
    return vector < msix->n_vectors && msix->enabled && !msix->mask_all &&
           !(msix->table[vector].control & CONTROL_MASKED);
}

uint64_t msix_table_read(const struct msix *msix, uint64_t off, unsigned size)
{
    return bus_image_read(msix->table, (uint64_t)msix->n_vectors * MSIX_ENTRY_BYTES, off, size);
}

static bool write_dword(struct msix *msix, uint64_t off, uint32_t value)
{
    struct msix_entry *entry;
    uint32_t *cell;

    if (off / MSIX_ENTRY_BYTES >= msix->n_vectors)
        return false;
    entry = &msix->table[off / MSIX_ENTRY_BYTES];
    switch (off % MSIX_ENTRY_BYTES) {
    case 0:
        cell = &entry->addr_lo;
        value &= ~UINT32_C(3);
        break;
    case 4:
        cell = &entry->addr_hi;
        break;
    case 8:
        cell = &entry->data;
        break;
    default:
        cell = &entry->control;
        value &= CONTROL_MASKED;
        break;
    }
    if (*cell == value)
        return false;
    *cell = value;
    return true;
}

bool msix_table_write(struct msix *msix, uint64_t off, unsigned size, uint64_t value)
{
    bool changed;

    if ((size != 4 && size != 8) || off % size != 0)
        return false;
    changed = write_dword(msix, off, (uint32_t)value);
    if (size == 8 && write_dword(msix, off + 4, (uint32_t)(value >> 32)))
        changed = true;
    return changed;
}

uint64_t msix_pba_read(const struct msix *msix, uint64_t off, unsigned size)
{
    return bus_image_read(msix->pending, sizeof msix->pending, off, size);
}

void msix_set_pending(struct msix *msix, unsigned vector, bool pending)
{
    uint64_t bit = UINT64_C(1) << (vector % 64);

    if (vector >= msix->n_vectors)
        return;
    if (pending)
        msix->pending[vector / 64] |= bit;
    else
        msix->pending[vector / 64] &= ~bit;
}

bool msix_is_pending(const struct msix *msix, unsigned vector)
{
    return vector < msix->n_vectors && (msix->pending[vector / 64] >> (vector % 64) & 1);
}
