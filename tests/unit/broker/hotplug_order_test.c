/* SPDX-License-Identifier: Apache-2.0 */
/* hotplug_order_test.c - devices that are to come or go while something else is under way: an upgrade, a repair, the
 * end of the VM, another broker. */
#include "script.h"
#include "vm/hotplug.h"

#define B(name) BULKHEAD__ENVELOPE__BODY_##name

enum { CRASHES = 3 };

static struct script s;

static void run(void)
{
    script_run(&s, CRASHES);
}

static struct device *added(void)
{
    run();
    return script_added(&s);
}

/* Nothing was begun: no process, no message, no place that stays taken. */
static void is_untouched(const struct device *d, enum stage stage)
{
    assert_int_equal(d->stage, stage);
    assert_int_equal(d->removal, REMOVAL_NONE);
    assert_int_equal(d->candidate, 0);
    assert_int_equal(script_count(&s, ACTION_START), 0);
    assert_int_equal(script_count(&s, ACTION_TELL), 0);
    assert_int_equal(script_count(&s, ACTION_OPEN_PROGRAM), 0);
}

static void not_while_it_ends(void **state)
{
    struct device *d, *next;

    (void)state;
    run();
    d = script_device(&s, BULKHEAD__ROLE__ROLE_RNG);
    script_ask(&s, (struct command){ .kind = COMMAND_STOP });
    assert_int_equal(s.vm.phase, VM_ENDING);
    s.n_log = 0;
    next = script_add(&s);
    script_refused(&s, "the VM does not run: devices come and go while it does");
    script_is_free(&s, next);
    script_ask_removal(&s, d, false);
    script_refused(&s, "the VM does not run");
    script_ask_removal(&s, d, true);
    script_refused(&s, "the VM does not run");
    script_ask(&s, (struct command){ .kind = COMMAND_PAUSE });
    script_refused(&s, "the VM does not run: there is nothing to pause");
    script_ask(&s, (struct command){ .kind = COMMAND_RESUME });
    script_refused(&s, "there is nothing to resume");
    script_ask_device(&s, COMMAND_REPAIR, d);
    script_refused(&s, "the VM does not run: there is nothing to repair");
    script_ask_device(&s, COMMAND_UPGRADE, d);
    script_refused(&s, "can be upgraded while the VM runs");
    assert_int_equal(script_count(&s, ACTION_DROP_CANDIDATE), 1); /* it came open */
    script_ask(&s, (struct command){ .kind = COMMAND_UPGRADE_ALL });
    script_refused(&s, "can be upgraded while the VM runs");
    assert_false(s.vm.upgrades_all);
    assert_int_equal(s.vm.run, GUEST_RUNS);
    is_untouched(d, STAGE_SERVED);
    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
        if (s.vm.children[i].id != 0)
            script_exit(&s, s.vm.children[i].id, true);
    assert_int_equal(s.vm.phase, VM_GONE);
    assert_int_equal(script_count(&s, ACTION_REPLY), 0); /* one answer each */
    script_end(&s);
}

static void not_while_it_is_upgraded(void **state)
{
    struct device *d;
    uint32_t next;

    (void)state;
    run();
    d = script_device(&s, BULKHEAD__ROLE__ROLE_RNG);
    next = script_upgrade(&s, d);
    for (int force = 0; force < 2; force++) {
        script_ask_removal(&s, d, force);
        script_refused(&s, "is being repaired or upgraded: wait for it");
    }
    assert_int_equal(d->removal, REMOVAL_NONE);
    assert_int_equal(d->candidate, next);
    script_make_ready(&s, next);
    assert_int_equal(d->stage, STAGE_SERVED);
    assert_int_equal(d->worker, next);
    script_ask_removal(&s, d, false);
    script_core_detaches(&s, false);
    script_end(&s);
}

static void not_while_it_is_repaired(void **state)
{
    struct device *d = added();

    (void)state;
    for (unsigned i = 0; i < CRASHES; i++)
        script_exit(&s, d->worker, false);
    assert_int_equal(d->stage, STAGE_DEAD);
    script_ask_device(&s, COMMAND_REPAIR, d);
    assert_int_equal(script_replied(&s), -1);
    script_ask_removal(&s, d, false);
    script_refused(&s, "is being repaired or upgraded: wait for it");
    script_make_ready(&s, d->worker);
    assert_int_equal(d->stage, STAGE_SERVED);
    script_ask_removal(&s, d, false);
    script_core_detaches(&s, false);
    script_end(&s);
}

/* Another device is upgraded meanwhile: neither hinders the other. */
static void added_during_an_upgrade(void **state)
{
    struct device *rng, *d;
    uint32_t next;

    (void)state;
    run();
    rng = script_device(&s, BULKHEAD__ROLE__ROLE_RNG);
    script_use(&s, rng);
    next = script_upgrade(&s, rng);
    script_make_ready(&s, next);
    assert_int_equal(rng->stage, STAGE_DRAIN);
    d = script_add(&s);
    script_make_ready(&s, d->worker);
    assert_int_equal(script_replied(&s), 0);
    assert_int_equal(d->stage, STAGE_SERVED);
    script_answer(&s, rng->worker, B(QUIESCED));
    script_answer(&s, next, B(ACTIVATED));
    assert_int_equal(rng->stage, STAGE_SERVED);
    assert_int_equal(rng->worker, next);
    assert_int_equal(script_count(&s, ACTION_REPLY), 1); /* the upgrade's */
    script_end(&s);
}

/* One that the upgrade of all has not come to: it is left out. The one that it is at stays. */
static void removed_during_an_upgrade_of_all(void **state)
{
    struct event opened = { .kind = EVENT_PROGRAM_OPENED };
    struct device *first, *second;

    (void)state;
    run();
    first = &s.vm.devices[0];
    second = &s.vm.devices[1];
    script_ask(&s, (struct command){ .kind = COMMAND_UPGRADE_ALL });
    script_ask_removal(&s, first, false);
    script_refused(&s, "is being repaired or upgraded: wait for it");
    script_ask_removal(&s, second, false);
    script_core_detaches(&s, false);
    script_happen(&s, &opened);
    script_make_ready(&s, first->candidate);
    assert_false(s.vm.upgrades_all);
    assert_int_equal(script_count(&s, ACTION_REPLY), 1);
    for (unsigned i = 0; i < s.n_log; i++)
        assert_true(s.log[i].kind != ACTION_REPLY || s.log[i].error == 0);
    assert_int_equal(second->candidate, 0);
    script_gone(&s, second->plan->pci_slot);
    script_exit(&s, second->worker, true);
    assert_int_equal(script_replied(&s), 0);
    script_is_free(&s, second);
    script_end(&s);
}

/* `upgrade VM broker`: asked of the next one before the core has said where it stands. */
static void while_the_broker_is_upgraded(void **state)
{
    struct device *rng, *d;

    (void)state;
    run();
    script_adopt(&s, 0);
    rng = script_device(&s, BULKHEAD__ROLE__ROLE_RNG);
    script_ask_removal(&s, rng, false);
    assert_int_equal(script_replied(&s), -1);
    d = script_add(&s);
    script_make_ready(&s, d->worker);
    assert_int_equal(script_heard(&s, s.vm.core, NULL), B(RESYNC));
    assert_int_equal(script_heard(&s, s.vm.core, NULL), B(_NOT_SET)); /* not yet */
    script_core_says_all(&s, BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_RUNNING);
    assert_int_equal(script_replied(&s), 0);
    script_core_hears(&s, B(DETACH_DEVICE));
    script_core_hears(&s, B(ATTACH_DEVICE));
    assert_int_equal(script_heard(&s, s.vm.core, NULL), B(_NOT_SET));
    assert_int_equal(d->stage, STAGE_SERVED);
    script_gone(&s, rng->plan->pci_slot);
    script_exit(&s, rng->worker, true);
    assert_true(script_noticed(&s, "removed"));
    script_is_free(&s, rng);
    script_end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(not_while_it_ends),
        cmocka_unit_test(not_while_it_is_upgraded),
        cmocka_unit_test(not_while_it_is_repaired),
        cmocka_unit_test(added_during_an_upgrade),
        cmocka_unit_test(removed_during_an_upgrade_of_all),
        cmocka_unit_test(while_the_broker_is_upgraded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
