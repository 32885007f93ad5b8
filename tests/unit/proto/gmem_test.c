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

/* ---- the table ---- */

static int make_file(uint64_t bytes)
{
    int fd = memfd_create("gmem-test", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
    return fd;
}

static int add(struct gmem *mem, unsigned number, uint64_t base, uint64_t pages, uint64_t at_page,
               int fd)
{
    const struct gmem_region region = { .base = base,
                                        .len_bytes = pages * PAGE_BYTES,
                                        .file_offset = at_page * PAGE_BYTES };

    return gmem_add(mem, number, &region, fd);
}

static char file_byte(int fd, uint64_t at)
{
    char c = '?';

    assert_int_equal(pread(fd, &c, 1, (off_t)at), 1);
    return c;
}

/* What follows for the guest may be of another file, and of any number. */
static void a_buffer_may_cross_into_the_next_region(void **state)
{
    int a = make_file(4 * PAGE_BYTES), b = make_file(4 * PAGE_BYTES);
    struct gslice slice;
    struct gmem mem;
    char text[8];

    (void)state;
    assert_int_equal(gmem_init(&mem, 64 * PAGE_BYTES), 0);
    assert_int_equal(add(&mem, 5, 0, 2, 0, a), 0);
    assert_int_equal(add(&mem, 2, 2 * PAGE_BYTES, 2, 1, b), 0);
    assert_int_equal(add(&mem, 0, 5 * PAGE_BYTES, 1, 3, b), 0);
    assert_int_equal(gmem_write(&mem, GPA(2 * PAGE_BYTES - 4), "abcdefgh", 8), 0);
    assert_int_equal(file_byte(a, 2 * PAGE_BYTES - 1), 'd');
    assert_int_equal(file_byte(b, PAGE_BYTES), 'e');
    assert_int_equal(gmem_read(&mem, GPA(2 * PAGE_BYTES - 4), text, 8), 0);
    assert_memory_equal(text, "abcdefgh", 8);
    assert_int_equal(gmem_slice(&mem, GPA(0), 4 * PAGE_BYTES, &slice), 0);
    assert_ptr_equal(slice.region_, &mem.regions[5]);
    assert_true(gslice_touches(&mem, slice, 2));
    assert_false(gslice_touches(&mem, slice, 0));
    /* Into the hole, and over it. */
    assert_int_equal(gmem_slice(&mem, GPA(0), 4 * PAGE_BYTES + 1, &slice), GMEM_E_RANGE);
    assert_int_equal(gmem_slice(&mem, GPA(0), 6 * PAGE_BYTES, &slice), GMEM_E_RANGE);
    gmem_unmap(&mem);
    close(a);
    close(b);
}

static void a_region_goes_and_comes(void **state)
{
    int fd = make_file(8 * PAGE_BYTES);
    struct gslice slice;
    struct gmem mem;

    (void)state;
    assert_int_equal(gmem_init(&mem, 64 * PAGE_BYTES), 0);
    assert_int_equal(add(&mem, 0, 0, 2, 0, fd), 0);
    for (unsigned round = 0; round < 1000; round++) {
        assert_int_equal(add(&mem, 1, 2 * PAGE_BYTES, 2, 2 + round % 4, fd), 0);
        assert_int_equal(gmem_write(&mem, GPA(4 * PAGE_BYTES - 1), "x", 1), 0);
        assert_int_equal(file_byte(fd, (4 + round % 4) * PAGE_BYTES - 1), 'x');
        assert_int_equal(gmem_remove(&mem, 1), 0);
        assert_int_equal(gmem_slice(&mem, GPA(2 * PAGE_BYTES), 1, &slice), GMEM_E_RANGE);
        assert_int_equal(gmem_slice(&mem, GPA(PAGE_BYTES), PAGE_BYTES + 1, &slice), GMEM_E_RANGE);
    }
    assert_int_equal(mem.n_regions, 1);
    assert_int_equal(gmem_remove(&mem, 1), -EINVAL);
    assert_int_equal(gmem_remove(&mem, GMEM_MAX_REGIONS), -EINVAL);
    gmem_unmap(&mem);
    close(fd);
}

static void bad_regions_are_refused(void **state)
{
    static const struct {
        const char *why;
        unsigned number;
        uint64_t base, len, offset;
        int want;
    } bad[] = {
        { "the number is taken", 0, 8 * PAGE_BYTES, PAGE_BYTES, 0, -EINVAL },
        { "no such number", GMEM_MAX_REGIONS, 8 * PAGE_BYTES, PAGE_BYTES, 0, -EINVAL },
        { "nothing", 1, 8 * PAGE_BYTES, 0, 0, -EINVAL },
        { "half a page", 1, 8 * PAGE_BYTES, 2048, 0, -EINVAL },
        { "address in a page", 1, 8 * PAGE_BYTES + 1, PAGE_BYTES, 0, -EINVAL },
        { "offset in a page", 1, 8 * PAGE_BYTES, PAGE_BYTES, 8, -EINVAL },
        { "overlaps", 1, PAGE_BYTES, 2 * PAGE_BYTES, 0, -EINVAL },
        { "around another", 1, 0, 8 * PAGE_BYTES, 0, -EINVAL },
        { "above the window", 1, 64 * PAGE_BYTES, PAGE_BYTES, 0, -ENOSPC },
        { "ends above it", 1, 63 * PAGE_BYTES, 2 * PAGE_BYTES, 0, -ENOSPC },
        { "wraps", 1, UINT64_MAX - PAGE_BYTES + 1, 2 * PAGE_BYTES, 0, -ENOSPC },
        { "offset wraps", 1, 8 * PAGE_BYTES, PAGE_BYTES, UINT64_MAX - PAGE_BYTES + 1, -EINVAL },
        { "no file", 1, 8 * PAGE_BYTES, PAGE_BYTES, 0, -EBADF },
    };
    int fd = make_file(8 * PAGE_BYTES);
    struct gslice slice;
    struct gmem mem;

    (void)state;
    assert_int_equal(gmem_init(&mem, 64 * PAGE_BYTES), 0);
    assert_int_equal(add(&mem, 0, 2 * PAGE_BYTES, 2, 0, fd), 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        const struct gmem_region region = { .base = bad[i].base,
                                            .len_bytes = bad[i].len,
                                            .file_offset = bad[i].offset };

        if (gmem_add(&mem, bad[i].number, &region, -1) != bad[i].want)
            fail_msg("%s: not %d", bad[i].why, bad[i].want);
    }
    assert_int_equal(mem.n_regions, 1);
    assert_int_equal(gmem_slice(&mem, GPA(2 * PAGE_BYTES), 2 * PAGE_BYTES, &slice), 0);
    gmem_unmap(&mem);
    close(fd);
    assert_int_equal(gmem_init(&mem, 0), -EINVAL);
    assert_int_equal(gmem_init(&mem, PAGE_BYTES - 1), -EINVAL);
    assert_int_equal(gmem_init(&mem, GMEM_ADDRESS_MAX + PAGE_BYTES), -EINVAL);
}

/* ---- the dirty log ---- */

struct logged {
    struct gmem mem;
    int ram_fd, log_fd;
    uint8_t *log; /* this side's, as whoever copies the guest sees it */
    uint64_t log_bytes;
};

static void start_log(struct logged *l)
{
    l->ram_fd = make_file(200 * PAGE_BYTES);
    assert_int_equal(gmem_init(&l->mem, 4096 * PAGE_BYTES), 0);
    assert_int_equal(add(&l->mem, 0, 0, 130, 0, l->ram_fd), 0);
    assert_int_equal(add(&l->mem, 1, 130 * PAGE_BYTES, 10, 130, l->ram_fd), 0);
    assert_int_equal(add(&l->mem, 2, 4000 * PAGE_BYTES, 10, 140, l->ram_fd), 0);
    l->log_bytes = gmem_log_bytes(&l->mem);
    assert_int_equal(l->log_bytes, 512);
    l->log_fd = make_file(PAGE_BYTES);
    l->log = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, l->log_fd, 0);
    assert_true(l->log != MAP_FAILED);
    assert_int_equal(gmem_set_log(&l->mem, l->log_fd, l->log_bytes), 0);
}

static void end_log(struct logged *l)
{
    munmap(l->log, PAGE_BYTES);
    gmem_unmap(&l->mem);
    close(l->ram_fd);
    close(l->log_fd);
}

/* Exactly these pages, and takes them away. */
static void expect_pages(struct logged *l, const char *why, unsigned first, unsigned n)
{
    for (unsigned page = 0; page < PAGE_BYTES * 8; page++) {
        bool is = l->log[page / 8] & 1u << page % 8;

        if (is != (page >= first && page - first < n))
            fail_msg("%s: page %u is %smarked", why, page, is ? "" : "not ");
    }
    memset(l->log, 0, PAGE_BYTES);
}

static void each_way_to_write_is_marked(void **state)
{
    static uint8_t mine[3 * PAGE_BYTES];
    struct logged l;
    struct gslice slice;
    struct iovec iov[3];

    (void)state;
    start_log(&l);
    expect_pages(&l, "nothing", 0, 0);
    assert_int_equal(gmem_write(&l.mem, GPA(3 * PAGE_BYTES), "x", 1), 0);
    expect_pages(&l, "gmem_write", 3, 1);
    assert_int_equal(gmem_write(&l.mem, GPA(64 * PAGE_BYTES - 1), "xy", 2), 0);
    expect_pages(&l, "across a word of the log", 63, 2);
    assert_int_equal(gmem_zero(&l.mem, GPA(62 * PAGE_BYTES), 75 * PAGE_BYTES), 0);
    expect_pages(&l, "gmem_zero into the next region", 62, 75);
    assert_int_equal(gmem_zero(&l.mem, GPA(0), 128 * PAGE_BYTES), 0);
    expect_pages(&l, "whole words", 0, 128);
    assert_int_equal(gmem_slice(&l.mem, GPA(4000 * PAGE_BYTES), 10 * PAGE_BYTES, &slice), 0);
    gslice_store16(slice, 2 * PAGE_BYTES, 1);
    expect_pages(&l, "gslice_store16", 4002, 1);
    gslice_store16_release(slice, 10 * PAGE_BYTES - 2, 1);
    expect_pages(&l, "gslice_store16_release", 4009, 1);
    assert_int_equal(gslice_write(slice, 5 * PAGE_BYTES, mine, PAGE_BYTES + 1), 0);
    expect_pages(&l, "gslice_write", 4005, 2);
    gslice_mark_written(slice);
    expect_pages(&l, "gslice_mark_written", 4000, 10);

    iov[0] = (struct iovec){ mine, PAGE_BYTES };
    assert_int_equal(gmem_slice(&l.mem, GPA(129 * PAGE_BYTES), 2 * PAGE_BYTES, &slice), 0);
    iov[1] = gslice_iovec(slice);
    assert_int_equal(gmem_slice(&l.mem, GPA(0), PAGE_BYTES, &slice), 0);
    iov[2] = gslice_iovec(slice);
    gmem_mark_written(&l.mem, iov, 3, 3 * PAGE_BYTES);
    expect_pages(&l, "gmem_mark_written", 129, 2);

    /* Refused, empty and read: not marked. */
    assert_int_equal(gmem_write(&l.mem, GPA(200 * PAGE_BYTES), "x", 1), GMEM_E_RANGE);
    gslice_store16(slice, PAGE_BYTES - 1, 1);
    assert_int_equal(gslice_write(slice, PAGE_BYTES, "x", 1), GMEM_E_RANGE);
    assert_int_equal(gmem_write(&l.mem, GPA(0), "", 0), 0);
    assert_int_equal(gmem_read(&l.mem, GPA(0), mine, 4), 0);
    gmem_mark_written(&l.mem, iov, 3, 0);
    expect_pages(&l, "nothing was written", 0, 0);
    end_log(&l);
}

static void the_log_comes_and_goes(void **state)
{
    struct logged l;

    (void)state;
    start_log(&l);
    assert_int_equal(gmem_set_log(&l.mem, l.log_fd, l.log_bytes - 8), -EINVAL);
    assert_int_equal(gmem_set_log(&l.mem, l.log_fd, l.log_bytes + 1), -EINVAL);
    assert_int_equal(gmem_write(&l.mem, GPA(0), "x", 1), 0);
    expect_pages(&l, "still on", 0, 1);
    /* A region that comes while it is on. */
    assert_int_equal(add(&l.mem, 3, 2000 * PAGE_BYTES, 1, 0, l.ram_fd), 0);
    assert_int_equal(gmem_write(&l.mem, GPA(2000 * PAGE_BYTES), "x", 1), 0);
    expect_pages(&l, "a new region", 2000, 1);
    assert_int_equal(gmem_set_log(&l.mem, -1, 0), 0);
    assert_int_equal(gmem_write(&l.mem, GPA(0), "x", 1), 0);
    assert_int_equal(gmem_set_log(&l.mem, -1, 0), 0);
    expect_pages(&l, "off", 0, 0);
    assert_int_equal(gmem_set_log(&l.mem, l.log_fd, l.log_bytes), 0);
    assert_int_equal(gmem_write(&l.mem, GPA(0), "x", 1), 0);
    expect_pages(&l, "on again", 0, 1);
    end_log(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edges_are_refused),
        cmocka_unit_test(slice_offsets_are_checked),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(ram_is_split_around_the_hole),
        cmocka_unit_test(bad_sizes_are_refused),
        cmocka_unit_test(a_buffer_may_cross_into_the_next_region),
        cmocka_unit_test(a_region_goes_and_comes),
        cmocka_unit_test(bad_regions_are_refused),
        cmocka_unit_test(each_way_to_write_is_marked),
        cmocka_unit_test(the_log_comes_and_goes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
