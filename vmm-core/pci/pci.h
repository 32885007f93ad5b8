/* SPDX-License-Identifier: Apache-2.0 */
/* pci.h - the host bridge: it finds the function that a guest's access is for, in configuration space
 * through ECAM (PCI Express 3.0 section 7.2.2) and ports 0xcf8/0xcfc (PCI Local Bus 3.0 section
 * 3.2.2.3.2), in memory by the BARs, which live in a window below 4 GiB and in one above RAM.
 *
 * Addresses name segment and bus; there is segment 0 with bus 0 on it: the bridge in slot 0, one
 * function in each of the slots 1..31.
 */
#pragma once

#include <stdint.h>
#include "base/compiler.h"
#include "bus/bus.h"
#include "pci/pci_function.h"
#include "shm/layout.h"

struct pci_address {
    uint16_t segment;
    uint8_t bus;
    uint8_t device;   /* 0..31: the slot */
    uint8_t function; /* 0..7 */
};

struct pci_host;

struct pci_window {
    struct pci_host *host;
    uint64_t base;
};

struct pci_host {
    struct pci_function *_Atomic slots[LAYOUT_PCI_SLOTS];
    struct pci_function bridge;
    struct pci_window window32, window64;
    _Atomic uint32_t address;    /* 0xcf8 */
    void (*on_reset)(void *arg); /* the guest wrote a reset to 0xcf9 */
    void *reset_arg;
};

/* window64: layout_mmio64_base() of this VM. */
void pci_host_init(struct pci_host *host, uint64_t window64, void (*on_reset)(void *arg),
                   void *arg);
/* ECAM, the memory windows, 0xcf8..0xcff. */
int pci_host_add_to(struct pci_host *host, struct bus *pio, struct bus *mmio) must_check;
/* Any time; fn lives as long as host: there is no unplug. A function whose device has left answers for
 * the empty slot itself, so that no vCPU thread is ever in one that goes away. -EINVAL for an address where no function can be,
 * -EEXIST when the slot is taken. */
int pci_host_plug(struct pci_host *host, struct pci_address at, struct pci_function *fn) must_check;
