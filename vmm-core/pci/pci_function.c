/* SPDX-License-Identifier: Apache-2.0 */
/* pci_function.c - see pci_function.h. */
#include "pci/pci_function.h"

#include <assert.h>
#include <string.h>
#include "bus/bus.h"
#include "shm/layout.h"

enum { CAP_NEXT = 1 };

void pci_set8(struct pci_function *fn, unsigned off, uint8_t v)
{
    fn->config[off] = v;
}

void pci_set16(struct pci_function *fn, unsigned off, uint16_t v)
{
    memcpy(fn->config + off, &v, sizeof v);
}

void pci_set32(struct pci_function *fn, unsigned off, uint32_t v)
{
    memcpy(fn->config + off, &v, sizeof v);
}

void pci_writable16(struct pci_function *fn, unsigned off, uint16_t mask)
{
    memcpy(fn->writable + off, &mask, sizeof mask);
}

void pci_writable32(struct pci_function *fn, unsigned off, uint32_t mask)
{
    memcpy(fn->writable + off, &mask, sizeof mask);
}

uint16_t pci_get16(const struct pci_function *fn, unsigned off)
{
    return (uint16_t)bus_image_read(fn->config, PCI_FUNCTION_BYTES, off, 2);
}

uint32_t pci_get32(const struct pci_function *fn, unsigned off)
{
    return (uint32_t)bus_image_read(fn->config, PCI_FUNCTION_BYTES, off, 4);
}

void pci_header_init(struct pci_function *fn, uint16_t vendor, uint16_t device, uint32_t class_code)
{
    fn->n_bars = 0;
    for (unsigned bar = 0; bar < PCI_BARS; bar++) {
        fn->bars[bar].at = PCI_BAR_NOT_DECODED;
        fn->bars[bar].bytes = 0;
    }
    memset(fn->config, 0, sizeof fn->config);
    memset(fn->writable, 0, sizeof fn->writable);
    pci_set16(fn, PCI_VENDOR_ID, vendor);
    pci_set16(fn, PCI_DEVICE_ID, device);
    pci_set32(fn, PCI_REVISION, class_code << 8);
    pci_writable16(fn, PCI_COMMAND, PCI_COMMAND_WRITABLE);
    pci_writable16(fn, PCI_CACHE_LINE, 0xffff); /* and the latency timer */
    pci_writable16(fn, PCI_INTERRUPT_LINE, 0x00ff);
    fn->last_cap = 0;
    fn->caps_end = PCI_CAPABILITIES_MIN;
}

/* ---- BARs ---- */

void pci_bar_init(struct pci_function *fn, unsigned bar, enum pci_bar_kind kind, uint64_t bytes,
                  uint64_t at)
{
    unsigned reg = PCI_BAR0 + 4 * bar;
    uint64_t mask = ~(bytes - 1);

    assert(bar + (kind != PCI_BAR_32) < PCI_BARS && is_power_of_two(bytes) &&
           bytes >= PCI_BAR_BYTES_MIN && (at & ~mask) == 0);
    assert(kind != PCI_BAR_32 || (bytes <= 1u << 31 && at <= UINT32_MAX));
    fn->bars[bar].kind = kind;
    fn->bars[bar].bytes = bytes;
    fn->n_bars = MAX(fn->n_bars, bar + 1);
    pci_set32(fn, reg, (uint32_t)at | kind);
    pci_writable32(fn, reg, (uint32_t)mask);
    if (kind == PCI_BAR_32)
        return;
    pci_set32(fn, reg + 4, (uint32_t)(at >> 32));
    pci_writable32(fn, reg + 4, (uint32_t)(mask >> 32));
}

static bool lies_within(uint64_t at, uint64_t bytes, uint64_t window, uint64_t window_bytes)
{
    return at >= window && bytes <= window_bytes && at - window <= window_bytes - bytes;
}

static uint64_t decode(const struct pci_function *fn, unsigned bar)
{
    const struct pci_bar *b = &fn->bars[bar];
    bool wide = b->kind != PCI_BAR_32;
    uint64_t at;

    if (b->bytes == 0 || !(pci_get16(fn, PCI_COMMAND) & PCI_COMMAND_MEMORY))
        return PCI_BAR_NOT_DECODED;
    at = pci_get32(fn, PCI_BAR0 + 4 * bar) & ~UINT32_C(0xf);
    if (wide)
        at |= (uint64_t)pci_get32(fn, PCI_BAR0 + 4 * bar + 4) << 32;
    if (lies_within(at, b->bytes, LAYOUT_MMIO32_BASE, LAYOUT_MMIO32_END - LAYOUT_MMIO32_BASE))
        return at;
    if (wide && fn->window64 != 0 && lies_within(at, b->bytes, fn->window64, LAYOUT_MMIO64_BYTES))
        return at;
    return PCI_BAR_NOT_DECODED;
}

static bool decode_all(struct pci_function *fn)
{
    bool moved = false;

    for (unsigned bar = 0; bar < fn->n_bars; bar++) {
        uint64_t at = decode(fn, bar);

        moved |= at != fn->bars[bar].at;
        fn->bars[bar].at = at;
    }
    return moved;
}

bool pci_config_store(struct pci_function *fn, unsigned off, unsigned size, uint64_t value)
{
    for (unsigned i = 0; i < size; i++) {
        uint8_t mask = fn->writable[off + i];

        fn->config[off + i] =
            (uint8_t)((fn->config[off + i] & ~mask) | ((uint8_t)(value >> (8 * i)) & mask));
    }
    if (!pci_overlaps(off, size, PCI_COMMAND, 2) &&
        !pci_overlaps(off, size, PCI_BAR0, 4 * PCI_BARS))
        return false;
    return decode_all(fn);
}

/* ---- capabilities ---- */

void pci_capability_add(struct pci_function *fn, unsigned at, uint8_t id, unsigned bytes)
{
    assert(at % 4 == 0 && at >= fn->caps_end && bytes >= 2 && bytes <= PCI_CONFIG_BYTES - at);
    if (fn->last_cap == 0) {
        pci_set16(fn, PCI_STATUS, pci_get16(fn, PCI_STATUS) | PCI_STATUS_CAPABILITIES);
        pci_set8(fn, PCI_CAPABILITIES, (uint8_t)at);
    } else {
        pci_set8(fn, fn->last_cap + CAP_NEXT, (uint8_t)at);
    }
    pci_set8(fn, at, id);
    pci_set8(fn, at + CAP_NEXT, 0);
    fn->last_cap = at;
    fn->caps_end = at + bytes;
}
