/* SPDX-License-Identifier: Apache-2.0 */
/* bus_test.c - who answers, and how accesses that fit nobody are taken apart. */
#include "test.h"

#include <errno.h>
#include <string.h>
#include "bus/bus.h"

struct probe {
    uint8_t image[16];
    unsigned calls, last_size;
    uint64_t last_off;
};

static uint64_t probe_read(void *dev, uint64_t off, unsigned size)
{
    struct probe *p = dev;

    p->calls++;
    p->last_off = off;
    p->last_size = size;
    return bus_image_read(p->image, sizeof p->image, off, size);
}

static void probe_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
    struct probe *p = dev;

    p->calls++;
    p->last_off = off;
    p->last_size = size;
    for (unsigned i = 0; i < size; i++)
        p->image[off + i] = (uint8_t)(value >> (8 * i));
}

static const struct bus_ops probe_ops = { .read = probe_read, .write = probe_write };

static void test_ranges(void **state)
{
    struct probe p = { 0 };
    struct bus bus = { 0 };

    (void)state;
    assert_int_equal(bus_add(&bus, 0x100, 16, &probe_ops, &p), 0);
    assert_int_equal(bus_add(&bus, 0x80, 16, &probe_ops, &p), 0);
    assert_int_equal(bus_add(&bus, 0x10f, 1, &probe_ops, &p), -EEXIST);
    assert_int_equal(bus_add(&bus, 0xff, 2, &probe_ops, &p), -EEXIST);
    assert_int_equal(bus_add(&bus, 0x70, 0x20, &probe_ops, &p), -EEXIST);
    assert_int_equal(bus_add(&bus, UINT64_MAX, 2, &probe_ops, &p), -EEXIST);
    assert_int_equal(bus_add(&bus, 0, 0, &probe_ops, &p), -EEXIST);
    assert_int_equal(bus_add(&bus, UINT64_MAX, 1, &probe_ops, &p), 0);
    for (uint64_t i = 0; bus.n_ranges < BUS_MAX_RANGES; i++)
        assert_int_equal(bus_add(&bus, 0x1000 + i, 1, &probe_ops, &p), 0);
    assert_int_equal(bus_add(&bus, 0x2000, 1, &probe_ops, &p), -ENOSPC);
}

static void test_whole(void **state)
{
    struct probe p = { 0 };
    struct bus bus = { 0 };
    uint64_t v = 0x8877665544332211;

    (void)state;
    assert_int_equal(bus_add(&bus, 0x100, 16, &probe_ops, &p), 0);
    for (unsigned size = 1; size <= 8; size *= 2)
        for (unsigned off = 0; off + size <= 16; off++) {
            uint64_t got = 0;

            p = (struct probe){ 0 };
            bus_write(&bus, 0x100 + off, size, &v);
            assert_int_equal(p.calls, 1);
            assert_int_equal(p.last_off, off);
            assert_int_equal(p.last_size, size);
            bus_read(&bus, 0x100 + off, size, &got);
            assert_int_equal(p.calls, 2);
            assert_true(got == (v & bus_ones(size)));
        }
}

/* Over the end, over two neighbours, odd sizes: byte by byte, holes read as ones. */
static void test_pieces(void **state)
{
    struct probe a = { 0 }, b = { 0 };
    struct bus bus = { 0 };
    uint64_t v = 0x8877665544332211, got = 0;

    (void)state;
    assert_int_equal(bus_add(&bus, 0x100, 16, &probe_ops, &a), 0);
    assert_int_equal(bus_add(&bus, 0x110, 16, &probe_ops, &b), 0);
    bus_write(&bus, 0x10c, 8, &v);
    assert_int_equal(a.calls, 4);
    assert_int_equal(b.calls, 4);
    assert_int_equal(a.last_size, 1);
    assert_int_equal(a.image[12], 0x11);
    assert_int_equal(b.image[3], 0x88);
    bus_read(&bus, 0x10c, 8, &got);
    assert_true(got == v);
    bus_read(&bus, 0xfe, 4, &got);
    assert_int_equal(got & 0xffff, 0xffff);
    got = 0;
    bus_read(&bus, 0x11e, 8, &got);
    assert_true(got >> 16 == UINT64_C(0xffffffffffff));
    a.calls = 0;
    bus_write(&bus, 0x100, 3, &v);
    assert_int_equal(a.calls, 3);
    got = 0;
    bus_read(&bus, 0x100, 3, &got);
    assert_int_equal(got, 0x332211);
    got = 0;
    bus_read(&bus, 0x5000, 8, &got);
    assert_true(got == UINT64_MAX);
    bus_write(&bus, 0x5000, 8, &v);
    got = 0;
    bus_read(&bus, UINT64_MAX, 8, &got); /* the address wraps */
    assert_true(got == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_pieces),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
