/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_bar.h - what a driver finds in BAR 0 (virtio 1.2 section 4.1.4): common configuration, ISR,
 * device configuration, notify addresses, MSI-X table and pending bits. dev->lock is held. */
#pragma once

#include <stdint.h>
#include "pci/virtio_function.h"

/* off < VIRTIO_BAR_BYTES; size 1, 2, 4 or 8 bytes. An access that crosses two of the regions is
 * answered from the first alone. */
uint64_t virtio_bar_read(struct virtio_pci *dev, uint64_t off, unsigned size);
void virtio_bar_write(struct virtio_pci *dev, uint64_t off, unsigned size, uint64_t value);
