/* SPDX-License-Identifier: Apache-2.0 */
/* memory_away_test.c - guest RAM that comes and goes while the broker is away: nobody reads what the worker
 * says, or somebody new does. */
#include <errno.h>
#include <linux/virtio_config.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/wait.h>
#include "harness_away.h"
#include "memory.h"
#include <cmocka.h>

#define MIB (1ull << 20)
#define RAM (64 * MIB)
#define B(name) BULKHEAD__ENVELOPE__BODY_##name
#define FEATURES (1ull << VIRTIO_F_VERSION_1)
enum { ANSWERS = 33 }; /* docs/protocol.md */

static struct wh *new_rng(uint64_t address_end)
{
    const struct wh_config config = { .program = "bulkhead-dev-rng",
                                      .n_queues = 1,
                                      .queue_size = 64,
                                      .address_end = address_end,
                                      .away = true,
                                      .judge_as = BULKHEAD__ROLE__ROLE_RNG };
    struct wh *wh = wh_new(&config);

    wh_start(wh);
    wh_activate(wh, FEATURES, false);
    return wh;
}

static void ask(struct wh *wh, uint64_t at)
{
    assert_true(wh_add(wh, 0, &(struct wh_buf){ at, 64, true }, 1, false) >= 0);
    wh_kick_always(wh, 0);
}

static void get(struct wh *wh, uint64_t at)
{
    uint16_t head;
    uint32_t used;

    ask(wh, at);
    wm_await_used(wh, 0, 1);
    assert_true(wh_try_used(wh, 0, &head, &used));
    assert_int_equal(used, 64);
}

static void answers_wait_for_room_in_their_order(void **state)
{
    struct wh *wh = new_rng(256 * MIB);
    struct wm_region r, other;
    struct wm_log log;

    (void)state;
    wm_make(&r, wh, 1, RAM, 4 * MIB);
    wm_make(&other, wh, 1, 128 * MIB, MIB);
    wm_log_make(&log, wh);
    wh_go_away(wh);
    wm_log_send(&log, true, 8); /* too small */
    wm_send_add(&r);
    wh_let_it_turn(wh);
    get(wh, RAM); /* nothing waits for the answer */
    wm_send_add(&other);
    wm_send_remove(&r);
    wh_let_it_turn(wh);
    wm_send_add(&other);
    wh_let_it_turn(wh);
    wh_come_back(wh);
    assert_int_equal(wh_expect(wh, B(DIRTY_LOG_SET))->dirty_log_set->error, EINVAL);
    assert_int_equal(wh_expect(wh, B(REGION_ADDED))->region_added->error, 0);
    assert_int_equal(wh_expect(wh, B(REGION_ADDED))->region_added->error, EINVAL);
    assert_int_equal(wm_removed(&r, wh_expect(wh, B(REGION_REMOVED))), 0);
    assert_int_equal(wh_expect(wh, B(REGION_ADDED))->region_added->error, 0);
    wh_expect_silence(wh);
    get(wh, 128 * MIB);
    wm_log_unmake(&log);
    wm_unmake(&other);
    wm_unmake(&r);
    wh_free(wh);
}

/* The drain for a region's sake goes on only if nobody is to stand still, heard of or not. */
static void it_stands_still_before_that_is_heard(void **state)
{
    Bulkhead__Quiesce m = BULKHEAD__QUIESCE__INIT;
    ENVELOPE(quiesce, QUIESCE, quiesce, &m);
    struct wh *wh = new_rng(256 * MIB);
    struct wm_region r;
    uint16_t head;
    uint32_t used;

    (void)state;
    wm_make(&r, wh, 1, RAM, 4 * MIB);
    assert_int_equal(wm_add(&r), 0);
    wh_go_away(wh);
    wm_send_remove(&r);
    wh_let_it_turn(wh);
    get(wh, RAM - 64); /* it did go on */
    wm_send_add(&r);
    wh_send(wh, &quiesce);
    wh_let_it_turn(wh);
    wm_send_remove(&r);
    wh_let_it_turn(wh);
    ask(wh, RAM - 64);
    wh_let_it_turn(wh);
    assert_false(wh_try_used(wh, 0, &head, &used));
    wh_come_back(wh);
    assert_int_equal(wm_removed(&r, wh_expect(wh, B(REGION_REMOVED))), 0);
    assert_int_equal(wh_expect(wh, B(REGION_ADDED))->region_added->error, 0);
    assert_int_equal(wm_removed(&r, wh_expect(wh, B(REGION_REMOVED))), 0);
    wh_expect(wh, B(QUIESCED));
    wh_unquiesce(wh);
    wm_await_used(wh, 0, 1);
    wm_unmake(&r);
    wh_free(wh);
}

/* The snapshot is the answer: none of those before it is given again. */
static void a_new_broker_hears_which_regions_there_are(void **state)
{
    struct wh *wh = new_rng(256 * MIB);
    const Bulkhead__Snapshot *s = wh_resync(wh, 2);
    struct wm_region r;

    (void)state;
    wm_make(&r, wh, 5, RAM, 4 * MIB);
    assert_int_equal(s->regions, 1);
    for (uint32_t epoch = 3; epoch < 7; epoch++) {
        bool adds = epoch % 2 == 1;

        wh_go_away(wh);
        if (adds)
            wm_send_add(&r);
        else
            wm_send_remove(&r);
        wh_let_it_turn(wh);
        wh_send_resync(wh, epoch);
        wh_let_it_turn(wh);
        wh_come_back(wh);
        s = wh_expect(wh, B(SNAPSHOT))->snapshot;
        assert_int_equal(s->regions, adds ? 1 | 1 << 5 : 1);
        assert_int_equal(s->owes_removed, 0);
        wh_expect_silence(wh);
    }
    assert_int_equal(wm_remove(&r), EINVAL); /* no older answer is before it */
    get(wh, RAM - 64);
    wm_unmake(&r);
    wh_free(wh);
}

static void a_new_broker_hears_of_the_dirty_log(void **state)
{
    struct wh *wh = new_rng(0);
    struct wm_log log;

    (void)state;
    wm_log_make(&log, wh);
    assert_false(wh_resync(wh, 2)->dirty_log);
    assert_int_equal(wm_log_set(&log, true, log.bytes), 0);
    assert_true(wh_resync(wh, 3)->dirty_log);
    assert_int_equal(wm_log_set(&log, false, 0), 0);
    assert_false(wh_resync(wh, 4)->dirty_log);
    wm_log_unmake(&log);
    wh_free(wh);
}

/* The worker keeps no more answers than a broker can rightly have coming. */
static void who_asks_and_never_reads_is_wrong(void **state)
{
    struct wh *wh = new_rng(256 * MIB);
    struct wm_region r;

    (void)state;
    wm_make(&r, wh, 1, RAM, 4 * MIB);
    wh_go_away(wh);
    for (unsigned i = 0; i < ANSWERS; i++)
        wm_send_add(&r);
    wh_let_it_turn(wh);
    get(wh, RAM);
    assert_false(wh_is_dead(wh));
    wm_send_add(&r);
    assert_int_equal(WEXITSTATUS(wh_wait_exit(wh)), 1);
    wm_unmake(&r);
    wh_free(wh);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_wait_for_room_in_their_order),
        cmocka_unit_test(it_stands_still_before_that_is_heard),
        cmocka_unit_test(a_new_broker_hears_which_regions_there_are),
        cmocka_unit_test(a_new_broker_hears_of_the_dirty_log),
        cmocka_unit_test(who_asks_and_never_reads_is_wrong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
