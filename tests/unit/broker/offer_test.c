/* SPDX-License-Identifier: Apache-2.0 */
/* offer_test.c - what a device offers a guest it offers until the guest's next boot, whoever serves it. */
#include "script.h"

#define B(name) BULKHEAD__ENVELOPE__BODY_##name

enum { ENOUGH_DEATHS = 5 };

static struct script s;

static struct device *running(Bulkhead__Role role)
{
    struct device *d;

    if (role == BULKHEAD__ROLE__ROLE_VSOCK)
        script_run_vsock(&s);
    else
        script_run(&s, ENOUGH_DEATHS);
    d = script_device(&s, role);
    script_use(&s, d);
    return d;
}

/* Its driver has taken nothing of that yet: but the core offers it to the next one as well. */
static void a_new_build_that_offers_less_is_given_up(void **state)
{
    struct device *d = running(BULKHEAD__ROLE__ROLE_RNG);
    uint32_t old = d->worker, next = script_upgrade(&s, d);

    (void)state;
    assert_int_equal(d->guest_features, 0);
    s.withheld = SCRIPT_OFFER & (SCRIPT_OFFER - 1);
    script_make_ready(&s, next);
    assert_true(script_killed(&s, next));
    script_exit(&s, next, false);
    script_refused(&s, "offers less");
    assert_int_equal(d->worker, old);
    assert_int_equal(d->stage, STAGE_SERVED);
    assert_int_equal(script_heard(&s, old, NULL), B(_NOT_SET)); /* nobody disturbed it */
    script_end(&s);
}

static void one_that_offers_more_is_not(void **state)
{
    struct device *d = running(BULKHEAD__ROLE__ROLE_RNG);
    uint32_t next;

    (void)state;
    d->features &= d->features - 1;
    next = script_upgrade(&s, d);
    script_make_ready(&s, next);
    assert_false(script_killed(&s, next));
    script_end(&s);
}

/* Nor is a repair by one: its device would die with the next driver, again and again. */
static void a_replacement_that_offers_less_is_none(void **state)
{
    struct device *d = running(BULKHEAD__ROLE__ROLE_RNG);
    uint32_t next;

    (void)state;
    script_exit(&s, d->worker, false);
    next = d->worker;
    s.withheld = SCRIPT_OFFER & (SCRIPT_OFFER - 1);
    script_make_ready(&s, next);
    assert_true(script_killed(&s, next));
    s.withheld = 0;
    script_exit(&s, next, false);
    script_make_ready(&s, d->worker);
    assert_int_equal(script_heard(&s, d->worker, NULL), B(ACTIVATE));
    script_end(&s);
}

/* The next boot's guest is offered what the next workers have; what the one before accepted is forgotten, also by a
 * broker that takes over. */
static void a_reboot_begins_anew(void **state)
{
    struct device *d = running(BULKHEAD__ROLE__ROLE_RNG);

    (void)state;
    script_reset(&s, d);
    assert_int_equal(script_heard(&s, d->worker, NULL), B(RESET));
    script_answer(&s, d->worker, B(RESET_DONE));
    s.accepted = SCRIPT_OFFER;
    script_use(&s, d);
    script_state(&s, BULKHEAD__GUEST_STATE_KIND__GUEST_REBOOT);
    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
        if (s.vm.children[i].id != 0 && s.vm.children[i].id != s.vm.core)
            script_exit(&s, s.vm.children[i].id, true);
    script_exit(&s, s.vm.core, true);
    s.withheld = SCRIPT_OFFER & (SCRIPT_OFFER - 1);
    script_boot(&s);
    assert_int_equal(d->features, SCRIPT_OFFER & ~s.withheld);
    script_adopt(&s, 0);
    script_end(&s);
}

/* Its old worker has left by then. */
static void the_old_build_of_an_exclusive_one_is_back(void **state)
{
    struct device *d = running(BULKHEAD__ROLE__ROLE_VSOCK);
    uint32_t old = d->worker, next = script_upgrade(&s, d);

    (void)state;
    script_spawned(&s, next);
    script_hello(&s, next);
    script_exit(&s, old, true);
    s.withheld = SCRIPT_OFFER & (SCRIPT_OFFER - 1);
    script_ready(&s, next);
    assert_true(script_killed(&s, next));
    script_exit(&s, next, false);
    assert_int_equal(script_count(&s, ACTION_ROLL_BACK), 1);
    script_refused(&s, "offers less");
    s.withheld = 0;
    script_make_ready(&s, d->worker);
    assert_int_equal(script_heard(&s, d->worker, NULL), B(ACTIVATE));
    script_end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_build_that_offers_less_is_given_up),
        cmocka_unit_test(one_that_offers_more_is_not),
        cmocka_unit_test(a_replacement_that_offers_less_is_none),
        cmocka_unit_test(a_reboot_begins_anew),
        cmocka_unit_test(the_old_build_of_an_exclusive_one_is_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
