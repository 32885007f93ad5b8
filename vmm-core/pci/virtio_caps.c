/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_caps.c - see virtio_caps.h. One of the capabilities is a window to the BAR. */
#include "pci/virtio_caps.h"

#include <string.h>
#include "bus/bus.h"
#include "pci/virtio_bar.h"
#include "pci/virtio_irq.h"

enum {
    VENDOR = 0x1af4,
    DEVICE_BASE = 0x1040,
    REVISION = 1,
    CAP_ID_VENDOR = 0x09,
    CAP_ID_MSIX = 0x11,
    MSIX_CAP_BYTES = 12,
    CFG_COMMON = 1,
    CFG_NOTIFY = 2,
    CFG_ISR = 3,
    CFG_DEVICE = 4,
    CFG_PCI = 5,
    /* Where each capability is, in the order of the list. */
    AT_MSIX = 0x40,
    AT_COMMON = 0x50,
    AT_NOTIFY = 0x60,
    AT_ISR = 0x74,
    AT_DEVICE = 0x84,
    AT_WINDOW = 0x94,
    MSIX_CONTROL = AT_MSIX + 2,
    WINDOW_BAR = AT_WINDOW + 4,
    WINDOW_OFFSET = AT_WINDOW + 8,
    WINDOW_LENGTH = AT_WINDOW + 12,
    WINDOW_DATA = AT_WINDOW + 16,
    COMMON_BYTES = 0x3c,
};

static uint32_t class_of(uint32_t virtio_id)
{
    switch (virtio_id) {
    case 1: /* net */
        return 0x020000;
    case 2: /* block */
        return 0x018000;
    case 3: /* console */
        return 0x078000;
    case 5: /* balloon */
        return 0x050000;
    default:
        return 0x00ff00;
    }
}

static void add_cap(struct pci_function *fn, unsigned at, uint8_t len, uint8_t type,
                    uint32_t offset, uint32_t bytes)
{
    pci_capability_add(fn, at, CAP_ID_VENDOR, len);
    pci_set8(fn, at + 2, len);
    pci_set8(fn, at + 3, type);
    pci_set8(fn, at + 4, 0); /* BAR 0 */
    pci_set32(fn, at + 8, offset);
    pci_set32(fn, at + 12, bytes);
}

void virtio_caps_init(struct virtio_pci *dev)
{
    struct pci_function *fn = &dev->fn;

    pci_header_init(fn, VENDOR, (uint16_t)(DEVICE_BASE + dev->virtio_id), class_of(dev->virtio_id));
    pci_set8(fn, PCI_REVISION, REVISION);
    pci_set16(fn, PCI_SUBSYSTEM_VENDOR, VENDOR);
    pci_set16(fn, PCI_SUBSYSTEM_ID, (uint16_t)(DEVICE_BASE + dev->virtio_id));
    pci_bar_init(fn, 0, PCI_BAR_32, VIRTIO_BAR_BYTES,
                 LAYOUT_MMIO32_BASE + dev->slot * LAYOUT_BAR_STRIDE);

    pci_capability_add(fn, AT_MSIX, CAP_ID_MSIX, MSIX_CAP_BYTES);
    pci_set16(fn, MSIX_CONTROL, (uint16_t)(dev->msix.n_vectors - 1));
    pci_writable16(fn, MSIX_CONTROL, MSIX_CONTROL_ENABLE | MSIX_CONTROL_MASK_ALL);
    pci_set32(fn, AT_MSIX + 4, VIRTIO_BAR_MSIX_TABLE); /* in BAR 0 */
    pci_set32(fn, AT_MSIX + 8, VIRTIO_BAR_MSIX_PBA);

    add_cap(fn, AT_COMMON, 16, CFG_COMMON, VIRTIO_BAR_COMMON, COMMON_BYTES);
    add_cap(fn, AT_NOTIFY, 20, CFG_NOTIFY, VIRTIO_BAR_NOTIFY,
            LAYOUT_MAX_QUEUES * VIRTIO_NOTIFY_STRIDE);
    pci_set32(fn, AT_NOTIFY + 16, VIRTIO_NOTIFY_STRIDE);
    add_cap(fn, AT_ISR, 16, CFG_ISR, VIRTIO_BAR_ISR, 4);
    add_cap(fn, AT_DEVICE, 16, CFG_DEVICE, VIRTIO_BAR_DEVICE, VIRTIO_CONFIG_MAX);
    add_cap(fn, AT_WINDOW, 20, CFG_PCI, 0, 0);
    pci_set8(fn, WINDOW_BAR, 0);
    fn->writable[WINDOW_BAR] = 0xff;
    pci_writable32(fn, WINDOW_OFFSET, UINT32_MAX);
    pci_writable32(fn, WINDOW_LENGTH, UINT32_MAX);
    pci_writable32(fn, WINDOW_DATA, UINT32_MAX);
}

/* Does the window name a legal access to BAR 0? Section 4.1.4.9. */
static bool window_valid(const struct virtio_pci *dev, uint32_t *ret_off, unsigned *ret_size)
{
    uint32_t off = pci_get32(&dev->fn, WINDOW_OFFSET);
    uint32_t size = pci_get32(&dev->fn, WINDOW_LENGTH);

    if (dev->fn.config[WINDOW_BAR] != 0 || (size != 1 && size != 2 && size != 4) ||
        off % size != 0 || off >= VIRTIO_BAR_BYTES)
        return false;
    *ret_off = off;
    *ret_size = size;
    return true;
}

uint64_t virtio_caps_read(struct virtio_pci *dev, unsigned off, unsigned size)
{
    uint32_t at = 0;
    unsigned bytes = 0;

    if (pci_overlaps(off, size, WINDOW_DATA, 4) && window_valid(dev, &at, &bytes)) {
        uint64_t value = virtio_bar_read(dev, at, bytes);

        memcpy(dev->fn.config + WINDOW_DATA, &value, bytes);
    }
    return bus_image_read(dev->fn.config, PCI_FUNCTION_BYTES, off, size);
}

void virtio_caps_write(struct virtio_pci *dev, unsigned off, unsigned size, uint64_t value)
{
    uint32_t at = 0;
    unsigned bytes = 0;

    if (pci_config_store(&dev->fn, off, size, value))
        virtio_notify_sync(dev);
    if (pci_overlaps(off, size, MSIX_CONTROL, 2)) {
        uint16_t control = pci_get16(&dev->fn, MSIX_CONTROL);

        dev->msix.enabled = control & MSIX_CONTROL_ENABLE;
        dev->msix.mask_all = control & MSIX_CONTROL_MASK_ALL;
        virtio_irq_sync(dev);
    }
    if (pci_overlaps(off, size, WINDOW_DATA, 4) && window_valid(dev, &at, &bytes))
        virtio_bar_write(dev, at, bytes, pci_get32(&dev->fn, WINDOW_DATA) & bus_ones(bytes));
}
