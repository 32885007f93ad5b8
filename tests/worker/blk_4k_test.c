/* SPDX-License-Identifier: Apache-2.0 */
/* blk_4k_test.c - a block device with blocks of 4096 bytes, which its kernel enforces: the guest
 * goes on counting in 512, whatever the host's way to it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/virtio_blk.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "blk_driver.h"
#include "loop_disk.h"
#include <cmocka.h>

enum { OK = VIRTIO_BLK_S_OK, SECTOR = 512, BLOCK = 4096, DISK_BYTES = 8 << 20, SKIPPED = 77 };

static char path[LOOP_DISK_PATH_BYTES];
static int loop_fd;
static uint8_t shadow[DISK_BYTES], got[DISK_BYTES];

static struct blkd_options way(unsigned i)
{
    return (struct blkd_options){ .path = path,
                                  .bytes = DISK_BYTES,
                                  .block_device = true,
                                  .discard = true,
                                  .direct = i & 1,
                                  .no_uring = i & 2,
                                  .direct_align = BLOCK,
                                  .range_align = BLOCK };
}
enum { N_WAYS = 4 };

static uint8_t range(struct blkd *d, uint32_t type, uint64_t sector, uint32_t n)
{
    struct virtio_blk_discard_write_zeroes seg = { .sector = sector, .num_sectors = n };

    memcpy(wh_mem(d->wh, d->data, sizeof seg), &seg, sizeof seg);
    return blkd_do(d, &(struct blkd_request){ type, 0, d->data, sizeof seg, 1, false });
}

static void compare(struct blkd *d)
{
    assert_int_equal(blkd_flush(d), OK);
    assert_int_equal(ioctl(loop_fd, BLKFLSBUF), 0);
    assert_int_equal(pread(loop_fd, got, DISK_BYTES, 0), DISK_BYTES);
    for (unsigned i = 0; i < DISK_BYTES; i += SECTOR)
        if (memcmp(got + i, shadow + i, SECTOR) != 0)
            fail_msg("sector %u is not as it was left", i / SECTOR);
}

static void sectors_of_512_bytes(void **state)
{
    (void)state;
    for (unsigned i = 0; i < N_WAYS; i++) {
        struct blkd_options o = way(i);
        struct blkd *d = blkd_new(&o);

        assert_int_equal(pread(loop_fd, shadow, DISK_BYTES, 0), DISK_BYTES);
        for (unsigned n = 0; n < 200; n++) {
            uint32_t len = SECTOR * (1 + (uint32_t)rand() % 30);
            uint64_t sector = (uint64_t)rand() % ((DISK_BYTES - len) / SECTOR);
            uint64_t at = d->data + (n % 3) * SECTOR;

            blkd_pattern(wh_mem(d->wh, at, len), len, n);
            memcpy(shadow + sector * SECTOR, wh_mem(d->wh, at, len), len);
            assert_int_equal(blkd_write(d, sector, at, len), OK);
            memset(wh_mem(d->wh, at, len), 0, len);
            assert_int_equal(blkd_read(d, sector, at, len), OK);
            assert_memory_equal(wh_mem(d->wh, at, len), shadow + sector * SECTOR, len);
        }
        compare(d);
        blkd_free(d);
    }
}

static void zeroes_and_discards(void **state)
{
    static const struct {
        uint64_t sector;
        uint32_t n;
    } ranges[] = { { 8, 64 }, { 3, 1 }, { 5, 200 }, { 1024, 7 }, { 0, 2048 } };

    (void)state;
    for (unsigned i = 0; i < N_WAYS; i++) {
        struct blkd_options o = way(i);
        struct blkd *d = blkd_new(&o);

        for (unsigned n = 0; n < sizeof ranges / sizeof ranges[0]; n++) {
            uint8_t *from = shadow + ranges[n].sector * SECTOR;
            size_t len = ranges[n].n * (size_t)SECTOR;

            blkd_pattern(wh_mem(d->wh, d->data, 1 << 20), 1 << 20, n + 1);
            assert_int_equal(blkd_write(d, 0, d->data, 1 << 20), OK);
            assert_int_equal(blkd_flush(d), OK);
            assert_int_equal(ioctl(loop_fd, BLKFLSBUF), 0);
            assert_int_equal(pread(loop_fd, shadow, DISK_BYTES, 0), DISK_BYTES);
            memset(from, 0, len);
            assert_int_equal(range(d, VIRTIO_BLK_T_WRITE_ZEROES, ranges[n].sector, ranges[n].n),
                             OK);
            compare(d);
            /* It is a hint: the part that is no whole block stays as it is. */
            assert_int_equal(range(d, VIRTIO_BLK_T_DISCARD, ranges[n].sector, ranges[n].n), OK);
            compare(d);
        }
        blkd_free(d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sectors_of_512_bytes),
        cmocka_unit_test(zeroes_and_discards),
    };
    const char *dir = getenv("TMPDIR");
    int file = open(dir ? dir : "/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    int failed;

    if (file < 0 || ftruncate(file, DISK_BYTES) < 0)
        wh_die("a file: %s", strerror(errno));
    loop_fd = loop_disk_attach(file, BLOCK, 0, path);
    if (loop_fd < 0) {
        fprintf(stderr, "needs root and a loop device\n");
        return SKIPPED;
    }
    close(file);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    close(loop_fd);
    return failed;
}
