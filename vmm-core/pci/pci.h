/* SPDX-License-Identifier: Apache-2.0 */
/* pci.h - bus 0: a host bridge in slot 0, one function in each of the slots 1..31, reached through
 * ECAM and through ports 0xcf8/0xcfc; and the 32-bit memory window their BARs live in.
 *
 * Every function has a 256-byte image of its configuration space and a mask of the bits that the
 * guest may write; extended space reads as zero. The function's own lock guards its image.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/compiler.h"
#include "bus/bus.h"
#include "shm/layout.h"

enum {
    PCI_CONFIG_BYTES = 256,
    PCI_FUNCTION_BYTES = 4096, /* in ECAM */
    PCI_VENDOR_ID = 0x00,
    PCI_DEVICE_ID = 0x02,
    PCI_COMMAND = 0x04,
    PCI_STATUS = 0x06,
    PCI_REVISION = 0x08,
    PCI_CLASS = 0x09, /* 3 bytes */
    PCI_CACHE_LINE = 0x0c,
    PCI_BAR0 = 0x10,
    PCI_SUBSYSTEM_VENDOR = 0x2c,
    PCI_SUBSYSTEM_ID = 0x2e,
    PCI_CAPABILITIES = 0x34,
    PCI_INTERRUPT_LINE = 0x3c,
    PCI_COMMAND_MEMORY = 1 << 1,
    PCI_COMMAND_WRITABLE = 1 << 1 | 1 << 2 | 1 << 6 | 1 << 8 | 1 << 10,
    PCI_STATUS_CAPABILITIES = 1 << 4,
};
#define PCI_BAR_NOT_DECODED UINT64_MAX

struct pci_function;

struct pci_function_ops {
    /* off < PCI_CONFIG_BYTES, the access lies within it; size 1, 2, 4 or 8. */
    uint64_t (*config_read)(struct pci_function *fn, unsigned off, unsigned size);
    void (*config_write)(struct pci_function *fn, unsigned off, unsigned size, uint64_t value);
    /* off and size lie within the BAR. */
    uint64_t (*bar_read)(struct pci_function *fn, uint64_t off, unsigned size);
    void (*bar_write)(struct pci_function *fn, uint64_t off, unsigned size, uint64_t value);
};

struct pci_function {
    const struct pci_function_ops *ops;
    uint8_t config[PCI_CONFIG_BYTES];
    uint8_t writable[PCI_CONFIG_BYTES];
    uint32_t bar_bytes;      /* of BAR0, a power of two; 0: none */
    _Atomic uint64_t bar_at; /* where BAR0 answers now, or PCI_BAR_NOT_DECODED */
};

struct pci_host {
    struct pci_function *slots[LAYOUT_PCI_SLOTS];
    struct pci_function bridge;
    _Atomic uint32_t address;    /* 0xcf8 */
    void (*on_reset)(void *arg); /* the guest wrote a reset to 0xcf9 */
    void *reset_arg;
};

void pci_host_init(struct pci_host *host, void (*on_reset)(void *arg), void *arg);
/* ECAM, the memory window, 0xcf8..0xcff. */
int pci_host_add_to(struct pci_host *host, struct bus *pio, struct bus *mmio) must_check;
/* Before the guest runs; slot 1..31. -EEXIST when it is taken. */
int pci_host_plug(struct pci_host *host, unsigned slot, struct pci_function *fn) must_check;

/* ---- for functions ---- */
void pci_set8(struct pci_function *fn, unsigned off, uint8_t v);
void pci_set16(struct pci_function *fn, unsigned off, uint16_t v);
void pci_set32(struct pci_function *fn, unsigned off, uint32_t v);
void pci_writable16(struct pci_function *fn, unsigned off, uint16_t mask);
void pci_writable32(struct pci_function *fn, unsigned off, uint32_t mask);
uint16_t pci_get16(const struct pci_function *fn, unsigned off);
uint32_t pci_get32(const struct pci_function *fn, unsigned off);
/* Header of type 0 with the usual writable bits; class is class, subclass, interface. */
void pci_header_init(struct pci_function *fn, uint16_t vendor, uint16_t device,
                     uint32_t class_code);
/* The writable bits of an access that lies within the image. */
void pci_config_store(struct pci_function *fn, unsigned off, unsigned size, uint64_t value);
/* Where command register and BAR0 say that the BAR is: inside the window, or not decoded. */
uint64_t pci_bar_address(const struct pci_function *fn);
static inline bool pci_overlaps(unsigned off, unsigned size, unsigned field, unsigned field_size)
{
    return off < field + field_size && field < off + size;
}
