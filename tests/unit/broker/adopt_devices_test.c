/* SPDX-License-Identifier: Apache-2.0 */
/* adopt_devices_test.c - a broker dies while a device comes or goes: what the record says of it, what the core has
 * by then, and what must come of both. */
#include "script.h"

#define B(name) BULKHEAD__ENVELOPE__BODY_##name
#define STANDS(name) BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_##name

static struct script s;

static struct device *adding(void)
{
    script_run(&s, 5);
    return script_add(&s);
}

static struct device *added(void)
{
    struct device *d = adding();

    script_make_ready(&s, d->worker);
    script_core_hears(&s, B(ATTACH_DEVICE));
    return d;
}

static struct device *removing(bool force)
{
    struct device *d = added();

    script_ask(&s, (struct command){ .kind = COMMAND_REMOVE, .device = d->number, .force = force });
    script_core_hears(&s, B(DETACH_DEVICE));
    return d;
}

/* All but that device, then the core itself. */
static void core_has_all_but(const struct device *missing)
{
    for (unsigned i = 0; i < s.vm.n_devices; i++)
        if (i != missing->number && s.vm.devices[i].attached)
            script_device_stands(&s, &s.vm.devices[i], false, false);
    script_core_stands(&s, STANDS(RUNNING));
}

/* Its worker leaves, and nothing is left of it. */
static void is_cleared(struct device *d)
{
    while (vm_count_of_device(&s.vm, d) > 0)
        for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
            if (s.vm.children[i].id != 0 && s.vm.children[i].device == d->number)
                script_exit(&s, s.vm.children[i].id, true);
    assert_false(d->here);
    assert_int_equal(script_count(&s, ACTION_FREE_DEVICE), 1);
}

static void one_that_was_being_added(void **state)
{
    struct device *d = adding();

    (void)state;
    script_spawned(&s, d->worker);
    script_hello(&s, d->worker);
    script_adopt(&s, 0);
    assert_true(script_noticed(&s, "not_added"));
    core_has_all_but(d);
    assert_int_equal(d->stage, STAGE_LEAVING);
    is_cleared(d);
    script_end(&s);
}

static void one_whose_worker_was_never_asked_for(void **state)
{
    struct device *d = adding();

    (void)state;
    script_adopt(&s, d->worker);
    core_has_all_but(d);
    is_cleared(d);
    script_end(&s);
}

static void one_that_was_added(void **state)
{
    struct device *d = added();
    uint32_t worker = d->worker;

    (void)state;
    script_adopt(&s, 0);
    script_core_says_all(&s, STANDS(RUNNING));
    assert_int_equal(script_heard(&s, worker, NULL), B(RESYNC));
    script_worker_stands(&s, worker, STANDS(READY));
    assert_int_equal(script_heard(&s, s.vm.core, NULL), B(RESYNC));
    assert_int_equal(script_heard(&s, s.vm.core, NULL), B(_NOT_SET));
    script_use(&s, d);
    assert_int_equal(d->worker, worker);
    script_exit(&s, worker, false); /* and it is repaired, as any other */
    assert_int_not_equal(d->worker, 0);
    assert_int_equal(d->stage, STAGE_REPAIR);
    script_end(&s);
}

/* That the core was told of it is written down, and it was not. */
static void one_that_the_core_did_not_get(void **state)
{
    struct device *d = added();
    struct action a;

    (void)state;
    script_adopt(&s, 0);
    core_has_all_but(d);
    assert_int_equal(script_heard(&s, s.vm.core, NULL), B(RESYNC));
    assert_int_equal(script_heard(&s, s.vm.core, &a), B(ATTACH_DEVICE));
    assert_int_equal(a.device, d->number);
    assert_int_equal(d->stage, STAGE_SERVED);
    script_end(&s);
}

static void one_that_is_to_go(void **state)
{
    struct device *d = removing(true);
    struct action a;

    (void)state;
    script_adopt(&s, 0);
    script_core_says_all(&s, STANDS(RUNNING));
    assert_int_equal(script_heard(&s, s.vm.core, NULL), B(RESYNC));
    assert_int_equal(script_heard(&s, s.vm.core, &a), B(DETACH_DEVICE)); /* once more */
    assert_true(a.flag);
    script_gone(&s, d->plan->pci_slot);
    assert_int_equal(script_count(&s, ACTION_KILL), 0);
    is_cleared(d);
    script_end(&s);
}

static void one_that_is_gone(void **state)
{
    struct device *d = removing(false);

    (void)state;
    script_adopt(&s, 0);
    core_has_all_but(d);
    assert_int_equal(script_heard(&s, s.vm.core, NULL), B(RESYNC));
    assert_int_equal(script_heard(&s, s.vm.core, NULL), B(_NOT_SET));
    is_cleared(d);
    assert_true(script_noticed(&s, "removed"));
    script_end(&s);
}

static void one_whose_worker_leaves(void **state)
{
    struct device *d = removing(false);

    (void)state;
    script_gone(&s, d->plan->pci_slot);
    assert_int_equal(d->stage, STAGE_LEAVING);
    script_adopt(&s, 0);
    core_has_all_but(d);
    is_cleared(d);
    script_end(&s);
}

/* A place that is free stays so, and is taken again. */
static void a_free_place(void **state)
{
    struct device *d = removing(false);
    unsigned number = d->number;

    (void)state;
    script_gone(&s, d->plan->pci_slot);
    is_cleared(d);
    script_adopt(&s, 0);
    script_core_says_all(&s, STANDS(RUNNING));
    assert_false(s.vm.devices[number].here);
    d = script_add(&s);
    assert_int_equal(d->number, number);
    assert_int_equal(d->stage, STAGE_ADD);
    script_end(&s);
}

static void the_guest_reboots_meanwhile(void **state)
{
    struct device *d = removing(false);

    (void)state;
    script_state(&s, BULKHEAD__GUEST_STATE_KIND__GUEST_REBOOT);
    script_adopt(&s, 0);
    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
        if (s.vm.children[i].id != 0)
            script_exit(&s, s.vm.children[i].id, true);
    assert_false(d->here);
    assert_int_equal(s.vm.phase, VM_STARTING);
    script_end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_was_being_added),
        cmocka_unit_test(one_whose_worker_was_never_asked_for),
        cmocka_unit_test(one_that_was_added),
        cmocka_unit_test(one_that_the_core_did_not_get),
        cmocka_unit_test(one_that_is_to_go),
        cmocka_unit_test(one_that_is_gone),
        cmocka_unit_test(one_whose_worker_leaves),
        cmocka_unit_test(a_free_place),
        cmocka_unit_test(the_guest_reboots_meanwhile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
