/* SPDX-License-Identifier: Apache-2.0 */
/* watch_test.c - a broker that was not run for a while itself. */
#include "base/loop.h"
#include "rig.h"
#include "run/watch.h"

enum { A_SECOND_NS = 1000000000 };

static struct rig rig;

/* Its worker had given a sign of life just before, and none since. */
static void nobody_hung_meanwhile(void **state)
{
    struct child *w;

    (void)state;
    rig_run(&rig, 5);
    w = rig_worker(&rig, BULKHEAD__ROLE__ROLE_RNG);
    w->beat_ns = now_ns();
    rig.in.last_tick_ns = now_ns() - A_SECOND_NS;
    watch_on_tick(-1, 0, &rig.in);
    w = rig_worker(&rig, BULKHEAD__ROLE__ROLE_RNG);
    assert_int_equal(w->killed_ns, 0);
    rig_end(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_hung_meanwhile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
