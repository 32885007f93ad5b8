/* SPDX-License-Identifier: Apache-2.0 */
/* pci_function_test.c - functions that no device of today is: several BARs, 64-bit ones above RAM,
 * capabilities of any kind, all of configuration space. */
#include "test.h"

#include <string.h>
#include "base/compiler.h"
#include "bus/bus.h"
#include "pci/pci.h"

enum {
    SLOT = 4,
    SMALL_BAR = 0,
    BIG_BAR = 2, /* and 3 */
    WIDE_BAR = 4,
    SMALL_BYTES = 0x1000,
    WIDE_BYTES = 0x4000,
    CONFIG_BAR0 = 0x10,
    CAP_A = 0x40,
    CAP_B = 0x60,
};
#define RAM (UINT64_C(5) << 30)
#define WINDOW layout_mmio64_base(RAM)
#define BIG_BYTES (UINT64_C(16) << 30)
#define SMALL_AT (LAYOUT_MMIO32_BASE + 0x40000)
#define BIG_AT (WINDOW + BIG_BYTES)
#define WIDE_AT (WINDOW + 2 * BIG_BYTES)

/* Reads give the number of the BAR and of the function; writes are counted. */
struct device {
    struct pci_function fn;
    unsigned number;
    unsigned writes[PCI_BARS];
    uint64_t last_off;
};

static struct machine {
    struct bus pio, mmio;
    struct pci_host host;
    struct device a, b;
} machine;

static uint64_t config_read(struct pci_function *fn, unsigned off, unsigned size)
{
    return bus_image_read(fn->config, PCI_FUNCTION_BYTES, off, size);
}

static void config_write(struct pci_function *fn, unsigned off, unsigned size, uint64_t value)
{
    (void)pci_config_store(fn, off, size, value);
}

static uint64_t bar_read(struct pci_function *fn, unsigned bar, uint64_t off, unsigned size)
{
    struct device *d = (struct device *)fn;

    assert_true(off < fn->bars[bar].bytes && size <= fn->bars[bar].bytes - off);
    d->last_off = off;
    return (UINT64_C(0x0101010101010101) * (d->number << 4 | bar)) & bus_ones(size);
}

static void bar_write(struct pci_function *fn, unsigned bar, uint64_t off, unsigned size,
                      uint64_t value)
{
    struct device *d = (struct device *)fn;

    (void)value;
    assert_true(off < fn->bars[bar].bytes && size <= fn->bars[bar].bytes - off);
    d->writes[bar]++;
    d->last_off = off;
}

static const struct pci_function_ops ops = { .config_read = config_read,
                                             .config_write = config_write,
                                             .bar_read = bar_read,
                                             .bar_write = bar_write };

static uint64_t rd(uint64_t at, unsigned size)
{
    uint64_t value = 0;

    bus_read(&machine.mmio, at, size, &value);
    return value;
}

static void wr(uint64_t at, unsigned size, uint64_t value)
{
    bus_write(&machine.mmio, at, size, &value);
}

static uint64_t ecam(unsigned slot, unsigned off)
{
    return LAYOUT_ECAM_BASE + slot * 8ull * PCI_FUNCTION_BYTES + off;
}

static uint32_t cfg(unsigned off)
{
    return (uint32_t)rd(ecam(SLOT, off), 4);
}

static void set_cfg(unsigned off, uint32_t v)
{
    wr(ecam(SLOT, off), 4, v);
}

static void set_bar64(unsigned bar, uint64_t at)
{
    set_cfg(CONFIG_BAR0 + 4 * bar, (uint32_t)at);
    set_cfg(CONFIG_BAR0 + 4 * bar + 4, (uint32_t)(at >> 32));
}

/* Who answers there: 0x11 * is what bar_read() gives, 0xff nobody. */
static unsigned who(uint64_t at)
{
    return (unsigned)rd(at, 1);
}

/* a in SLOT with all kinds of BARs, b behind it with a small one; both decode. */
static int setup(void **state)
{
    (void)state;
    memset(&machine, 0, sizeof machine);
    machine.a.number = 1;
    machine.b.number = 2;
    machine.a.fn.ops = machine.b.fn.ops = &ops;
    pci_header_init(&machine.a.fn, 0x1234, 0x5678, 0x00ff00);
    pci_header_init(&machine.b.fn, 0x1234, 0x5679, 0x00ff00);
    pci_bar_init(&machine.a.fn, SMALL_BAR, PCI_BAR_32, SMALL_BYTES, SMALL_AT);
    pci_bar_init(&machine.a.fn, BIG_BAR, PCI_BAR_64_PREFETCHABLE, BIG_BYTES, BIG_AT);
    pci_bar_init(&machine.a.fn, WIDE_BAR, PCI_BAR_64, WIDE_BYTES, WIDE_AT);
    pci_bar_init(&machine.b.fn, 1, PCI_BAR_64, SMALL_BYTES, 0);
    pci_host_init(&machine.host, WINDOW, NULL, NULL);
    if (pci_host_add_to(&machine.host, &machine.pio, &machine.mmio) < 0 ||
        pci_host_plug(&machine.host, (struct pci_address){ .device = SLOT }, &machine.a.fn) < 0 ||
        pci_host_plug(&machine.host, (struct pci_address){ .device = SLOT + 1 }, &machine.b.fn) < 0)
        return -1;
    wr(ecam(SLOT, PCI_COMMAND), 2, PCI_COMMAND_MEMORY);
    wr(ecam(SLOT + 1, PCI_COMMAND), 2, PCI_COMMAND_MEMORY);
    return 0;
}

/* The window follows RAM, wherever that ends, and holds BARs as large as itself. */
static void window_is_above_ram(void **state)
{
    static const struct {
        uint64_t ram, want;
    } cases[] = {
        { UINT64_C(16) << 20, UINT64_C(64) << 30 },
        { LAYOUT_LOW_RAM_MAX, UINT64_C(64) << 30 },
        { UINT64_C(63) << 30, UINT64_C(64) << 30 },           /* ends right there */
        { (UINT64_C(63) << 30) + 4096, UINT64_C(128) << 30 }, /* one page more */
        { LAYOUT_RAM_MAX_BYTES, UINT64_C(1088) << 30 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint64_t at = layout_mmio64_base(cases[i].ram);

        assert_true(at == cases[i].want);
        assert_true(at % LAYOUT_MMIO64_BYTES == 0);
    }
}

static void every_bar_answers(void **state)
{
    (void)state;
    assert_int_equal(who(SMALL_AT), 0x10);
    assert_int_equal(who(SMALL_AT + SMALL_BYTES - 1), 0x10);
    assert_int_equal(who(SMALL_AT + SMALL_BYTES), 0xff);
    assert_int_equal(who(BIG_AT - 1), 0xff);
    assert_int_equal(who(BIG_AT), 0x12);
    assert_int_equal(who(BIG_AT + BIG_BYTES - 1), 0x12);
    assert_true(machine.a.last_off == BIG_BYTES - 1);
    assert_int_equal(who(WIDE_AT), 0x14); /* where the one before ends */
    assert_int_equal(who(WIDE_AT + WIDE_BYTES), 0xff);
    assert_true(rd(BIG_AT + 8, 8) == UINT64_C(0x1212121212121212));
    wr(WIDE_AT + 4, 4, 0);
    assert_int_equal(machine.a.writes[WIDE_BAR], 1);
    assert_true(machine.a.last_off == 4);
    assert_int_equal(rd(WIDE_AT - 2, 4), 0x14141212); /* over two BARs: each its bytes */
    wr(WIDE_AT - 2, 4, 0);
    assert_int_equal(machine.a.writes[BIG_BAR], 2);
    assert_int_equal(machine.a.writes[WIDE_BAR], 3);
}

/* Section 6.2.5.1: all ones in, what is not wired to zero comes out, with the kind in the low bits. */
static void sizing(void **state)
{
    static const struct {
        unsigned bar;
        uint32_t want;
    } cases[] = {
        { SMALL_BAR, (uint32_t)-SMALL_BYTES },
        { 1, 0 }, /* none, and not the upper half of one */
        { BIG_BAR, 0xc },
        { BIG_BAR + 1, (uint32_t)(-BIG_BYTES >> 32) },
        { WIDE_BAR, (uint32_t)-WIDE_BYTES | 4 },
        { WIDE_BAR + 1, UINT32_MAX },
    };

    (void)state;
    assert_int_equal(cfg(CONFIG_BAR0 + 4 * BIG_BAR), (uint32_t)BIG_AT | 0xc);
    assert_int_equal(cfg(CONFIG_BAR0 + 4 * BIG_BAR + 4), BIG_AT >> 32);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        unsigned reg = CONFIG_BAR0 + 4 * cases[i].bar;

        set_cfg(reg, UINT32_MAX);
        assert_int_equal(cfg(reg), cases[i].want);
    }
    assert_int_equal(who(SMALL_AT), 0xff); /* no BAR answers while it is sized */
    assert_int_equal(who(BIG_AT), 0xff);
    assert_int_equal(who(WIDE_AT), 0xff);
    set_bar64(BIG_BAR, BIG_AT);
    assert_int_equal(who(BIG_AT), 0x12);
    assert_int_equal(cfg(0x30), 0); /* no ROM */
}

static void moving(void **state)
{
    const uint64_t other = WINDOW + LAYOUT_MMIO64_BYTES - WIDE_BYTES; /* the last place */
    const uint64_t low = LAYOUT_MMIO32_BASE + 0x100000;

    (void)state;
    set_bar64(WIDE_BAR, other);
    assert_int_equal(who(WIDE_AT), 0xff);
    assert_int_equal(who(other), 0x14);
    assert_int_equal(who(other + WIDE_BYTES - 1), 0x14);
    set_bar64(WIDE_BAR, low); /* a 64-bit BAR may lie below 4 GiB too */
    assert_int_equal(who(low), 0x14);
    assert_int_equal(who(other), 0xff);
    wr(ecam(SLOT, CONFIG_BAR0 + 4 * WIDE_BAR), 8, other); /* both halves at once */
    assert_int_equal(who(other), 0x14);
    assert_int_equal(who(low), 0xff);
    wr(ecam(SLOT, CONFIG_BAR0 + 4 * WIDE_BAR + 1), 1, 0); /* a byte of it */
    assert_int_equal(who((other & ~UINT64_C(0xff00)) + 1), 0x14);
    wr(ecam(SLOT, PCI_COMMAND), 2, 0);
    assert_int_equal(who(SMALL_AT), 0xff);
    assert_int_equal(who(BIG_AT), 0xff);
    wr(ecam(SLOT, PCI_COMMAND), 2, PCI_COMMAND_MEMORY);
    assert_int_equal(who(SMALL_AT), 0x10);
    assert_int_equal(who(BIG_AT), 0x12);
}

/* What lies outside of the windows, or half outside, is nobody's; above all not RAM. */
static void never_outside_of_the_windows(void **state)
{
    const uint64_t bad[] = {
        0,
        0x100000, /* RAM */
        LAYOUT_LOW_RAM_MAX - WIDE_BYTES,
        LAYOUT_MMIO32_END, /* ECAM */
        LAYOUT_LAPIC_BASE,
        LAYOUT_HIGH_RAM_BASE, /* RAM again */
        LAYOUT_HIGH_RAM_BASE +
            LAYOUT_MMIO32_BASE, /* the lower window, were the upper half ignored */
        WINDOW - WIDE_BYTES,
        WINDOW + LAYOUT_MMIO64_BYTES,
        UINT64_MAX - WIDE_BYTES + 1, /* ends where addresses wrap */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        set_bar64(WIDE_BAR, bad[i]);
        assert_true(machine.a.fn.bars[WIDE_BAR].at == PCI_BAR_NOT_DECODED);
        assert_int_not_equal(who(bad[i]), 0x14);
        set_bar64(WIDE_BAR, WIDE_AT);
        assert_int_equal(who(WIDE_AT), 0x14);
    }
    set_bar64(BIG_BAR, LAYOUT_MMIO32_BASE); /* larger than that window */
    assert_true(machine.a.fn.bars[BIG_BAR].at == PCI_BAR_NOT_DECODED);
    set_cfg(CONFIG_BAR0, 0x100000);
    assert_true(machine.a.fn.bars[SMALL_BAR].at == PCI_BAR_NOT_DECODED);
    set_cfg(CONFIG_BAR0 + 4, (uint32_t)(WINDOW >> 32)); /* a 32-bit BAR has no upper half */
    assert_true(machine.a.fn.bars[SMALL_BAR].at == PCI_BAR_NOT_DECODED);
}

/* BARs over each other: one of the two has each access, and both are whole again afterwards. */
static void overlapping(void **state)
{
    const uint64_t inside = BIG_AT + 0x10000;

    (void)state;
    wr(ecam(SLOT + 1, CONFIG_BAR0 + 4), 8, inside); /* of another function, inside the big one */
    assert_true(machine.b.fn.bars[1].at == inside);
    assert_int_equal(who(inside - 1), 0x12);
    assert_int_equal(who(inside + SMALL_BYTES), 0x12);
    wr(inside, 4, 0);
    assert_int_equal(machine.a.writes[BIG_BAR] + machine.b.writes[1], 1);
    set_bar64(WIDE_BAR, inside); /* of the same function */
    wr(inside, 4, 0);
    assert_int_equal(machine.a.writes[BIG_BAR] + machine.a.writes[WIDE_BAR] + machine.b.writes[1],
                     2);
    set_bar64(BIG_BAR, WINDOW);
    set_bar64(WIDE_BAR, WIDE_AT);
    assert_int_equal(who(inside), 0x21);
    assert_int_equal(who(WINDOW), 0x12);
    assert_int_equal(who(WIDE_AT), 0x14);
}

static void capabilities(void **state)
{
    (void)state;
    assert_int_equal(cfg(PCI_COMMAND) >> 16 & PCI_STATUS_CAPABILITIES, 0); /* an empty list */
    assert_int_equal(rd(ecam(SLOT, PCI_CAPABILITIES), 1), 0);
    pci_capability_add(&machine.a.fn, CAP_A, 0x01, 8); /* power management */
    pci_set32(&machine.a.fn, CAP_A + 4, 0xa5a5a5a5);
    assert_int_equal(cfg(PCI_COMMAND) >> 16, PCI_STATUS_CAPABILITIES);
    assert_int_equal(rd(ecam(SLOT, PCI_CAPABILITIES), 1), CAP_A);
    assert_int_equal(rd(ecam(SLOT, CAP_A), 2), 0x0001);
    pci_capability_add(&machine.a.fn, CAP_B, 0x10, 0x3c); /* PCI Express */
    assert_int_equal(rd(ecam(SLOT, PCI_CAPABILITIES), 1), CAP_A);
    assert_int_equal(rd(ecam(SLOT, CAP_A), 2), CAP_B << 8 | 0x01);
    assert_int_equal(rd(ecam(SLOT, CAP_B), 2), 0x0010);
    /* Beyond a capability, and over its end. */
    assert_int_equal(rd(ecam(SLOT, CAP_A + 4), 8), 0xa5a5a5a5);
    for (unsigned off = CAP_B + 0x3c; off < PCI_CONFIG_BYTES; off++)
        assert_int_equal(rd(ecam(SLOT, off), 1), 0);
    set_cfg(CAP_A, UINT32_MAX); /* the guest can't change the list */
    assert_int_equal(rd(ecam(SLOT, CAP_A), 2), CAP_B << 8 | 0x01);
}

/* The 4 KiB that ECAM shows: nothing behind the first 256 bytes but what the function puts there. */
static void extended_space(void **state)
{
    static const uint16_t sizes[] = { 1, 2, 4, 8 };

    (void)state;
    for (unsigned off = PCI_CONFIG_BYTES; off < PCI_FUNCTION_BYTES; off += 8)
        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
            wr(ecam(SLOT, off), sizes[i], UINT64_MAX);
            assert_true(rd(ecam(SLOT, off), sizes[i]) == 0);
        }
    pci_set32(&machine.a.fn, 0x100, 0x0001000b); /* an extended capability */
    pci_set32(&machine.a.fn, 0xffc, 0x11223344);
    pci_writable32(&machine.a.fn, 0xffc, 0x0000ffff);
    assert_int_equal(cfg(0x100), 0x0001000b);
    assert_true(rd(ecam(SLOT, 0xfc), 8) == UINT64_C(0x0001000b00000000));
    set_cfg(0xffc, 0xaaaabbbb);
    assert_int_equal(cfg(0xffc), 0x1122bbbb);
    assert_int_equal(rd(ecam(SLOT, 0x1000), 4), UINT32_MAX); /* function 1 */
}

/* Ports reach the first 256 bytes; their bits above that are not part of the address. */
static void ports_reach_the_first_bytes(void **state)
{
    uint32_t address = 0x80000000u | SLOT << 11 | 1u << 24, value = 0;

    (void)state;
    pci_set32(&machine.a.fn, 0x100, 0x0001000b);
    bus_write(&machine.pio, LAYOUT_PIO_PCI_ADDRESS, 4, &address);
    bus_read(&machine.pio, LAYOUT_PIO_PCI_ADDRESS + 4, 4, &value);
    assert_int_equal(value, 0x56781234);
    for (unsigned bus = 1; bus < 256; bus++) {
        address = 0x80000000u | bus << 16 | SLOT << 11;
        bus_write(&machine.pio, LAYOUT_PIO_PCI_ADDRESS, 4, &address);
        bus_read(&machine.pio, LAYOUT_PIO_PCI_ADDRESS + 4, 4, &value);
        assert_int_equal(value, UINT32_MAX);
    }
}

#define CASE(test) cmocka_unit_test_setup(test, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(window_is_above_ram),
        CASE(every_bar_answers),
        CASE(sizing),
        CASE(moving),
        CASE(overlapping),
        CASE(never_outside_of_the_windows),
        CASE(capabilities),
        CASE(extended_space),
        CASE(ports_reach_the_first_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
