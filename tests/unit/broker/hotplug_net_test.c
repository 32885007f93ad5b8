/* SPDX-License-Identifier: Apache-2.0 */
/* hotplug_net_test.c - a user network that comes while the guest runs: with its passt, which may not start, die, or give
 * no sign, before the guest has it and after. */
#include "script.h"
#include "vm/hotplug.h"

#define B(name) BULKHEAD__ENVELOPE__BODY_##name

enum { CRASHES = 3 };

static struct script s;

static struct device *add_net(void)
{
    struct device *d;

    script_run(&s, CRASHES);
    d = script_add_net(&s);
    assert_int_not_equal(d->passt, 0);
    script_spawned(&s, d->passt);
    assert_int_equal(script_replied(&s), -1);
    return d;
}

static void settle(const struct device *d)
{
    const struct event settled = { .kind = EVENT_PASST_SETTLED, .device = d->number };

    script_happen(&s, &settled);
}

static unsigned attached(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < s.n_log; i++)
        n += s.log[i].kind == ACTION_TELL && s.log[i].body == B(ATTACH_DEVICE);
    return n;
}

/* The line that who asked gets; NULL: none yet. */
static const char *line(void)
{
    for (unsigned i = 0; i < s.n_log; i++)
        if (s.log[i].kind == ACTION_REPLY && s.log[i].ticket.request == s.request)
            return s.log[i].text;
    return NULL;
}

/* The guest has it when its passt has opened its ports, whichever of the two is first. */
static void test_user_network_added(void **state)
{
    struct device *d = add_net();

    (void)state;
    script_make_ready(&s, d->worker);
    assert_int_equal(attached(), 0);
    assert_int_equal(d->stage, STAGE_ADD);
    settle(d);
    script_core_hears(&s, B(ATTACH_DEVICE));
    assert_int_equal(script_replied(&s), 0);
    assert_int_equal(script_count(&s, ACTION_LOUD), 1);
    script_use(&s, d);
    script_end(&s);
    d = add_net();
    settle(d);
    assert_int_equal(attached(), 0);
    script_make_ready(&s, d->worker);
    script_core_hears(&s, B(ATTACH_DEVICE));
    assert_int_equal(script_replied(&s), 0);
    script_end(&s);
}

/* One that can't have its ports: no second try, the line of a start, and nothing left when that is said. */
static void test_its_passt_does_not_start(void **state)
{
    struct event exited = { .kind = EVENT_EXITED, .fault = { .text = "port 22: in use" } };
    struct device *d = add_net();
    uint32_t worker = d->worker;

    (void)state;
    script_make_ready(&s, worker);
    exited.child = d->passt;
    script_happen(&s, &exited);
    assert_false(script_noticed(&s, "passt_died"));
    assert_int_equal(script_heard(&s, worker, NULL), B(STOP));
    assert_null(line());
    assert_int_equal(d->passt, 0);
    script_exit(&s, worker, true);
    assert_int_equal(attached(), 0);
    assert_string_equal(line(), "net0: passt does not start: port 22: in use: correct hostfwd=, "
                                "or use another network");
    assert_true(script_replied(&s) > 0);
    script_is_free(&s, d);
    script_end(&s);
}

/* The spawner has not heard of it from a user, or has no room. */
static void test_its_passt_is_refused(void **state)
{
    struct event e = { .kind = EVENT_START_FAILED,
                       .fault = { .error = 1, .bad_input = true, .text = "nobody wants it" } };
    struct device *d;

    (void)state;
    script_run(&s, CRASHES);
    d = script_add_net(&s);
    e.child = d->passt;
    script_happen(&s, &e);
    assert_false(script_noticed(&s, "passt_failed"));
    script_exit(&s, d->worker, false);
    assert_string_equal(line(), "net0: passt: its process could not be started: nobody wants it");
    assert_true(script_replied(&s) > 0);
    script_is_free(&s, d);
    script_end(&s);
}

static void test_its_worker_dies_and_passt_goes(void **state)
{
    struct device *d = add_net();
    uint32_t passt = d->passt;

    (void)state;
    settle(d);
    script_exit(&s, d->worker, false);
    assert_true(script_killed(&s, passt));
    assert_null(line());
    script_exit(&s, passt, false);
    assert_true(strstr(line(), "net0 was not added: ") == line());
    assert_true(script_replied(&s) > 0);
    script_is_free(&s, d);
    script_end(&s);
}

/* As at the VM's start one that gives no sign is taken for well. */
static void test_its_passt_gives_no_sign(void **state)
{
    struct device *d = add_net();

    (void)state;
    script_make_ready(&s, d->worker);
    script_wait(&s, CHILD_READY_MS - 100);
    assert_int_equal(attached(), 0);
    assert_true(script_wait_deadline(&s));
    script_core_hears(&s, B(ATTACH_DEVICE));
    assert_int_equal(script_replied(&s), 0);
    script_end(&s);
}

/* Served, it is a user network like any other. */
static void test_its_passt_dies_later(void **state)
{
    struct device *d = add_net();
    uint32_t passt = d->passt, worker = d->worker;

    (void)state;
    script_make_ready(&s, worker);
    settle(d);
    assert_int_equal(script_replied(&s), 0);
    script_exit(&s, passt, false);
    assert_true(script_noticed(&s, "passt_died"));
    assert_int_not_equal(d->passt, 0);
    assert_int_equal(vm_child(&s.vm, d->passt)->uid_slot, PLAN_UID_PASST);
    script_exit(&s, worker, true);
    script_make_ready(&s, d->worker);
    passt = d->passt;
    script_ask_removal(&s, d, false);
    script_gone(&s, d->plan->pci_slot);
    assert_true(script_killed(&s, passt));
    script_exit(&s, d->worker, true);
    assert_int_equal(script_replied(&s), -1);
    script_exit(&s, passt, false);
    assert_int_equal(script_replied(&s), 0);
    script_is_free(&s, d);
    script_end(&s);
}

static void test_reboot_while_a_network_is_added(void **state)
{
    struct device *d = add_net();

    (void)state;
    script_exit(&s, d->passt, false); /* given up, and who asked is not told yet */
    script_state(&s, BULKHEAD__GUEST_STATE_KIND__GUEST_REBOOT);
    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
        if (s.vm.children[i].id != 0)
            script_exit(&s, s.vm.children[i].id, false);
    assert_non_null(strstr(line(), "passt does not start"));
    assert_true(script_replied(&s) > 0);
    script_is_free(&s, d);
    script_boot(&s);
    script_end(&s);
}

static void test_the_end_while_a_network_is_added(void **state)
{
    const struct event end = { .kind = EVENT_END };
    struct device *d = add_net();

    (void)state;
    script_exit(&s, d->passt, false);
    script_happen(&s, &end);
    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
        if (s.vm.children[i].id != 0)
            script_exit(&s, s.vm.children[i].id, false);
    assert_int_equal(s.vm.phase, VM_GONE);
    assert_true(script_replied(&s) > 0);
    script_end(&s);
}

/* Who asked is gone with the broker: nothing is left of it. */
static void test_another_broker_while_a_network_is_added(void **state)
{
    struct device *d = add_net();
    uint32_t worker = d->worker, passt = d->passt;

    (void)state;
    script_make_ready(&s, worker);
    script_adopt(&s, 0);
    assert_true(script_killed(&s, passt));
    assert_true(script_noticed(&s, "not_added"));
    script_core_says_all(&s, BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_RUNNING);
    script_exit(&s, passt, false);
    assert_int_equal(script_count(&s, ACTION_FREE_DEVICE), 0);
    script_exit(&s, worker, true);
    script_is_free(&s, &s.vm.devices[d->number]);
    script_end(&s);
}

/* And with one that is there, the next one goes on. */
static void test_another_broker_with_a_network(void **state)
{
    struct device *d = add_net();
    uint32_t worker = d->worker, passt = d->passt;

    (void)state;
    script_make_ready(&s, worker);
    settle(d);
    assert_int_equal(script_replied(&s), 0);
    script_adopt(&s, 0);
    assert_false(script_killed(&s, passt));
    script_core_says_all(&s, BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_RUNNING);
    script_worker_stands(&s, worker, BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_READY);
    assert_int_equal(d->passt, passt);
    script_exit(&s, passt, false);
    assert_true(script_noticed(&s, "passt_died"));
    assert_int_not_equal(d->passt, 0);
    script_end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_user_network_added),
        cmocka_unit_test(test_its_passt_does_not_start),
        cmocka_unit_test(test_its_passt_is_refused),
        cmocka_unit_test(test_its_worker_dies_and_passt_goes),
        cmocka_unit_test(test_its_passt_gives_no_sign),
        cmocka_unit_test(test_its_passt_dies_later),
        cmocka_unit_test(test_reboot_while_a_network_is_added),
        cmocka_unit_test(test_the_end_while_a_network_is_added),
        cmocka_unit_test(test_another_broker_while_a_network_is_added),
        cmocka_unit_test(test_another_broker_with_a_network),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
