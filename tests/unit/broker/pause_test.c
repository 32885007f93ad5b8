/* SPDX-License-Identifier: Apache-2.0 */
/* pause_test.c - pause, resume, repair and upgrade when one comes while another's answer is still on its
 * way, and answers that never come. */
#include "script.h"

#define B(name) BULKHEAD__ENVELOPE__BODY_##name
#define PAUSED BULKHEAD__GUEST_STATE_KIND__GUEST_PAUSED
#define RUNNING BULKHEAD__GUEST_STATE_KIND__GUEST_RUNNING

enum { ENOUGH_DEATHS = 5 };

static struct script s;

/* A VM, of which this device is in use. */
static struct device *running_rng(uint32_t crash_limit)
{
    struct device *d;

    script_run(&s, crash_limit);
    d = script_device(&s, BULKHEAD__ROLE__ROLE_RNG);
    script_use(&s, d);
    return d;
}

static void pause_vcpus(void)
{
    script_ask(&s, (struct command){ .kind = COMMAND_PAUSE });
    script_core_hears(&s, B(PAUSE_VCPUS));
    script_state(&s, PAUSED);
}

static void resume(void)
{
    script_ask(&s, (struct command){ .kind = COMMAND_RESUME });
    script_core_hears(&s, B(RESUME_VCPUS));
    script_state(&s, RUNNING);
    assert_int_equal(s.vm.run, GUEST_RUNS);
    assert_int_equal(script_replied(&s), 0);
}

static void hears(struct device *d, Bulkhead__Envelope__BodyCase body)
{
    assert_int_equal(script_heard(&s, d->worker, NULL), body);
}

static void test_pause_and_resume(void **state)
{
    struct device *d = running_rng(ENOUGH_DEATHS);

    (void)state;
    pause_vcpus();
    hears(d, B(QUIESCE));
    assert_int_equal(s.vm.run, GUEST_PAUSING);
    assert_int_equal(script_replied(&s), -1);
    script_answer(&s, d->worker, B(QUIESCED));
    assert_int_equal(s.vm.run, GUEST_IS_PAUSED);
    assert_int_equal(script_replied(&s), 0);
    hears(d, B(_NOT_SET));
    resume();
    hears(d, B(UNQUIESCE));
    assert_int_equal(vm_worker(&s.vm, d)->state, CHILD_RUNNING);
    script_end(&s);
}

/* The worker has done the reset already when a Quiesce would reach it. */
static void test_pause_while_reset(void **state)
{
    struct device *d = running_rng(ENOUGH_DEATHS);

    (void)state;
    script_reset(&s, d);
    hears(d, B(RESET));
    pause_vcpus();
    hears(d, B(_NOT_SET));
    assert_int_equal(s.vm.run, GUEST_PAUSING);
    script_answer(&s, d->worker, B(RESET_DONE));
    assert_int_equal(s.vm.run, GUEST_IS_PAUSED);
    resume();
    hears(d, B(_NOT_SET));
    script_end(&s);
}

/* It dies with the reset undone: the replacement does both. */
static void test_pause_while_reset_and_death(void **state)
{
    struct device *d = running_rng(ENOUGH_DEATHS);

    (void)state;
    script_reset(&s, d);
    pause_vcpus();
    script_exit(&s, d->worker, false);
    script_make_ready(&s, d->worker);
    hears(d, B(ACTIVATE));
    hears(d, B(RESET));
    hears(d, B(_NOT_SET));
    script_answer(&s, d->worker, B(ACTIVATED));
    script_answer(&s, d->worker, B(RESET_DONE));
    assert_int_equal(s.vm.run, GUEST_IS_PAUSED);
    script_end(&s);
}

/* It died too often: nothing is left to wait for. */
static void test_pause_while_it_fails(void **state)
{
    struct device *d = running_rng(1);

    (void)state;
    pause_vcpus();
    script_exit(&s, d->worker, false);
    assert_int_equal(d->stage, STAGE_DEAD);
    assert_int_equal(s.vm.run, GUEST_IS_PAUSED);
    script_end(&s);
}

/* A worker that was replaced during the pause is still to say Quiesced when the VM goes on. */
static void test_resume_before_quiesced(void **state)
{
    struct device *d = running_rng(ENOUGH_DEATHS);

    (void)state;
    pause_vcpus();
    hears(d, B(QUIESCE));
    script_answer(&s, d->worker, B(QUIESCED));
    assert_int_equal(s.vm.run, GUEST_IS_PAUSED);
    script_exit(&s, d->worker, false);
    script_make_ready(&s, d->worker);
    hears(d, B(ACTIVATE));
    hears(d, B(QUIESCE));
    resume();
    script_answer(&s, d->worker, B(ACTIVATED));
    script_answer(&s, d->worker, B(QUIESCED));
    hears(d, B(UNQUIESCE));
    assert_int_equal(vm_worker(&s.vm, d)->state, CHILD_RUNNING);
    script_end(&s);
}

/* The old worker was asked to finish its work, and has not answered. */
static void begin_and_give_up_upgrade(struct device *d)
{
    uint32_t next = script_upgrade(&s, d);

    script_make_ready(&s, next);
    hears(d, B(QUIESCE));
    script_exit(&s, next, false);
    assert_int_equal(d->stage, STAGE_SERVED);
}

/* The Quiesced of an upgrade that was given up comes when a pause wants it as well. */
static void test_upgrade_given_up_then_pause(void **state)
{
    struct device *d = running_rng(ENOUGH_DEATHS);

    (void)state;
    begin_and_give_up_upgrade(d);
    pause_vcpus();
    script_answer(&s, d->worker, B(QUIESCED));
    assert_int_equal(s.vm.run, GUEST_IS_PAUSED);
    hears(d, B(_NOT_SET));
    resume();
    hears(d, B(UNQUIESCE));
    script_end(&s);
}

static void test_upgrade_given_up(void **state)
{
    struct device *d = running_rng(ENOUGH_DEATHS);

    (void)state;
    begin_and_give_up_upgrade(d);
    hears(d, B(_NOT_SET));
    script_answer(&s, d->worker, B(QUIESCED));
    hears(d, B(UNQUIESCE));
    script_end(&s);
}

/* What was dead when the VM was paused, and is repaired meanwhile, waits with the others. */
static void test_repair_while_paused(void **state)
{
    struct device *d = running_rng(1);

    (void)state;
    script_exit(&s, d->worker, false);
    assert_int_equal(d->stage, STAGE_DEAD);
    pause_vcpus();
    assert_int_equal(s.vm.run, GUEST_IS_PAUSED);
    script_ask_device(&s, COMMAND_REPAIR, d);
    script_make_ready(&s, d->worker);
    assert_int_equal(script_replied(&s), 0);
    hears(d, B(ACTIVATE));
    hears(d, B(QUIESCE));
    script_answer(&s, d->worker, B(ACTIVATED));
    script_answer(&s, d->worker, B(QUIESCED));
    resume();
    hears(d, B(UNQUIESCE));
    script_end(&s);
}

/* ---- answers that never come ---- */

/* It beats, but never says Quiesced: the guest is not left standing for good. */
static void test_a_worker_that_never_gets_quiet(void **state)
{
    struct device *d = running_rng(ENOUGH_DEATHS);
    uint32_t mute = d->worker;

    (void)state;
    pause_vcpus();
    hears(d, B(QUIESCE));
    assert_true(script_wait_deadline(&s));
    assert_true(script_killed(&s, mute));
    assert_true(script_noticed(&s, "pause_failed"));
    assert_true(script_replied(&s) > 0);
    script_core_hears(&s, B(RESUME_VCPUS));
    script_state(&s, RUNNING);
    assert_int_equal(s.vm.run, GUEST_RUNS);
    script_end(&s);
}

static void test_resume_on_the_way_to_a_pause(void **state)
{
    struct device *d = running_rng(ENOUGH_DEATHS);
    uint32_t pause;

    (void)state;
    pause_vcpus();
    hears(d, B(QUIESCE));
    pause = s.request;
    script_ask(&s, (struct command){ .kind = COMMAND_RESUME });
    s.request = pause;
    assert_true(script_replied(&s) > 0); /* that one was given up */
    s.request = pause + 1;
    script_core_hears(&s, B(RESUME_VCPUS));
    script_state(&s, RUNNING);
    assert_int_equal(script_replied(&s), 0);
    script_answer(&s, d->worker, B(QUIESCED));
    hears(d, B(UNQUIESCE));
    script_end(&s);
}

/* Nor does it help to resume before the core has answered the pause: it is asked when it has. */
static void test_resume_before_the_core_stands(void **state)
{
    (void)state;
    (void)running_rng(ENOUGH_DEATHS);
    script_ask(&s, (struct command){ .kind = COMMAND_PAUSE });
    script_core_hears(&s, B(PAUSE_VCPUS));
    script_ask(&s, (struct command){ .kind = COMMAND_RESUME });
    assert_int_equal(script_heard(&s, s.vm.core, NULL), B(_NOT_SET));
    script_state(&s, PAUSED);
    script_core_hears(&s, B(RESUME_VCPUS));
    script_state(&s, RUNNING);
    assert_int_equal(s.vm.run, GUEST_RUNS);
    assert_int_equal(script_replied(&s), 0);
    script_end(&s);
}

static void test_a_core_that_does_not_answer(void **state)
{
    (void)state;
    for (int resumes = 0; resumes < 2; resumes++) {
        (void)running_rng(ENOUGH_DEATHS);
        script_ask(&s, (struct command){ .kind = COMMAND_PAUSE });
        script_core_hears(&s, B(PAUSE_VCPUS));
        if (resumes) {
            script_state(&s, PAUSED);
            script_answer(&s, script_device(&s, BULKHEAD__ROLE__ROLE_RNG)->worker, B(QUIESCED));
            assert_int_equal(script_replied(&s), 0);
            script_ask(&s, (struct command){ .kind = COMMAND_RESUME });
        }
        assert_true(script_wait_deadline(&s));
        assert_int_equal(s.vm.phase, VM_ENDING);
        assert_int_equal(s.vm.end.by, END_BY_HOST);
        script_end(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pause_and_resume),
        cmocka_unit_test(test_pause_while_reset),
        cmocka_unit_test(test_pause_while_reset_and_death),
        cmocka_unit_test(test_pause_while_it_fails),
        cmocka_unit_test(test_resume_before_quiesced),
        cmocka_unit_test(test_upgrade_given_up_then_pause),
        cmocka_unit_test(test_upgrade_given_up),
        cmocka_unit_test(test_repair_while_paused),
        cmocka_unit_test(test_a_worker_that_never_gets_quiet),
        cmocka_unit_test(test_resume_on_the_way_to_a_pause),
        cmocka_unit_test(test_resume_before_the_core_stands),
        cmocka_unit_test(test_a_core_that_does_not_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
