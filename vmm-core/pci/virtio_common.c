/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_common.c - see virtio_common.h. */
#include "pci/virtio_common.h"

#include <string.h>
#include "base/fd.h"
#include "base/log.h"
#include "bus/bus.h"
#include "pci/virtio_irq.h"

enum {
    REG_DEVICE_SELECT = 0x00,
    REG_DEVICE_FEATURE = 0x04,
    REG_DRIVER_SELECT = 0x08,
    REG_DRIVER_FEATURE = 0x0c,
    REG_CONFIG_VECTOR = 0x10,
    REG_NUM_QUEUES = 0x12,
    REG_STATUS = 0x14,
    REG_GENERATION = 0x15,
    REG_QUEUE_SELECT = 0x16,
    REG_QUEUE_SIZE = 0x18,
    REG_QUEUE_VECTOR = 0x1a,
    REG_QUEUE_ENABLE = 0x1c,
    REG_QUEUE_NOTIFY_OFF = 0x1e,
    REG_QUEUE_DESC = 0x20,
    REG_QUEUE_DRIVER = 0x28,
    REG_QUEUE_DEVICE = 0x30,
    REG_QUEUE_NOTIFY_DATA = 0x38,
    REG_QUEUE_RESET = 0x3a,
    REG_END = 0x3c,
    DRIVER_STATUS_BITS = VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FAILED,
};

/* The registers, little-endian and without padding, as the driver sees them. */
struct common_image {
    uint32_t device_select, device_feature, driver_select, driver_feature;
    uint16_t config_vector, num_queues;
    uint8_t status, generation;
    uint16_t queue_select, queue_size, queue_vector, queue_enable, queue_notify_off;
    uint64_t queue_desc, queue_driver, queue_device;
    uint16_t queue_notify_data, queue_reset;
} __attribute__((packed));
_Static_assert(sizeof(struct common_image) == REG_END, "layout of virtio 1.2 section 4.1.4.3");

static uint32_t feature_word(uint64_t features, uint32_t select)
{
    return select < 2 ? (uint32_t)(features >> (32 * select)) : 0;
}

static struct virtio_queue *selected(struct virtio_pci *dev)
{
    return dev->queue_select < dev->n_queues ? &dev->queues[dev->queue_select] : NULL;
}

static void build_image(struct virtio_pci *dev, struct common_image *image)
{
    const struct virtio_queue *queue = selected(dev);

    *image = (struct common_image){
        .device_select = dev->device_select,
        .device_feature = feature_word(dev->offered, dev->device_select),
        .driver_select = dev->driver_select,
        .driver_feature = feature_word(dev->accepted, dev->driver_select),
        .config_vector = dev->config_vector,
        .num_queues = (uint16_t)dev->n_queues,
        .status = dev->status,
        .generation = dev->generation,
        .queue_select = dev->queue_select,
    };
    if (!queue)
        return;
    image->queue_size = queue->size;
    image->queue_vector = queue->vector;
    image->queue_enable = queue->enabled;
    image->queue_notify_off = dev->queue_select;
    image->queue_desc = queue->desc;
    image->queue_driver = queue->avail;
    image->queue_device = queue->used;
}

uint64_t virtio_common_read(struct virtio_pci *dev, uint64_t off, unsigned size)
{
    struct common_image image;

    build_image(dev, &image);
    return bus_image_read(&image, sizeof image, off, size);
}

/* What a driver wrote of which the device was not told to reset itself, for it was not told to begin: it may
 * have heard of the bytes, so it hears of these too. */
static void forget_written(struct virtio_pci *dev)
{
    bool any = false;

    for (unsigned i = 0; i < dev->config_len; i++) {
        uint64_t bit = dev->config_written[i / 64] & UINT64_C(1) << (i % 64);

        if (bit == 0)
            continue;
        dev->config[i] = dev->config_said[i];
        dev->config_dirty[i / 64] |= bit;
        any = true;
    }
    memset(dev->config_written, 0, sizeof dev->config_written);
    if (any)
        fd_event_signal(dev->wake_fd);
}

void virtio_common_reset(struct virtio_pci *dev)
{
    virtio_irq_forget(dev);
    dev->device_select = dev->driver_select = 0;
    dev->accepted = 0;
    dev->config_vector = MSIX_NO_VECTOR;
    dev->queue_select = 0;
    dev->status = 0;
    dev->isr = 0;
    dev->config_early = false;
    forget_written(dev);
    dev->backend = VIRTIO_IDLE;
    for (unsigned q = 0; q < dev->n_queues; q++) {
        struct virtio_queue *queue = &dev->queues[q];

        queue->size = dev->queue_max;
        queue->vector = MSIX_NO_VECTOR;
        queue->enabled = false;
        queue->desc = queue->avail = queue->used = 0;
    }
    virtio_irq_sync(dev);
}

/* ---- status ---- */

static bool features_acceptable(struct virtio_pci *dev)
{
    if (dev->accepted & ~dev->offered) {
        log_guest("slot %u: driver wants features 0x%llx that were not offered", dev->slot,
                  (unsigned long long)(dev->accepted & ~dev->offered));
        return false;
    }
    if (!(dev->accepted & VIRTIO_FEATURE_VERSION_1)) {
        log_guest("slot %u: driver does not accept VERSION_1", dev->slot);
        return false;
    }
    return true;
}

static void request_reset(struct virtio_pci *dev)
{
    switch (dev->backend) {
    case VIRTIO_IDLE:
    case VIRTIO_ACTIVATE_DUE: /* the worker has not heard of it */
        virtio_common_reset(dev);
        break;
    case VIRTIO_ACTIVE:
        dev->backend = VIRTIO_RESET_DUE;
        fd_event_signal(dev->wake_fd);
        break;
    case VIRTIO_RESET_DUE:
    case VIRTIO_RESETTING:
        break;
    }
}

/* A driver can only add bits; what it leaves out stays until the reset. */
static void write_status(struct virtio_pci *dev, uint8_t value)
{
    if (value == 0) {
        request_reset(dev);
        return;
    }
    dev->status |= value & DRIVER_STATUS_BITS;
    if ((value & VIRTIO_STATUS_FEATURES_OK) && !(dev->status & VIRTIO_STATUS_FEATURES_OK) &&
        features_acceptable(dev))
        dev->status |= VIRTIO_STATUS_FEATURES_OK;
    if (!(value & VIRTIO_STATUS_DRIVER_OK) || (dev->status & VIRTIO_STATUS_DRIVER_OK))
        return;
    if (!(dev->status & VIRTIO_STATUS_FEATURES_OK)) {
        log_guest("slot %u: DRIVER_OK without FEATURES_OK", dev->slot);
        return;
    }
    dev->status |= VIRTIO_STATUS_DRIVER_OK;
    dev->backend = VIRTIO_ACTIVATE_DUE;
    fd_event_signal(dev->wake_fd);
    if (dev->config_early) /* the driver may have read it before */
        virtio_irq_config(dev);
    dev->config_early = false;
}

/* ---- queues ---- */

static void write_feature(struct virtio_pci *dev, uint32_t value)
{
    unsigned shift = 32 * dev->driver_select;

    if (dev->driver_select > 1 || (dev->status & VIRTIO_STATUS_FEATURES_OK))
        return;
    dev->accepted = (dev->accepted & ~(UINT64_C(0xffffffff) << shift)) | (uint64_t)value << shift;
}

static void enable_queue(struct virtio_pci *dev, struct virtio_queue *queue)
{
    /* Section 2.7: 16, 2 and 4 bytes. Whether they lie in RAM is the worker's to check. */
    if (queue->desc % 16 != 0 || queue->avail % 2 != 0 || queue->used % 4 != 0) {
        log_guest("slot %u: queue %u is not aligned", dev->slot, dev->queue_select);
        return;
    }
    queue->enabled = true;
}

static void write_queue16(struct virtio_pci *dev, uint64_t off, uint16_t value)
{
    struct virtio_queue *queue = selected(dev);

    if (!queue)
        return;
    if (off == REG_QUEUE_VECTOR) {
        queue->vector = value < dev->msix.n_vectors ? value : MSIX_NO_VECTOR;
        virtio_irq_sync_queue(dev, dev->queue_select);
        return;
    }
    if (queue->enabled || (dev->status & VIRTIO_STATUS_DRIVER_OK)) {
        log_guest("slot %u: queue %u is changed while it is in use", dev->slot, dev->queue_select);
        return;
    }
    if (off == REG_QUEUE_SIZE && is_power_of_two(value) && value <= dev->queue_max)
        queue->size = value;
    else if (off == REG_QUEUE_ENABLE && value == 1)
        enable_queue(dev, queue);
}

static uint64_t *queue_address(struct virtio_queue *queue, uint64_t off)
{
    switch (off & ~UINT64_C(7)) {
    case REG_QUEUE_DESC:
        return &queue->desc;
    case REG_QUEUE_DRIVER:
        return &queue->avail;
    default:
        return &queue->used;
    }
}

static void write_queue_address(struct virtio_pci *dev, uint64_t off, unsigned size, uint64_t value)
{
    struct virtio_queue *queue = selected(dev);
    uint64_t *cell;

    if (!queue || queue->enabled || (dev->status & VIRTIO_STATUS_DRIVER_OK))
        return;
    cell = queue_address(queue, off);
    if (size == 8)
        *cell = value;
    else if (off % 8 == 0)
        *cell = (*cell & ~UINT64_C(0xffffffff)) | value;
    else
        *cell = (*cell & UINT64_C(0xffffffff)) | value << 32;
}

/* ---- writes, by width ---- */

static bool write16(struct virtio_pci *dev, uint64_t off, uint16_t value)
{
    switch (off) {
    case REG_CONFIG_VECTOR:
        dev->config_vector = value < dev->msix.n_vectors ? value : MSIX_NO_VECTOR;
        virtio_irq_sync(dev);
        return true;
    case REG_QUEUE_SELECT:
        dev->queue_select = value;
        return true;
    case REG_QUEUE_SIZE:
    case REG_QUEUE_VECTOR:
    case REG_QUEUE_ENABLE:
        write_queue16(dev, off, value);
        return true;
    default:
        return false;
    }
}

static bool write32(struct virtio_pci *dev, uint64_t off, uint32_t value)
{
    switch (off) {
    case REG_DEVICE_SELECT:
        dev->device_select = value;
        return true;
    case REG_DRIVER_SELECT:
        dev->driver_select = value;
        return true;
    case REG_DRIVER_FEATURE:
        write_feature(dev, value);
        return true;
    default:
        return false;
    }
}

void virtio_common_write(struct virtio_pci *dev, uint64_t off, unsigned size, uint64_t value)
{
    bool address = off >= REG_QUEUE_DESC && off < REG_QUEUE_NOTIFY_DATA && off % size == 0;
    bool known = false;

    if (dev->backend == VIRTIO_RESET_DUE || dev->backend == VIRTIO_RESETTING)
        return; /* the driver must wait for status 0 */
    value &= bus_ones(size);
    if (size == 1 && off == REG_STATUS) {
        write_status(dev, (uint8_t)value);
        known = true;
    } else if (size == 2) {
        known = write16(dev, off, (uint16_t)value);
    } else if (size >= 4 && address) {
        write_queue_address(dev, off, size, value);
        known = true;
    } else if (size == 4) {
        known = write32(dev, off, (uint32_t)value);
    }
    if (!known)
        log_guest("slot %u: write of %u bytes at 0x%llx of the common configuration", dev->slot,
                  size, (unsigned long long)off);
}
