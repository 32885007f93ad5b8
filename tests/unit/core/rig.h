/* SPDX-License-Identifier: Apache-2.0 */
/* rig.h - one virtio function behind a PCI host on buses, with a fake hypervisor below. */
#pragma once

#include "bus/bus.h"
#include "fake_hv.h"
#include "pci/pci.h"
#include "pci/virtio_pci.h"
#include "pci/virtio_plug.h"

enum { RIG_SLOT = 3, RIG_QUEUES = 3, RIG_QUEUE_MAX = 256, RIG_CONFIG = 16, RIG_GSI = 100 };
#define RIG_FEATURES ((UINT64_C(1) << 4) | (UINT64_C(1) << 28) | VIRTIO_FEATURE_VERSION_1)
#define RIG_BAR (LAYOUT_MMIO32_BASE + RIG_SLOT * LAYOUT_BAR_STRIDE)
#define RIG_RAM (UINT64_C(5) << 30)
#define RIG_WINDOW64 (layout_mmio64_base(RIG_RAM))
#define RIG_ECAM (LAYOUT_ECAM_BASE + RIG_SLOT * 8ull * PCI_FUNCTION_BYTES)

struct rig {
    struct hv hv;
    struct bus pio, mmio;
    struct pci_host host;
    struct virtio_pci dev;
    int wake_fd;
    int kick[LAYOUT_MAX_QUEUES], call[LAYOUT_MAX_QUEUES];
    unsigned n_queues;
    unsigned resets; /* 0xcf9 */
};

/* virtio_id: what it is; n_queues: RIG_QUEUES unless a test wants another number. Static storage:
 * one rig at a time. The memory decoder is on when it returns. */
struct rig *rig_new(uint32_t virtio_id, unsigned n_queues);
void rig_free(struct rig *rig);
/* A device with fresh eventfds into the slot of a rig whose own has left: what virtio_plug_in() says. */
int rig_plug(struct rig *rig, uint32_t virtio_id, unsigned n_queues);

uint64_t rig_read(struct rig *rig, uint64_t addr, unsigned size);
void rig_write(struct rig *rig, uint64_t addr, unsigned size, uint64_t value);
uint64_t rig_in(struct rig *rig, uint16_t port, unsigned size);
void rig_out(struct rig *rig, uint16_t port, unsigned size, uint64_t value);
/* Registers of BAR0. */
static inline uint64_t bar_read(struct rig *rig, uint64_t off, unsigned size)
{
    return rig_read(rig, RIG_BAR + off, size);
}
static inline void bar_write(struct rig *rig, uint64_t off, unsigned size, uint64_t value)
{
    rig_write(rig, RIG_BAR + off, size, value);
}
/* What a driver does up to FEATURES_OK, and from there to DRIVER_OK with queue 0 enabled. */
void rig_negotiate(struct rig *rig, uint64_t features);
void rig_go(struct rig *rig);
