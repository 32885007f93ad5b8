/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_plug.h - how a device comes into its slot and leaves it, before and while the guest runs.
 *
 * The function's memory is there for as long as the process and only what is in it changes, under its
 * lock: a vCPU thread that found the function a moment ago finds a slot that reads as ones. On its way
 * out a device is invisible first, its kicks go nowhere; then its worker is told to leave the rings,
 * if a driver had it activated; then its interrupts, routes and descriptors are given back, and
 * virtio_pci_take() says VIRTIO_DUE_GONE.
 *
 * A device that was taken away without the guest's consent leaves something behind until the guest
 * ejects it: its BAR stays where it is and reads as ones but for the device status, which reads as 0.
 * Linux waits for that after a reset, without an end, and all events of slots wait with it. Meanwhile
 * the slot may be filled again, but the guest sees the new device only after its eject: it would take
 * one for the other.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "base/compiler.h"
#include "pci/virtio_function.h"

struct virtio_plug_config {
    uint32_t virtio_id;
    uint64_t features;
    unsigned n_queues;
    uint16_t queue_size;
    const uint8_t *config;
    unsigned config_len;
    unsigned first_gsi; /* n_queues of them */
    const int *kick_fds, *call_fds;
};

/* The guest sees the device later: see above. */
enum { VIRTIO_PLUG_WAITS = 1 };

/* On the control thread; takes the descriptors on success. Its BAR is at the slot's own place and not
 * decoded, as at boot: a guest that assigns addresses gives it another, one that doesn't uses this one.
 * 0, VIRTIO_PLUG_WAITS, -EINVAL on a value out of its range, -EEXIST when the slot is full. */
int virtio_plug_in(struct virtio_pci *dev, const struct virtio_plug_config *config) must_check;
/* On the control thread: the device is to go. True when the guest must be asked for it; else there is
 * none, or none that the guest knows, which goes at once. */
bool virtio_plug_ask(struct virtio_pci *dev);
/* On the control thread: the device goes at once. True when the guest must be told. */
bool virtio_plug_out(struct virtio_pci *dev);
/* The guest ejects, as it was asked to. True when a device that waited for it is there now. */
bool virtio_plug_eject(struct virtio_pci *dev);

/* The rest wants dev->lock held. */

/* A read of the BAR of a device that isn't there. */
uint64_t virtio_plug_absent_read(const struct virtio_pci *dev, uint64_t off, unsigned size);
/* The worker is off the rings: gives everything back. */
void virtio_plug_release(struct virtio_pci *dev);
