/* SPDX-License-Identifier: Apache-2.0 */
/* blk_restart_test.c - the disk worker dies with requests in flight; its replacement finishes them
 * from the journal. Each request is answered once, none is lost, none is done after its answer. */
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "blk_driver.h"
#include <cmocka.h>

#define MIB (1ull << 20)
enum { DEPTH = 64, BLOCK = 4096, ROUNDS = 60 };

/* What a driver that verifies everything does: each slot owns a block and writes or reads it. */
struct load {
    struct blkd *d;
    uint64_t version[DEPTH]; /* last one written and answered */
    bool writing[DEPTH];
    unsigned answered;
};

static void issue(struct load *load, unsigned slot)
{
    struct blkd *d = load->d;
    unsigned q = slot % d->wh->config.n_queues;
    uint64_t at = d->data + slot * (uint64_t)BLOCK;
    bool write = rand() % 2;
    struct blkd_request r = { write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN,
                              slot * 8ull,
                              at,
                              BLOCK,
                              1 + (unsigned)rand() % 3,
                              rand() % 2 };

    load->writing[slot] = write;
    if (write)
        blkd_pattern(wh_mem(d->wh, at, BLOCK), BLOCK, ++load->version[slot] * DEPTH + slot);
    else
        memset(wh_mem(d->wh, at, BLOCK), 0xcc, BLOCK);
    blkd_add(d, q, slot, &r);
    wh_kick(d->wh, q);
}

static void expect_block(struct load *load, unsigned slot, const void *got)
{
    uint8_t want[BLOCK] = { 0 };

    if (load->version[slot] > 0)
        blkd_pattern(want, BLOCK, load->version[slot] * DEPTH + slot);
    if (memcmp(got, want, BLOCK) != 0)
        fail_msg("slot %u: not what version %llu wrote", slot,
                 (unsigned long long)load->version[slot]);
}

static void check(struct load *load, unsigned slot, uint8_t status)
{
    assert_int_equal(status, VIRTIO_BLK_S_OK);
    if (!load->writing[slot])
        expect_block(load, slot,
                     wh_mem(load->d->wh, load->d->data + slot * (uint64_t)BLOCK, BLOCK));
    load->answered++;
}

static unsigned collect(struct load *load, unsigned q)
{
    uint8_t status = 0;
    uint32_t len = 0;
    unsigned slot = blkd_wait(load->d, q, &status, &len);

    check(load, slot, status);
    return slot;
}

static void kills(const struct blkd_options *o)
{
    struct load load = { .d = blkd_new(o) };
    struct blkd *d = load.d;
    unsigned inflight[WH_MAX_QUEUES] = { 0 };

    srand(1);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned slot = 0; slot < DEPTH; slot++) {
            issue(&load, slot);
            inflight[slot % d->wh->config.n_queues]++;
        }
        /* Die at any moment of the batch. */
        for (unsigned n = (unsigned)rand() % DEPTH; n > 0; n--) {
            unsigned q = n % d->wh->config.n_queues;

            if (inflight[q] == 0)
                continue;
            collect(&load, q);
            inflight[q]--;
        }
        wh_restart(d->wh, d->features);
        for (unsigned q = 0; q < d->wh->config.n_queues; q++)
            for (; inflight[q] > 0; inflight[q]--)
                collect(&load, q);
    }
    assert_int_equal(load.answered, ROUNDS * DEPTH);
    for (unsigned slot = 0; slot < DEPTH; slot++) {
        uint8_t got[BLOCK];

        assert_int_equal(pread(d->fd, got, BLOCK, (off_t)slot * BLOCK), BLOCK);
        expect_block(&load, slot, got);
    }
    assert_false(wh_has_message(d->wh, 0));
    blkd_free(d);
}

static void nothing_is_lost_with_io_uring(void **state)
{
    (void)state;
    kills(&(struct blkd_options){ .bytes = 8 * MIB, .n_queues = 2 });
}

static void nothing_is_lost_with_direct_io(void **state)
{
    (void)state;
    kills(&(struct blkd_options){ .bytes = 8 * MIB, .direct = true, .block_size = 512 });
}

static void nothing_is_lost_with_system_calls(void **state)
{
    (void)state;
    kills(&(struct blkd_options){ .bytes = 8 * MIB, .no_uring = true, .n_queues = 2 });
}

/* A worker that was never activated, or had nothing in flight, is replaced as well. */
static void an_idle_worker_is_replaced(void **state)
{
    struct blkd *d = blkd_new(&(struct blkd_options){ .bytes = MIB });

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        wh_restart(d->wh, d->features);
        assert_true(wh_wait_interrupt(d->wh, 0, WH_PATIENCE_MS)); /* the one that may be lost */
        assert_int_equal(blkd_write(d, 0, d->data, 4096), VIRTIO_BLK_S_OK);
    }
    wh_kill(d->wh);
    wh_start(d->wh);
    wh_activate(d->wh, d->features, false);
    assert_int_equal(blkd_write(d, 0, d->data, 4096), VIRTIO_BLK_S_OK);
    blkd_free(d);
}

#ifdef BH_FAILPOINTS
static void dies_at(const char *failpoint)
{
    struct load load = { .d = blkd_new(
                             &(struct blkd_options){ .bytes = 8 * MIB, .failpoint = failpoint }) };
    struct wh *wh = load.d->wh;

    for (unsigned slot = 0; slot < DEPTH; slot++)
        issue(&load, slot);
    while (!wh_is_dead(wh)) {
        uint8_t status = 0;
        uint32_t len = 0;
        int slot = blkd_try(load.d, 0, &status, &len);

        if (slot >= 0) {
            check(&load, (unsigned)slot, status);
            issue(&load, (unsigned)slot);
        }
    }
    assert_int_equal(WTERMSIG(wh_wait_exit(wh)), SIGILL);
    wh->config.failpoint = NULL;
    wh_restart(wh, load.d->features);
    for (unsigned slot = 0; slot < DEPTH; slot++)
        collect(&load, 0);
    blkd_free(load.d);
}

static void each_step_may_be_the_last(void **state)
{
    static const char *const places[] = { "after_fetch", "after_submit", "after_completion",
                                          "before_used", "after_used",   "before_interrupt" };

    (void)state;
    for (unsigned i = 0; i < sizeof places / sizeof places[0]; i++)
        for (unsigned n = 1; n <= 40; n += 13) {
            char spec[64];

            snprintf(spec, sizeof spec, "%s:%u", places[i], n);
            dies_at(spec);
        }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost_with_io_uring),
        cmocka_unit_test(nothing_is_lost_with_direct_io),
        cmocka_unit_test(nothing_is_lost_with_system_calls),
        cmocka_unit_test(an_idle_worker_is_replaced),
#ifdef BH_FAILPOINTS
        cmocka_unit_test(each_step_may_be_the_last),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
