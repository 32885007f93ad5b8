/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_common.h - the common configuration registers (virtio 1.2 section 4.1.4.3) and the device
 * status that they drive (section 3.1). dev->lock is held. */
#pragma once

#include <stdint.h>
#include "pci/virtio_function.h"

/* off: from the start of the registers; any offset; size 1, 2, 4 or 8 bytes. Bytes beyond the
 * registers read as zero; a write that is not one register, or one half of a 64-bit one, is ignored. */
uint64_t virtio_common_read(struct virtio_pci *dev, uint64_t off, unsigned size);
void virtio_common_write(struct virtio_pci *dev, uint64_t off, unsigned size, uint64_t value);
/* The device as after power-on: the worker no longer touches the rings, or never did. */
void virtio_common_reset(struct virtio_pci *dev);
