/* SPDX-License-Identifier: Apache-2.0 */
/* rig.c - see rig.h. */
#include "rig.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct rig the_rig;

static void on_reset(void *arg)
{
    ((struct rig *)arg)->resets++;
}

int rig_plug(struct rig *rig, uint32_t virtio_id, unsigned n_queues)
{
    static const uint8_t config[RIG_CONFIG] = { 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7,
                                                0xc8, 0xc9, 0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf };
    struct virtio_plug_config c = { .virtio_id = virtio_id,
                                    .features = RIG_FEATURES,
                                    .n_queues = n_queues,
                                    .queue_size = RIG_QUEUE_MAX,
                                    .config = config,
                                    .config_len = RIG_CONFIG,
                                    .first_gsi = RIG_GSI,
                                    .kick_fds = rig->kick,
                                    .call_fds = rig->call };

    rig->n_queues = n_queues;
    for (unsigned q = 0; q < n_queues; q++) {
        rig->kick[q] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        rig->call[q] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    }
    return virtio_plug_in(&rig->dev, &c);
}

struct rig *rig_new(uint32_t virtio_id, unsigned n_queues)
{
    struct rig *rig = &the_rig;

    memset(rig, 0, sizeof *rig);
    rig->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    pci_host_init(&rig->host, RIG_WINDOW64, on_reset, rig);
    virtio_pci_init(&rig->dev, &rig->hv, RIG_SLOT, rig->wake_fd);
    if (pci_host_add_to(&rig->host, &rig->pio, &rig->mmio) < 0 ||
        rig_plug(rig, virtio_id, n_queues) != 0 ||
        pci_host_plug(&rig->host, (struct pci_address){ .device = RIG_SLOT }, &rig->dev.fn) < 0)
        abort();
    rig_write(rig, RIG_ECAM + PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    return rig;
}

/* Those of a device that has left are closed. */
void rig_free(struct rig *rig)
{
    close(rig->wake_fd);
    for (unsigned q = 0; rig->dev.presence != VIRTIO_EMPTY && q < rig->n_queues; q++) {
        close(rig->kick[q]);
        close(rig->call[q]);
    }
}

uint64_t rig_read(struct rig *rig, uint64_t addr, unsigned size)
{
    uint64_t value = 0;

    bus_read(&rig->mmio, addr, size, &value);
    return value;
}

void rig_write(struct rig *rig, uint64_t addr, unsigned size, uint64_t value)
{
    bus_write(&rig->mmio, addr, size, &value);
}

uint64_t rig_in(struct rig *rig, uint16_t port, unsigned size)
{
    uint64_t value = 0;

    bus_read(&rig->pio, port, size, &value);
    return value;
}

void rig_out(struct rig *rig, uint16_t port, unsigned size, uint64_t value)
{
    bus_write(&rig->pio, port, size, &value);
}

void rig_negotiate(struct rig *rig, uint64_t features)
{
    bar_write(rig, 0x14, 1, VIRTIO_STATUS_ACKNOWLEDGE);
    bar_write(rig, 0x14, 1, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
    for (unsigned i = 0; i < 2; i++) {
        bar_write(rig, 0x08, 4, i);
        bar_write(rig, 0x0c, 4, (uint32_t)(features >> (32 * i)));
    }
    bar_write(rig, 0x14, 1,
              VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FEATURES_OK);
}

void rig_go(struct rig *rig)
{
    bar_write(rig, 0x16, 2, 0);
    bar_write(rig, 0x18, 2, 128);
    bar_write(rig, 0x20, 8, 0x10000);
    bar_write(rig, 0x28, 8, 0x20000);
    bar_write(rig, 0x30, 8, 0x30000);
    bar_write(rig, 0x1c, 2, 1);
    bar_write(rig, 0x14, 1,
              VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FEATURES_OK |
                  VIRTIO_STATUS_DRIVER_OK);
}
