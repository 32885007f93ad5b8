/* SPDX-License-Identifier: Apache-2.0 */
/* places_test.c - what a tenant's launchers that don't end cost others: nothing. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include "hostd/starter/places.h"
#include <cmocka.h>

/* A pid that nobody signals here. */
enum { SOME_PID = 7 };

static struct place *taken(struct starter *s, const char *tenant, unsigned vm)
{
    char name[16];
    struct place *place;

    snprintf(name, sizeof name, "vm%u", vm);
    assert_int_equal(places_take(s, tenant, name, &place), 0);
    assert_ptr_equal(places_find(s, tenant, name), place);
    return place;
}

static void test_launchers_that_stay_are_their_tenants(void **state)
{
    struct starter *s = calloc(1, sizeof *s);
    struct place *place;

    (void)state;
    assert_non_null(s);
    for (unsigned i = 0; i < STATE_MAX_LEAVING; i++) {
        place = taken(s, "acme", i);
        place->old_launcher.pid = SOME_PID;
        places_settle(place);
        assert_ptr_equal(places_find(s, "acme", place->vm), place); /* it isn't free */
    }
    assert_int_equal(places_take(s, "acme", "next", &place), -EAGAIN);
    assert_int_equal(places_take(s, "acme", "vm0", &place), 0); /* the same VM again */
    for (unsigned i = 0; i < STATE_MAX_VMS - STATE_MAX_LEAVING; i++)
        taken(s, "globex", i)->broker.pid = SOME_PID;
    assert_int_equal(places_take(s, "globex", "next", &place), -ENOSPC);

    place = places_find(s, "acme", "vm0");
    place->old_launcher.pid = 0;
    places_settle(place);
    assert_int_equal(places_take(s, "acme", "next", &place), 0);
    free(s);
}

static void test_a_running_vm_is_not_leaving(void **state)
{
    struct starter *s = calloc(1, sizeof *s);

    (void)state;
    assert_non_null(s);
    for (unsigned i = 0; i < 2 * STATE_MAX_LEAVING; i++) {
        struct place *place = taken(s, "acme", i);

        place->launcher.pid = place->old_launcher.pid = SOME_PID;
        place->broker.pid = i % 2 ? SOME_PID : 0;
        place->broker_leaves = i % 2 == 0;
    }
    taken(s, "acme", 2 * STATE_MAX_LEAVING);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_launchers_that_stay_are_their_tenants),
        cmocka_unit_test(test_a_running_vm_is_not_leaving),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
