/* SPDX-License-Identifier: Apache-2.0 */
/* turn_test.c - when a turn is over, by a clock of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include "turn.h"
#include <cmocka.h>

static uint64_t clock_ns;
static unsigned n_asked;

uint64_t __wrap_now_ns(void);

uint64_t __wrap_now_ns(void)
{
    n_asked++;
    return clock_ns;
}

static void time_ends_it(void **state)
{
    struct turn turn;

    (void)state;
    clock_ns = 5;
    turn_begin(&turn);
    clock_ns += 10ull * TURN_NS; /* asleep */
    assert_false(turn_over(&turn));
    clock_ns += TURN_NS - 1;
    assert_false(turn_over(&turn));
    clock_ns++;
    assert_false(turn_is_spent(&turn)); /* nobody has asked the clock */
    assert_true(turn_over(&turn));
    assert_true(turn_is_spent(&turn));
    turn_begin(&turn);
    assert_false(turn_over(&turn));
}

static void bytes_end_it(void **state)
{
    struct turn turn;

    (void)state;
    turn_begin(&turn);
    turn_spend(&turn, TURN_BYTES - 1);
    assert_false(turn_is_spent(&turn));
    turn_spend(&turn, 1);
    assert_true(turn_is_spent(&turn));
    assert_true(turn_over(&turn));
    turn_begin(&turn);
    assert_false(turn_is_spent(&turn));
    turn_spend(&turn, UINT64_MAX / 2); /* one piece that is far too large */
    assert_true(turn_is_spent(&turn));
}

/* The first byte starts the clock, and no other one asks it. */
static void bytes_are_cheap_to_count(void **state)
{
    struct turn turn;

    (void)state;
    turn_begin(&turn);
    n_asked = 0;
    for (unsigned i = 0; i < 100; i++)
        turn_spend(&turn, 512);
    assert_int_equal(n_asked, 1);
    clock_ns += TURN_NS;
    assert_true(turn_over(&turn));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_ends_it),
        cmocka_unit_test(bytes_end_it),
        cmocka_unit_test(bytes_are_cheap_to_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
