/* SPDX-License-Identifier: Apache-2.0 */
/* blk_slow_test.c - what the broker thinks of a silent disk worker: one that the host's disk keeps
 * waiting is not taken for one that hangs, and one that is stopped or spins is. The worker and the
 * disk (slow_disk.h) are real, and so is the judge; the clock of the broker's tick is this test's. */
#include <linux/virtio_blk.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "blk_driver.h"
#include "slow_disk.h"
#include "watch.h"
#include <cmocka.h>

enum { WRITES = 16, BLOCK = 4096, SKIPPED = 77 };
enum { SLOW_MS = 3000 }; /* over three times the limit of a hang */

#define MS UINT64_C(1000000)
static struct slow_disk *gate;

/* A worker whose loop is inside a write that does not come back. */
static struct blkd *stalled_worker(void)
{
    struct blkd *d;

    slow_disk_release(gate, 0); /* it reads a little when it is opened */
    d = blkd_new(&(struct blkd_options){ .path = slow_disk_path(gate),
                                         .block_device = true,
                                         .bytes = 8 << 20,
                                         .direct = true,
                                         .no_uring = true,
                                         .block_size = BLOCK });
    slow_disk_hold(gate);
    for (unsigned slot = 0; slot < WRITES; slot++) {
        uint64_t at = d->data + slot * (uint64_t)BLOCK;

        blkd_add(d, 0, slot,
                 &(struct blkd_request){ VIRTIO_BLK_T_OUT, slot * 8ull, at, BLOCK, 1, true });
    }
    wh_kick(d->wh, 0);
    return d;
}

static void finish(struct blkd *d)
{
    uint64_t begun = __atomic_load_n(&d->wh->stats->heartbeat, __ATOMIC_RELAXED);

    slow_disk_release(gate, 0);
    for (unsigned i = 0; i < WRITES; i++) {
        uint8_t status = 0;
        uint32_t len = 0;

        blkd_wait(d, 0, &status, &len);
        assert_int_equal(status, VIRTIO_BLK_S_OK);
    }
    /* Each answer is a sign of life: the next write may be as slow, before the loop turns. */
    assert_true(__atomic_load_n(&d->wh->stats->heartbeat, __ATOMIC_RELAXED) >= begun + WRITES);
    blkd_free(d);
}

static void a_slow_disk_is_waited_for(void **state)
{
    struct blkd *d = stalled_worker();
    struct watch w = watch_of(d->wh->pid, &d->wh->stats->heartbeat);
    bool hung = false;

    (void)state;
    do
        hung = watch_tick(&w, &watch_limits);
    while (!hung && w.silent_ns < SLOW_MS * MS);
    if (hung || w.of != STARVED_OF_DISK)
        fail_msg("hung %d, of %d, silent for %llu ms", hung, (int)w.of,
                 (unsigned long long)(w.silent_ns / MS));
    finish(d);
}

static void but_not_for_ever(void **state)
{
    const struct starved_limits short_ones = { .hang_ns = 500 * MS, .stall_ns = 1500 * MS };
    struct blkd *d = stalled_worker();
    struct watch w = watch_of(d->wh->pid, &d->wh->stats->heartbeat);

    (void)state;
    while (!watch_tick(&w, &short_ones))
        assert_true(w.silent_ns < WH_PATIENCE_MS * MS);
    assert_int_equal(w.of, STARVED_OF_DISK);
    assert_true(w.silent_ns >= short_ones.stall_ns);
    finish(d);
}

/* Who waits for a file system in user space could be interrupted, so the kernel doesn't call it a
 * wait for a disk: the worker leaves all of that to its ring. */
static void a_slow_server_of_files_holds_up_nothing(void **state)
{
    struct blkd *d =
        blkd_new(&(struct blkd_options){ .path = slow_disk_fuse_path(gate), .bytes = 8 << 20 });
    struct watch w = watch_of(d->wh->pid, &d->wh->stats->heartbeat);
    uint8_t status = 0;
    uint32_t len = 0;

    (void)state;
    slow_disk_hold(gate);
    blkd_add(d, 0, 0, &(struct blkd_request){ VIRTIO_BLK_T_OUT, 0, d->data, BLOCK, 1, true });
    wh_kick(d->wh, 0);
    for (unsigned i = 0; i < 2 * watch_limits.hang_ns / MS / WATCH_TICK_MS; i++)
        assert_false(watch_tick(&w, &watch_limits));
    assert_true(w.silent_ns < watch_limits.hang_ns);
    slow_disk_release(gate, 0);
    blkd_wait(d, 0, &status, &len);
    assert_int_equal(status, VIRTIO_BLK_S_OK);
    blkd_free(d);
}

static uint64_t offered_with(struct blkd *d, bool no_ring)
{
    d->wh->config.no_ring = no_ring;
    wh_start(d->wh);
    wh_kill(d->wh);
    return d->wh->features;
}

/* Whoever replaces it must offer as much, whether the host gives a ring then or not. */
static void what_is_offered_depends_on_no_ring(void **state)
{
    struct blkd_options o = { .path = slow_disk_fuse_path(gate),
                              .bytes = 8 << 20,
                              .discard = true };
    struct blkd *d = blkd_new_without_worker(&o);

    (void)state;
    assert_false(offered_with(d, true) & 1ull << VIRTIO_BLK_F_DISCARD);
    assert_false(offered_with(d, false) & 1ull << VIRTIO_BLK_F_DISCARD);
    d->config.use_io_uring = false; /* as the user said */
    assert_true(offered_with(d, false) & 1ull << VIRTIO_BLK_F_DISCARD);
    blkd_free(d);
}

/* A worker that waits for nothing is given the first limit alone. */
static void a_stopped_worker_hangs(void **state)
{
    struct blkd *d = blkd_new(&(struct blkd_options){ .bytes = 1 << 20 });
    struct watch w = watch_of(d->wh->pid, &d->wh->stats->heartbeat);

    (void)state;
    for (unsigned i = 0; i < 10; i++)
        assert_false(watch_tick(&w, &watch_limits)); /* alive */
    kill(d->wh->pid, SIGSTOP);
    while (!watch_tick(&w, &watch_limits))
        assert_true(w.silent_ns < watch_limits.hang_ns);
    assert_int_equal(w.of, STARVED_OF_NOTHING);
    kill(d->wh->pid, SIGCONT);
    blkd_free(d);
}

static void one_that_spins_hangs(void **state)
{
    static const uint64_t never;
    struct watch w;
    pid_t pid = fork();

    (void)state;
    if (pid == 0)
        for (;;)
            __asm__ volatile("" ::: "memory");
    w = watch_of(pid, &never);
    /* A busy host may keep it from its CPU: then later. */
    while (!watch_tick(&w, &watch_limits))
        assert_true(w.silent_ns < watch_limits.hang_ns || w.of == STARVED_OF_CPU);
    assert_int_not_equal(w.of, STARVED_OF_DISK);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slow_disk_is_waited_for),
        cmocka_unit_test(but_not_for_ever),
        cmocka_unit_test(a_slow_server_of_files_holds_up_nothing),
        cmocka_unit_test(what_is_offered_depends_on_no_ring),
        cmocka_unit_test(a_stopped_worker_hangs),
        cmocka_unit_test(one_that_spins_hangs),
    };
    const char *why = NULL;
    int failed;

    gate = slow_disk_new(8 << 20, &why);
    if (!gate) {
        fprintf(stderr, "needs root, FUSE and a loop device (%s)\n", why);
        return SKIPPED;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (failed == 0) /* else a worker may use it still; the end of this process ends all of that */
        slow_disk_free(gate);
    return failed;
}
