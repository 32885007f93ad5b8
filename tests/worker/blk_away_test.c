/* SPDX-License-Identifier: Apache-2.0 */
/* blk_away_test.c - a disk whose broker is away: nobody reads what the worker says, or somebody new does.
 * Requests go on, each answer is given once, and a snapshot stands for those before it. */
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "blk_driver.h"
#include "harness_away.h"
#include <cmocka.h>

enum { BLOCK = 4096, REQUESTS = 64, LOGGED = 40 };
#define READY BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_READY
#define RUNNING BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_RUNNING
#define QUIESCED BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_QUIESCED

static struct blkd *new_disk(int log_fd)
{
    struct blkd *d = blkd_new_without_worker(&(struct blkd_options){ .bytes = 8 << 20 });

    d->wh->config.away = true;
    d->wh->config.log_fd = log_fd;
    d->wh->config.judge_as = BULKHEAD__ROLE__ROLE_BLK;
    wh_start(d->wh);
    d->features = d->wh->features;
    return d;
}

static struct blkd *new_running_disk(void)
{
    struct blkd *d = new_disk(0);

    wh_activate(d->wh, d->features, false);
    return d;
}

static void work(struct blkd *d, uint64_t tag)
{
    for (unsigned i = 0; i < REQUESTS; i++) {
        uint8_t *p = wh_mem(d->wh, d->data, BLOCK), want[BLOCK];

        blkd_pattern(p, BLOCK, tag * REQUESTS + i);
        memcpy(want, p, BLOCK);
        assert_int_equal(blkd_write(d, i * 8ull, d->data, BLOCK), VIRTIO_BLK_S_OK);
        memset(p, 0, BLOCK);
        assert_int_equal(blkd_read(d, i * 8ull, d->data, BLOCK), VIRTIO_BLK_S_OK);
        assert_memory_equal(p, want, BLOCK);
    }
}

static void send_quiesce(struct wh *wh)
{
    Bulkhead__Quiesce m = BULKHEAD__QUIESCE__INIT;
    ENVELOPE(e, QUIESCE, quiesce, &m);

    wh_send(wh, &e);
}

/* Activated is the first thing that doesn't fit; the disk works all the same. */
static void requests_go_on_and_answers_wait(void **state)
{
    struct blkd *d = new_disk(0);

    (void)state;
    wh_go_away(d->wh);
    wh_send_activate(d->wh, d->features, false);
    work(d, 1);
    wh_come_back(d->wh);
    wh_expect(d->wh, BULKHEAD__ENVELOPE__BODY_ACTIVATED);
    wh_expect_silence(d->wh);
    work(d, 2);
    wh_go_away(d->wh);
    work(d, 3);
    send_quiesce(d->wh);
    wh_send_reset(d->wh); /* legal: Quiesced is still on its way, for all that the broker knows */
    wh_let_it_turn(d->wh);
    wh_come_back(d->wh);
    wh_expect(d->wh, BULKHEAD__ENVELOPE__BODY_QUIESCED);
    wh_expect(d->wh, BULKHEAD__ENVELOPE__BODY_RESET_DONE);
    wh_expect_silence(d->wh);
    wh_activate(d->wh, d->features, false);
    work(d, 4);
    blkd_free(d);
}

/* A chain that is longer than its ring. */
static void break_ring(struct blkd *d)
{
    struct vring *v = &d->wh->queues[0].vring;

    v->desc[0].flags = VRING_DESC_F_NEXT;
    v->desc[0].next = 0;
    wh_publish(d->wh, 0, 0);
    wh_kick_always(d->wh, 0);
}

static void wait_for_fault(struct blkd *d, uint64_t faults)
{
    while (__atomic_load_n(&d->wh->stats->guest_faults, __ATOMIC_RELAXED) < faults)
        usleep(1000);
}

static void a_broken_ring_is_told_later_unless_it_was_reset(void **state)
{
    struct blkd *d = new_running_disk();

    (void)state;
    wh_go_away(d->wh);
    break_ring(d);
    wait_for_fault(d, 1);
    wh_come_back(d->wh);
    wh_expect(d->wh, BULKHEAD__ENVELOPE__BODY_NEEDS_RESET);
    wh_reset(d->wh);
    wh_activate(d->wh, d->features, false);
    wh_go_away(d->wh);
    break_ring(d);
    wait_for_fault(d, 2);
    wh_send_reset(d->wh);
    wh_let_it_turn(d->wh);
    wh_come_back(d->wh);
    wh_expect(d->wh, BULKHEAD__ENVELOPE__BODY_RESET_DONE);
    wh_expect_silence(d->wh);
    wh_activate(d->wh, d->features, false);
    work(d, 1);
    blkd_free(d);
}

static void a_snapshot_says_each_state(void **state)
{
    struct blkd *d = new_disk(0);
    const Bulkhead__Snapshot *s = wh_resync(d->wh, 2);

    (void)state;
    assert_int_equal(s->state, READY);
    assert_null(s->activate);
    assert_int_equal(s->config.len, d->wh->device_config_len);
    assert_memory_equal(s->config.data, d->wh->device_config, s->config.len);
    d->wh->activation = 17;
    wh_activate(d->wh, d->features, false);
    s = wh_resync(d->wh, 3);
    assert_int_equal(s->state, RUNNING);
    assert_int_equal(s->activate->features, d->features);
    assert_int_equal(s->activate->activation, 17);
    assert_int_equal(s->activate->n_queues, 1);
    assert_int_equal(s->activate->queues[0]->size, d->wh->queues[0].size);
    assert_int_equal(s->activate->queues[0]->desc, d->wh->queues[0].desc);
    assert_int_equal(s->activate->queues[0]->avail, d->wh->queues[0].avail);
    assert_int_equal(s->activate->queues[0]->used, d->wh->queues[0].used);
    assert_false(s->owes_reset || s->owes_quiesce || s->needs_reset);
    work(d, 1);
    wh_quiesce(d->wh);
    s = wh_resync(d->wh, 4);
    assert_int_equal(s->state, QUIESCED);
    assert_non_null(s->activate);
    wh_unquiesce(d->wh);
    work(d, 2);
    break_ring(d);
    wh_expect(d->wh, BULKHEAD__ENVELOPE__BODY_NEEDS_RESET);
    s = wh_resync(d->wh, 5);
    assert_int_equal(s->state, RUNNING);
    assert_true(s->needs_reset);
    assert_non_null(strstr(s->why, "queue 0"));
    wh_reset(d->wh);
    s = wh_resync(d->wh, 6);
    assert_int_equal(s->state, READY);
    assert_false(s->needs_reset);
    wh_expect_silence(d->wh);
    blkd_free(d);
}

/* The old broker may have read an answer, or not: the new one gets it in the snapshot alone. */
static void a_snapshot_stands_for_the_answers_before_it(void **state)
{
    struct blkd *d = new_disk(0);
    const Bulkhead__Snapshot *s;

    (void)state;
    wh_go_away(d->wh);
    wh_send_activate(d->wh, d->features, false);
    work(d, 1);
    wh_send_resync(d->wh, 2);
    wh_let_it_turn(d->wh);
    wh_come_back(d->wh);
    s = wh_expect(d->wh, BULKHEAD__ENVELOPE__BODY_SNAPSHOT)->snapshot;
    assert_int_equal(s->state, RUNNING);
    wh_expect_silence(d->wh);
    wh_go_away(d->wh);
    send_quiesce(d->wh);
    wh_send_resync(d->wh, 3);
    wh_send_resync(d->wh, 4); /* a broker that died before it had its answer */
    wh_let_it_turn(d->wh);
    wh_come_back(d->wh);
    s = wh_expect(d->wh, BULKHEAD__ENVELOPE__BODY_SNAPSHOT)->snapshot;
    assert_int_equal(s->epoch, 4);
    assert_int_equal(s->state, QUIESCED);
    wh_expect_silence(d->wh);
    wh_unquiesce(d->wh);
    work(d, 2);
    wh_go_away(d->wh);
    wh_send_reset(d->wh);
    wh_send_resync(d->wh, 9);
    wh_let_it_turn(d->wh);
    wh_come_back(d->wh);
    s = wh_expect(d->wh, BULKHEAD__ENVELOPE__BODY_SNAPSHOT)->snapshot;
    assert_int_equal(s->state, READY);
    wh_expect_silence(d->wh);
    wh_activate(d->wh, d->features, false);
    work(d, 3);
    blkd_free(d);
}

static void an_epoch_that_is_not_new_ends_it(void **state)
{
    static const uint32_t seconds[] = { 5, 4, 0 };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(seconds); i++) {
        struct blkd *d = new_running_disk();
        struct message msg;

        wh_resync(d->wh, 5);
        wh_send_resync(d->wh, seconds[i]);
        assert_int_equal(wh_try_receive(d->wh, &msg), -1);
        assert_non_null(strstr(d->wh->failure, "resync"));
        assert_true(WIFEXITED(wh_wait_exit(d->wh)));
        blkd_free(d);
    }
}

/* Told to leave, it doesn't answer, and leaves in order. */
static void who_leaves_says_nothing(void **state)
{
    struct blkd *d = new_running_disk();
    Bulkhead__Stop m = BULKHEAD__STOP__INIT;
    ENVELOPE(e, STOP, stop, &m);

    (void)state;
    wh_go_away(d->wh);
    wh_send_resync(d->wh, 2); /* due, and no room */
    wh_let_it_turn(d->wh);
    wh_send(d->wh, &e);
    assert_int_equal(wh_wait_exit(d->wh), 0);
    blkd_free(d);
}

/* What a broker that took over says to a replacement: resume, if there is something to be resumed. */
static void a_replacement_knows_whether_it_resumes(void **state)
{
    struct blkd *d = new_disk(0);

    (void)state;
    d->wh->activation = 7;
    wh_activate(d->wh, d->features, false);
    assert_int_equal(d->wh->stats->activation, 7);
    work(d, 1);
    wh_restart(d->wh, d->features); /* of the same activation: the rings go on where they were */
    work(d, 2);
    wh_kill(d->wh);
    wh_start(d->wh);
    d->wh->activation = 8; /* another one, which nobody had begun */
    wh_fresh_rings(d->wh);
    wh_activate(d->wh, d->features, true);
    assert_int_equal(d->wh->stats->activation, 8);
    work(d, 3);
    blkd_free(d);
}

static void a_log_that_nobody_reads_holds_up_nothing(void **state)
{
    char page[4096] = { 0 };
    struct blkd *d;
    int log[2];

    (void)state;
    assert_int_equal(pipe2(log, O_CLOEXEC | O_NONBLOCK), 0); /* as the broker makes it */
    while (write(log[1], page, sizeof page) > 0)
        ;
    d = new_disk(log[1]);
    for (unsigned i = 0; i < LOGGED; i++) {
        wh_activate(d->wh, d->features, false);
        break_ring(d);
        wh_expect(d->wh, BULKHEAD__ENVELOPE__BODY_NEEDS_RESET);
        if (i == LOGGED / 2)
            fd_closep(&log[0]); /* nor will */
        wh_reset(d->wh);
    }
    wh_activate(d->wh, d->features, false);
    work(d, 1);
    blkd_free(d);
    fd_closep(&log[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_go_on_and_answers_wait),
        cmocka_unit_test(a_broken_ring_is_told_later_unless_it_was_reset),
        cmocka_unit_test(a_snapshot_says_each_state),
        cmocka_unit_test(a_snapshot_stands_for_the_answers_before_it),
        cmocka_unit_test(an_epoch_that_is_not_new_ends_it),
        cmocka_unit_test(who_leaves_says_nothing),
        cmocka_unit_test(a_replacement_knows_whether_it_resumes),
        cmocka_unit_test(a_log_that_nobody_reads_holds_up_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
