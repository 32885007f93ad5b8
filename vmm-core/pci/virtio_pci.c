/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_pci.c - see virtio_pci.h: the BAR's regions, locks, and the control thread's side. */
#include "pci/virtio_pci.h"

#include <errno.h>
#include <string.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"

static struct virtio_pci *from_function(struct pci_function *fn)
{
    return (struct virtio_pci *)((char *)fn - offsetof(struct virtio_pci, fn));
}

/* ---- device configuration ---- */

/* What a driver may write, by device type and offered feature; all else is read-only. */
static const struct {
    uint32_t virtio_id;
    uint8_t off, len;
    uint64_t feature; /* 0: always */
} writable_config[] = {
    { 2, 32, 1, UINT64_C(1) << 11 }, /* block: writeback, with CONFIG_WCE   */
    { 3, 8, 4, UINT64_C(1) << 2 },   /* console: emerg_wr, with EMERG_WRITE */
    { 5, 4, 4, 0 },                  /* balloon: actual                     */
    { 5, 12, 4, UINT64_C(1) << 4 },  /* balloon: poison_val, PAGE_POISON    */
};

static bool config_writable(const struct virtio_pci *dev, uint64_t off, unsigned size)
{
    for (size_t i = 0; i < ARRAY_SIZE(writable_config); i++) {
        if (writable_config[i].virtio_id != dev->virtio_id || off < writable_config[i].off ||
            off + size > writable_config[i].off + (uint64_t)writable_config[i].len)
            continue;
        return writable_config[i].feature == 0 || (dev->offered & writable_config[i].feature);
    }
    return false;
}

static void write_config(struct virtio_pci *dev, uint64_t off, unsigned size, uint64_t value)
{
    if (dev->backend == VIRTIO_RESET_DUE || dev->backend == VIRTIO_RESETTING)
        return; /* the driver must wait for status 0 */
    if (off >= dev->config_len || size > dev->config_len - off ||
        !config_writable(dev, off, size)) {
        log_guest("slot %u: write to read-only configuration at 0x%llx", dev->slot,
                  (unsigned long long)off);
        return;
    }
    memcpy(dev->config + off, &value, size);
    for (unsigned i = 0; i < size; i++)
        dev->config_dirty[(off + i) / 64] |= UINT64_C(1) << ((off + i) % 64);
    fd_event_signal(dev->wake_fd);
}

/* ---- BAR 0 ---- */

/* An access that crosses two regions is answered from the first alone. */
uint64_t virtio_bar_read(struct virtio_pci *dev, uint64_t off, unsigned size)
{
    uint64_t value = 0;

    if (off < VIRTIO_BAR_ISR)
        return virtio_common_read(dev, off, size);
    if (off < VIRTIO_BAR_DEVICE) {
        if (off != VIRTIO_BAR_ISR)
            return 0;
        value = dev->isr;
        dev->isr = 0;
        return value;
    }
    if (off < VIRTIO_BAR_NOTIFY)
        return bus_image_read(dev->config, dev->config_len, off - VIRTIO_BAR_DEVICE, size);
    if (off < VIRTIO_BAR_MSIX_TABLE)
        return 0;
    if (off < VIRTIO_BAR_MSIX_PBA)
        return msix_table_read(&dev->msix, off - VIRTIO_BAR_MSIX_TABLE, size);
    virtio_irq_collect_pending(dev);
    return msix_pba_read(&dev->msix, off - VIRTIO_BAR_MSIX_PBA, size);
}

void virtio_bar_write(struct virtio_pci *dev, uint64_t off, unsigned size, uint64_t value)
{
    if (off < VIRTIO_BAR_ISR) {
        virtio_common_write(dev, off, size, value);
    } else if (off >= VIRTIO_BAR_DEVICE && off < VIRTIO_BAR_NOTIFY) {
        write_config(dev, off - VIRTIO_BAR_DEVICE, size, value);
    } else if (off >= VIRTIO_BAR_NOTIFY && off < VIRTIO_BAR_MSIX_TABLE) {
        uint64_t q = (off - VIRTIO_BAR_NOTIFY) / VIRTIO_NOTIFY_STRIDE;

        if (q < dev->n_queues)
            fd_event_signal(dev->queues[q].kick_fd);
    } else if (off >= VIRTIO_BAR_MSIX_TABLE && off < VIRTIO_BAR_MSIX_PBA) {
        if (msix_table_write(&dev->msix, off - VIRTIO_BAR_MSIX_TABLE, size, value))
            virtio_irq_sync(dev);
    }
}

/* ---- the function's entry points, on vCPU threads ---- */

static uint64_t on_config_read(struct pci_function *fn, unsigned off, unsigned size)
{
    struct virtio_pci *dev = from_function(fn);
    uint64_t value;

    pthread_mutex_lock(&dev->lock);
    value = virtio_pci_caps_read(dev, off, size);
    pthread_mutex_unlock(&dev->lock);
    return value;
}

static void on_config_write(struct pci_function *fn, unsigned off, unsigned size, uint64_t value)
{
    struct virtio_pci *dev = from_function(fn);

    pthread_mutex_lock(&dev->lock);
    virtio_pci_caps_write(dev, off, size, value);
    pthread_mutex_unlock(&dev->lock);
}

static uint64_t on_bar_read(struct pci_function *fn, uint64_t off, unsigned size)
{
    struct virtio_pci *dev = from_function(fn);
    uint64_t value;

    pthread_mutex_lock(&dev->lock);
    value = virtio_bar_read(dev, off, size);
    pthread_mutex_unlock(&dev->lock);
    return value;
}

static void on_bar_write(struct pci_function *fn, uint64_t off, unsigned size, uint64_t value)
{
    struct virtio_pci *dev = from_function(fn);

    pthread_mutex_lock(&dev->lock);
    virtio_bar_write(dev, off, size, value);
    pthread_mutex_unlock(&dev->lock);
}

static const struct pci_function_ops function_ops = {
    .config_read = on_config_read,
    .config_write = on_config_write,
    .bar_read = on_bar_read,
    .bar_write = on_bar_write,
};

int virtio_pci_init(struct virtio_pci *dev, struct hv *hv, const struct virtio_pci_config *config)
{
    if (config->n_queues > LAYOUT_MAX_QUEUES || config->config_len > VIRTIO_CONFIG_MAX ||
        config->slot == 0 || config->slot >= LAYOUT_PCI_SLOTS || config->virtio_id == 0 ||
        config->virtio_id > 63 || !is_power_of_two(config->queue_size) ||
        config->queue_size > 32768)
        return err_origin(-EINVAL, "device in slot %u is out of range", config->slot);
    memset(dev, 0, sizeof *dev);
    pthread_mutex_init(&dev->lock, NULL);
    dev->hv = hv;
    dev->wake_fd = config->wake_fd;
    dev->slot = config->slot;
    dev->virtio_id = config->virtio_id;
    dev->offered = (config->features & VIRTIO_FEATURES_POSSIBLE) | VIRTIO_FEATURE_VERSION_1;
    dev->n_queues = config->n_queues;
    dev->queue_max = config->queue_size;
    dev->config_len = config->config_len;
    if (config->config_len > 0)
        memcpy(dev->config, config->config, config->config_len);
    for (unsigned q = 0; q < config->n_queues; q++) {
        dev->queues[q].kick_fd = config->kick_fds[q];
        dev->queues[q].call_fd = config->call_fds[q];
        dev->queues[q].gsi = config->first_gsi + q;
    }
    msix_init(&dev->msix, config->n_queues + 1);
    dev->fn.ops = &function_ops;
    virtio_pci_caps_init(dev);
    virtio_common_reset(dev);
    return 0;
}

/* ---- the control thread's side ---- */

static void take_activate(struct virtio_pci *dev, struct virtio_due_item *item)
{
    dev->backend = VIRTIO_ACTIVE;
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
    if (dev->backend == VIRTIO_ACTIVATE_DUE) {
        take_activate(dev, ret_item);
    } else if (!take_config(dev, ret_item)) {
        /* Only now, as the driver did it: what it wrote would outlive the reset. */
        any = dev->backend == VIRTIO_RESET_DUE;
        if (any) {
            dev->backend = VIRTIO_RESETTING;
            ret_item->what = VIRTIO_DUE_RESET;
        }
    }
    pthread_mutex_unlock(&dev->lock);
    return any;
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
    if (dev->backend == VIRTIO_ACTIVATE_DUE || dev->backend == VIRTIO_ACTIVE) {
        dev->status |= VIRTIO_STATUS_NEEDS_RESET;
        virtio_irq_config(dev);
    }
    pthread_mutex_unlock(&dev->lock);
}

bool virtio_pci_config_changed(struct virtio_pci *dev, unsigned off, const void *data, unsigned len)
{
    if (off > dev->config_len || len > dev->config_len - off)
        return false;
    pthread_mutex_lock(&dev->lock);
    memcpy(dev->config + off, data, len);
    dev->generation++;
    if (dev->status & VIRTIO_STATUS_DRIVER_OK)
        virtio_irq_config(dev);
    else
        dev->config_early = dev->status & VIRTIO_STATUS_DRIVER;
    pthread_mutex_unlock(&dev->lock);
    return true;
}
