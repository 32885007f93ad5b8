/* SPDX-License-Identifier: Apache-2.0 */
/* pci.c - see pci.h. PCI Local Bus 3.0 section 6 (configuration space), PCI Firmware 3.0 (ECAM). */
#include "pci/pci.h"

#include <errno.h>
#include <string.h>
#include "base/err.h"
#include "base/log.h"

enum {
    BRIDGE_VENDOR = 0x1b36, /* as QEMU's generic host bridge, which guests know */
    BRIDGE_DEVICE = 0x0008,
    BRIDGE_CLASS = 0x060000,
    PORT_RESET = 1, /* 0xcf9 - 0xcf8 */
    PORT_DATA = 4,  /* 0xcfc - 0xcf8 */
    RESET_CPU = 1 << 2,
};
#define ADDRESS_ENABLE (UINT32_C(1) << 31)

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
    return (uint16_t)bus_image_read(fn->config, PCI_CONFIG_BYTES, off, 2);
}

uint32_t pci_get32(const struct pci_function *fn, unsigned off)
{
    return (uint32_t)bus_image_read(fn->config, PCI_CONFIG_BYTES, off, 4);
}

void pci_header_init(struct pci_function *fn, uint16_t vendor, uint16_t device, uint32_t class_code)
{
    pci_set16(fn, PCI_VENDOR_ID, vendor);
    pci_set16(fn, PCI_DEVICE_ID, device);
    pci_set32(fn, PCI_REVISION, class_code << 8);
    pci_writable16(fn, PCI_COMMAND, PCI_COMMAND_WRITABLE);
    pci_writable16(fn, PCI_CACHE_LINE, 0xffff); /* and the latency timer */
    pci_writable16(fn, PCI_INTERRUPT_LINE, 0x00ff);
    fn->bar_at = PCI_BAR_NOT_DECODED;
}

void pci_config_store(struct pci_function *fn, unsigned off, unsigned size, uint64_t value)
{
    for (unsigned i = 0; i < size; i++) {
        uint8_t mask = fn->writable[off + i];

        fn->config[off + i] =
            (uint8_t)((fn->config[off + i] & ~mask) | ((uint8_t)(value >> (8 * i)) & mask));
    }
}

uint64_t pci_bar_address(const struct pci_function *fn)
{
    uint64_t at = pci_get32(fn, PCI_BAR0) & ~UINT64_C(0xf);

    if (fn->bar_bytes == 0 || !(pci_get16(fn, PCI_COMMAND) & PCI_COMMAND_MEMORY) ||
        at < LAYOUT_MMIO32_BASE || at > LAYOUT_MMIO32_END - fn->bar_bytes)
        return PCI_BAR_NOT_DECODED;
    return at;
}

/* ---- the bridge: a header and nothing else ---- */

static uint64_t bridge_read(struct pci_function *fn, unsigned off, unsigned size)
{
    return bus_image_read(fn->config, PCI_CONFIG_BYTES, off, size);
}

static void bridge_write(struct pci_function *fn, unsigned off, unsigned size, uint64_t value)
{
    (void)fn, (void)off, (void)size, (void)value; /* nothing in it is writable */
}

static const struct pci_function_ops bridge_ops = { .config_read = bridge_read,
                                                    .config_write = bridge_write };

/* ---- configuration space, by slot and function ---- */

static struct pci_function *find_function(struct pci_host *host, unsigned devfn)
{
    return devfn % 8 == 0 && devfn / 8 < LAYOUT_PCI_SLOTS ? host->slots[devfn / 8] : NULL;
}

/* Bytes past a function's 256 are its extended space (zero); past 4096 they are nobody's. */
static uint64_t config_read(struct pci_host *host, unsigned devfn, unsigned off, unsigned size)
{
    struct pci_function *fn = find_function(host, devfn);
    uint64_t value = 0;

    if (!fn)
        return bus_ones(size);
    if (off <= PCI_CONFIG_BYTES - size)
        return fn->ops->config_read(fn, off, size);
    for (unsigned i = 0; i < size; i++)
        if (off + i < PCI_CONFIG_BYTES)
            value |= (fn->ops->config_read(fn, off + i, 1) & 0xff) << (8 * i);
    return value;
}

static void config_write(struct pci_host *host, unsigned devfn, unsigned off, unsigned size,
                         uint64_t value)
{
    struct pci_function *fn = find_function(host, devfn);

    if (!fn)
        return;
    if (off <= PCI_CONFIG_BYTES - size) {
        fn->ops->config_write(fn, off, size, value);
        return;
    }
    for (unsigned i = 0; i < size; i++)
        if (off + i < PCI_CONFIG_BYTES)
            fn->ops->config_write(fn, off + i, 1, (value >> (8 * i)) & 0xff);
}

/* ---- ECAM ---- */

static uint64_t ecam_read(void *dev, uint64_t off, unsigned size)
{
    unsigned within = (unsigned)(off % PCI_FUNCTION_BYTES);

    if (within > PCI_FUNCTION_BYTES - size)
        return bus_ones(size); /* across two functions: no hardware does that */
    return config_read(dev, (unsigned)(off / PCI_FUNCTION_BYTES), within, size);
}

static void ecam_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
    unsigned within = (unsigned)(off % PCI_FUNCTION_BYTES);

    if (within <= PCI_FUNCTION_BYTES - size)
        config_write(dev, (unsigned)(off / PCI_FUNCTION_BYTES), within, size, value);
}

static const struct bus_ops ecam_ops = { .read = ecam_read, .write = ecam_write };

/* ---- ports 0xcf8..0xcff: address (dword only), reset (byte at 0xcf9), data ---- */

static uint64_t port_read(void *dev, uint64_t off, unsigned size)
{
    struct pci_host *host = dev;
    uint32_t address = host->address;
    unsigned at;

    if (off == 0 && size == 4)
        return address;
    if (off == PORT_RESET && size == 1)
        return 0;
    if (off < PORT_DATA || !(address & ADDRESS_ENABLE) || (address >> 16 & 0xff) != 0)
        return bus_ones(size);
    at = (address & 0xfc) + (unsigned)(off - PORT_DATA);
    return config_read(host, address >> 8 & 0xff, at, size);
}

static void port_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
    struct pci_host *host = dev;
    uint32_t address = host->address;
    unsigned at;

    if (off == 0 && size == 4) {
        host->address = (uint32_t)value & (ADDRESS_ENABLE | 0xfffffc);
        return;
    }
    if (off == PORT_RESET && size == 1) {
        if ((value & RESET_CPU) && host->on_reset)
            host->on_reset(host->reset_arg);
        return;
    }
    if (off < PORT_DATA || !(address & ADDRESS_ENABLE) || (address >> 16 & 0xff) != 0)
        return;
    at = (address & 0xfc) + (unsigned)(off - PORT_DATA);
    config_write(host, address >> 8 & 0xff, at, size, value);
}

static const struct bus_ops port_ops = { .read = port_read, .write = port_write };

/* ---- the memory window ---- */

/* The function whose BAR holds the whole access. Its usual slot is tried first. */
static struct pci_function *find_bar(struct pci_host *host, uint64_t addr, unsigned size,
                                     uint64_t *ret_off)
{
    unsigned guess = (unsigned)((addr - LAYOUT_MMIO32_BASE) / LAYOUT_BAR_STRIDE) % LAYOUT_PCI_SLOTS;

    for (unsigned i = 0; i < LAYOUT_PCI_SLOTS; i++) {
        struct pci_function *fn = host->slots[(guess + i) % LAYOUT_PCI_SLOTS];
        uint64_t at = fn ? fn->bar_at : PCI_BAR_NOT_DECODED;

        if (at == PCI_BAR_NOT_DECODED || addr < at || addr - at >= fn->bar_bytes ||
            size > fn->bar_bytes - (addr - at))
            continue;
        *ret_off = addr - at;
        return fn;
    }
    return NULL;
}

static uint64_t window_read(void *dev, uint64_t off, unsigned size)
{
    uint64_t at = 0, value = 0;
    struct pci_function *fn = find_bar(dev, LAYOUT_MMIO32_BASE + off, size, &at);

    if (fn)
        return fn->ops->bar_read(fn, at, size);
    if (size == 1)
        return 0xff;
    for (unsigned i = 0; i < size; i++)
        value |= window_read(dev, off + i, 1) << (8 * i);
    return value;
}

static void window_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
    uint64_t at = 0;
    struct pci_function *fn = find_bar(dev, LAYOUT_MMIO32_BASE + off, size, &at);

    if (fn)
        fn->ops->bar_write(fn, at, size, value);
    else if (size > 1)
        for (unsigned i = 0; i < size; i++)
            window_write(dev, off + i, 1, (value >> (8 * i)) & 0xff);
}

static const struct bus_ops window_ops = { .read = window_read, .write = window_write };

void pci_host_init(struct pci_host *host, void (*on_reset)(void *arg), void *arg)
{
    host->on_reset = on_reset;
    host->reset_arg = arg;
    pci_header_init(&host->bridge, BRIDGE_VENDOR, BRIDGE_DEVICE, BRIDGE_CLASS);
    memset(host->bridge.writable, 0, sizeof host->bridge.writable);
    host->bridge.ops = &bridge_ops;
    host->slots[0] = &host->bridge;
}

int pci_host_add_to(struct pci_host *host, struct bus *pio, struct bus *mmio)
{
    int r = bus_add(mmio, LAYOUT_MMIO32_BASE, LAYOUT_MMIO32_END - LAYOUT_MMIO32_BASE, &window_ops,
                    host);

    if (r == 0)
        r = bus_add(mmio, LAYOUT_ECAM_BASE, LAYOUT_ECAM_BYTES, &ecam_ops, host);
    if (r == 0)
        r = bus_add(pio, LAYOUT_PIO_PCI_ADDRESS, 8, &port_ops, host);
    return r < 0 ? err_trace(r) : 0;
}

int pci_host_plug(struct pci_host *host, unsigned slot, struct pci_function *fn)
{
    if (slot == 0 || slot >= LAYOUT_PCI_SLOTS || host->slots[slot])
        return err_origin(-EEXIST, "PCI slot %u", slot);
    host->slots[slot] = fn;
    return 0;
}
