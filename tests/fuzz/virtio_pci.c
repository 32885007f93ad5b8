/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_pci.c - fuzz target: a guest that writes and reads whatever it likes at a virtio function,
 * through configuration space, ports and BAR, while a broker does what brokers do.
 *
 * Input: records of 12 bytes: operation, size, where (16 bits), value (64 bits). What must hold is
 * checked after each. */
#include <stdlib.h>
#include <string.h>
#include "rig.h"

enum { RECORD = 12 };

enum op {
    OP_BAR_WRITE,
    OP_BAR_READ,
    OP_CONFIG_WRITE,
    OP_CONFIG_READ,
    OP_PORT_WRITE,
    OP_PORT_READ,
    OP_WINDOW_WRITE,
    OP_WINDOW_READ,
    OP_TAKE,
    OP_RESET_DONE,
    OP_NEEDS_RESET,
    OP_CHANGED,
    OP_REFUSE,
    OP_EJECT, /* the guest's, of a device that is to go */
    OP_OUT,
    OP_ASK,
    OP_IN,
    OP__N
};

static struct virtio_due_item item;

/* What is said of the driver is what was taken, and asking changes nothing of it. */
static void ask(struct rig *rig)
{
    static struct virtio_snapshot s;
    enum virtio_backend backend = rig->dev.backend;

    virtio_pci_snapshot(&rig->dev, &s);
    if (rig->dev.backend != backend || s.active != (backend >= VIRTIO_ACTIVE) ||
        s.resetting != (backend == VIRTIO_RESETTING) || s.config_len != RIG_CONFIG ||
        (s.active && s.driver.n_queues > RIG_QUEUES))
        abort();
}

static void broker(struct rig *rig, unsigned op, uint16_t where, uint64_t value)
{
    switch (op) {
    case OP_TAKE:
        if (where & 1)
            ask(rig);
        if (virtio_pci_take(&rig->dev, &item) && item.what == VIRTIO_DUE_ACTIVATE) {
            if (item.n_queues > rig->n_queues || (item.features & ~RIG_FEATURES) ||
                !(item.features & VIRTIO_FEATURE_VERSION_1))
                abort();
            for (unsigned i = 0; i < item.n_queues; i++)
                if (item.queues[i].index >= rig->n_queues ||
                    !is_power_of_two(item.queues[i].size) || item.queues[i].size > RIG_QUEUE_MAX)
                    abort();
        }
        break;
    case OP_RESET_DONE:
        virtio_pci_reset_done(&rig->dev);
        break;
    case OP_NEEDS_RESET:
        virtio_pci_needs_reset(&rig->dev);
        break;
    case OP_CHANGED:
        (void)virtio_pci_config_changed(&rig->dev, where, &value, (unsigned)(value % 9));
        break;
    case OP_EJECT:
        (void)virtio_plug_eject(&rig->dev);
        break;
    case OP_OUT:
        (void)virtio_plug_out(&rig->dev);
        break;
    case OP_ASK:
        (void)virtio_plug_ask(&rig->dev);
        break;
    case OP_IN:
        if (rig->dev.presence == VIRTIO_EMPTY)
            (void)rig_plug(rig, 1 + where % 5, (unsigned)value % (RIG_QUEUES + 1));
        break;
    default:
        rig->hv.refuse = value & 1;
        break;
    }
}

static void guest(struct rig *rig, unsigned op, unsigned size, uint16_t where, uint64_t value)
{
    uint64_t bar = rig->dev.fn.bars[0].at == PCI_BAR_NOT_DECODED ? RIG_BAR : rig->dev.fn.bars[0].at;

    switch (op) {
    case OP_BAR_WRITE:
        rig_write(rig, bar + where, size, value);
        break;
    case OP_BAR_READ:
        (void)rig_read(rig, bar + where, size);
        break;
    case OP_CONFIG_WRITE:
        rig_write(rig, RIG_ECAM + where % 4096, size, value);
        break;
    case OP_CONFIG_READ:
        (void)rig_read(rig, RIG_ECAM + where % 4096, size);
        break;
    case OP_PORT_WRITE:
        rig_out(rig, (uint16_t)(0xcf6 + where % 12), 1u << size % 3, value);
        break;
    case OP_PORT_READ:
        (void)rig_in(rig, (uint16_t)(0xcf6 + where % 12), 1u << size % 3);
        break;
    case OP_WINDOW_WRITE:
        rig_write(rig, LAYOUT_MMIO32_END - 0x8000 + where, size, value);
        break;
    default:
        (void)rig_read(rig, LAYOUT_MMIO32_BASE + where * 0x2000ull, size);
        break;
    }
}

/* The wiring fits the registers: nothing is attached that may not fire, nothing watched that the
 * BAR doesn't decode, and the hypervisor was never told nonsense. */
static void check(const struct rig *rig)
{
    const struct virtio_pci *dev = &rig->dev;

    if (rig->hv.mistakes != 0 || (dev->accepted & ~dev->offered && dev->status & 8))
        abort();
    if ((dev->status & VIRTIO_STATUS_DRIVER_OK) && !(dev->status & VIRTIO_STATUS_FEATURES_OK))
        abort();
    if (dev->presence != VIRTIO_LEAVING &&
        (dev->backend != VIRTIO_IDLE) != !!(dev->status & VIRTIO_STATUS_DRIVER_OK))
        abort();
    if (dev->presence == VIRTIO_EMPTY && (fake_routes(&rig->hv) != 0 || dev->n_queues != 0))
        abort();
    if (dev->presence != VIRTIO_PRESENT && fake_notifies(&rig->hv) != 0)
        abort();
    for (unsigned q = 0; q < dev->n_queues; q++) {
        const struct virtio_queue *queue = &dev->queues[q];

        if (queue->irq_attached != rig->hv.gsi[queue->gsi].attached ||
            (queue->irq_attached && !msix_can_fire(&dev->msix, queue->vector)) ||
            (queue->notify_at != 0 &&
             queue->notify_at != dev->fn.bars[0].at + VIRTIO_BAR_NOTIFY + 4 * q))
            abort();
    }
    if (dev->fn.bars[0].at == PCI_BAR_NOT_DECODED && fake_notifies(&rig->hv) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const uint8_t sizes[] = { 1, 2, 4, 8, 3, 5, 6, 7 };
    struct rig *rig = rig_new(5, RIG_QUEUES); /* a balloon: some of its configuration is writable */

    for (; len >= RECORD; data += RECORD, len -= RECORD) {
        unsigned op = data[0] % OP__N;
        unsigned size = sizes[data[1] % 8];
        uint16_t where;
        uint64_t value;

        memcpy(&where, data + 2, sizeof where);
        memcpy(&value, data + 4, sizeof value);
        if (op >= OP_TAKE)
            broker(rig, op, where, value);
        else
            guest(rig, op, size, where, value);
        check(rig);
    }
    rig_free(rig);
    return 0;
}
