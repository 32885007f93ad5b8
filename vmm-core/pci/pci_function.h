/* SPDX-License-Identifier: Apache-2.0 */
/* pci_function.h - one PCI function: its configuration space with the bits that the guest may write,
 * its BARs, and its list of capabilities (PCI Local Bus 3.0 chapter 6; the extended space behind the
 * first 256 bytes: PCI Express 3.0 section 7.2.2).
 *
 * What is not set here reads as zero and is not written. The function's own lock guards the image;
 * which BARs there are and where one answers may be read without it. Offsets and sizes are in bytes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "base/compiler.h"

enum {
    PCI_CONFIG_BYTES = 256,    /* reached through ports too */
    PCI_FUNCTION_BYTES = 4096, /* all of configuration space, as in ECAM */
    PCI_BARS = 6,
    PCI_VENDOR_ID = 0x00,
    PCI_DEVICE_ID = 0x02,
    PCI_COMMAND = 0x04,
    PCI_STATUS = 0x06,
    PCI_REVISION = 0x08,
    PCI_CLASS = 0x09, /* 3 bytes */
    PCI_CACHE_LINE = 0x0c,
    PCI_BAR0 = 0x10, /* + 4 * BAR */
    PCI_SUBSYSTEM_VENDOR = 0x2c,
    PCI_SUBSYSTEM_ID = 0x2e,
    PCI_CAPABILITIES = 0x34,
    PCI_INTERRUPT_LINE = 0x3c,
    PCI_CAPABILITIES_MIN = 0x40, /* where the header ends */
    PCI_COMMAND_MEMORY = 1 << 1,
    PCI_COMMAND_WRITABLE = 1 << 1 | 1 << 2 | 1 << 6 | 1 << 8 | 1 << 10,
    PCI_STATUS_CAPABILITIES = 1 << 4,
    PCI_BAR_BYTES_MIN = 16,
};
#define PCI_BAR_NOT_DECODED UINT64_MAX

struct pci_function;

struct pci_function_ops {
    /* The access lies within PCI_FUNCTION_BYTES; size 1, 2, 4 or 8. */
    uint64_t (*config_read)(struct pci_function *fn, unsigned off, unsigned size);
    void (*config_write)(struct pci_function *fn, unsigned off, unsigned size, uint64_t value);
    /* The access lies within that BAR, one that pci_bar_init() made; size 1, 2, 4 or 8. */
    uint64_t (*bar_read)(struct pci_function *fn, unsigned bar, uint64_t off, unsigned size);
    void (*bar_write)(struct pci_function *fn, unsigned bar, uint64_t off, unsigned size,
                      uint64_t value);
};

/* Bits 0 to 3 of a memory BAR, section 6.2.5.1. */
enum pci_bar_kind {
    PCI_BAR_32 = 0,
    PCI_BAR_64 = 4, /* takes the next BAR's register for its upper half */
    PCI_BAR_64_PREFETCHABLE = 12,
};

struct pci_bar {
    enum pci_bar_kind kind;
    _Atomic uint64_t bytes; /* a power of two; 0: there is none */
    _Atomic uint64_t at;    /* where it answers now, or PCI_BAR_NOT_DECODED */
};

struct pci_function {
    const struct pci_function_ops *ops;
    struct pci_bar bars[PCI_BARS];
    _Atomic unsigned n_bars; /* 1 + the highest BAR there is */
    uint64_t window64;       /* where the window of 64-bit BARs begins; 0: in no slot yet */
    unsigned last_cap;       /* offset of the list's last capability, 0: it is empty */
    unsigned caps_end;       /* the first byte behind it */
    uint8_t config[PCI_FUNCTION_BYTES];
    uint8_t writable[PCI_FUNCTION_BYTES];
};

void pci_set8(struct pci_function *fn, unsigned off, uint8_t v);
void pci_set16(struct pci_function *fn, unsigned off, uint16_t v);
void pci_set32(struct pci_function *fn, unsigned off, uint32_t v);
void pci_writable16(struct pci_function *fn, unsigned off, uint16_t mask);
void pci_writable32(struct pci_function *fn, unsigned off, uint32_t mask);
uint16_t pci_get16(const struct pci_function *fn, unsigned off);
uint32_t pci_get32(const struct pci_function *fn, unsigned off);

/* Header of type 0 with the usual writable bits; class_code is class, subclass, interface. Of what
 * was in fn before only ops and the windows are kept. */
void pci_header_init(struct pci_function *fn, uint16_t vendor, uint16_t device,
                     uint32_t class_code);
/* A memory BAR of `bytes`, a power of two of PCI_BAR_BYTES_MIN or more, that holds `at` until the
 * guest moves it; at: a multiple of bytes, 0: nowhere. */
void pci_bar_init(struct pci_function *fn, unsigned bar, enum pci_bar_kind kind, uint64_t bytes,
                  uint64_t at);
/* Puts a capability of `bytes`, with its id and the link to the next one, at the end of the list;
 * at: a multiple of 4 behind the one before. The caller sets what follows the first two bytes. */
void pci_capability_add(struct pci_function *fn, unsigned at, uint8_t id, unsigned bytes);

/* What the guest writes, as far as it may, to an access that lies within the image; then BARs are where
 * command register and BARs say, as long as all of a BAR lies in the window below 4 GiB or, if it is
 * a 64-bit one, in the window above RAM: never over RAM or what the platform has. True when a BAR
 * answers elsewhere now. */
bool pci_config_store(struct pci_function *fn, unsigned off, unsigned size, uint64_t value);

static inline bool pci_overlaps(unsigned off, unsigned size, unsigned field, unsigned field_size)
{
    return off < field + field_size && field < off + size;
}
