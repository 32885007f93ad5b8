/* SPDX-License-Identifier: Apache-2.0 */
/* bus.c - see bus.h. */
#include "bus/bus.h"

#include <errno.h>
#include <string.h>
#include "base/err.h"

int bus_add(struct bus *bus, uint64_t base, uint64_t len, const struct bus_ops *ops, void *dev)
{
    unsigned at = 0;

    if (bus->n_ranges == BUS_MAX_RANGES)
        return err_origin(-ENOSPC, "bus is full");
    if (len == 0 || len - 1 > UINT64_MAX - base)
        return err_origin(-EEXIST, "bus range wraps");
    while (at < bus->n_ranges && bus->ranges[at].base < base)
        at++;
    if ((at > 0 && base - bus->ranges[at - 1].base < bus->ranges[at - 1].len) ||
        (at < bus->n_ranges && bus->ranges[at].base - base < len))
        return err_origin(-EEXIST, "bus ranges overlap");
    memmove(&bus->ranges[at + 1], &bus->ranges[at], (bus->n_ranges - at) * sizeof bus->ranges[0]);
    bus->ranges[at] = (struct bus_range){ .base = base, .len = len, .ops = ops, .dev = dev };
    bus->n_ranges++;
    return 0;
}

static const struct bus_range *find(const struct bus *bus, uint64_t addr)
{
    for (unsigned i = 0; i < bus->n_ranges; i++) {
        const struct bus_range *range = &bus->ranges[i];

        if (addr >= range->base && addr - range->base < range->len)
            return range;
    }
    return NULL;
}

/* The range that takes the whole access in one piece, or NULL. */
static const struct bus_range *find_whole(const struct bus *bus, uint64_t addr, unsigned size)
{
    const struct bus_range *range = find(bus, addr);

    if (!range || !is_power_of_two(size) || size > range->len - (addr - range->base))
        return NULL;
    return range;
}

static uint8_t read_byte(const struct bus *bus, uint64_t addr)
{
    const struct bus_range *range = find(bus, addr);

    return range ? (uint8_t)range->ops->read(range->dev, addr - range->base, 1) : 0xff;
}

static void write_byte(const struct bus *bus, uint64_t addr, uint8_t value)
{
    const struct bus_range *range = find(bus, addr);

    if (range)
        range->ops->write(range->dev, addr - range->base, 1, value);
}

void bus_read(const struct bus *bus, uint64_t addr, unsigned size, void *data)
{
    const struct bus_range *range = find_whole(bus, addr, size);
    uint8_t *bytes = data;

    if (range) {
        uint64_t value = range->ops->read(range->dev, addr - range->base, size);

        memcpy(data, &value, size); /* x86 guests on x86 hosts: both little-endian */
        return;
    }
    for (unsigned i = 0; i < size; i++)
        bytes[i] = read_byte(bus, addr + i);
}

void bus_write(const struct bus *bus, uint64_t addr, unsigned size, const void *data)
{
    const struct bus_range *range = find_whole(bus, addr, size);
    const uint8_t *bytes = data;

    if (range) {
        uint64_t value = 0;

        memcpy(&value, data, size);
        range->ops->write(range->dev, addr - range->base, size, value);
        return;
    }
    for (unsigned i = 0; i < size; i++)
        write_byte(bus, addr + i, bytes[i]);
}

uint64_t bus_image_read(const void *image, uint64_t len, uint64_t off, unsigned size)
{
    uint64_t value = 0;

    if (off < len)
        memcpy(&value, (const uint8_t *)image + off, MIN((uint64_t)size, len - off));
    return value;
}
