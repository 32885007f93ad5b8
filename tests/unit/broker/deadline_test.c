/* SPDX-License-Identifier: Apache-2.0 */
/* deadline_test.c - how long the broker waits for what may never come: where a limit begins, and whom it doesn't
 * count for. */
#include "script.h"

#include "vm/hotplug.h"
#include "vm/pause.h"

#define B(name) BULKHEAD__ENVELOPE__BODY_##name
#define PAUSED BULKHEAD__GUEST_STATE_KIND__GUEST_PAUSED
#define RUNNING BULKHEAD__GUEST_STATE_KIND__GUEST_RUNNING

enum { ENOUGH_DEATHS = 5, ACTIVATE_MS = 5000 };

static struct script s;

static struct device *running_rng(void)
{
    struct device *d;

    script_run(&s, ENOUGH_DEATHS);
    d = script_device(&s, BULKHEAD__ROLE__ROLE_RNG);
    script_use(&s, d);
    return d;
}

static void pause_begins(void)
{
    script_ask(&s, (struct command){ .kind = COMMAND_PAUSE });
    script_core_hears(&s, B(PAUSE_VCPUS));
}

/* ---- of the VM ---- */

/* Its worker died on the way there, and the host has no room for another: nobody owes an answer, and yet the guest is
 * not left standing. */
static void a_pause_with_a_device_that_is_not_served(void **state)
{
    struct event refused = { .kind = EVENT_START_FAILED };
    struct device *d = running_rng();
    bool given_up = false;

    (void)state;
    fault_host(&refused.fault, 11, "clone: Resource temporarily unavailable");
    pause_begins();
    script_state(&s, PAUSED);
    assert_int_equal(script_heard(&s, d->worker, NULL), B(QUIESCE));
    script_exit(&s, d->worker, false);
    for (unsigned i = 0; !given_up && i < 1000; i++) {
        if (d->worker != 0) {
            refused.child = d->worker;
            script_happen(&s, &refused);
        }
        assert_int_equal(s.vm.run, GUEST_PAUSING);
        assert_true(script_wait_deadline(&s));
        given_up = script_noticed(&s, "pause_failed");
    }
    assert_true(given_up);
    script_refused(&s, "a device is not served");
    script_core_hears(&s, B(RESUME_VCPUS));
    script_state(&s, RUNNING);
    assert_int_equal(s.vm.run, GUEST_RUNS);
    script_end(&s);
}

/* It still owes the answer to the pause; only then can it be asked to go on. */
static void a_pause_given_up_before_the_core_answers(void **state)
{
    (void)state;
    for (int answers = 0; answers < 2; answers++) {
        (void)running_rng();
        pause_begins();
        script_ask(&s, (struct command){ .kind = COMMAND_RESUME });
        script_wait(&s, PAUSE_CORE_MS - 1000);
        assert_int_equal(s.vm.phase, VM_RUNNING);
        if (answers) {
            script_state(&s, PAUSED);
            script_core_hears(&s, B(RESUME_VCPUS));
            script_state(&s, RUNNING);
            assert_int_equal(s.vm.run, GUEST_RUNS);
        }
        script_wait(&s, 1000);
        assert_int_equal(s.vm.phase, answers ? VM_RUNNING : VM_ENDING);
        if (!answers)
            assert_int_equal(s.vm.end.by, END_BY_HOST);
        script_end(&s);
    }
}

/* ---- of a child ---- */

static void starts_with_a_ring(uint32_t child)
{
    const struct event e = {
        .kind = EVENT_STARTED, .child = child, .pid = 1000 + (int)child, .has_ring = true
    };

    script_happen(&s, &e);
    script_hello(&s, child);
    script_ready(&s, child);
}

/* A slow disk may keep its predecessor's requests for long: it can't take over before, and its time begins then. */
static void who_waits_for_a_ring_is_not_late(void **state)
{
    Bulkhead__RingDrained drained = BULKHEAD__RING_DRAINED__INIT;
    ENVELOPE(e, RING_DRAINED, ring_drained, &drained);
    struct device *d;

    (void)state;
    script_run_disk(&s);
    d = script_device(&s, BULKHEAD__ROLE__ROLE_BLK);
    script_use(&s, d);
    script_exit(&s, d->worker, false);
    starts_with_a_ring(d->worker);
    script_answer(&s, d->worker, B(ACTIVATED));
    script_exit(&s, d->worker, false);
    starts_with_a_ring(d->worker);
    assert_int_not_equal(vm_worker(&s.vm, d)->old_ring, 0);
    script_wait(&s, 2 * ACTIVATE_MS);
    assert_int_equal(vm_worker(&s.vm, d)->killed_ns, 0);
    script_say(&s, d->worker, &e);
    script_wait(&s, ACTIVATE_MS - 1);
    assert_int_equal(vm_worker(&s.vm, d)->killed_ns, 0);
    script_wait(&s, 1);
    assert_true(script_killed(&s, d->worker));
    script_end(&s);
}

/* From its start on, whatever it has said meanwhile; and none once it is ready. */
static void ready_within_its_time(void **state)
{
    (void)state;
    for (int ready = 0; ready < 2; ready++) {
        struct device *d = running_rng();

        script_exit(&s, d->worker, false);
        script_spawned(&s, d->worker);
        script_wait(&s, CHILD_READY_MS / 2);
        script_hello(&s, d->worker);
        script_wait(&s, CHILD_READY_MS / 2 - 1);
        assert_false(script_killed(&s, d->worker));
        if (ready) {
            script_ready(&s, d->worker);
            script_answer(&s, d->worker, B(ACTIVATED));
        }
        script_wait(&s, 1);
        assert_int_equal(script_killed(&s, d->worker), !ready);
        script_end(&s);
    }
}

/* An exclusive one is told what to do when its predecessor has gone, which takes as long as it takes. */
static void who_waits_for_its_predecessor_is_not_late(void **state)
{
    struct device *d;
    uint32_t old, next;

    (void)state;
    script_run_vsock(&s);
    d = script_device(&s, BULKHEAD__ROLE__ROLE_VSOCK);
    script_use(&s, d);
    old = d->worker;
    next = script_upgrade(&s, d);
    script_spawned(&s, next);
    script_hello(&s, next);
    assert_int_equal(script_heard(&s, old, NULL), B(STOP));
    vm_child(&s.vm, old)->leave_by_ns = 0; /* another row's */
    script_wait(&s, CHILD_READY_MS);
    assert_false(script_killed(&s, next));
    script_end(&s);
}

/* ---- of a device ---- */

/* Who asked is told in the end; whoever asks next waits as long again. With a broker that died he is gone, and the
 * guest may take its time: nobody waits. */
static void ejected_for_who_waits(void **state)
{
    struct device *d;

    (void)state;
    script_run(&s, ENOUGH_DEATHS);
    d = script_added(&s);
    for (int i = 0; i < 2; i++) {
        script_ask_removal(&s, d, false);
        script_core_detaches(&s, false);
        script_wait(&s, HOTPLUG_EJECT_MS - 1);
        assert_int_equal(script_replied(&s), -1);
        script_wait(&s, 1);
        assert_true(script_replied(&s) > 0);
        assert_true(script_noticed(&s, "not_removed"));
    }
    d->removal = REMOVAL_ASKED;
    d->removal_ns = s.now;
    script_wait(&s, HOTPLUG_EJECT_MS);
    assert_false(script_noticed(&s, "not_removed"));
    script_end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pause_with_a_device_that_is_not_served),
        cmocka_unit_test(a_pause_given_up_before_the_core_answers),
        cmocka_unit_test(who_waits_for_a_ring_is_not_late),
        cmocka_unit_test(ready_within_its_time),
        cmocka_unit_test(who_waits_for_its_predecessor_is_not_late),
        cmocka_unit_test(ejected_for_who_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
