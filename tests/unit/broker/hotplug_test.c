/* SPDX-License-Identifier: Apache-2.0 */
/* hotplug_test.c - devices that come and go while the guest runs: each way there, each way out, and what comes
 * in between. */
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

/* ---- it comes ---- */

static void test_added(void **state)
{
    struct device *d;

    (void)state;
    run();
    d = script_add(&s);
    assert_int_equal(d->stage, STAGE_ADD);
    assert_int_equal(script_replied(&s), -1);
    script_make_ready(&s, d->worker);
    script_core_hears(&s, B(ATTACH_DEVICE));
    assert_int_equal(d->stage, STAGE_SERVED);
    assert_true(script_noticed(&s, "added"));
    for (unsigned i = 0; i < s.n_log; i++)
        if (s.log[i].kind == ACTION_REPLY) { /* it says which device */
            assert_true(s.log[i].flag);
            assert_int_equal(s.log[i].device, d->number);
        }
    assert_int_equal(script_replied(&s), 0);
    script_use(&s, d);
    assert_int_equal(vm_worker(&s.vm, d)->state, CHILD_RUNNING);
    script_end(&s);
}

/* Its worker dies, can't be started, is never ready: there is no second try, and nothing is left. */
static void test_its_worker_dies(void **state)
{
    struct device *d;

    (void)state;
    run();
    d = script_add(&s);
    script_spawned(&s, d->worker);
    script_exit(&s, d->worker, false);
    assert_true(script_replied(&s) > 0);
    script_is_free(&s, d);
    script_end(&s);
}

static void test_it_cant_be_started(void **state)
{
    struct event e = { .kind = EVENT_START_FAILED, .fault = { .error = 11, .text = "no room" } };
    struct device *d;

    (void)state;
    run();
    d = script_add(&s);
    e.child = d->worker;
    script_happen(&s, &e);
    assert_true(script_replied(&s) > 0);
    script_is_free(&s, d);
    script_end(&s);
}

static void test_it_is_never_ready(void **state)
{
    struct device *d;
    uint32_t worker;

    (void)state;
    run();
    d = script_add(&s);
    worker = d->worker;
    script_spawned(&s, worker);
    assert_true(script_wait_deadline(&s));
    assert_true(script_killed(&s, worker));
    assert_int_equal(script_replied(&s), -1); /* not while it is there */
    script_exit(&s, worker, false);
    assert_true(script_replied(&s) > 0);
    script_is_free(&s, d);
    script_end(&s);
}

static void test_not_while_paused(void **state)
{
    struct device *d;

    (void)state;
    run();
    script_ask(&s, (struct command){ .kind = COMMAND_PAUSE });
    d = script_add(&s);
    assert_true(script_replied(&s) > 0);
    script_is_free(&s, d);
    script_end(&s);
}

static void test_what_must_wait_for_it(void **state)
{
    struct device *d;

    (void)state;
    run();
    d = script_add(&s);
    script_ask(&s, (struct command){ .kind = COMMAND_PAUSE });
    assert_true(script_replied(&s) > 0);
    script_ask_device(&s, COMMAND_UPGRADE, d);
    assert_true(script_replied(&s) > 0);
    script_ask_removal(&s, d, false);
    assert_true(script_replied(&s) > 0);
    script_make_ready(&s, d->worker);
    assert_int_equal(d->stage, STAGE_SERVED);
    script_end(&s);
}

/* The guest reboots before it had it. */
static void test_reboot_while_added(void **state)
{
    struct device *d;
    uint32_t worker;

    (void)state;
    run();
    d = script_add(&s);
    worker = d->worker;
    script_state(&s, BULKHEAD__GUEST_STATE_KIND__GUEST_REBOOT);
    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
        if (s.vm.children[i].id != 0)
            script_exit(&s, s.vm.children[i].id, false);
    assert_null(vm_look(&s.vm, worker));
    assert_true(script_replied(&s) > 0);
    script_is_free(&s, d);
    script_boot(&s);
    script_end(&s);
}

/* ---- it goes ---- */

static void test_removed(void **state)
{
    struct device *d = added();
    unsigned slot = d->plan->pci_slot;
    uint32_t worker = d->worker;

    (void)state;
    script_use(&s, d);
    script_ask_removal(&s, d, false);
    script_core_detaches(&s, false);
    assert_int_equal(d->stage,
                     STAGE_SERVED); /* the guest may still write what it has not written */
    script_reset(&s, d);
    assert_int_equal(script_heard(&s, worker, NULL), B(RESET));
    script_answer(&s, worker, B(RESET_DONE));
    script_core_hears(&s, B(RESET_DONE));
    script_gone(&s, slot);
    assert_int_equal(script_heard(&s, worker, NULL), B(STOP));
    assert_int_equal(script_replied(&s), -1);
    script_exit(&s, worker, true);
    assert_int_equal(script_replied(&s), 0);
    assert_true(script_noticed(&s, "removed"));
    script_is_free(&s, d);
    script_end(&s);
}

/* Place, slot and uid are another's at once. */
static void test_added_again(void **state)
{
    struct device *d = added(), *next;
    unsigned slot = d->plan->pci_slot, uid = d->plan->uid_slot;

    (void)state;
    script_ask_removal(&s, d, false);
    script_gone(&s, slot);
    script_exit(&s, d->worker, true);
    assert_int_equal(script_replied(&s), 0);
    next = script_add(&s);
    assert_ptr_equal(next, d);
    assert_int_equal(next->plan->pci_slot, slot);
    assert_int_equal(vm_worker(&s.vm, next)->uid_slot, uid);
    script_make_ready(&s, next->worker);
    assert_int_equal(script_replied(&s), 0);
    script_end(&s);
}

/* One that was there from the start, of which others come after. */
static void test_a_hole(void **state)
{
    struct device *rng, *balloon;

    (void)state;
    run();
    rng = script_device(&s, BULKHEAD__ROLE__ROLE_RNG);
    balloon = script_device(&s, BULKHEAD__ROLE__ROLE_BALLOON);
    script_ask_removal(&s, rng, false);
    script_gone(&s, rng->plan->pci_slot);
    script_exit(&s, rng->worker, true);
    script_is_free(&s, rng);
    script_use(&s, balloon);
    script_ask(&s, (struct command){ .kind = COMMAND_PAUSE });
    script_core_hears(&s, B(PAUSE_VCPUS));
    script_state(&s, BULKHEAD__GUEST_STATE_KIND__GUEST_PAUSED);
    assert_int_equal(script_heard(&s, balloon->worker, NULL), B(QUIESCE));
    script_answer(&s, balloon->worker, B(QUIESCED));
    assert_int_equal(s.vm.run, GUEST_IS_PAUSED);
    script_end(&s);
}

/* The request ends, the device stays; the guest lets go of it when nobody waits any more. */
static void test_a_guest_that_never_ejects(void **state)
{
    struct device *d = added();

    (void)state;
    script_ask_removal(&s, d, false);
    script_core_detaches(&s, false);
    script_wait(&s, HOTPLUG_EJECT_MS - 1000);
    assert_int_equal(script_replied(&s), -1);
    script_wait(&s, 1000);
    assert_true(script_replied(&s) > 0);
    assert_true(script_noticed(&s, "not_removed"));
    assert_int_equal(d->stage, STAGE_SERVED);
    script_use(&s, d);
    script_ask_removal(&s, d, false); /* asked again */
    script_core_detaches(&s, false);
    script_wait(&s, HOTPLUG_EJECT_MS);
    assert_true(script_replied(&s) > 0);
    script_gone(&s, d->plan->pci_slot);
    script_exit(&s, d->worker, true);
    assert_true(script_noticed(&s, "removed"));
    script_is_free(&s, d);
    script_end(&s);
}

static void test_taken_away(void **state)
{
    struct device *d = added();
    uint32_t worker = d->worker;

    (void)state;
    script_use(&s, d);
    script_ask_removal(&s, d, true);
    script_core_detaches(&s, true);
    script_reset(&s, d); /* the core's own */
    assert_int_equal(script_heard(&s, worker, NULL), B(RESET));
    script_answer(&s, worker, B(RESET_DONE));
    script_core_hears(&s, B(RESET_DONE));
    script_gone(&s, d->plan->pci_slot);
    script_exit(&s, worker, true);
    assert_int_equal(script_replied(&s), 0);
    script_is_free(&s, d);
    script_end(&s);
}

/* The worker never answers the reset: it is killed, and the core need not wait for another. */
static void test_taken_away_from_one_that_hangs(void **state)
{
    struct device *d = added();
    uint32_t worker = d->worker;

    (void)state;
    script_use(&s, d);
    script_ask_removal(&s, d, true);
    script_core_detaches(&s, true);
    script_reset(&s, d);
    script_wait(&s, HOTPLUG_FORCE_MS);
    assert_true(script_killed(&s, worker));
    assert_int_equal(script_heard(&s, s.vm.core, NULL), B(_NOT_SET)); /* it may still write */
    script_exit(&s, worker, false);
    script_core_hears(&s, B(RESET_DONE));
    assert_int_equal(d->worker, 0); /* and no successor */
    script_gone(&s, d->plan->pci_slot);
    assert_int_equal(script_replied(&s), 0);
    script_is_free(&s, d);
    script_end(&s);
}

static void test_the_core_keeps_it(void **state)
{
    struct device *d = added();

    (void)state;
    script_ask_removal(&s, d, true);
    script_wait(&s, HOTPLUG_FORCE_MS);
    script_exit(&s, d->worker, false);
    assert_int_equal(s.vm.phase, VM_RUNNING);
    assert_true(script_wait_deadline(&s));
    assert_int_equal(s.vm.phase, VM_ENDING);
    script_end(&s);
}

/* Until the guest has let go of it, it is served. */
static void test_its_worker_dies_meanwhile(void **state)
{
    struct device *d = added();
    uint32_t first = d->worker;

    (void)state;
    script_use(&s, d);
    script_ask_removal(&s, d, false);
    script_exit(&s, first, false);
    assert_int_not_equal(d->worker, first);
    script_make_ready(&s, d->worker);
    assert_int_equal(script_heard(&s, d->worker, NULL), B(ACTIVATE));
    script_gone(&s, d->plan->pci_slot);
    script_exit(&s, d->worker, true);
    assert_int_equal(script_replied(&s), 0);
    script_is_free(&s, d);
    script_end(&s);
}

static void test_one_that_failed(void **state)
{
    struct device *d = added();

    (void)state;
    for (unsigned i = 0; i < CRASHES; i++)
        script_exit(&s, d->worker, false);
    assert_int_equal(d->stage, STAGE_DEAD);
    script_ask_removal(&s, d, false);
    script_core_detaches(&s, false);
    script_gone(&s, d->plan->pci_slot);
    assert_int_equal(script_replied(&s), 0);
    script_is_free(&s, d);
    script_end(&s);
}

static void test_two_who_want_it(void **state)
{
    struct device *d = added();

    (void)state;
    script_ask_removal(&s, d, false);
    assert_int_equal(script_replied(&s), -1);
    script_ask_removal(&s, d, true);
    assert_true(script_replied(&s) > 0);
    script_ask_device(&s, COMMAND_UPGRADE, d);
    assert_true(script_replied(&s) > 0);
    script_end(&s);
}

/* It was asked for in vain, upgraded since then, and goes in the middle of that. */
static void test_gone_in_an_upgrade(void **state)
{
    struct device *d = added();
    uint32_t next;

    (void)state;
    script_ask_removal(&s, d, false);
    script_wait(&s, HOTPLUG_EJECT_MS);
    assert_true(script_replied(&s) > 0);
    next = script_upgrade(&s, d);
    script_gone(&s, d->plan->pci_slot);
    assert_true(script_replied(&s) > 0); /* the upgrade */
    assert_true(script_killed(&s, next));
    script_exit(&s, d->worker, true);
    assert_int_equal(script_count(&s, ACTION_FREE_DEVICE), 0); /* the other one is still there */
    script_exit(&s, next, false);
    script_is_free(&s, d);
    script_end(&s);
}

static void test_user_network_removed(void **state)
{
    struct device *d;
    uint32_t passt;

    (void)state;
    script_run_net(&s, "user");
    d = script_device(&s, BULKHEAD__ROLE__ROLE_NET);
    passt = d->passt;
    script_ask_removal(&s, d, false);
    script_gone(&s, d->plan->pci_slot);
    assert_true(script_killed(&s, passt));
    script_exit(&s, passt, false);
    assert_int_equal(d->passt, 0); /* it is not started again */
    script_exit(&s, d->worker, true);
    assert_int_equal(script_replied(&s), 0);
    script_is_free(&s, d);
    script_end(&s);
}

/* A guest that reboots has let go. */
static void test_reboot_while_removed(void **state)
{
    struct device *d = added();

    (void)state;
    script_ask_removal(&s, d, false);
    script_state(&s, BULKHEAD__GUEST_STATE_KIND__GUEST_REBOOT);
    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
        if (s.vm.children[i].id != 0)
            script_exit(&s, s.vm.children[i].id, false);
    assert_int_equal(script_replied(&s), 0);
    script_is_free(&s, d);
    script_boot(&s);
    script_end(&s);
}

static void test_the_end_while_removed(void **state)
{
    struct device *d = added();
    const struct event end = { .kind = EVENT_END };

    (void)state;
    script_ask_removal(&s, d, false);
    script_happen(&s, &end);
    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
        if (s.vm.children[i].id != 0)
            script_exit(&s, s.vm.children[i].id, false);
    assert_int_equal(s.vm.phase, VM_GONE);
    assert_true(script_replied(&s) > 0);
    script_end(&s);
}

/* A core that says so of a device that was to stay is no core of ours. */
static void test_a_core_that_lies(void **state)
{
    struct device *d = added();
    uint32_t core = s.vm.core;

    (void)state;
    script_gone(&s, d->plan->pci_slot);
    assert_true(script_killed(&s, core));
    script_end(&s);
    d = added();
    core = s.vm.core;
    script_ask_removal(&s, d, false);
    script_gone(&s, d->plan->pci_slot);
    script_exit(&s, d->worker, true);
    assert_false(script_killed(&s, core));
    script_gone(&s, 30);
    assert_true(script_killed(&s, core));
    script_end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_added),
        cmocka_unit_test(test_its_worker_dies),
        cmocka_unit_test(test_it_cant_be_started),
        cmocka_unit_test(test_it_is_never_ready),
        cmocka_unit_test(test_not_while_paused),
        cmocka_unit_test(test_what_must_wait_for_it),
        cmocka_unit_test(test_reboot_while_added),
        cmocka_unit_test(test_removed),
        cmocka_unit_test(test_added_again),
        cmocka_unit_test(test_a_hole),
        cmocka_unit_test(test_a_guest_that_never_ejects),
        cmocka_unit_test(test_taken_away),
        cmocka_unit_test(test_taken_away_from_one_that_hangs),
        cmocka_unit_test(test_the_core_keeps_it),
        cmocka_unit_test(test_its_worker_dies_meanwhile),
        cmocka_unit_test(test_one_that_failed),
        cmocka_unit_test(test_two_who_want_it),
        cmocka_unit_test(test_gone_in_an_upgrade),
        cmocka_unit_test(test_user_network_removed),
        cmocka_unit_test(test_reboot_while_removed),
        cmocka_unit_test(test_the_end_while_removed),
        cmocka_unit_test(test_a_core_that_lies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
