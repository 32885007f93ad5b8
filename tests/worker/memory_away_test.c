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

/* The answer is not read, but the guest uses it. */
static void add_region_away(struct wm_region *r, struct wh *wh)
{
    wm_make(r, wh, 1, RAM, 4 * MIB);
    wh_go_away(wh);
    wm_send_add(r);
    wh_let_it_turn(wh);
    get(wh, RAM);
}

/* The worker serves on; the drain for a region's sake goes on only if it is not to stand still. */
static void the_answer_waits_for_room(void **state)
{
    Bulkhead__Quiesce m = BULKHEAD__QUIESCE__INIT;
    ENVELOPE(quiesce, QUIESCE, quiesce, &m);
    struct wh *wh = new_rng(256 * MIB);
    struct wm_region r;
    uint16_t head;
    uint32_t used;

    (void)state;
    add_region_away(&r, wh);
    wh_come_back(wh);
    assert_int_equal(wm_answer(wh), 0);
    wh_go_away(wh);
    wm_send_remove(&r);
    wh_let_it_turn(wh);
    get(wh, RAM - 64);
    wh_come_back(wh);
    assert_int_equal(wm_answer(wh), 0);
    wh_go_away(wh);
    wh_send(wh, &quiesce);
    wm_send_add(&r);
    wh_let_it_turn(wh);
    ask(wh, RAM - 64);
    wh_let_it_turn(wh);
    assert_false(wh_try_used(wh, 0, &head, &used));
    wh_come_back(wh);
    assert_int_equal(wm_answer(wh), 0);
    wh_expect(wh, B(QUIESCED));
    wh_expect_silence(wh);
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
        assert_false(s->owes_ram_changed);
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
    wm_log_unmake(&log);
    wh_free(wh);
}

static void who_asks_before_the_answer_is_wrong(void **state)
{
    struct wh *wh = new_rng(256 * MIB);
    struct wm_region r;

    (void)state;
    add_region_away(&r, wh);
    assert_false(wh_is_dead(wh));
    wm_send_remove(&r);
    assert_int_equal(WEXITSTATUS(wh_wait_exit(wh)), 1);
    wm_unmake(&r);
    wh_free(wh);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_answer_waits_for_room),
        cmocka_unit_test(a_new_broker_hears_which_regions_there_are),
        cmocka_unit_test(a_new_broker_hears_of_the_dirty_log),
        cmocka_unit_test(who_asks_before_the_answer_is_wrong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
