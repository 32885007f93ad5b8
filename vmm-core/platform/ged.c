/* SPDX-License-Identifier: Apache-2.0 */
/* ged.c - see ged.h. */
#include "platform/ged.h"

#include "base/err.h"
#include "shm/layout.h"

enum { GED_BYTES = 4 };

static uint64_t ged_read(void *dev, uint64_t off, unsigned size)
{
    struct ged *ged = dev;
    uint64_t value;

    pthread_mutex_lock(&ged->lock);
    value = bus_image_read(&ged->status, sizeof ged->status, off, size);
    if (off == 0 && ged->status != 0) {
        ged->status = 0;
        hv_irq_line(ged->hv, LAYOUT_GSI_GED, false);
    }
    pthread_mutex_unlock(&ged->lock);
    return value;
}

static void ged_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
    (void)dev, (void)off, (void)size, (void)value; /* read clears */
}

static const struct bus_ops ged_ops = { .read = ged_read, .write = ged_write };

void ged_init(struct ged *ged, struct hv *hv)
{
    *ged = (struct ged){ .hv = hv };
    pthread_mutex_init(&ged->lock, NULL);
}

int ged_add_to(struct ged *ged, struct bus *pio)
{
    int r = bus_add(pio, LAYOUT_PIO_GED, GED_BYTES, &ged_ops, ged);

    return r < 0 ? err_trace(r) : 0;
}

void ged_raise(struct ged *ged, uint32_t events)
{
    pthread_mutex_lock(&ged->lock);
    if (ged->status == 0)
        hv_irq_line(ged->hv, LAYOUT_GSI_GED, true);
    ged->status |= events;
    pthread_mutex_unlock(&ged->lock);
}
