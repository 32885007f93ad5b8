/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_caps.h - configuration space of a virtio function: header, MSI-X capability, the virtio
 * capabilities (virtio 1.2 section 4.1.4). dev->lock is held. */
#pragma once

#include <stdint.h>
#include "pci/virtio_function.h"

void virtio_caps_init(struct virtio_pci *dev);
/* off and size lie within PCI_FUNCTION_BYTES; size 1, 2, 4 or 8 bytes. */
uint64_t virtio_caps_read(struct virtio_pci *dev, unsigned off, unsigned size);
void virtio_caps_write(struct virtio_pci *dev, unsigned off, unsigned size, uint64_t value);
