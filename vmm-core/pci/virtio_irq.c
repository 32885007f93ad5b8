/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_irq.c - see virtio_irq.h. A queue's call eventfd raises its vector as long as that may fire,
 * a guest's write to a queue's notify address signals its kick eventfd. */
#include "pci/virtio_irq.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "kvm/irq.h"

static bool route(struct virtio_pci *dev, struct virtio_queue *queue)
{
    uint64_t addr = msix_address(&dev->msix, queue->vector);
    uint32_t data = dev->msix.table[queue->vector].data;

    if (queue->routed && queue->route_addr == addr && queue->route_data == data)
        return true;
    queue->routed = hv_msi_route(dev->hv, queue->gsi, addr, data) == 0;
    if (!queue->routed)
        log_guest("slot %u: vector %u: %s", dev->slot, queue->vector, err_text());
    queue->route_addr = addr;
    queue->route_data = data;
    return queue->routed;
}

/* While a vector is masked its queues' call eventfds are not KVM's: they keep the count, and what
 * was collected for the pending bits is put back before KVM looks. */
void virtio_irq_sync_queue(struct virtio_pci *dev, unsigned q)
{
    struct virtio_queue *queue = &dev->queues[q];
    bool want = msix_can_fire(&dev->msix, queue->vector) && route(dev, queue);

    if (want == queue->irq_attached)
        return;
    if (!want) {
        hv_irq_detach(dev->hv, queue->call_fd, queue->gsi);
        queue->irq_attached = false;
        return;
    }
    if (queue->pending)
        fd_event_signal(queue->call_fd);
    queue->pending = false;
    queue->irq_attached = hv_irq_attach(dev->hv, queue->call_fd, queue->gsi) == 0;
    if (!queue->irq_attached)
        log_guest("slot %u: queue %u's interrupt: %s", dev->slot, q, err_text());
}

static void sync_config(struct virtio_pci *dev)
{
    if (!dev->config_pending || !msix_can_fire(&dev->msix, dev->config_vector))
        return;
    dev->config_pending = false;
    hv_msi_send(dev->hv, msix_address(&dev->msix, dev->config_vector),
                dev->msix.table[dev->config_vector].data);
}

void virtio_irq_sync(struct virtio_pci *dev)
{
    for (unsigned q = 0; q < dev->n_queues; q++)
        virtio_irq_sync_queue(dev, q);
    sync_config(dev);
}

void virtio_irq_config(struct virtio_pci *dev)
{
    enum { ISR_CONFIG = 2 };

    dev->isr |= ISR_CONFIG;
    if (dev->config_vector == MSIX_NO_VECTOR)
        return;
    dev->config_pending = true;
    sync_config(dev);
}

void virtio_irq_forget(struct virtio_pci *dev)
{
    dev->config_pending = false;
    for (unsigned q = 0; q < dev->n_queues; q++) {
        struct virtio_queue *queue = &dev->queues[q];

        if (queue->irq_attached)
            hv_irq_detach(dev->hv, queue->call_fd, queue->gsi);
        queue->irq_attached = false;
        queue->pending = false;
        (void)fd_event_drain(queue->call_fd);
    }
}

void virtio_irq_collect_pending(struct virtio_pci *dev)
{
    for (unsigned v = 0; v < dev->msix.n_vectors; v++)
        msix_set_pending(&dev->msix, v, false);
    for (unsigned q = 0; q < dev->n_queues; q++) {
        struct virtio_queue *queue = &dev->queues[q];

        if (!queue->irq_attached && fd_event_drain(queue->call_fd) > 0)
            queue->pending = true;
        if (queue->pending)
            msix_set_pending(&dev->msix, queue->vector, true);
    }
    if (dev->config_pending)
        msix_set_pending(&dev->msix, dev->config_vector, true);
}

/* Where KVM can't watch (addresses of two functions laid over each other, its table full), the
 * guest's write arrives as an exit and virtio_bar_write() signals the eventfd. */
void virtio_notify_sync(struct virtio_pci *dev)
{
    uint64_t bar = dev->presence == VIRTIO_PRESENT ? dev->fn.bars[0].at : PCI_BAR_NOT_DECODED;

    for (unsigned q = 0; q < dev->n_queues; q++) {
        struct virtio_queue *queue = &dev->queues[q];
        uint64_t at = bar == PCI_BAR_NOT_DECODED
                          ? 0
                          : bar + VIRTIO_BAR_NOTIFY + (uint64_t)q * VIRTIO_NOTIFY_STRIDE;

        if (at == queue->notify_at)
            continue;
        if (queue->notify_at != 0)
            hv_notify_detach(dev->hv, queue->kick_fd, queue->notify_at);
        queue->notify_at = at != 0 && hv_notify_attach(dev->hv, queue->kick_fd, at) == 0 ? at : 0;
    }
}
