/* SPDX-License-Identifier: Apache-2.0 */
/* blk_direct_test.c - a guest that counts in 512 bytes, on a disk that takes whole blocks of 4096
 * alone: what it writes arrives, and nothing else changes, whatever is under way at the same time
 * and whoever dies. */
#include <linux/virtio_blk.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "blk_driver.h"
#include <cmocka.h>

#define MIB (1ull << 20)
enum { OK = VIRTIO_BLK_S_OK, SECTOR = 512, DISK_BYTES = 8 << 20, SLOTS = 64, ROUNDS = 40 };

static const struct blkd_options ways[] = {
    { .bytes = DISK_BYTES, .direct = true, .direct_align = 4096, .discard = true },
    { .bytes = DISK_BYTES,
      .direct = true,
      .direct_align = 4096,
      .discard = true,
      .no_uring = true },
    { .bytes = DISK_BYTES, .direct = true, .direct_align = 65536, .discard = true },
};
enum { N_WAYS = sizeof ways / sizeof ways[0] };

static uint8_t shadow[DISK_BYTES], got[DISK_BYTES];

static void compare(struct blkd *d)
{
    assert_int_equal(pread(d->fd, got, DISK_BYTES, 0), DISK_BYTES);
    for (unsigned i = 0; i < DISK_BYTES; i += SECTOR)
        if (memcmp(got + i, shadow + i, SECTOR) != 0)
            fail_msg("sector %u is not what was written last", i / SECTOR);
}

static void any_part_of_it(void **state)
{
    (void)state;
    for (unsigned i = 0; i < N_WAYS; i++) {
        struct blkd *d = blkd_new(&ways[i]);

        srand(7);
        memset(shadow, 0, sizeof shadow);
        for (unsigned n = 0; n < 300; n++) {
            uint32_t len = SECTOR * (1 + (uint32_t)rand() % (n % 10 == 0 ? 1000 : 20));
            uint64_t sector = (uint64_t)rand() % ((DISK_BYTES - len) / SECTOR);
            uint64_t at = d->data + (n % 3) * SECTOR;

            blkd_pattern(wh_mem(d->wh, at, len), len, n);
            memcpy(shadow + sector * SECTOR, wh_mem(d->wh, at, len), len);
            assert_int_equal(blkd_write(d, sector, at, len), OK);
            sector = (uint64_t)rand() % ((DISK_BYTES - len) / SECTOR);
            assert_int_equal(blkd_read(d, sector, at, len), OK);
            assert_memory_equal(wh_mem(d->wh, at, len), shadow + sector * SECTOR, len);
        }
        assert_int_equal(blkd_write(d, DISK_BYTES / SECTOR - 1, d->data, SECTOR), OK);
        memcpy(shadow + DISK_BYTES - SECTOR, wh_mem(d->wh, d->data, SECTOR), SECTOR);
        compare(d);
        assert_int_equal(lseek(d->fd, 0, SEEK_END), DISK_BYTES);
        blkd_free(d);
    }
}

/* Each slot owns a sector, eight of them are in one block; now and then zeroes are written. */
static void issue(struct blkd *d, unsigned slot, unsigned round)
{
    uint64_t at = d->data + slot * (uint64_t)SECTOR;
    uint8_t *sector = shadow + slot * SECTOR;

    if ((slot + round) % 7 == 0) {
        struct virtio_blk_discard_write_zeroes range = { .sector = slot, .num_sectors = 1 };

        memset(sector, 0, SECTOR);
        memcpy(wh_mem(d->wh, at, sizeof range), &range, sizeof range);
        blkd_add(d, 0, slot,
                 &(struct blkd_request){ VIRTIO_BLK_T_WRITE_ZEROES, 0, at, sizeof range, 1, true });
        return;
    }
    blkd_pattern(sector, SECTOR, round * SLOTS + slot);
    memcpy(wh_mem(d->wh, at, SECTOR), sector, SECTOR);
    blkd_add(d, 0, slot, &(struct blkd_request){ VIRTIO_BLK_T_OUT, slot, at, SECTOR, 1, true });
}

static void collect(struct blkd *d, unsigned n)
{
    for (; n > 0; n--) {
        uint8_t status = 0;
        uint32_t len = 0;

        blkd_wait(d, 0, &status, &len);
        assert_int_equal(status, OK);
    }
}

static void at_the_same_time(const struct blkd_options *o, bool kill)
{
    struct blkd *d = blkd_new(o);

    srand(3);
    memset(shadow, 0, sizeof shadow);
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned answered = 0;

        for (unsigned slot = 0; slot < SLOTS; slot++)
            issue(d, slot, round);
        wh_kick(d->wh, 0);
        if (kill) { /* at any moment */
            answered = (unsigned)rand() % SLOTS;
            collect(d, answered);
            wh_restart(d->wh, d->features);
        }
        collect(d, SLOTS - answered);
        compare(d);
    }
    blkd_free(d);
}

static void parts_of_one_block_at_the_same_time(void **state)
{
    (void)state;
    for (unsigned i = 0; i < N_WAYS; i++)
        at_the_same_time(&ways[i], false);
}

static void and_the_worker_dies(void **state)
{
    (void)state;
    for (unsigned i = 0; i < N_WAYS; i++)
        at_the_same_time(&ways[i], true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_part_of_it),
        cmocka_unit_test(parts_of_one_block_at_the_same_time),
        cmocka_unit_test(and_the_worker_dies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
