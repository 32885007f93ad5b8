/* SPDX-License-Identifier: Apache-2.0 */
/* acpi_test.c - every table is found from the RSDP, sums to zero, and says what layout.h says; with
 * iasl on the machine, its disassembler must understand them too. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "acpi.h"
#include "shm/layout.h"

static uint8_t ram[1 << 20];
static struct gmem mem;

static int write_tables(uint64_t ram_bytes)
{
    struct loader l;

    gmem_init_for_test(&mem, 0, ram, sizeof ram);
    loader_init(&l, &mem, ram_bytes);
    l.vcpus = 3;
    return acpi_write(&l);
}

static int setup(void **state)
{
    (void)state;
    return write_tables(1ull << 30);
}

static uint64_t get(uint64_t at, unsigned bytes)
{
    uint64_t v = 0;

    memcpy(&v, ram + at, bytes);
    return v;
}

static uint8_t sum(uint64_t at, uint64_t len)
{
    uint8_t s = 0;

    for (uint64_t i = 0; i < len; i++)
        s = (uint8_t)(s + ram[at + i]);
    return s;
}

static uint64_t table(const char *signature)
{
    uint64_t xsdt = get(LAYOUT_RSDP + 24, 8);

    for (uint64_t at = xsdt + 36; at < xsdt + get(xsdt + 4, 4); at += 8)
        if (memcmp(ram + get(at, 8), signature, 4) == 0)
            return get(at, 8);
    fail_msg("no table %s", signature);
    return 0;
}

static void checksums_are_zero(void **state)
{
    static const char *const names[] = { "FACP", "APIC", "MCFG" };
    uint64_t xsdt = get(LAYOUT_RSDP + 24, 8), dsdt = get(table("FACP") + 140, 8);

    (void)state;
    assert_memory_equal(ram + LAYOUT_RSDP, "RSD PTR ", 8);
    assert_int_equal(sum(LAYOUT_RSDP, 20), 0);
    assert_int_equal(sum(LAYOUT_RSDP, 36), 0);
    assert_int_equal(sum(xsdt, get(xsdt + 4, 4)), 0);
    assert_int_equal(sum(dsdt, get(dsdt + 4, 4)), 0);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        assert_int_equal(sum(table(names[i]), get(table(names[i]) + 4, 4)), 0);
}

static void fadt_is_hardware_reduced(void **state)
{
    uint64_t fadt = table("FACP");

    (void)state;
    assert_true(get(fadt + 112, 4) & (1 << 20));
    assert_true(get(fadt + 112, 4) & (1 << 10));
    assert_true(get(fadt + 109, 2) & 2); /* there is an 8042 */
    assert_int_equal(get(fadt + 116 + 4, 8), LAYOUT_PIO_RESET);
    assert_int_equal(get(fadt + 128, 1), LAYOUT_RESET_VALUE);
    assert_int_equal(get(fadt + 244 + 4, 8), LAYOUT_PIO_SLEEP_CONTROL);
    assert_int_equal(get(fadt + 256 + 4, 8), LAYOUT_PIO_SLEEP_STATUS);
}

static void madt_lists_each_processor(void **state)
{
    uint64_t madt = table("APIC"), at = madt + 44, end = madt + get(madt + 4, 4);
    unsigned cpus = 0, ioapics = 0;

    (void)state;
    for (; at < end; at += get(at + 1, 1)) {
        cpus += get(at, 1) == 0 && get(at + 3, 1) == cpus;
        ioapics += get(at, 1) == 1 && get(at + 4, 4) == LAYOUT_IOAPIC_BASE;
    }
    assert_int_equal(at, end);
    assert_int_equal(cpus, 3);
    assert_int_equal(ioapics, 1);
}

/* The flags of the extended interrupt descriptor for gsi; there must be exactly one. */
static uint8_t interrupt_flags(uint8_t gsi)
{
    uint64_t dsdt = get(table("FACP") + 140, 8), end = dsdt + get(dsdt + 4, 4);
    const uint8_t want[] = { 0x89, 6, 0 };
    unsigned found = 0;
    uint8_t flags = 0;

    for (uint64_t at = dsdt; at + 9 <= end; at++) {
        if (memcmp(ram + at, want, sizeof want) != 0 || get(at + 4, 1) != 1 ||
            get(at + 5, 4) != gsi)
            continue;
        flags = ram[at + 3];
        found++;
    }
    assert_int_equal(found, 1);
    return flags;
}

/* An event by edge is lost to a guest that has the line masked. */
static void events_interrupt_by_level(void **state)
{
    enum { CONSUMER = 1, EDGE = 2 };

    (void)state;
    assert_int_equal(interrupt_flags(LAYOUT_GSI_GED), CONSUMER);
    assert_int_equal(interrupt_flags(LAYOUT_GSI_KEYBOARD), CONSUMER);
    assert_int_equal(interrupt_flags(LAYOUT_GSI_SERIAL), CONSUMER | EDGE);
}

/* The one address space descriptor with this tag, whose numbers have `bytes` each. */
static uint64_t memory_window(uint8_t tag, unsigned bytes)
{
    uint64_t dsdt = get(table("FACP") + 140, 8), end = dsdt + get(dsdt + 4, 4), found = 0;
    const uint8_t want[] = { tag, (uint8_t)(3 + 5 * bytes), 0, 0 /* memory */, 0x0c };

    for (uint64_t at = dsdt; at + 6 + 5 * bytes <= end; at++)
        if (memcmp(ram + at, want, sizeof want) == 0) {
            assert_int_equal(found, 0);
            found = at + 6;
        }
    assert_int_not_equal(found, 0);
    return found;
}

/* What PCI's _CRS has for BARs: the window below 4 GiB, and the one above this VM's RAM. */
static void windows_for_bars(void **state)
{
    static const uint64_t sizes[] = { 1ull << 30, LAYOUT_LOW_RAM_MAX, 63ull << 30, 200ull << 30,
                                      LAYOUT_RAM_MAX_BYTES };
    uint64_t at;

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_int_equal(write_tables(sizes[i]), 0);
        at = memory_window(0x87, 4);
        assert_int_equal(get(at + 4, 4), LAYOUT_MMIO32_BASE);
        assert_int_equal(get(at + 8, 4), LAYOUT_MMIO32_END - 1);
        at = memory_window(0x8a, 8);
        assert_true(get(at + 8, 8) == layout_mmio64_base(sizes[i]));
        assert_true(get(at + 16, 8) == layout_mmio64_base(sizes[i]) + LAYOUT_MMIO64_BYTES - 1);
        assert_true(get(at + 32, 8) == LAYOUT_MMIO64_BYTES);
    }
    assert_int_equal(setup(NULL), 0);
}

/* An integer as AML has it, at *at, which moves behind it. */
static uint64_t aml_number(uint64_t *at)
{
    uint8_t op = ram[(*at)++];
    unsigned bytes = op == 0x0a ? 1 : op == 0x0b ? 2 : op == 0x0c ? 4 : op == 0x0e ? 8 : 0;
    uint64_t value = bytes == 0 ? op : get(*at, bytes);

    *at += bytes;
    return value;
}

/* The number behind `what`, the first such bytes from *at on, which moves behind it. */
static uint64_t number_after(uint64_t *at, const void *what, size_t len)
{
    uint8_t *found = memmem(ram + *at, LAYOUT_ACPI_END - *at, what, len);

    assert_non_null(found);
    *at = (uint64_t)(found - ram) + len;
    return aml_number(at);
}

/* Each slot has an object with its address, number, and bit of the registers. */
static void slots_can_be_filled_and_ejected(void **state)
{
    static const uint8_t device[] = { 0x5b, 0x82 }, store = 0x70, and_arg0[] = { 0x7b, 0x68 };
    uint64_t dsdt = get(table("FACP") + 140, 8), at, notify = dsdt;
    char name[8];

    (void)state;
    for (unsigned slot = 1; slot < LAYOUT_PCI_SLOTS; slot++) {
        snprintf(name, sizeof name, "S%02u_", slot & 0x1f);
        at = dsdt;
        while (memcmp(ram + at, name, 4) != 0 || memcmp(ram + at - 5, device, 2) != 0)
            assert_true(++at < LAYOUT_ACPI_END);
        assert_int_equal(number_after(&at, "_ADR", 4), slot << 16);
        assert_int_equal(number_after(&at, "_SUN", 4), slot);
        (void)number_after(&at, "_EJ0", 4);
        assert_int_equal(ram[at++], store);
        assert_true(aml_number(&at) == UINT64_C(1) << slot);
        assert_memory_equal(ram + at, "PCEJ", 4);
        assert_true(number_after(&notify, and_arg0, 2) == UINT64_C(1) << slot);
        assert_memory_equal(ram + notify + 2, name, 4);
    }
}

static void write_table(const char *dir, const char *name, uint64_t at)
{
    char path[128];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s.aml", dir, name);
    f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(ram + at, get(at + 4, 4), 1, f), 1);
    assert_int_equal(fclose(f), 0);
}

/* Each table is disassembled and what came out compiled again, without a complaint. */
static void iasl_understands_the_tables(void **state)
{
    char dir[] = "/tmp/bulkhead-acpi.XXXXXX", command[2048];
    int status;

    (void)state;
    if (system("command -v iasl >/dev/null") != 0)
        skip();
    assert_non_null(mkdtemp(dir));
    write_table(dir, "dsdt", get(table("FACP") + 140, 8));
    write_table(dir, "facp", table("FACP"));
    write_table(dir, "apic", table("APIC"));
    write_table(dir, "mcfg", table("MCFG"));
    snprintf(
        command, sizeof command,
        "cd %s && for t in dsdt facp apic mcfg; do iasl -d $t.aml && iasl -p again_$t $t.dsl || "
        "exit; done "
        ">out 2>&1 && ! grep -iE 'invalid|incorrect|unknown' out && "
        "[ $(grep -c ' 0 Errors, 0 Warnings' out) = 4 ] && "
        "for t in facp apic mcfg; do [ $(stat -c %%s $t.aml) = $(stat -c %%s again_$t.aml) ] || "
        "exit; done && "
        "grep -q PNP0A08 dsdt.dsl && grep -q 'Method (_OSC' dsdt.dsl && ! grep -q 'External (' "
        "dsdt.dsl && "
        "[ $(grep -c '[DQ]WordMemory (ResourceProducer' dsdt.dsl) = 2 ] && "
        "[ $(grep -cE 'Device \\(S(0[1-9]|[12][0-9]|3[01])\\)' dsdt.dsl) = 31 ] && "
        "[ $(grep -cE 'Notify \\(S[0-3][0-9], Arg1\\)' dsdt.dsl) = 31 ] && "
        "grep -q 'OperationRegion (PCIR, SystemIO, 0x0608, 0x0C)' dsdt.dsl && "
        "[ $(grep -cE 'PCNV \\(PCDN, 0x03\\)|PCNV \\(PCUP, One\\)' dsdt.dsl) = 2 ] && "
        "grep -qF '_SB.PCI0.PCNT ()' dsdt.dsl && "
        "[ $(grep -c 'Interrupt (Res' dsdt.dsl) = 3 ] && " /* the clock has none */
        "[ $(grep -c 'ResourceConsumer, Level, ActiveHigh, Exclusive' dsdt.dsl) = 2 ] && "
        "grep -q '33db4d5b-1ff7-401c-9657-7441c03dd766' dsdt.dsl",
        dir);
    status = system(command);
    snprintf(command, sizeof command, "[ %d = 0 ] || cat %s/out; rm -rf %s", status, dir, dir);
    assert_int_equal(system(command), 0);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checksums_are_zero),
        cmocka_unit_test(fadt_is_hardware_reduced),
        cmocka_unit_test(madt_lists_each_processor),
        cmocka_unit_test(events_interrupt_by_level),
        cmocka_unit_test(windows_for_bars),
        cmocka_unit_test(slots_can_be_filled_and_ejected),
        cmocka_unit_test(iasl_understands_the_tables),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
