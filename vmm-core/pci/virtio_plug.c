/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_plug.c - see virtio_plug.h. */
#include "pci/virtio_plug.h"

#include <errno.h>
#include <string.h>
#include "base/err.h"
#include "base/fd.h"
#include "bus/bus.h"
#include "kvm/irq.h"
#include "pci/virtio_caps.h"
#include "pci/virtio_common.h"
#include "pci/virtio_irq.h"

/* ---- in ---- */

static int check(const struct virtio_pci *dev, const struct virtio_plug_config *config)
{
    if (config->n_queues > LAYOUT_MAX_QUEUES || config->config_len > VIRTIO_CONFIG_MAX ||
        config->virtio_id == 0 || config->virtio_id > 63 || !is_power_of_two(config->queue_size) ||
        config->queue_size > 32768)
        return err_origin(-EINVAL, "device in slot %u is out of range", dev->slot);
    return 0;
}

/* As after power-on; nothing of a device before is left. */
static void fill(struct virtio_pci *dev, const struct virtio_plug_config *config)
{
    dev->virtio_id = config->virtio_id;
    dev->offered = (config->features & VIRTIO_FEATURES_POSSIBLE) | VIRTIO_FEATURE_VERSION_1;
    dev->generation = 0;
    dev->n_queues = config->n_queues;
    dev->queue_max = config->queue_size;
    dev->config_len = config->config_len;
    memset(dev->config, 0, sizeof dev->config);
    memset(dev->config_dirty, 0, sizeof dev->config_dirty);
    memset(dev->config_written, 0, sizeof dev->config_written);
    if (config->config_len > 0)
        memcpy(dev->config, config->config, config->config_len);
    memcpy(dev->config_said, dev->config, sizeof dev->config_said);
    memset(dev->queues, 0, sizeof dev->queues);
    for (unsigned q = 0; q < config->n_queues; q++) {
        dev->queues[q].kick_fd = config->kick_fds[q];
        dev->queues[q].call_fd = config->call_fds[q];
        dev->queues[q].gsi = config->first_gsi + q;
    }
    msix_init(&dev->msix, config->n_queues + 1);
    virtio_caps_init(dev);
    virtio_common_reset(dev);
}

int virtio_plug_in(struct virtio_pci *dev, const struct virtio_plug_config *config)
{
    uint64_t remains_at;
    int r = check(dev, config);

    if (r < 0)
        return err_trace(r);
    pthread_mutex_lock(&dev->lock);
    if (dev->presence != VIRTIO_EMPTY) {
        r = err_origin(-EEXIST, "slot %u has a device", dev->slot);
    } else {
        remains_at = dev->fn.bars[0].at;
        fill(dev, config);
        dev->presence = VIRTIO_PRESENT;
        if (dev->remains) {
            dev->fn.bars[0].at = remains_at;
            dev->presence = VIRTIO_WAITING;
            r = VIRTIO_PLUG_WAITS;
        }
    }
    pthread_mutex_unlock(&dev->lock);
    return r;
}

/* ---- out ---- */

/* What the driver wrote last is for nobody any more. */
static void unplug(struct virtio_pci *dev)
{
    dev->presence = VIRTIO_LEAVING;
    memset(dev->config_dirty, 0, sizeof dev->config_dirty);
    memset(dev->config_written, 0, sizeof dev->config_written);
    virtio_notify_sync(dev);
    if (dev->backend == VIRTIO_ACTIVATE_DUE)
        virtio_common_reset(dev); /* the worker has not heard of it */
    else if (dev->backend == VIRTIO_ACTIVE)
        dev->backend = VIRTIO_RESET_DUE;
    fd_event_signal(dev->wake_fd);
}

bool virtio_plug_ask(struct virtio_pci *dev)
{
    bool ask;

    pthread_mutex_lock(&dev->lock);
    ask = dev->presence == VIRTIO_PRESENT;
    if (dev->presence == VIRTIO_WAITING)
        unplug(dev);
    pthread_mutex_unlock(&dev->lock);
    return ask;
}

bool virtio_plug_out(struct virtio_pci *dev)
{
    bool tell;

    pthread_mutex_lock(&dev->lock);
    tell = dev->presence == VIRTIO_PRESENT;
    dev->remains |= tell;
    if (dev->presence == VIRTIO_PRESENT || dev->presence == VIRTIO_WAITING)
        unplug(dev);
    pthread_mutex_unlock(&dev->lock);
    return tell;
}

bool virtio_plug_eject(struct virtio_pci *dev)
{
    bool came = false;

    pthread_mutex_lock(&dev->lock);
    if (dev->remains) {
        dev->remains = false;
        dev->fn.bars[0].at = PCI_BAR_NOT_DECODED;
        came = dev->presence == VIRTIO_WAITING;
        if (came)
            dev->presence = VIRTIO_PRESENT;
    } else if (dev->presence == VIRTIO_PRESENT) {
        unplug(dev);
        dev->fn.bars[0].at = PCI_BAR_NOT_DECODED;
    }
    pthread_mutex_unlock(&dev->lock);
    return came;
}

/* ---- what is left ---- */

uint64_t virtio_plug_absent_read(const struct virtio_pci *dev, uint64_t off, unsigned size)
{
    uint64_t value = bus_ones(size);

    if (dev->remains && off <= VIRTIO_BAR_STATUS && VIRTIO_BAR_STATUS - off < size)
        value &= ~(UINT64_C(0xff) << (8 * (VIRTIO_BAR_STATUS - off)));
    return value;
}

void virtio_plug_release(struct virtio_pci *dev)
{
    virtio_irq_forget(dev);
    if (dev->n_queues > 0)
        hv_msi_unroute(dev->hv, dev->queues[0].gsi, dev->n_queues);
    for (unsigned q = 0; q < dev->n_queues; q++) {
        fd_closep(&dev->queues[q].kick_fd);
        fd_closep(&dev->queues[q].call_fd);
    }
    dev->n_queues = 0;
    dev->presence = VIRTIO_EMPTY;
}
