/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_irq.h - the wiring of a function's eventfds: calls to MSI-X vectors, notify addresses to
 * kicks. What the hypervisor refuses is logged and left undone. dev->lock is held. */
#pragma once

#include "pci/virtio_function.h"

void virtio_irq_sync(struct virtio_pci *dev); /* after any change of vectors or masks */
void virtio_irq_sync_queue(struct virtio_pci *dev, unsigned q);
void virtio_irq_config(struct virtio_pci *dev);          /* raise the configuration interrupt */
void virtio_irq_forget(struct virtio_pci *dev);          /* on reset: nothing is pending */
void virtio_irq_collect_pending(struct virtio_pci *dev); /* before the PBA is read */
void virtio_notify_sync(struct virtio_pci *dev); /* after the BAR moved, or the device left */
