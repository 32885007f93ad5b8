/* SPDX-License-Identifier: Apache-2.0 */
/* pci.c - finds the virtio functions by ports 0xcf8 and 0xcfc. */
#include "guest.h"

struct device devices[MAX_DEVICES];
unsigned n_devices;

enum {
    ADDRESS = 0xcf8,
    CONFIG_DATA = 0xcfc,
    BAR0 = 0x10,
    COMMAND = 4,
    COMMON_NUM_QUEUES = 0x12,
    NO_QUEUES = 0xffff /* the device has gone meanwhile */
};
/* Where a slot's BAR is at boot. */
#define BAR_OF(slot) (0xc0000000u + (slot)*0x10000u)

uint32_t pci_read32(unsigned slot, unsigned off)
{
    out32(ADDRESS, 0x80000000u | slot << 11 | (off & 0xfc));
    return in32(CONFIG_DATA);
}

void pci_write32(unsigned slot, unsigned off, uint32_t v)
{
    out32(ADDRESS, 0x80000000u | slot << 11 | (off & 0xfc));
    out32(CONFIG_DATA, v);
}

void pci_restore(const struct device *d)
{
    pci_write32(d->slot, BAR0, d->bar);
    pci_write32(d->slot, COMMAND, 6); /* memory, bus master */
}

void pci_scan(void)
{
    n_devices = 0;
    for (unsigned slot = 1; slot < 32 && n_devices < MAX_DEVICES; slot++) {
        uint32_t id = pci_read32(slot, 0);
        struct device *d = &devices[n_devices];

        if ((id & 0xffff) != 0x1af4)
            continue;
        *d = (struct device){ .slot = slot,
                              .id = (uint16_t)((id >> 16) - 0x1040),
                              .bar = BAR_OF(slot) };
        pci_restore(d);
        d->n_queues = mem_read16(d->bar + COMMON_NUM_QUEUES);
        n_devices += d->n_queues != NO_QUEUES;
    }
}
