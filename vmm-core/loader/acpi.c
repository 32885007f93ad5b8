/* SPDX-License-Identifier: Apache-2.0 */
/* acpi.c - see acpi.h. */
#include "acpi.h"

#include <errno.h>
#include <string.h>
#include "base/err.h"
#include "dsdt.h"
#include "shm/layout.h"

enum {
    HEADER_BYTES = 36,
    TABLE_MAX = 4096,
    FADT_BYTES = 276,
    FADT_REVISION = 6,
    FADT_DSDT = 40,
    FADT_PROFILE = 45,
    FADT_CENTURY = 108,
    FADT_BOOT_ARCH = 109,
    FADT_FLAGS = 112,
    FADT_RESET_REG = 116,
    FADT_RESET_VALUE = 128,
    FADT_MINOR = 131,
    FADT_X_DSDT = 140,
    FADT_SLEEP_CONTROL = 244,
    FADT_SLEEP_STATUS = 256,
    FADT_HYPERVISOR = 268,
};
enum {
    PROFILE_ENTERPRISE_SERVER = 4,
    CMOS_CENTURY = 0x32,
    BOOT_ARCH_8042 = 1 << 1,
    BOOT_ARCH_NO_VGA = 1 << 2,
    BOOT_ARCH_NO_ASPM = 1 << 4
};
enum {
    FLAG_WBINVD = 1 << 0,
    FLAG_PROC_C1 = 1 << 2,
    /* These three say that there is none in fixed hardware. */
    FLAG_PWR_BUTTON = 1 << 4,
    FLAG_SLP_BUTTON = 1 << 5,
    FLAG_FIX_RTC = 1 << 6,
    FLAG_RESET_REG = 1 << 10,
    FLAG_HEADLESS = 1 << 12,
    FLAG_HW_REDUCED = 1 << 20,
};

struct tables {
    struct loader *l;
    uint64_t next; /* where the next table goes */
    uint64_t listed[8];
    unsigned n_listed;
};

static uint8_t checksum(const uint8_t *p, size_t len)
{
    uint8_t sum = 0;

    while (len-- > 0)
        sum = (uint8_t)(sum + *p++);
    return (uint8_t)-sum;
}

/* Starts a table in buf: the header without length and checksum. */
static struct aml begin(uint8_t *buf, const char *signature, uint8_t revision)
{
    struct aml a = { .buf = buf, .cap = TABLE_MAX };

    aml_bytes(&a, signature, 4);
    aml_u32(&a, 0);
    aml_u8(&a, revision);
    aml_u8(&a, 0);
    aml_bytes(&a, "BULKHD", 6);
    aml_bytes(&a, "BULKHEAD", 8);
    aml_u32(&a, 1);
    aml_bytes(&a, "BLKH", 4);
    aml_u32(&a, 1);
    return a;
}

/* Finishes it, writes it to guest RAM; returns its address, or 0 when there is no room. */
static uint64_t end(struct tables *t, struct aml *a, bool list)
{
    uint64_t at = t->next;
    uint32_t len = (uint32_t)a->len;

    if (a->overflow || at + len > LAYOUT_ACPI_END || t->n_listed == ARRAY_SIZE(t->listed))
        return 0;
    memcpy(a->buf + 4, &len, sizeof len);
    a->buf[9] = checksum(a->buf, a->len);
    if (gmem_write(t->l->mem, GPA(at), a->buf, a->len) != 0)
        return 0;
    t->next = align_up(at + len, 16);
    if (list)
        t->listed[t->n_listed++] = at;
    return at;
}

static void generic_address(uint8_t *p, uint16_t port)
{
    uint64_t address = port;

    p[0] = 1; /* system I/O */
    p[1] = 8; /* bits wide */
    p[3] = 1; /* byte access */
    memcpy(p + 4, &address, sizeof address);
}

static uint64_t write_dsdt(struct tables *t)
{
    uint8_t buf[TABLE_MAX];
    struct aml a = begin(buf, "DSDT", 2);

    dsdt_body(&a, layout_mmio64_base(t->l->low_ram_end + t->l->high_ram_bytes));
    return end(t, &a, false);
}

static uint64_t write_fadt(struct tables *t, uint64_t dsdt)
{
    uint8_t buf[TABLE_MAX] = { 0 };
    struct aml a = begin(buf, "FACP", FADT_REVISION);
    uint32_t flags = FLAG_WBINVD | FLAG_PROC_C1 | FLAG_PWR_BUTTON | FLAG_SLP_BUTTON | FLAG_FIX_RTC |
                     FLAG_RESET_REG | FLAG_HEADLESS | FLAG_HW_REDUCED;
    uint32_t dsdt32 = (uint32_t)dsdt;

    a.len = FADT_BYTES;
    memcpy(buf + FADT_DSDT, &dsdt32, sizeof dsdt32);
    buf[FADT_PROFILE] = PROFILE_ENTERPRISE_SERVER;
    buf[FADT_CENTURY] = CMOS_CENTURY;
    buf[FADT_BOOT_ARCH] = BOOT_ARCH_8042 | BOOT_ARCH_NO_VGA | BOOT_ARCH_NO_ASPM;
    memcpy(buf + FADT_FLAGS, &flags, sizeof flags);
    generic_address(buf + FADT_RESET_REG, LAYOUT_PIO_RESET);
    buf[FADT_RESET_VALUE] = LAYOUT_RESET_VALUE;
    buf[FADT_MINOR] = 4;
    memcpy(buf + FADT_X_DSDT, &dsdt, sizeof dsdt);
    generic_address(buf + FADT_SLEEP_CONTROL, LAYOUT_PIO_SLEEP_CONTROL);
    generic_address(buf + FADT_SLEEP_STATUS, LAYOUT_PIO_SLEEP_STATUS);
    memcpy(buf + FADT_HYPERVISOR, "BULKHEAD", 8);
    return end(t, &a, true);
}

static uint64_t write_madt(struct tables *t)
{
    uint8_t buf[TABLE_MAX];
    struct aml a = begin(buf, "APIC", 5);

    aml_u32(&a, LAYOUT_LAPIC_BASE);
    aml_u32(&a, 0); /* no 8259 pair */
    for (unsigned i = 0; i < t->l->vcpus; i++) {
        aml_u8(&a, 0); /* processor local APIC */
        aml_u8(&a, 8);
        aml_u8(&a, (uint8_t)i);
        aml_u8(&a, (uint8_t)i);
        aml_u32(&a, 1); /* enabled */
    }
    aml_u8(&a, 1); /* I/O APIC */
    aml_u8(&a, 12);
    aml_u8(&a, 0);
    aml_u8(&a, 0);
    aml_u32(&a, LAYOUT_IOAPIC_BASE);
    aml_u32(&a, 0);
    aml_u8(&a, 4); /* NMI on LINT1 of all processors */
    aml_u8(&a, 6);
    aml_u8(&a, 0xff);
    aml_u16(&a, 0);
    aml_u8(&a, 1);
    return end(t, &a, true);
}

static uint64_t write_mcfg(struct tables *t)
{
    uint8_t buf[TABLE_MAX];
    struct aml a = begin(buf, "MCFG", 1);

    aml_u64(&a, 0);
    aml_u64(&a, LAYOUT_ECAM_BASE);
    aml_u16(&a, 0); /* segment */
    aml_u8(&a, 0);  /* buses 0..0 */
    aml_u8(&a, 0);
    aml_u32(&a, 0);
    return end(t, &a, true);
}

static uint64_t write_xsdt(struct tables *t)
{
    uint8_t buf[TABLE_MAX];
    struct aml a = begin(buf, "XSDT", 1);

    for (unsigned i = 0; i < t->n_listed; i++)
        aml_u64(&a, t->listed[i]);
    return end(t, &a, false);
}

static int write_rsdp(struct tables *t, uint64_t xsdt)
{
    uint8_t p[36] = "RSD PTR ";
    uint32_t len = sizeof p;

    memcpy(p + 9, "BULKHD", 6);
    p[15] = 2;
    memcpy(p + 20, &len, sizeof len);
    memcpy(p + 24, &xsdt, sizeof xsdt);
    p[8] = checksum(p, 20);
    p[32] = checksum(p, sizeof p);
    return gmem_write(t->l->mem, GPA(LAYOUT_RSDP), p, sizeof p);
}

int acpi_write(struct loader *l)
{
    struct tables t = { .l = l, .next = LAYOUT_ACPI_TABLES };
    uint64_t dsdt = write_dsdt(&t), xsdt;

    if (dsdt == 0 || write_fadt(&t, dsdt) == 0 || write_madt(&t) == 0 || write_mcfg(&t) == 0)
        return err_origin(-ENOSPC, "ACPI tables");
    xsdt = write_xsdt(&t);
    if (xsdt == 0 || write_rsdp(&t, xsdt) != 0)
        return err_origin(-ENOSPC, "ACPI tables");
    return 0;
}
