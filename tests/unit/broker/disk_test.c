/* SPDX-License-Identifier: Apache-2.0 */
/* disk_test.c - what the broker finds out about a disk, and what it makes of what can't be found
 * out. The host's blocks are the host's affair: the guest counts in 512 bytes. */
#include <errno.h>
#include <fcntl.h>
#include <linux/blkpg.h>
#include <linux/loop.h>
#include <linux/magic.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "base/fd.h"
#include "devices/backend.h"
#include "devices/blk.h"
#include "devices/cache.h"
#include "loop_disk.h"
#include <cmocka.h>

#define MIB (1 << 20)

struct found {
    struct backend backend;
    struct fault fault;
    int r;
};

static struct found look(const char *path, bool direct, unsigned logical)
{
    Bulkhead__DiskConfig disk = BULKHEAD__DISK_CONFIG__INIT;
    struct found found = { 0 };
    char copy[256];

    snprintf(copy, sizeof copy, "%s", path);
    disk.id = (char *)(uintptr_t) "disk0";
    disk.path = copy;
    disk.direct = direct;
    disk.logical_block_size = logical;
    backend_init(&found.backend);
    found.r = resources_disk(NULL, &disk, &found.backend, &found.fault);
    backend_deinit(&found.backend); /* what was found stays */
    return found;
}

static int make_file(char path[256], off_t bytes)
{
    const char *dir = getenv("TMPDIR");
    int fd;

    snprintf(path, 256, "%s/bulkhead-disk-XXXXXX", dir ? dir : "/var/tmp");
    fd = mkostemp(path, O_CLOEXEC);
    assert_true(fd >= 0 && ftruncate(fd, bytes) == 0);
    return fd;
}

/* A worker that wrote behind it would be killed, again and again. */
static void the_callers_limit_of_file_sizes(void **state)
{
    const struct rlimit small = { MIB - 1, RLIM_INFINITY }, enough = { MIB, RLIM_INFINITY };
    struct rlimit before;
    struct found found;
    char path[256];

    (void)state;
    close(make_file(path, MIB));
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    found = look(path, false, 0);
    assert_true(found.r < 0 && found.fault.bad_input);
    assert_non_null(strstr(found.fault.text, "disk0 needs a file of 1048576 bytes"));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &enough), 0);
    found = look(path, false, 0);
    assert_int_equal(found.r, 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    unlink(path);
}

static void a_file(void **state)
{
    char path[256];
    int fd = make_file(path, MIB);
    struct found f;

    (void)state;
    for (unsigned direct = 0; direct < 2; direct++) {
        f = look(path, direct, 0);
        assert_int_equal(f.r, 0);
        assert_int_equal(f.backend.block_size, 512);
        assert_int_equal(f.backend.physical_block_exp, 3);
        assert_true(f.backend.discard);
        assert_true(f.backend.direct_align >= 512);
    }
    f = look(path, true, 4096);
    assert_int_equal(f.r, 0);
    assert_int_equal(f.backend.block_size, 4096);
    assert_int_equal(f.backend.physical_block_exp, 0);
    assert_int_equal(ftruncate(fd, MIB + 512), 0);
    assert_int_equal(look(path, false, 0).r, 0);
    f = look(path, false, 4096);
    assert_true(f.r < 0);
    assert_non_null(strstr(f.fault.text, "logical_block_size"));
    assert_int_equal(ftruncate(fd, MIB + 1), 0);
    f = look(path, false, 0);
    assert_true(f.r < 0);
    assert_non_null(strstr(f.fault.text, "truncate -s %512"));
    unlink(path);
    close(fd);
}

/* A partition's own folder in /sys says nothing of discarding: its disk's does. */
static void a_partition(const char *disk)
{
    char path[64];
    struct found whole = look(disk, false, 0), part;

    snprintf(path, sizeof path, "%sp1", disk);
    part = look(path, false, 0);
    if (whole.r < 0 || part.r < 0)
        fail_msg("%s%s", whole.fault.text, part.fault.text);
    assert_true(whole.backend.discard);
    assert_true(part.backend.discard);
    assert_int_equal(part.backend.size_bytes, MIB);
}

/* One from the second MiB on. By the kernel's own call: not every host reads partition tables. */
static void add_partition(int disk)
{
    struct blkpg_partition p = { .start = MIB, .length = MIB, .pno = 1 };
    struct blkpg_ioctl_arg arg = { .op = BLKPG_ADD_PARTITION, .datalen = sizeof p, .data = &p };

    if (ioctl(disk, BLKPG, &arg) < 0)
        fail_msg("a partition: %s", strerror(errno));
}

static void block_devices(void **state)
{
    char file[256], path[LOOP_DISK_PATH_BYTES];
    int fd = make_file(file, 4 * MIB), loop;
    struct found f;

    (void)state;
    unlink(file);
    loop = loop_disk_attach(fd, 4096, 0, path);
    if (loop < 0) {
        close(fd);
        print_message("no loop device here\n");
        skip();
    }
    for (unsigned direct = 0; direct < 2; direct++) {
        f = look(path, direct, 0);
        if (f.r < 0)
            fail_msg("%s", f.fault.text);
        assert_int_equal(f.backend.block_size, 512);
        assert_int_equal(f.backend.physical_block_exp, 3);
        assert_int_equal(f.backend.direct_align, 4096);
        assert_int_equal(f.backend.range_align, 4096);
    }
    assert_in_range(f.backend.cache_bytes, 4 * MIB, 5 * MIB); /* direct */
    f = look(path, true, 4096);
    assert_int_equal(f.backend.block_size, 4096);
    assert_int_equal(f.backend.physical_block_exp, 0);
    close(loop);
    loop = loop_disk_attach(fd, 0, LO_FLAGS_PARTSCAN, path);
    assert_true(loop >= 0);
    add_partition(loop);
    a_partition(path);
    close(loop);
    close(fd);
}

/* Pages that can be written to somewhere else are reclaimed; those of a tmpfs are memory for good. */
static void pages_that_count(void **state)
{
    char path[256];
    int file = make_file(path, 8 * MIB), memory = memfd_create("disk", MFD_CLOEXEC);
    struct statfs fs;

    (void)state;
    unlink(path);
    assert_int_equal(ftruncate(memory, 8 * MIB), 0);
    for (unsigned direct = 0; direct < 2; direct++)
        assert_in_range(cache_of_disk(memory, direct), 8 * MIB, 9 * MIB);
    assert_true(cache_of_log(memory) == PLAN_CACHE_ENDLESS);
    assert_int_equal(fstatfs(file, &fs), 0);
    if (fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == XFS_SUPER_MAGIC) {
        assert_int_equal(cache_of_disk(file, false), PLAN_CACHE_BYTES);
        assert_int_equal(cache_of_disk(file, true), 0);
        assert_int_equal(cache_of_log(file), PLAN_CACHE_BYTES);
    }
    close(file);
    close(memory);
    file = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_int_equal(cache_of_log(file), 0);
    close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file),
        cmocka_unit_test(the_callers_limit_of_file_sizes),
        cmocka_unit_test(block_devices),
        cmocka_unit_test(pages_that_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
