/* SPDX-License-Identifier: Apache-2.0 */
/* configure_test.c - what a worker is told of those before it. */
#include "rig.h"

enum { ENOUGH_DEATHS = 5 };

static struct rig rig;

static void die_and_be_replaced(struct device *d)
{
    rig_exit(&rig, d->worker);
    rig_make_ready(&rig, d->worker);
}

/* Its page of counters may hold what a driver of another boot had: only who has a predecessor in this one goes on
 * with that. */
static void a_boots_first_worker_replaces_nobody(void **state)
{
    struct device *d;

    (void)state;
    rig_run(&rig, ENOUGH_DEATHS);
    d = rig_device(&rig, BULKHEAD__ROLE__ROLE_BALLOON);
    assert_false(rig.restarted);
    die_and_be_replaced(d);
    assert_true(rig.restarted);
    rig_reboot(&rig);
    assert_int_not_equal(d->restarts, 0);
    assert_false(rig.restarted);
    die_and_be_replaced(d);
    assert_true(rig.restarted);
    rig_end(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_boots_first_worker_replaces_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
