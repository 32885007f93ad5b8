/* SPDX-License-Identifier: Apache-2.0 */
/* blk_stale_test.c - writes that a dead worker had submitted never land after the writes of its
 * replacement.
 *
 * There are two ways to the same blocks: a slow one, on which the writes of the worker that is
 * killed are still under way, and a fast one, on which its replacement finishes those writes and
 * overwrites them: were the first one's still under way, they would come out last. The slow way is
 * slow_disk.h; or BULKHEAD_SLOW_DISK and BULKHEAD_FAST_DISK name block devices (the script
 * slow-disk makes them with device-mapper's delay target). BULKHEAD_ROUNDS of the first test. */
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "blk_driver.h"
#include "harness_away.h"
#include "slow_disk.h"
#include <cmocka.h>

enum { DEPTH = 256, BLOCK = 4096, TOTAL = DEPTH * BLOCK, SKIPPED = 77 };
enum { ROUNDS = 40, ROUNDS_LONG = 10000, LATE_MS = 8 };

static const char *slow, *fast;
static struct slow_disk *gate; /* NULL: block devices of the environment */

static void write_all(struct blkd *d, uint64_t version)
{
    for (unsigned slot = 0; slot < DEPTH; slot++) {
        /* Not the buffers of the version before: a late write takes what is in them then. */
        uint64_t at = d->data + (slot + version % 2 * DEPTH) * BLOCK;

        blkd_pattern(wh_mem(d->wh, at, BLOCK), BLOCK, version * DEPTH + slot);
        blkd_add(d, 0, slot,
                 &(struct blkd_request){ VIRTIO_BLK_T_OUT, slot * 8ull, at, BLOCK, 1, true });
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
        /* Nothing is done again before all that was begun has come to rest. */
        if (gate)
            assert_int_equal(slow_disk_arrived(gate), TOTAL);
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

/* A worker on the slow way with all its writes begun; how many it had finished. */
static unsigned begin(struct blkd **ret_d, uint64_t version)
{
    struct blkd *d;

    if (gate)
        slow_disk_release(gate, 0); /* it reads a little when it is opened */
    d = blkd_new(&(struct blkd_options){
        .path = slow, .block_device = true, .bytes = 8 << 20, .direct = true, .block_size = 4096 });
    if (gate)
        slow_disk_hold(gate);
    write_all(d, version);
    while (__atomic_load_n(&d->wh->stats->inflight, __ATOMIC_RELAXED) < DEPTH &&
           d->wh->queues[0].vring.used->idx == 0)
        poll(NULL, 0, 1);
    *ret_d = d;
    return d->wh->queues[0].vring.used->idx;
}

/* What starts from now on has the fast way. */
static void go_fast(struct blkd *d)
{
    if (gate) {
        d->config.direct = false;
        d->config.block_device = false;
    }
    blkd_change_disk(d, fast);
}

static void finish(struct blkd *d, int fd, uint64_t version)
{
    collect_all(d);
    write_all(d, version);
    collect_all(d);
    assert_int_equal(stale_blocks(fd, version), 0);
    blkd_free(d);
}

static unsigned number_of(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);

    return text ? (unsigned)atoi(text) : otherwise;
}

static int open_fast(void)
{
    int fd = open(fast, O_RDONLY | O_CLOEXEC | (gate ? 0 : O_DIRECT));

    assert_true(fd >= 0);
    return fd;
}

static void no_write_comes_late(void **state)
{
    unsigned rounds = number_of("BULKHEAD_ROUNDS", !gate                     ? 5
                                                   : getenv("BULKHEAD_LONG") ? ROUNDS_LONG
                                                                             : ROUNDS);
    int delay_ms = (int)number_of("BULKHEAD_SLOW_MS", 1000);
    unsigned caught = 0, stale = 0;
    int fd = open_fast();

    (void)state;
    for (unsigned round = 0; round < rounds; round++) {
        struct blkd *d;

        caught += begin(&d, 2 * round + 1) == 0;
        wh_kill(d->wh);
        if (gate)
            slow_disk_release(gate, LATE_MS);
        go_fast(d);
        wh_restart(d->wh, d->features);
        finish(d, fd, 2 * round + 2);
        if (!gate)
            poll(NULL, 0, delay_ms + delay_ms / 2); /* what is late is there now */
        stale += stale_blocks(fd, 2 * round + 2);
    }
    print_message("%u rounds, %u killed with all %d writes in flight, %u stale blocks\n", rounds,
                  caught, DEPTH, stale);
    assert_int_equal(stale, 0);
    assert_true(gate ? caught == rounds : caught > 0);
    close(fd);
}

/* The replacement dies while it waits, and so does the next: the one after that still waits. */
static void the_drain_outlives_those_who_wait(void **state)
{
    int fd = open_fast();
    struct blkd *d;

    (void)state;
    assert_int_equal(begin(&d, 1), 0);
    wh_kill(d->wh);
    go_fast(d);
    for (unsigned i = 0; i < 3; i++)
        wh_restart(d->wh, d->features);
    assert_int_equal(d->wh->queues[0].vring.used->idx, 0);
    slow_disk_release(gate, LATE_MS);
    wh_restart(d->wh, d->features);
    finish(d, fd, 2);
    close(fd);
}

static void without_a_ring_of_its_own_it_waits_too(void **state)
{
    int fd = open_fast();
    struct blkd *d;

    (void)state;
    assert_int_equal(begin(&d, 1), 0);
    wh_kill(d->wh);
    go_fast(d);
    d->config.use_io_uring = false;
    wh_restart(d->wh, d->features);
    assert_true(d->wh->ring.fd < 0);
    slow_disk_release(gate, LATE_MS);
    finish(d, fd, 2);
    close(fd);
}

/* The guest's driver may use its memory for something else once a reset is done. */
static void a_reset_waits_too(void **state)
{
    struct blkd *d;

    (void)state;
    assert_int_equal(begin(&d, 1), 0);
    wh_restart(d->wh, d->features);
    wh_send_reset(d->wh);
    slow_disk_release(gate, LATE_MS);
    wh_expect(d->wh, BULKHEAD__ENVELOPE__BODY_RESET_DONE);
    assert_int_equal(slow_disk_arrived(gate), TOTAL);
    blkd_free(d);
}

/* A new broker hears of the reset that its predecessor asked for, and gets the answer. */
static void a_new_broker_waits_for_the_reset(void **state)
{
    const Bulkhead__Snapshot *s;
    struct blkd *d;

    (void)state;
    assert_int_equal(begin(&d, 1), 0);
    d->wh->config.away = true;
    wh_restart(d->wh, d->features);
    wh_send_reset(d->wh);
    s = wh_resync(d->wh, 2);
    assert_int_equal(s->state, BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_RUNNING);
    assert_true(s->owes_reset);
    assert_false(s->old_ring_drained || s->owes_quiesce);
    slow_disk_release(gate, LATE_MS);
    wh_expect(d->wh, BULKHEAD__ENVELOPE__BODY_RESET_DONE);
    s = wh_resync(d->wh, 3);
    assert_int_equal(s->state, BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_READY);
    assert_true(s->old_ring_drained);
    blkd_free(d);
}

/* Whoever comes after this one must know which ring to wait for. */
static void the_own_ring_is_not_used_before_the_broker_can_know(void **state)
{
    int fd = open_fast();
    struct blkd *d;

    (void)state;
    assert_int_equal(begin(&d, 1), 0);
    wh_kill(d->wh);
    go_fast(d);
    d->wh->config.away = true;
    wh_restart(d->wh, d->features);
    wh_go_away(d->wh);
    slow_disk_release(gate, LATE_MS);
    while (slow_disk_arrived(gate) < TOTAL)
        poll(NULL, 0, 1);
    wh_let_it_turn(d->wh);
    assert_int_equal(d->wh->queues[0].vring.used->idx, 0);
    wh_come_back(d->wh);
    finish(d, fd, 2);
    close(fd);
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_write_comes_late),
        cmocka_unit_test(the_drain_outlives_those_who_wait),
        cmocka_unit_test(without_a_ring_of_its_own_it_waits_too),
        cmocka_unit_test(a_reset_waits_too),
        cmocka_unit_test(a_new_broker_waits_for_the_reset),
        cmocka_unit_test(the_own_ring_is_not_used_before_the_broker_can_know),
    };
    const struct CMUnitTest with_devices[] = { cmocka_unit_test(no_write_comes_late) };

    return gate ? cmocka_run_group_tests(tests, NULL, NULL)
                : cmocka_run_group_tests(with_devices, NULL, NULL);
}

int main(void)
{
    const char *why = NULL;
    int failed;

    slow = getenv("BULKHEAD_SLOW_DISK");
    fast = getenv("BULKHEAD_FAST_DISK");
    if (slow && fast)
        return run();
    gate = slow_disk_new(8 << 20, &why);
    if (!gate) {
        fprintf(stderr, "needs root, FUSE and a loop device (%s), or slow-disk\n", why);
        return SKIPPED;
    }
    slow = slow_disk_path(gate);
    fast = slow_disk_fast_path(gate);
    failed = run();
    if (failed == 0) /* else a worker may use it still; the end of this process ends all of that */
        slow_disk_free(gate);
    return failed;
}
