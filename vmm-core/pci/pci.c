/* SPDX-License-Identifier: Apache-2.0 */
/* pci.c - see pci.h. */
#include "pci/pci.h"

#include <errno.h>
#include <string.h>
#include "base/err.h"

enum {
    BRIDGE_VENDOR = 0x1b36, /* as QEMU's generic host bridge, which guests know */
    BRIDGE_DEVICE = 0x0008,
    BRIDGE_CLASS = 0x060000,
    PORT_RESET = 1, /* 0xcf9 - 0xcf8 */
    PORT_DATA = 4,  /* 0xcfc - 0xcf8 */
    RESET_CPU = 1 << 2,
};
#define ADDRESS_ENABLE (UINT32_C(1) << 31)

/* ---- the bridge: a header and nothing else ---- */

static uint64_t bridge_read(struct pci_function *fn, unsigned off, unsigned size)
{
    return bus_image_read(fn->config, PCI_FUNCTION_BYTES, off, size);
}

static void bridge_write(struct pci_function *fn, unsigned off, unsigned size, uint64_t value)
{
    (void)fn, (void)off, (void)size, (void)value; /* nothing in it is writable */
}

static const struct pci_function_ops bridge_ops = { .config_read = bridge_read,
                                                    .config_write = bridge_write };

/* ---- configuration space ---- */

static struct pci_function *find_function(const struct pci_host *host, struct pci_address at)
{
    if (at.segment != 0 || at.bus != 0 || at.device >= LAYOUT_PCI_SLOTS || at.function != 0)
        return NULL;
    return host->slots[at.device];
}

static uint64_t config_read(struct pci_host *host, struct pci_address at, unsigned off,
                            unsigned size)
{
    struct pci_function *fn = find_function(host, at);

    return fn ? fn->ops->config_read(fn, off, size) : bus_ones(size);
}

static void config_write(struct pci_host *host, struct pci_address at, unsigned off, unsigned size,
                         uint64_t value)
{
    struct pci_function *fn = find_function(host, at);

    if (fn)
        fn->ops->config_write(fn, off, size, value);
}

/* ---- ECAM ---- */

static struct pci_address ecam_address(uint64_t off)
{
    return (struct pci_address){ .bus = (uint8_t)(off >> 20),
                                 .device = off >> 15 & 0x1f,
                                 .function = off >> 12 & 7 };
}

static uint64_t ecam_read(void *dev, uint64_t off, unsigned size)
{
    unsigned within = (unsigned)(off % PCI_FUNCTION_BYTES);

    if (within > PCI_FUNCTION_BYTES - size)
        return bus_ones(size); /* across two functions: no hardware does that */
    return config_read(dev, ecam_address(off), within, size);
}

static void ecam_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
    unsigned within = (unsigned)(off % PCI_FUNCTION_BYTES);

    if (within <= PCI_FUNCTION_BYTES - size)
        config_write(dev, ecam_address(off), within, size, value);
}

static const struct bus_ops ecam_ops = { .read = ecam_read, .write = ecam_write };

/* ---- ports 0xcf8..0xcff: address (dword only), reset (byte at 0xcf9), data ---- */

static struct pci_address port_address(uint32_t address)
{
    return (struct pci_address){ .bus = address >> 16 & 0xff,
                                 .device = address >> 11 & 0x1f,
                                 .function = address >> 8 & 7 };
}

static uint64_t port_read(void *dev, uint64_t off, unsigned size)
{
    struct pci_host *host = dev;
    uint32_t address = host->address;
    unsigned at;

    if (off == 0 && size == 4)
        return address;
    if (off == PORT_RESET && size == 1)
        return 0;
    if (off < PORT_DATA || !(address & ADDRESS_ENABLE))
        return bus_ones(size);
    at = (address & 0xfc) + (unsigned)(off - PORT_DATA);
    return config_read(host, port_address(address), at, size);
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
    if (off < PORT_DATA || !(address & ADDRESS_ENABLE))
        return;
    at = (address & 0xfc) + (unsigned)(off - PORT_DATA);
    config_write(host, port_address(address), at, size, value);
}

static const struct bus_ops port_ops = { .read = port_read, .write = port_write };

/* ---- the memory windows ---- */

struct target {
    struct pci_function *fn; /* NULL: nobody */
    unsigned bar;
    uint64_t off;
};

/* The BAR that holds the whole access. Where BARs lie over each other one of them has it: of the slot
 * whose usual place it is, then of the first slot behind that one. */
static struct target find_bar(const struct pci_host *host, uint64_t addr, unsigned size)
{
    unsigned guess = (unsigned)((addr - LAYOUT_MMIO32_BASE) / LAYOUT_BAR_STRIDE) % LAYOUT_PCI_SLOTS;

    for (unsigned i = 0; i < LAYOUT_PCI_SLOTS; i++) {
        struct pci_function *fn = host->slots[(guess + i) % LAYOUT_PCI_SLOTS];

        for (unsigned bar = 0; fn && bar < fn->n_bars; bar++) {
            uint64_t at = fn->bars[bar].at, bytes = fn->bars[bar].bytes;

            if (at != PCI_BAR_NOT_DECODED && addr >= at && addr - at < bytes &&
                size <= bytes - (addr - at))
                return (struct target){ .fn = fn, .bar = bar, .off = addr - at };
        }
    }
    return (struct target){ .fn = NULL };
}

static uint64_t window_read(void *dev, uint64_t off, unsigned size)
{
    const struct pci_window *window = dev;
    struct target to = find_bar(window->host, window->base + off, size);
    uint64_t value = 0;

    if (to.fn)
        return to.fn->ops->bar_read(to.fn, to.bar, to.off, size);
    if (size == 1)
        return 0xff;
    for (unsigned i = 0; i < size; i++)
        value |= window_read(dev, off + i, 1) << (8 * i);
    return value;
}

static void window_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
    const struct pci_window *window = dev;
    struct target to = find_bar(window->host, window->base + off, size);

    if (to.fn)
        to.fn->ops->bar_write(to.fn, to.bar, to.off, size, value);
    else if (size > 1)
        for (unsigned i = 0; i < size; i++)
            window_write(dev, off + i, 1, (value >> (8 * i)) & 0xff);
}

static const struct bus_ops window_ops = { .read = window_read, .write = window_write };

void pci_host_init(struct pci_host *host, uint64_t window64, void (*on_reset)(void *arg), void *arg)
{
    host->on_reset = on_reset;
    host->reset_arg = arg;
    host->window32 = (struct pci_window){ .host = host, .base = LAYOUT_MMIO32_BASE };
    host->window64 = (struct pci_window){ .host = host, .base = window64 };
    pci_header_init(&host->bridge, BRIDGE_VENDOR, BRIDGE_DEVICE, BRIDGE_CLASS);
    memset(host->bridge.writable, 0, sizeof host->bridge.writable);
    host->bridge.ops = &bridge_ops;
    host->slots[0] = &host->bridge;
}

int pci_host_add_to(struct pci_host *host, struct bus *pio, struct bus *mmio)
{
    int r = bus_add(mmio, host->window32.base, LAYOUT_MMIO32_END - LAYOUT_MMIO32_BASE, &window_ops,
                    &host->window32);

    if (r == 0)
        r = bus_add(mmio, LAYOUT_ECAM_BASE, LAYOUT_ECAM_BYTES, &ecam_ops, host);
    if (r == 0)
        r = bus_add(mmio, host->window64.base, LAYOUT_MMIO64_BYTES, &window_ops, &host->window64);
    if (r == 0)
        r = bus_add(pio, LAYOUT_PIO_PCI_ADDRESS, 8, &port_ops, host);
    return r < 0 ? err_trace(r) : 0;
}

int pci_host_plug(struct pci_host *host, struct pci_address at, struct pci_function *fn)
{
    if (at.segment != 0 || at.bus != 0 || at.device == 0 || at.device >= LAYOUT_PCI_SLOTS ||
        at.function != 0)
        return err_origin(-EINVAL, "no function can be at %04x:%02x:%02x.%u", at.segment, at.bus,
                          at.device, at.function);
    if (host->slots[at.device])
        return err_origin(-EEXIST, "PCI slot %u", at.device);
    fn->window64 = host->window64.base;
    host->slots[at.device] = fn;
    return 0;
}
