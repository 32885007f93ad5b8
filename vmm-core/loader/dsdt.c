/* SPDX-License-Identifier: Apache-2.0 */
/* dsdt.c - the machine that a guest finds, in AML. */
#include "dsdt.h"

#include <stdio.h>
#include "shm/layout.h"

enum {
    OP_STORE = 0x70,
    OP_AND = 0x7b,
    OP_OR = 0x7d,
    OP_NOTIFY = 0x86,
    OP_DWORD_FIELD = 0x8a,
    OP_NOT = 0x92,
    OP_EQUAL = 0x93,
    OP_RETURN = 0xa4,
    OP_LOCAL0 = 0x60,
    OP_ARG0 = 0x68,
    OP_NULL = 0x00,
    OP_EXT = 0x5b,
    OP_REGION = 0x80,
    OP_FIELD = 0x81
};
/* _OSC: status bits (ACPI 6.4, 6.2.11.1), and what the guest may control by itself: hotplug, SHPC,
 * PME, AER, the PCIe capability. Nobody else has them. */
enum { OSC_BAD_UUID = 1 << 2, OSC_BAD_REVISION = 1 << 3, OSC_MASKED = 1 << 4, OSC_GRANTED = 0x1f };
enum {
    NOTIFY_DEVICE_CHECK = 1,
    NOTIFY_EJECT_REQUEST = 3,
    NOTIFY_BUTTON_PRESSED = 0x80,
    SPACE_SYSTEM_IO = 1,
    FIELD_DWORD_ACCESS = 3,
    SLOT_NAME = 4, /* bytes: S01 */
};

static struct aml scratch(uint8_t *buf, size_t cap)
{
    return (struct aml){ .buf = buf, .cap = cap };
}

static void create_dword_field(struct aml *a, unsigned offset, const char *name)
{
    aml_u8(a, OP_DWORD_FIELD);
    aml_u8(a, OP_ARG0 + 3);
    aml_int(a, offset);
    aml_name_string(a, name);
}

/* CDW1 |= bit */
static void set_status(struct aml *a, unsigned bit)
{
    aml_u8(a, OP_OR);
    aml_name_string(a, "CDW1");
    aml_int(a, bit);
    aml_name_string(a, "CDW1");
}

/* If (Arg0 == the UUID of PCI) { CDW3 &= granted, and say what was wrong } Else { CDW1 |= bad UUID } */
static void pci_osc(struct aml *a)
{
    size_t method = aml_open_method(a, "_OSC", 4, true), branch, inner;

    create_dword_field(a, 0, "CDW1");
    create_dword_field(a, 8, "CDW3");
    branch = aml_open_if(a);
    aml_u8(a, OP_EQUAL);
    aml_u8(a, OP_ARG0);
    aml_uuid(a, "33DB4D5B-1FF7-401C-9657-7441C03DD766");
    aml_u8(a, OP_AND);
    aml_name_string(a, "CDW3");
    aml_int(a, OSC_GRANTED);
    aml_u8(a, OP_LOCAL0);
    inner = aml_open_if(a); /* something was asked for that isn't granted */
    aml_u8(a, OP_NOT);
    aml_u8(a, OP_EQUAL);
    aml_u8(a, OP_LOCAL0);
    aml_name_string(a, "CDW3");
    set_status(a, OSC_MASKED);
    aml_close(a, inner);
    inner = aml_open_if(a); /* Arg1 is the revision */
    aml_u8(a, OP_NOT);
    aml_u8(a, OP_EQUAL);
    aml_u8(a, OP_ARG0 + 1);
    aml_int(a, 1);
    set_status(a, OSC_BAD_REVISION);
    aml_close(a, inner);
    aml_u8(a, OP_STORE);
    aml_u8(a, OP_LOCAL0);
    aml_name_string(a, "CDW3");
    aml_close(a, branch);
    branch = aml_open_else(a);
    set_status(a, OSC_BAD_UUID);
    aml_close(a, branch);
    aml_u8(a, OP_RETURN);
    aml_u8(a, OP_ARG0 + 3);
    aml_close(a, method);
}

/* OperationRegion (name, SystemIO, port, 4 * n) and over it Field { fields, 32 bits each }. */
static void registers(struct aml *a, const char *name, uint16_t port, const char *const *fields,
                      unsigned n)
{
    size_t field;

    aml_u8(a, OP_EXT);
    aml_u8(a, OP_REGION);
    aml_name_string(a, name);
    aml_u8(a, SPACE_SYSTEM_IO);
    aml_int(a, port);
    aml_int(a, 4 * (uint64_t)n);
    aml_u8(a, OP_EXT);
    aml_u8(a, OP_FIELD);
    field = a->len;
    aml_bytes(a, "\0\0\0", 3);
    aml_name_string(a, name);
    aml_u8(a, FIELD_DWORD_ACCESS);
    for (unsigned i = 0; i < n; i++) {
        aml_name_string(a, fields[i]);
        aml_u8(a, 32);
    }
    aml_close(a, field);
}

/* ---- slots (hotplug.h has the registers) ---- */

static void slot_name(char name[SLOT_NAME], unsigned slot)
{
    snprintf(name, SLOT_NAME, "S%02u", slot & 0x1f);
}

/* Device (Snn) { _ADR, _SUN, Method (_EJ0, 1) { PCEJ = 1 << slot } } */
static void slot_device(struct aml *a, unsigned slot)
{
    char name[SLOT_NAME];
    size_t dev, method;

    slot_name(name, slot);
    dev = aml_open_device(a, name);
    aml_name_int(a, "_ADR", (uint64_t)slot << 16);
    aml_name_int(a, "_SUN", slot);
    method = aml_open_method(a, "_EJ0", 1, true);
    aml_u8(a, OP_STORE);
    aml_int(a, UINT64_C(1) << slot);
    aml_name_string(a, "PCEJ");
    aml_close(a, method);
    aml_close(a, dev);
}

/* Method (PCNV, 2) { for each slot: If (Arg0 & 1 << slot) { Notify (Snn, Arg1) } } */
static void slot_notify(struct aml *a)
{
    size_t method = aml_open_method(a, "PCNV", 2, true), condition;
    char name[SLOT_NAME];

    for (unsigned slot = 1; slot < LAYOUT_PCI_SLOTS; slot++) {
        slot_name(name, slot);
        condition = aml_open_if(a);
        aml_u8(a, OP_AND);
        aml_u8(a, OP_ARG0);
        aml_int(a, UINT64_C(1) << slot);
        aml_u8(a, OP_NULL);
        aml_u8(a, OP_NOTIFY);
        aml_name_string(a, name);
        aml_u8(a, OP_ARG0 + 1);
        aml_close(a, condition);
    }
    aml_close(a, method);
}

/* PCNV (reg, what) */
static void notify_slots_of(struct aml *a, const char *reg, unsigned what)
{
    aml_name_string(a, "PCNV");
    aml_name_string(a, reg);
    aml_int(a, what);
}

/* Method (PCNT): what the event device calls. Who is to go first: a slot may have been filled again
 * since. */
static void slots(struct aml *a)
{
    static const char *const fields[] = { "PCUP", "PCDN", "PCEJ" };
    size_t method;

    registers(a, "PCIR", LAYOUT_PIO_HOTPLUG, fields, 3);
    for (unsigned slot = 1; slot < LAYOUT_PCI_SLOTS; slot++)
        slot_device(a, slot);
    slot_notify(a);
    method = aml_open_method(a, "PCNT", 0, true);
    notify_slots_of(a, "PCDN", NOTIFY_EJECT_REQUEST);
    notify_slots_of(a, "PCUP", NOTIFY_DEVICE_CHECK);
    aml_close(a, method);
}

/* No _PRT: functions interrupt by MSI-X alone. */
static void pci_root(struct aml *a, uint64_t window64)
{
    uint8_t buf[192];
    struct aml res = scratch(buf, sizeof buf);
    size_t dev = aml_open_device(a, "PCI0");

    aml_name_eisaid(a, "_HID", "PNP0A08");
    aml_name_eisaid(a, "_CID", "PNP0A03");
    aml_name_int(a, "_SEG", 0);
    aml_name_int(a, "_BBN", 0);
    aml_name_int(a, "_UID", 0);
    aml_name_int(a, "_CCA", 1);
    aml_res_bus(&res, 0, 0);
    aml_res_io(&res, LAYOUT_PIO_PCI_ADDRESS, 8);
    aml_res_io_window(&res, 0, LAYOUT_PIO_PCI_ADDRESS - 1);
    aml_res_io_window(&res, LAYOUT_PIO_PCI_ADDRESS + 8, 0xffff);
    aml_res_memory_window(&res, LAYOUT_MMIO32_BASE, LAYOUT_MMIO32_END - 1);
    aml_res_memory_window64(&res, window64, window64 + LAYOUT_MMIO64_BYTES - 1);
    aml_name_resources(a, &res);
    pci_osc(a);
    slots(a);
    aml_close(a, dev);
}

/* The ECAM must be claimed by a motherboard device or Linux doesn't trust MCFG; the ports of sleep,
 * reset, events and slots, so that no driver takes them. */
static void motherboard(struct aml *a)
{
    uint8_t buf[32];
    struct aml res = scratch(buf, sizeof buf);
    size_t dev = aml_open_device(a, "MBRD");

    aml_name_eisaid(a, "_HID", "PNP0C02");
    aml_name_int(a, "_UID", 0);
    aml_res_memory32(&res, LAYOUT_ECAM_BASE, LAYOUT_ECAM_BYTES);
    aml_res_io(&res, LAYOUT_PIO_SLEEP_CONTROL, LAYOUT_PIO_HOTPLUG_END - LAYOUT_PIO_SLEEP_CONTROL);
    aml_name_resources(a, &res);
    aml_close(a, dev);
}

/* A register in each of two places. By level: see event_device(). */
static void keyboard(struct aml *a)
{
    uint8_t buf[32];
    struct aml res = scratch(buf, sizeof buf);
    size_t dev = aml_open_device(a, "KBD");

    aml_name_eisaid(a, "_HID", "PNP0303");
    aml_name_int(a, "_UID", 0);
    aml_res_io(&res, LAYOUT_PIO_KEYBOARD_DATA, 1);
    aml_res_io(&res, LAYOUT_PIO_KEYBOARD_COMMAND, 1);
    aml_res_interrupt(&res, LAYOUT_GSI_KEYBOARD, AML_LEVEL);
    aml_name_resources(a, &res);
    aml_close(a, dev);
}

enum { NO_INTERRUPT = 0 };

static void port_device(struct aml *a, const char *name, const char *hid, uint16_t port,
                        uint8_t n_ports, uint32_t gsi)
{
    uint8_t buf[32];
    struct aml res = scratch(buf, sizeof buf);
    size_t dev = aml_open_device(a, name);

    aml_name_eisaid(a, "_HID", hid);
    aml_name_int(a, "_UID", 0);
    aml_res_io(&res, port, n_ports);
    if (gsi != NO_INTERRUPT)
        aml_res_interrupt(&res, gsi, AML_EDGE); /* as on the ISA bus */
    aml_name_resources(a, &res);
    aml_close(a, dev);
}

static void power_button(struct aml *a)
{
    size_t dev = aml_open_device(a, "PWRB");

    aml_name_eisaid(a, "_HID", "PNP0C0C");
    aml_name_int(a, "_UID", 0);
    aml_close(a, dev);
}

/* Local0 & bit */
static void if_event(struct aml *a, unsigned bit)
{
    aml_u8(a, OP_AND);
    aml_u8(a, OP_LOCAL0);
    aml_int(a, bit);
    aml_u8(a, OP_NULL);
}

/* Method (_EVT, 1, Serialized) { Local0 = EVTS; If (Local0 & button) { Notify (PWRB, pressed) }
 * If (Local0 & slots) { PCNT () } }. Reading EVTS clears it. */
static void event_method(struct aml *a)
{
    size_t method = aml_open_method(a, "_EVT", 1, true), condition;

    aml_u8(a, OP_STORE);
    aml_name_string(a, "EVTS");
    aml_u8(a, OP_LOCAL0);
    condition = aml_open_if(a);
    if_event(a, LAYOUT_GED_POWER_BUTTON);
    aml_u8(a, OP_NOTIFY);
    aml_name_string(a, "\\_SB.PWRB");
    aml_int(a, NOTIFY_BUTTON_PRESSED);
    aml_close(a, condition);
    condition = aml_open_if(a);
    if_event(a, LAYOUT_GED_PCI);
    aml_name_string(a, "\\_SB.PCI0.PCNT");
    aml_close(a, condition);
    aml_close(a, method);
}

/* By level, so that an event waits for a guest that has not set up or has masked the interrupt: the
 * line falls when _EVT reads the register. */
static void event_device(struct aml *a)
{
    static const char *const field[] = { "EVTS" };
    uint8_t buf[16];
    struct aml res = scratch(buf, sizeof buf);
    size_t dev = aml_open_device(a, "GED");

    aml_name_string_value(a, "_HID", "ACPI0013");
    aml_name_int(a, "_UID", 0);
    aml_res_interrupt(&res, LAYOUT_GSI_GED, AML_LEVEL);
    aml_name_resources(a, &res);
    registers(a, "EVTR", LAYOUT_PIO_GED, field, 1);
    event_method(a);
    aml_close(a, dev);
}

void dsdt_body(struct aml *a, uint64_t window64)
{
    size_t scope = aml_open_scope(a, "\\_SB"), package;

    pci_root(a, window64);
    motherboard(a);
    port_device(a, "COM1", "PNP0501", LAYOUT_PIO_SERIAL, 8, LAYOUT_GSI_SERIAL);
    /* The clock tells the time and has no alarm: with an interrupt the guest would wait for one. */
    port_device(a, "RTC", "PNP0B00", LAYOUT_PIO_RTC, 2, NO_INTERRUPT);
    keyboard(a);
    power_button(a);
    event_device(a);
    aml_close(a, scope);
    aml_name(a, "\\_S5");
    package = aml_open_package(a, 4);
    aml_int(a, LAYOUT_SLP_TYP_S5);
    for (int i = 0; i < 3; i++)
        aml_int(a, 0);
    aml_close(a, package);
}
