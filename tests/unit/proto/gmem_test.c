/* SPDX-License-Identifier: Apache-2.0 */
/* gmem_test.c - every edge of guest memory access, in tables. */
#include "test.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "shm/gmem.h"
#include "shm/layout.h"

static uint8_t low[0x2000], high[0x1000];

static struct gmem two_regions(void)
{
    struct gmem mem;

    gmem_init_for_test(&mem, 0x1000, low, sizeof low);
    gmem_add_for_test(&mem, LAYOUT_HIGH_RAM_BASE, high, sizeof high);
    return mem;
}

static const struct {
    const char *why;
    uint64_t addr, len;
    int want;
} cases[] = {
    { "whole region", 0x1000, 0x2000, 0 },
    { "first byte", 0x1000, 1, 0 },
    { "last byte", 0x2fff, 1, 0 },
    { "one past the end", 0x2fff, 2, GMEM_E_RANGE },
    { "starts at the end", 0x3000, 1, GMEM_E_RANGE },
    { "empty at the end", 0x3000, 0, GMEM_E_RANGE },
    { "empty inside", 0x2fff, 0, 0 },
    { "below the region", 0xfff, 1, GMEM_E_RANGE },
    { "crosses into the region", 0xfff, 2, GMEM_E_RANGE },
    { "length 2^32-1", 0x1000, 0xffffffff, GMEM_E_RANGE },
    { "length 2^64-1", 0x1000, UINT64_MAX, GMEM_E_RANGE },
    { "address wraps", UINT64_MAX, 2, GMEM_E_RANGE },
    { "address 2^64-1", UINT64_MAX, 1, GMEM_E_RANGE },
    { "PCI window", LAYOUT_MMIO32_BASE, 4, GMEM_E_RANGE },
    { "local APIC", LAYOUT_LAPIC_BASE, 4, GMEM_E_RANGE },
    { "high region", LAYOUT_HIGH_RAM_BASE, 0x1000, 0 },
    { "high region, past the end", LAYOUT_HIGH_RAM_BASE + 0xfff, 2, GMEM_E_RANGE },
    { "spans the hole", 0x2000, LAYOUT_HIGH_RAM_BASE, GMEM_E_RANGE },
};

static void edges_are_refused(void **state)
{
    struct gmem mem = two_regions();

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct gslice slice;

        if (gmem_slice(&mem, GPA(cases[i].addr), cases[i].len, &slice) != cases[i].want)
            fail_msg("%s", cases[i].why);
    }
}

static void slice_offsets_are_checked(void **state)
{
    struct gmem mem = two_regions();
    struct gslice slice;
    uint8_t buf[16] = { 0 };

    (void)state;
    assert_int_equal(gmem_slice(&mem, GPA(0x1000), 16, &slice), 0);
    assert_int_equal(gslice_read(slice, 0, buf, 16), 0);
    assert_int_equal(gslice_read(slice, 16, buf, 0), 0);
    assert_int_equal(gslice_read(slice, 1, buf, 16), GMEM_E_RANGE);
    assert_int_equal(gslice_read(slice, 17, buf, 0), GMEM_E_RANGE);
    assert_int_equal(gslice_write(slice, SIZE_MAX, buf, 1), GMEM_E_RANGE);
    assert_int_equal(gslice_load16(slice, 15), 0);
}

static void what_is_written_is_read(void **state)
{
    struct gmem mem = two_regions();
    uint8_t buf[4];

    (void)state;
    assert_int_equal(gmem_write(&mem, GPA(0x2ffc), "abcd", 4), 0);
    assert_int_equal(gmem_read(&mem, GPA(0x2ffc), buf, 4), 0);
    assert_memory_equal(buf, "abcd", 4);
    assert_int_equal(gmem_zero(&mem, GPA(0x2ffc), 4), 0);
    assert_int_equal(low[0x1fff], 0);
    assert_int_equal(gmem_write(&mem, GPA(0x2ffd), "abcd", 4), GMEM_E_RANGE);
    assert_int_equal(low[0x1fff], 0);
}

/* A memfd of more than 3 GiB is split around the hole without a gap in the file. */
static void ram_is_split_around_the_hole(void **state)
{
    const uint64_t size = LAYOUT_LOW_RAM_MAX + 0x10000;
    int fd = memfd_create("gmem-test", MFD_CLOEXEC);
    struct gslice slice;
    struct gmem mem;
    char c = 0;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    assert_int_equal(gmem_map(&mem, fd, size), 0);
    assert_int_equal(mem.n_regions, 2);
    assert_int_equal(gmem_write(&mem, GPA(LAYOUT_HIGH_RAM_BASE), "h", 1), 0);
    assert_int_equal(pread(fd, &c, 1, (off_t)LAYOUT_LOW_RAM_MAX), 1);
    assert_int_equal(c, 'h');
    assert_int_equal(gmem_slice(&mem, GPA(LAYOUT_LOW_RAM_MAX - 1), 2, &slice), GMEM_E_RANGE);
    gmem_unmap(&mem);
    close(fd);
}

static void bad_sizes_are_refused(void **state)
{
    struct gmem mem;

    (void)state;
    assert_int_equal(gmem_map(&mem, -1, 0), -EINVAL);
    assert_int_equal(gmem_map(&mem, -1, 4097), -EINVAL);
    assert_int_equal(gmem_map(&mem, -1, LAYOUT_RAM_MAX_BYTES + PAGE_BYTES), -EINVAL);
    assert_true(gmem_map(&mem, -1, PAGE_BYTES) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edges_are_refused),       cmocka_unit_test(slice_offsets_are_checked),
        cmocka_unit_test(what_is_written_is_read), cmocka_unit_test(ram_is_split_around_the_hole),
        cmocka_unit_test(bad_sizes_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
