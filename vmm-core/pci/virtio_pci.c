/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_pci.c - see virtio_pci.h: locks, the vCPU threads' entry points, and the control thread's side. */
#include "pci/virtio_pci.h"

#include <string.h>
#include "base/log.h"
#include "bus/bus.h"
#include "pci/virtio_bar.h"
#include "pci/virtio_caps.h"
#include "pci/virtio_common.h"
#include "pci/virtio_irq.h"
#include "pci/virtio_plug.h"

static struct virtio_pci *from_function(struct pci_function *fn)
{
    return (struct virtio_pci *)((char *)fn - offsetof(struct virtio_pci, fn));
}

/* ---- the function's entry points, on vCPU threads ---- */

static uint64_t on_config_read(struct pci_function *fn, unsigned off, unsigned size)
{
    struct virtio_pci *dev = from_function(fn);
    uint64_t value;

    pthread_mutex_lock(&dev->lock);
    value = dev->presence == VIRTIO_PRESENT ? virtio_caps_read(dev, off, size) : bus_ones(size);
    pthread_mutex_unlock(&dev->lock);
    return value;
}

static void on_config_write(struct pci_function *fn, unsigned off, unsigned size, uint64_t value)
{
    struct virtio_pci *dev = from_function(fn);

    pthread_mutex_lock(&dev->lock);
    if (dev->presence == VIRTIO_PRESENT)
        virtio_caps_write(dev, off, size, value);
    pthread_mutex_unlock(&dev->lock);
}

static uint64_t on_bar_read(struct pci_function *fn, unsigned bar, uint64_t off, unsigned size)
{
    struct virtio_pci *dev = from_function(fn);
    uint64_t value;

    (void)bar; /* 0, the only one */
    pthread_mutex_lock(&dev->lock);
    value = dev->presence == VIRTIO_PRESENT ? virtio_bar_read(dev, off, size)
                                            : virtio_plug_absent_read(dev, off, size);
    pthread_mutex_unlock(&dev->lock);
    return value;
}

static void on_bar_write(struct pci_function *fn, unsigned bar, uint64_t off, unsigned size,
                         uint64_t value)
{
    struct virtio_pci *dev = from_function(fn);

    (void)bar;
    pthread_mutex_lock(&dev->lock);
    if (dev->presence == VIRTIO_PRESENT)
        virtio_bar_write(dev, off, size, value);
    pthread_mutex_unlock(&dev->lock);
}

static const struct pci_function_ops function_ops = {
    .config_read = on_config_read,
    .config_write = on_config_write,
    .bar_read = on_bar_read,
    .bar_write = on_bar_write,
};

void virtio_pci_init(struct virtio_pci *dev, struct hv *hv, unsigned slot, int wake_fd)
{
    pthread_mutex_init(&dev->lock, NULL);
    dev->hv = hv;
    dev->wake_fd = wake_fd;
    dev->slot = slot;
    dev->fn.ops = &function_ops;
}

/* ---- the control thread's side ---- */

/* Frozen from DRIVER_OK until the reset is over. */
static void describe_driver(const struct virtio_pci *dev, struct virtio_due_item *item)
{
    item->what = VIRTIO_DUE_ACTIVATE;
    item->features = dev->accepted;
    item->n_queues = 0;
    for (unsigned q = 0; q < dev->n_queues; q++) {
        const struct virtio_queue *queue = &dev->queues[q];

        if (!queue->enabled)
            continue;
        item->queues[item->n_queues].index = q;
        item->queues[item->n_queues].size = queue->size;
        item->queues[item->n_queues].desc = queue->desc;
        item->queues[item->n_queues].avail = queue->avail;
        item->queues[item->n_queues].used = queue->used;
        item->n_queues++;
    }
}

/* The first run of bytes the driver wrote. */
static bool take_config(struct virtio_pci *dev, struct virtio_due_item *item)
{
    unsigned off = 0;

    while (off < dev->config_len && !(dev->config_dirty[off / 64] >> (off % 64) & 1))
        off++;
    if (off >= dev->config_len)
        return false;
    item->what = VIRTIO_DUE_CONFIG;
    item->config_off = off;
    item->config_len = 0;
    while (off < dev->config_len && item->config_len < sizeof item->config &&
           (dev->config_dirty[off / 64] >> (off % 64) & 1)) {
        dev->config_dirty[off / 64] &= ~(UINT64_C(1) << (off % 64));
        item->config[item->config_len++] = dev->config[off++];
    }
    return true;
}

bool virtio_pci_take(struct virtio_pci *dev, struct virtio_due_item *ret_item)
{
    bool any = true;

    pthread_mutex_lock(&dev->lock);
    if (dev->presence == VIRTIO_LEAVING && dev->backend == VIRTIO_IDLE) {
        virtio_plug_release(dev);
        ret_item->what = VIRTIO_DUE_GONE;
    } else if (dev->backend == VIRTIO_ACTIVATE_DUE) {
        dev->backend = VIRTIO_ACTIVE;
        describe_driver(dev, ret_item);
    } else if (!take_config(dev, ret_item)) {
        /* Only now, as the driver did it: what it wrote would outlive the reset. */
        any = dev->backend == VIRTIO_RESET_DUE;
        if (any) {
            dev->backend = VIRTIO_RESETTING;
            memset(dev->config_written, 0, sizeof dev->config_written);
            ret_item->what = VIRTIO_DUE_RESET;
        }
    }
    pthread_mutex_unlock(&dev->lock);
    return any;
}

void virtio_pci_snapshot(struct virtio_pci *dev, struct virtio_snapshot *ret_snapshot)
{
    pthread_mutex_lock(&dev->lock);
    *ret_snapshot = (struct virtio_snapshot){
        .active = dev->backend != VIRTIO_IDLE && dev->backend != VIRTIO_ACTIVATE_DUE,
        .resetting = dev->backend == VIRTIO_RESETTING,
        .needs_reset = dev->status & VIRTIO_STATUS_NEEDS_RESET,
        .config_len = dev->config_len,
        .generation = dev->generation,
    };
    if (ret_snapshot->active)
        describe_driver(dev, &ret_snapshot->driver);
    memcpy(ret_snapshot->config, dev->config, dev->config_len);
    for (size_t i = 0; i < ARRAY_SIZE(dev->config_dirty); i++)
        dev->config_dirty[i] |= dev->config_written[i];
    pthread_mutex_unlock(&dev->lock);
}

void virtio_pci_reset_done(struct virtio_pci *dev)
{
    pthread_mutex_lock(&dev->lock);
    if (dev->backend == VIRTIO_RESETTING)
        virtio_common_reset(dev);
    else
        log_warn("slot %u: ResetDone without a reset", dev->slot);
    pthread_mutex_unlock(&dev->lock);
}

void virtio_pci_needs_reset(struct virtio_pci *dev)
{
    pthread_mutex_lock(&dev->lock);
    if (dev->presence == VIRTIO_PRESENT &&
        (dev->backend == VIRTIO_ACTIVATE_DUE || dev->backend == VIRTIO_ACTIVE)) {
        dev->status |= VIRTIO_STATUS_NEEDS_RESET;
        virtio_irq_config(dev);
    }
    pthread_mutex_unlock(&dev->lock);
}

static bool is_written(const struct virtio_pci *dev, unsigned byte)
{
    return dev->config_written[byte / 64] >> (byte % 64) & 1;
}

/* Whether nothing is said of what this driver has written but what it has written: its own word, come back from who
 * was told of it. */
static bool is_echo(const struct virtio_pci *dev, unsigned off, const uint8_t *data, unsigned len)
{
    for (unsigned i = 0; i < len; i++)
        if (is_written(dev, off + i) && data[i] != dev->config[off + i])
            return false;
    return true;
}

bool virtio_pci_config_changed(struct virtio_pci *dev, unsigned off, const void *data, unsigned len)
{
    bool fits;

    pthread_mutex_lock(&dev->lock);
    fits = off <= dev->config_len && len <= dev->config_len - off;
    if (fits && dev->presence != VIRTIO_LEAVING) {
        const uint8_t *said = data;
        bool echo = is_echo(dev, off, said, len);

        /* What this driver has written is the driver's: the device's word is from before that, and goes to the next. */
        for (unsigned i = 0; i < len; i++) {
            if (!is_written(dev, off + i))
                dev->config[off + i] = said[i];
            else if (echo)
                continue;
            dev->config_said[off + i] = said[i];
        }
        dev->generation++;
        if (dev->status & VIRTIO_STATUS_DRIVER_OK)
            virtio_irq_config(dev);
        else
            dev->config_early = dev->status & VIRTIO_STATUS_DRIVER;
    }
    pthread_mutex_unlock(&dev->lock);
    return fits;
}
