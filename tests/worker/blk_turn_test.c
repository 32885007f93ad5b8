/* SPDX-License-Identifier: Apache-2.0 */
/* blk_turn_test.c - requests of any size: the worker goes on beating, hears the broker and serves
 * its other queues meanwhile, also when it replays them. The requests are as large as the disk by
 * descriptors that name the same memory again and again. */
#include <linux/virtio_blk.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "blk_driver.h"
#include "watch.h"
#include <cmocka.h>

#define MIB (1ull << 20)
enum { HUGE_REQUESTS = 200, PIECES = 128, TICKS = 60 };
#define HUGE_BYTES (512 * MIB)

static const struct blkd_options ways[] = {
    { .bytes = HUGE_BYTES, .n_queues = 2 },
    { .bytes = HUGE_BYTES, .n_queues = 2, .no_uring = true },
    { .bytes = HUGE_BYTES, .n_queues = 2, .direct = true },
    { .bytes = HUGE_BYTES, .n_queues = 2, .direct = true, .no_uring = true },
    { .bytes = HUGE_BYTES, .n_queues = 2, .direct = true, .direct_align = 4096 },
};
enum { N_WAYS = sizeof ways / sizeof ways[0] };

/* A chain of header, data and status whose data is one buffer, PIECES times. */
static void add_huge(struct blkd *d, unsigned slot, uint32_t type, uint64_t bytes)
{
    uint64_t at = blkd_header(d, slot);
    struct virtio_blk_outhdr header = { .type = type };
    struct wh_buf bufs[PIECES + 2];
    unsigned n = 0;

    memcpy(wh_mem(d->wh, at, sizeof header), &header, sizeof header);
    bufs[n++] = (struct wh_buf){ at, sizeof header, false };
    for (unsigned i = 0; i < PIECES; i++)
        bufs[n++] =
            (struct wh_buf){ d->data + MIB, (uint32_t)(bytes / PIECES), type == VIRTIO_BLK_T_IN };
    bufs[n++] = (struct wh_buf){ at + 16, 1, true };
    if (wh_add(d->wh, 0, bufs, n, true) < 0)
        fail_msg("the queue is full");
}

static void goes_on_beating(struct blkd *d, const char *when)
{
    struct watch w = watch_of(d->wh->pid, &d->wh->stats->heartbeat);

    for (unsigned i = 0; i < TICKS; i++)
        if (watch_tick(&w, &watch_limits))
            fail_msg("%s: silent for %llu ms", when, (unsigned long long)(w.silent_ns / 1000000));
    assert_false(wh_is_dead(d->wh));
}

static void huge_requests_keep_no_worker_from_its_heartbeat(void **state)
{
    (void)state;
    for (unsigned i = 0; i < N_WAYS; i++) {
        struct blkd *d = blkd_new(&ways[i]);

        for (unsigned slot = 0; slot < HUGE_REQUESTS; slot++)
            add_huge(d, slot, VIRTIO_BLK_T_IN, HUGE_BYTES);
        wh_kick(d->wh, 0);
        goes_on_beating(d, "requests");
        wh_restart(d->wh, d->features);
        goes_on_beating(d, "replay");
        blkd_free(d);
    }
}

/* A request that comes after many huge ones on another queue doesn't wait for all of them. */
static void nor_its_other_queues_from_theirs(void **state)
{
    (void)state;
    for (unsigned i = 0; i < N_WAYS; i++) {
        struct blkd *d = blkd_new(&ways[i]);
        uint8_t status = 0;
        uint32_t len = 0;

        for (unsigned slot = 0; slot < HUGE_REQUESTS; slot++)
            add_huge(d, slot, VIRTIO_BLK_T_IN, HUGE_BYTES);
        wh_kick(d->wh, 0);
        blkd_add(d, 1, 1000, &(struct blkd_request){ VIRTIO_BLK_T_IN, 0, d->data, 512, 1, false });
        wh_kick(d->wh, 1);
        blkd_wait(d, 1, &status, &len);
        assert_int_equal(status, VIRTIO_BLK_S_OK);
        assert_true(d->wh->queues[0].vring.used->idx < HUGE_REQUESTS / 2);
        blkd_free(d);
    }
}

/* In pieces, and each at its place. */
static void a_large_request_is_whole(void **state)
{
    static uint8_t got[24 * MIB];

    (void)state;
    for (unsigned i = 0; i < N_WAYS; i++) {
        struct blkd *d = blkd_new(&ways[i]);
        uint64_t at = d->data + MIB;
        uint32_t len = 0;
        uint8_t status = 0;

        blkd_pattern(wh_mem(d->wh, at, sizeof got), sizeof got, i);
        blkd_add(d, 0, 0, &(struct blkd_request){ VIRTIO_BLK_T_OUT, 3, at, sizeof got, 5, false });
        wh_kick(d->wh, 0);
        blkd_wait(d, 0, &status, &len);
        assert_int_equal(status, VIRTIO_BLK_S_OK);
        assert_int_equal(pread(d->fd, got, sizeof got, 3 * 512), sizeof got);
        assert_memory_equal(got, wh_mem(d->wh, at, sizeof got), sizeof got);
        memset(wh_mem(d->wh, at, sizeof got), 0, sizeof got);
        assert_int_equal(blkd_read(d, 3, at, sizeof got), VIRTIO_BLK_S_OK);
        assert_memory_equal(got, wh_mem(d->wh, at, sizeof got), sizeof got);
        blkd_free(d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(huge_requests_keep_no_worker_from_its_heartbeat),
        cmocka_unit_test(nor_its_other_queues_from_theirs),
        cmocka_unit_test(a_large_request_is_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
