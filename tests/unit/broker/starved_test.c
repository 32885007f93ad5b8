/* SPDX-License-Identifier: Apache-2.0 */
/* starved_test.c - a late broker's excuse for a silent worker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "starved.h"

static void an_excuse_never_reaches_past_now(void **state)
{
    (void)state;
    assert_int_equal(starved_excuse(1000, 0, 5000), 1000);
    assert_int_equal(starved_excuse(1000, 3000, 5000), 4000);
    /* It was ready, or beat, while the broker stood still: no more than all of it is excused. */
    assert_int_equal(starved_excuse(4500, 3000, 5000), 5000);
    assert_int_equal(starved_excuse(5000, 3000, 5000), 5000);
    assert_int_equal(starved_excuse(5000, 0, 5000), 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(an_excuse_never_reaches_past_now) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
