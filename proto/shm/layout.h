/* SPDX-License-Identifier: Apache-2.0 */
/* layout.h - the guest's physical address map and platform numbers that loader and core share. */
#pragma once

#include <stdint.h>

/* RAM: [0, LAYOUT_LOW_RAM_MAX) and, when there is more, from LAYOUT_HIGH_RAM_BASE on. In the RAM
 * memfd the two follow each other without a gap. */
#define LAYOUT_LOW_RAM_MAX 0xc0000000ull
#define LAYOUT_HIGH_RAM_BASE 0x100000000ull
#define LAYOUT_RAM_MIN_BYTES (16ull << 20)
#define LAYOUT_RAM_MAX_BYTES (1ull << 40)

/* 32-bit PCI window; each function gets one BAR of LAYOUT_BAR_STRIDE in slot order. */
#define LAYOUT_MMIO32_BASE 0xc0000000ull
#define LAYOUT_MMIO32_END 0xe0000000ull
#define LAYOUT_BAR_STRIDE 0x10000ull
#define LAYOUT_ECAM_BASE 0xe0000000ull
#define LAYOUT_ECAM_BYTES 0x100000ull /* bus 0 only: 32 devices x 8 functions x 4 KiB */

/* 64-bit PCI window, for BARs of up to its size: aligned to that, above all RAM of this VM. It is the
 * one thing whose place depends on the VM. A guest whose processor can't address it (36 bits) leaves
 * it alone. */
#define LAYOUT_MMIO64_BYTES (64ull << 30)
static inline uint64_t layout_mmio64_base(uint64_t ram_bytes)
{
    uint64_t high = ram_bytes > LAYOUT_LOW_RAM_MAX ? ram_bytes - LAYOUT_LOW_RAM_MAX : 0;

    return (LAYOUT_HIGH_RAM_BASE + high + LAYOUT_MMIO64_BYTES - 1) & ~(LAYOUT_MMIO64_BYTES - 1);
}

#define LAYOUT_IOAPIC_BASE 0xfec00000ull
#define LAYOUT_LAPIC_BASE 0xfee00000ull
#define LAYOUT_KVM_TSS 0xfffbd000ull
#define LAYOUT_KVM_IDENTITY_MAP 0xfffbc000ull

/* Port I/O. */
enum {
    LAYOUT_PIO_KEYBOARD_DATA = 0x60, /* GSI 1 */
    LAYOUT_PIO_KEYBOARD_COMMAND = 0x64,
    LAYOUT_PIO_RTC = 0x70,          /* 0x70 index, 0x71 data */
    LAYOUT_PIO_SERIAL = 0x3f8,      /* 8 ports, GSI 4 */
    LAYOUT_PIO_PCI_ADDRESS = 0xcf8, /* 0xcf8..0xcff */
    LAYOUT_PIO_SLEEP_CONTROL = 0x600,
    LAYOUT_PIO_SLEEP_STATUS = 0x601,
    LAYOUT_PIO_RESET = 0x602,   /* write LAYOUT_RESET_VALUE */
    LAYOUT_PIO_GED = 0x604,     /* 32 bits, read clears: LAYOUT_GED_* */
    LAYOUT_PIO_HOTPLUG = 0x608, /* 32 bits each: slots up, down, eject */
    LAYOUT_PIO_HOTPLUG_END = 0x614,
    LAYOUT_RESET_VALUE = 0x01,
    LAYOUT_SLP_TYP_S5 = 5, /* \_S5 value; sleep control = SLP_EN (bit 5) | typ << 2 */
    LAYOUT_GED_POWER_BUTTON = 1,
    LAYOUT_GED_PCI = 2, /* a slot's device came, or is to go */
};

enum {
    LAYOUT_GSI_KEYBOARD = 1,
    LAYOUT_GSI_SERIAL = 4,
    LAYOUT_GSI_GED = 5,
    LAYOUT_GSI_RTC = 8,
    LAYOUT_GSI_MSI_BASE = 24, /* first GSI used for MSI-X routes */
};

enum { LAYOUT_PCI_SLOTS = 32, LAYOUT_MAX_VCPUS = 64, LAYOUT_MAX_QUEUES = 64 };

/* Where the loader puts things in low RAM. */
#define LAYOUT_BOOT_GDT 0x500ull
#define LAYOUT_BOOT_GDT_LIMIT 39u
#define LAYOUT_HVM_START_INFO 0x6000ull
#define LAYOUT_BOOT_PARAMS 0x7000ull
#define LAYOUT_PVH_MEMMAP 0x8000ull
#define LAYOUT_PAGE_TABLES 0x9000ull /* PML4, PDPT, 4 PDs: identity map of 4 GiB */
#define LAYOUT_CMDLINE 0x20000ull
#define LAYOUT_CMDLINE_MAX 2048u
#define LAYOUT_EBDA 0x9fc00ull /* RSDP copy is at 0xe0000, where firmware puts it */
#define LAYOUT_RSDP 0xe0000ull
#define LAYOUT_ACPI_TABLES 0xe0040ull
#define LAYOUT_ACPI_END 0xffff0ull
#define LAYOUT_RESET_VECTOR 0xffff0ull /* real mode's entry of firmware: a stub that resets */
#define LAYOUT_KERNEL_MIN 0x100000ull
