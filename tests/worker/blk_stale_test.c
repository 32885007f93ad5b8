/* SPDX-License-Identifier: Apache-2.0 */
/* blk_stale_test.c - writes that a dead worker had submitted never land after the writes of its
 * replacement. slow-disk makes the two devices and runs this.
 *
 * BULKHEAD_SLOW_DISK and BULKHEAD_FAST_DISK are the same blocks, through a device-mapper delay and
 * without it. The first worker writes through the slow one and is killed; the second one, on the
 * fast one, finishes those writes and overwrites them: were the first one's still under way, they
 * would come out last. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "blk_driver.h"

enum { DEPTH = 256, BLOCK = 4096, SKIPPED = 77 };

static const char *slow, *fast;

static void write_all(struct blkd *d, uint64_t version)
{
    for (unsigned slot = 0; slot < DEPTH; slot++) {
        /* Not the buffers of the version before: a late write takes what is in them then. */
        uint64_t at = d->data + (slot + version % 2 * DEPTH) * BLOCK;

        blkd_pattern(wh_mem(d->wh, at, BLOCK), BLOCK, version * DEPTH + slot);
        blkd_add(d, 0, slot, &(struct blkd_request){ VIRTIO_BLK_T_OUT, slot * 8ull, at, BLOCK, 1, true });
    }
    wh_kick(d->wh, 0);
}

static void collect_all(struct blkd *d)
{
    for (unsigned i = 0; i < DEPTH; i++) {
        uint8_t status = 0;
        uint32_t len = 0;

        blkd_wait(d, 0, &status, &len);
        assert_int_equal(status, VIRTIO_BLK_S_OK);
    }
}

static unsigned stale_blocks(int fd, uint64_t version)
{
    static uint8_t got[BLOCK] __attribute__((aligned(BLOCK)));
    unsigned n = 0;

    for (unsigned slot = 0; slot < DEPTH; slot++) {
        uint8_t want[BLOCK];

        blkd_pattern(want, BLOCK, version * DEPTH + slot);
        assert_int_equal(pread(fd, got, BLOCK, (off_t)slot * BLOCK), BLOCK);
        n += memcmp(got, want, BLOCK) != 0;
    }
    return n;
}

static void no_write_comes_late(void **state)
{
    const char *env_rounds = getenv("BULKHEAD_ROUNDS"), *env_delay = getenv("BULKHEAD_SLOW_MS");
    unsigned rounds = env_rounds ? (unsigned)atoi(env_rounds) : 5;
    int delay_ms = env_delay ? atoi(env_delay) : 1000;
    int fd = open(fast, O_RDONLY | O_DIRECT | O_CLOEXEC);
    unsigned caught = 0, stale = 0;

    (void)state;
    assert_true(fd >= 0);
    for (unsigned round = 0; round < rounds; round++) {
        struct blkd *d = blkd_new(&(struct blkd_options){ .path = slow, .block_device = true,
                                                          .bytes = 8 << 20, .direct = true,
                                                          .block_size = 4096 });

        write_all(d, 2 * round + 1);
        while (__atomic_load_n(&d->wh->stats->inflight, __ATOMIC_RELAXED) < DEPTH &&
               d->wh->queues[0].vring.used->idx == 0)
            poll(NULL, 0, 1);
        caught += d->wh->queues[0].vring.used->idx == 0;
        wh_kill(d->wh);
        blkd_change_disk(d, fast);
        wh_restart(d->wh, d->features);
        collect_all(d);
        write_all(d, 2 * round + 2);
        collect_all(d);
        stale += stale_blocks(fd, 2 * round + 2);
        poll(NULL, 0, delay_ms + delay_ms / 2); /* what is late is there now */
        stale += stale_blocks(fd, 2 * round + 2);
        blkd_free(d);
    }
    print_message("%u rounds, %u killed with all %d writes in flight, %u stale blocks\n", rounds,
                  caught, DEPTH, stale);
    assert_int_equal(stale, 0);
    assert_true(caught > 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(no_write_comes_late) };

    slow = getenv("BULKHEAD_SLOW_DISK");
    fast = getenv("BULKHEAD_FAST_DISK");
    if (!slow || !fast) {
        fputs("needs BULKHEAD_SLOW_DISK and BULKHEAD_FAST_DISK: run tests/worker/slow-disk\n", stderr);
        return SKIPPED;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
