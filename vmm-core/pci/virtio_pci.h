/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_pci.h - a virtio 1.2 PCI function (section 4.1, modern only) in front of a worker.
 *
 * The core answers all register accesses from its own copy of what the worker announced; the
 * worker sees the driver only through Activate, Reset and ConfigUpdate. vCPU threads change the
 * state here and signal wake_fd; the control thread takes what is due with virtio_pci_take() and
 * sends it. Taking commits: what was taken is sent, so the two never disagree about the worker.
 *
 * Accesses of a driver that keeps to the rules of section 4.1.3.1 work; all others are harmless:
 * a read of any size at any offset returns the bytes of the registers there, a write that is not
 * one whole register (or one half of a 64-bit one) is ignored. A slot without a device reads as ones;
 * how devices come and go: virtio_plug.h.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "base/compiler.h"
#include "pci/virtio_function.h"

/* An empty function for a slot, 1..31; dev is zeroed before. wake_fd stays the caller's. */
void virtio_pci_init(struct virtio_pci *dev, struct hv *hv, unsigned slot, int wake_fd);

/* ---- the control thread's side ---- */

enum virtio_due {
    VIRTIO_DUE_NOTHING,
    VIRTIO_DUE_ACTIVATE,
    VIRTIO_DUE_RESET,
    VIRTIO_DUE_CONFIG,
    VIRTIO_DUE_GONE, /* the slot is empty */
};

struct virtio_due_item {
    enum virtio_due what;
    uint64_t features; /* Activate */
    unsigned n_queues;
    struct {
        unsigned index, size;
        uint64_t desc, avail, used;
    } queues[LAYOUT_MAX_QUEUES];
    unsigned config_off, config_len; /* ConfigUpdate, at most 64 bytes */
    uint8_t config[64];
};

/* Takes the next thing that the broker must be told; false when there is none. At most one
 * Activate and one Reset are on their way per device, and a configuration byte is sent once
 * however often the guest wrote it in between. */
bool virtio_pci_take(struct virtio_pci *dev, struct virtio_due_item *ret_item);
/* What virtio_pci_take() has given so far amounts to, for a broker that knows nothing of it. What the
 * driver wrote to the configuration space since the last reset is due once more. */
struct virtio_snapshot {
    bool active;                   /* Activate was taken, and no ResetDone came since */
    bool resetting;                /* active: Reset was taken */
    bool needs_reset;              /* the driver was told that the device is broken */
    struct virtio_due_item driver; /* active: as in Activate */
    unsigned config_len;
    uint8_t generation;
    uint8_t config[VIRTIO_CONFIG_MAX];
};
void virtio_pci_snapshot(struct virtio_pci *dev, struct virtio_snapshot *ret_snapshot);
/* The worker no longer touches the rings: the driver may see status 0. */
void virtio_pci_reset_done(struct virtio_pci *dev);
void virtio_pci_needs_reset(struct virtio_pci *dev);
/* The device changed its configuration; false when the range is not in it. Bytes that the driver has
 * written since the last reset stay as the driver wrote them. These three mean nothing to
 * a device on its way out. */
bool virtio_pci_config_changed(struct virtio_pci *dev, unsigned off, const void *data,
                               unsigned len);
