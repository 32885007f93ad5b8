/* SPDX-License-Identifier: Apache-2.0 */
/* hotplug.c - see hotplug.h. */
#include "platform/hotplug.h"

#include "base/err.h"
#include "shm/layout.h"

enum { REG_UP = 0, REG_DOWN = 4, REG_EJECT = 8, REG_BYTES = 4, HOTPLUG_BYTES = 12 };

_Static_assert(LAYOUT_PCI_SLOTS == 32, "a bit for each slot");

static uint64_t hotplug_read(void *dev, uint64_t off, unsigned size)
{
    struct hotplug *h = dev;
    uint32_t image[HOTPLUG_BYTES / REG_BYTES];
    uint64_t value;

    pthread_mutex_lock(&h->lock);
    image[0] = h->up;
    image[1] = h->down;
    image[2] = 0;
    value = bus_image_read(image, sizeof image, off, size);
    if (size == REG_BYTES && off == REG_UP)
        h->up = 0;
    if (size == REG_BYTES && off == REG_DOWN)
        h->down = 0;
    pthread_mutex_unlock(&h->lock);
    return value;
}

static void hotplug_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
    struct hotplug *h = dev;
    uint32_t ejected;

    if (size != REG_BYTES || off != REG_EJECT)
        return;
    pthread_mutex_lock(&h->lock);
    ejected = (uint32_t)value & h->ejectable;
    h->ejectable &= ~ejected;
    pthread_mutex_unlock(&h->lock);
    for (unsigned slot = 1; slot < LAYOUT_PCI_SLOTS; slot++)
        if (ejected >> slot & 1)
            h->on_eject(h->arg, slot);
}

static const struct bus_ops hotplug_ops = { .read = hotplug_read, .write = hotplug_write };

void hotplug_init(struct hotplug *hotplug, struct ged *ged,
                  void (*on_eject)(void *arg, unsigned slot), void *arg)
{
    *hotplug = (struct hotplug){ .ged = ged, .on_eject = on_eject, .arg = arg };
    pthread_mutex_init(&hotplug->lock, NULL);
}

int hotplug_add_to(struct hotplug *hotplug, struct bus *pio)
{
    int r = bus_add(pio, LAYOUT_PIO_HOTPLUG, HOTPLUG_BYTES, &hotplug_ops, hotplug);

    return r < 0 ? err_trace(r) : 0;
}

void hotplug_came(struct hotplug *hotplug, unsigned slot)
{
    uint32_t bit = UINT32_C(1) << slot;

    pthread_mutex_lock(&hotplug->lock);
    hotplug->up |= bit;
    hotplug->down &= ~bit;
    hotplug->ejectable &= ~bit;
    pthread_mutex_unlock(&hotplug->lock);
    ged_raise(hotplug->ged, LAYOUT_GED_PCI);
}

void hotplug_goes(struct hotplug *hotplug, unsigned slot)
{
    uint32_t bit = UINT32_C(1) << slot;

    pthread_mutex_lock(&hotplug->lock);
    hotplug->down |= bit;
    hotplug->ejectable |= bit;
    pthread_mutex_unlock(&hotplug->lock);
    ged_raise(hotplug->ged, LAYOUT_GED_PCI);
}
