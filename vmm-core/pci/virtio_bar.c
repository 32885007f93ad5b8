/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_bar.c - see virtio_bar.h. */
#include "pci/virtio_bar.h"

#include <string.h>
#include "base/fd.h"
#include "base/log.h"
#include "bus/bus.h"
#include "pci/virtio_common.h"
#include "pci/virtio_irq.h"

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
    for (unsigned i = 0; i < size; i++) {
        dev->config_dirty[(off + i) / 64] |= UINT64_C(1) << ((off + i) % 64);
        dev->config_written[(off + i) / 64] |= UINT64_C(1) << ((off + i) % 64);
    }
    fd_event_signal(dev->wake_fd);
}

/* ---- BAR 0 ---- */

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
