/* SPDX-License-Identifier: Apache-2.0 */
/* inflight_test.c - a death at each step of a request, and what the journal says afterwards. */
#include "test.h"

#include <stdlib.h>
#include <string.h>
#include "shm/inflight.h"

enum { SIZE = 8 };

struct fixture {
    struct inflight_region *region;
    struct inflight j;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    f->region = calloc(1, inflight_region_bytes(SIZE));
    inflight_attach(&f->j, f->region, SIZE, 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    free(f->region);
    free(f);
    return 0;
}

static unsigned recover(struct fixture *f, uint16_t guest_used, uint16_t *heads)
{
    inflight_attach(&f->j, f->region, SIZE, 1);
    return inflight_recover(&f->j, guest_used, heads, SIZE);
}

static void heads_come_back_oldest_first(void **state)
{
    struct fixture *f = *state;
    uint16_t heads[SIZE];

    inflight_begin(&f->j, 5);
    inflight_begin(&f->j, 2);
    inflight_begin(&f->j, 7);
    assert_int_equal(recover(f, 0, heads), 3);
    assert_int_equal(heads[0], 5);
    assert_int_equal(heads[1], 2);
    assert_int_equal(heads[2], 7);
    inflight_begin(&f->j, 0); /* newer than all that came back */
    assert_int_equal(recover(f, 0, heads), 4);
    assert_int_equal(heads[3], 0);
}

static void death_before_the_used_index_replays(void **state)
{
    struct fixture *f = *state;
    uint16_t heads[SIZE];

    inflight_begin(&f->j, 3);
    inflight_complete_begin(&f->j, 3, 0);
    assert_int_equal(recover(f, 0, heads), 1);
    assert_int_equal(heads[0], 3);
}

static void death_after_the_used_index_does_not_replay(void **state)
{
    struct fixture *f = *state;
    uint16_t heads[SIZE];

    inflight_begin(&f->j, 3);
    inflight_begin(&f->j, 4);
    inflight_complete_begin(&f->j, 3, 0);
    /* used.idx is 1 in guest memory, and here the worker died */
    assert_int_equal(recover(f, 1, heads), 1);
    assert_int_equal(heads[0], 4);
    assert_int_equal(recover(f, 1, heads), 1); /* a second death changes nothing */
}

static void completed_heads_stay_away(void **state)
{
    struct fixture *f = *state;
    uint16_t heads[SIZE];

    inflight_begin(&f->j, 1);
    inflight_complete_begin(&f->j, 1, 0);
    inflight_complete_end(&f->j, 1, 1);
    assert_int_equal(recover(f, 1, heads), 0);
}

/* Heads 1, 4 and 6 of a batch behind an older completion of head 2; 7 is in flight. */
static void begin_batch(struct fixture *f)
{
    static const uint16_t batch[] = { 4, 1, 6 };

    inflight_begin(&f->j, 2);
    inflight_complete_begin(&f->j, 2, 0);
    inflight_complete_end(&f->j, 2, 1);
    for (unsigned i = 0; i < 3; i++)
        inflight_begin(&f->j, batch[i]);
    inflight_begin(&f->j, 7);
    inflight_begin(&f->j, 2);
    for (unsigned i = 0; i < 3; i++)
        inflight_complete_begin(&f->j, batch[i], i);
}

static void death_before_the_used_index_replays_a_batch(void **state)
{
    struct fixture *f = *state;
    uint16_t heads[SIZE];

    begin_batch(f);
    assert_true(inflight_used_is_ours(f->region, 1));
    assert_int_equal(recover(f, 1, heads), 5);
}

static void death_after_the_used_index_does_not_replay_a_batch(void **state)
{
    struct fixture *f = *state;
    uint16_t heads[SIZE];

    for (unsigned ended = 0; ended < 3; ended++) {
        inflight_attach(&f->j, f->region, SIZE, 0);
        begin_batch(f);
        if (ended > 0)
            inflight_complete_end(&f->j, 4, 1);
        if (ended > 1)
            inflight_complete_end(&f->j, 1, 1);
        assert_true(inflight_used_is_ours(f->region, 4));
        assert_false(inflight_used_is_ours(f->region, 0));
        assert_false(inflight_used_is_ours(f->region, 2));
        assert_false(inflight_used_is_ours(f->region, 3));
        assert_false(inflight_used_is_ours(f->region, 5));
        assert_int_equal(recover(f, 4, heads), 2);
        assert_int_equal(heads[0], 7);
        assert_int_equal(heads[1], 2);
        assert_int_equal(recover(f, 4, heads), 2);
    }
}

static void garbage_in_the_journal_is_harmless(void **state)
{
    struct fixture *f = *state;
    uint16_t heads[SIZE];

    inflight_begin(&f->j, SIZE); /* no such head */
    f->region->last_batch_head = 0xffff;
    f->region->used_idx = 77;
    assert_int_equal(recover(f, 0, heads), 0);
    memset(f->region, 0xff, inflight_region_bytes(SIZE)); /* foreign version: starts afresh */
    assert_int_equal(recover(f, 0, heads), 0);
}

static void no_journal_is_legal(void **state)
{
    struct inflight j;

    (void)state;
    inflight_attach(&j, NULL, SIZE, 1);
    inflight_begin(&j, 1);
    inflight_complete_begin(&j, 1, 0);
    inflight_complete_end(&j, 1, 1);
    assert_int_equal(inflight_recover(&j, 0, NULL, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(heads_come_back_oldest_first, setup, teardown),
        cmocka_unit_test_setup_teardown(death_before_the_used_index_replays, setup, teardown),
        cmocka_unit_test_setup_teardown(death_after_the_used_index_does_not_replay, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(completed_heads_stay_away, setup, teardown),
        cmocka_unit_test_setup_teardown(death_before_the_used_index_replays_a_batch, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(death_after_the_used_index_does_not_replay_a_batch, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(garbage_in_the_journal_is_harmless, setup, teardown),
        cmocka_unit_test(no_journal_is_legal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
