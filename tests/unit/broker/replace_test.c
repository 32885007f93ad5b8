/* SPDX-License-Identifier: Apache-2.0 */
/* replace_test.c - repair and upgrade: whatever comes, and whatever never comes, a device has one worker that
 * serves it, or is told that it has failed. */
#include "script.h"

#include "config/config.h"

#define B(name) BULKHEAD__ENVELOPE__BODY_##name

enum { ENOUGH_DEATHS = 5, DIE_MS = 10000 };

static struct script s;

static struct device *running_rng(uint32_t crash_limit)
{
    struct device *d;

    script_run(&s, crash_limit);
    d = script_device(&s, BULKHEAD__ROLE__ROLE_RNG);
    script_use(&s, d);
    return d;
}

static void hears(struct device *d, Bulkhead__Envelope__BodyCase body)
{
    assert_int_equal(script_heard(&s, d->worker, NULL), body);
}

/* Up to the moment when the new build is told to go on. */
static uint32_t hand_over(struct device *d)
{
    uint32_t old = d->worker, next = script_upgrade(&s, d);

    script_make_ready(&s, next);
    hears(d, B(QUIESCE));
    script_answer(&s, old, B(QUIESCED));
    assert_int_equal(d->worker, next);
    assert_int_equal(script_heard(&s, old, NULL), B(STOP));
    hears(d, B(ACTIVATE));
    return old;
}

/* ---- repair ---- */

static void it_is_replaced(void **state)
{
    struct device *d = running_rng(ENOUGH_DEATHS);
    uint32_t old = d->worker;
    struct action a;

    (void)state;
    script_exit(&s, old, false);
    assert_int_not_equal(d->worker, old);
    assert_true(script_noticed(&s, "died"));
    script_make_ready(&s, d->worker);
    assert_true(script_noticed(&s, "restarted"));
    assert_int_equal(script_heard(&s, d->worker, &a), B(ACTIVATE));
    assert_true(a.flag); /* it resumes what the other had begun */
    script_end(&s);
}

/* It had not said Activated: rings and journal are as they were. */
static void what_was_not_begun_is_not_resumed(void **state)
{
    struct device *d;
    struct action a;

    (void)state;
    script_run(&s, ENOUGH_DEATHS);
    d = script_device(&s, BULKHEAD__ROLE__ROLE_RNG);
    script_activate(&s, d);
    hears(d, B(ACTIVATE));
    script_exit(&s, d->worker, false);
    script_make_ready(&s, d->worker);
    assert_int_equal(script_heard(&s, d->worker, &a), B(ACTIVATE));
    assert_false(a.flag);
    script_end(&s);
}

static void too_many_deaths_fail_the_device_alone(void **state)
{
    struct device *d = running_rng(2);

    (void)state;
    script_exit(&s, d->worker, false);
    script_make_ready(&s, d->worker);
    script_exit(&s, d->worker, false);
    assert_int_equal(d->stage, STAGE_DEAD);
    assert_true(script_noticed(&s, "failed"));
    script_core_hears(&s, B(NEEDS_RESET));
    assert_int_equal(s.vm.phase, VM_RUNNING);
    /* A reset of it is acknowledged, and its driver told again. */
    script_reset(&s, d);
    script_core_hears(&s, B(RESET_DONE));
    script_activate(&s, d);
    script_core_hears(&s, B(NEEDS_RESET));
    script_ask_device(&s, COMMAND_REPAIR, d);
    script_make_ready(&s, d->worker);
    assert_int_equal(script_replied(&s), 0);
    hears(d, B(ACTIVATE));
    script_end(&s);
}

/* A failure of the host's is not a crash: four in a row would have been the limit. */
static void a_host_without_room_is_asked_again(void **state)
{
    struct device *d = running_rng(3);
    struct event refused = { .kind = EVENT_START_FAILED };
    uint64_t first = 0, last = 0;

    (void)state;
    fault_host(&refused.fault, 11, "clone: Resource temporarily unavailable");
    script_exit(&s, d->worker, false);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_not_equal(d->worker, 0);
        refused.child = d->worker;
        script_happen(&s, &refused);
        assert_int_equal(d->stage, STAGE_REPAIR);
        assert_int_equal(d->worker, 0);
        last = vm_next_deadline(&s.vm) - s.now;
        first = first ? first : last;
        assert_true(script_wait_deadline(&s));
    }
    assert_true(last > 8 * first); /* ever more rarely */
    assert_true(script_noticed(&s, "not_started"));
    assert_false(script_noticed(&s, "not_started")); /* told of once */
    script_make_ready(&s, d->worker);
    assert_int_equal(d->stage, STAGE_SERVED);
    assert_false(script_noticed(&s, "failed"));
    hears(d, B(ACTIVATE));
    script_end(&s);
}

/* Workers leave by themselves when the core is gone, of which the news comes a moment later. */
static void one_that_left_is_waited_for(void **state)
{
    struct device *d = running_rng(ENOUGH_DEATHS);

    (void)state;
    script_exit(&s, d->worker, true);
    assert_int_equal(d->stage, STAGE_VACANT);
    script_exit(&s, s.vm.core, false);
    assert_int_equal(s.vm.phase, VM_ENDING);
    assert_false(script_noticed(&s, "died"));
    script_end(&s);

    d = running_rng(ENOUGH_DEATHS);
    script_exit(&s, d->worker, true);
    assert_true(script_wait_deadline(&s));
    assert_true(script_noticed(&s, "died"));
    assert_int_equal(d->stage, STAGE_REPAIR);
    script_end(&s);
}

/* ---- what is never answered ---- */

static void a_reset_that_is_never_answered(void **state)
{
    struct device *d = running_rng(ENOUGH_DEATHS);
    uint32_t mute = d->worker;

    (void)state;
    script_reset(&s, d);
    hears(d, B(RESET));
    assert_true(script_wait_deadline(&s));
    assert_true(script_killed(&s, mute));
    script_exit(&s, mute, false);
    script_make_ready(&s, d->worker);
    hears(d, B(ACTIVATE));
    hears(d, B(RESET));
    script_answer(&s, d->worker, B(ACTIVATED));
    script_answer(&s, d->worker, B(RESET_DONE));
    script_core_hears(&s, B(RESET_DONE));
    script_end(&s);
}

static void an_activation_that_is_never_answered(void **state)
{
    struct device *d;
    uint32_t mute;

    (void)state;
    script_run(&s, ENOUGH_DEATHS);
    d = script_device(&s, BULKHEAD__ROLE__ROLE_RNG);
    mute = d->worker;
    script_activate(&s, d);
    assert_true(script_wait_deadline(&s));
    assert_true(script_killed(&s, mute));
    script_end(&s);
}

static void a_worker_that_is_never_ready(void **state)
{
    struct device *d = running_rng(ENOUGH_DEATHS);

    (void)state;
    script_exit(&s, d->worker, false);
    script_spawned(&s, d->worker);
    assert_true(script_wait_deadline(&s));
    assert_true(script_killed(&s, d->worker));
    script_end(&s);
}

/* The VM's end does not wait for what the kernel can't end. */
static void a_child_that_does_not_die(void **state)
{
    unsigned n;

    (void)state;
    (void)running_rng(ENOUGH_DEATHS);
    script_ask(&s, (struct command){ .kind = COMMAND_STOP });
    assert_int_equal(script_replied(&s), 0);
    for (n = 0; s.vm.phase != VM_GONE && n < 100; n++)
        assert_true(script_wait_deadline(&s));
    assert_int_equal(s.vm.phase, VM_GONE);
    assert_int_equal(script_count(&s, ACTION_ENDED), 1);
    assert_false(script_wait_deadline(&s));
    script_end(&s);
}

static bool noticed_of(const char *name, const char *id)
{
    for (unsigned i = 0; i < s.n_log; i++)
        if (s.log[i].kind == ACTION_NOTICE && strcmp(s.log[i].name, name) == 0)
            return strcmp(s.log[i].text, id) == 0 && script_noticed(&s, name);
    return false;
}

/* While the VM runs the kernel may still work for it: nobody takes its place, who listens hears of it again and again,
 * and when it has died after all it is replaced. */
static void a_worker_that_does_not_die(void **state)
{
    struct device *d = running_rng(ENOUGH_DEATHS);
    uint32_t stuck = d->worker;

    (void)state;
    script_reset(&s, d);
    hears(d, B(RESET));
    assert_true(script_wait_deadline(&s));
    assert_true(script_killed(&s, stuck));
    for (unsigned i = 0; i < 3; i++) {
        script_wait(&s, DIE_MS - 1000);
        assert_false(script_noticed(&s, "does_not_die"));
        script_wait(&s, 1000);
        assert_true(noticed_of("does_not_die", d->plan->name));
        assert_int_equal(s.vm.phase, VM_RUNNING);
        assert_int_equal(d->worker, stuck);
        assert_int_equal(script_count(&s, ACTION_START) + script_count(&s, ACTION_KILL), 0);
    }
    script_exit(&s, stuck, false);
    assert_int_not_equal(d->worker, stuck);
    script_make_ready(&s, d->worker);
    assert_int_equal(d->stage, STAGE_SERVED);
    script_end(&s);
}

/* ---- upgrade ---- */

static void a_new_build_takes_over(void **state)
{
    struct device *d = running_rng(ENOUGH_DEATHS);
    uint32_t old = hand_over(d);

    (void)state;
    assert_int_equal(script_replied(&s), -1);
    script_answer(&s, d->worker, B(ACTIVATED));
    assert_int_equal(script_replied(&s), 0);
    assert_true(script_noticed(&s, "upgraded"));
    assert_int_equal(d->stage, STAGE_SERVED);
    script_exit(&s, old, true);
    assert_int_equal(d->stage, STAGE_SERVED);
    hears(d, B(_NOT_SET));
    script_end(&s);
}

static void a_new_build_that_never_goes_on_is_rolled_back(void **state)
{
    struct device *d = running_rng(ENOUGH_DEATHS);

    (void)state;
    (void)hand_over(d);
    assert_true(script_wait_deadline(&s)); /* the old one, which does not leave */
    while (!script_killed(&s, d->worker))
        assert_true(script_wait_deadline(&s));
    assert_int_equal(script_replied(&s), -1);
    script_exit(&s, d->worker, false);
    assert_int_equal(script_count(&s, ACTION_ROLL_BACK), 1);
    assert_true(script_replied(&s) > 0);
    assert_true(script_noticed(&s, "rolled_back"));
    script_make_ready(&s, d->worker);
    hears(d, B(ACTIVATE));
    script_end(&s);
}

static void a_new_build_that_dies_soon_is_rolled_back(void **state)
{
    struct device *d = running_rng(ENOUGH_DEATHS);

    (void)state;
    (void)hand_over(d);
    script_answer(&s, d->worker, B(ACTIVATED));
    assert_int_equal(script_replied(&s), 0);
    script_exit(&s, d->worker, false);
    assert_int_equal(script_count(&s, ACTION_ROLL_BACK), 1);
    script_end(&s);
}

/* The last upgrade is over, but the old worker of the next one still says what it was asked for before. */
static void an_old_workers_answer_is_not_the_new_ones(void **state)
{
    struct device *d = running_rng(ENOUGH_DEATHS);
    uint32_t old = hand_over(d), next;

    (void)state;
    script_answer(&s, d->worker, B(ACTIVATED));
    assert_int_equal(script_replied(&s), 0);
    script_exit(&s, old, true);
    script_reset(&s, d);
    script_answer(&s, d->worker, B(RESET_DONE));
    script_activate(&s, d);
    next = script_upgrade(&s, d);
    script_answer(&s, d->worker, B(ACTIVATED));
    assert_int_equal(script_replied(&s), -1);
    assert_int_equal(d->stage, STAGE_PROBE);
    assert_int_equal(d->candidate, next);
    script_end(&s);
}

static void no_upgrade_during_a_reset(void **state)
{
    struct device *d = running_rng(ENOUGH_DEATHS);

    (void)state;
    script_reset(&s, d);
    script_ask_device(&s, COMMAND_UPGRADE, d);
    assert_true(script_replied(&s) > 0);
    script_answer(&s, d->worker, B(RESET_DONE));
    (void)script_upgrade(&s, d);
    script_end(&s);
}

static void a_reset_during_an_upgrade(void **state)
{
    struct device *d = running_rng(ENOUGH_DEATHS);
    uint32_t old = d->worker, next = script_upgrade(&s, d);

    (void)state;
    script_make_ready(&s, next);
    hears(d, B(QUIESCE));
    script_reset(&s, d);
    assert_true(script_killed(&s, next));
    assert_true(script_replied(&s) > 0);
    assert_int_equal(d->worker, old);
    hears(d, B(RESET));
    script_end(&s);
}

/* Both would be on one ring. */
static void an_old_worker_that_leaves_takes_the_candidate_along(void **state)
{
    struct device *d = running_rng(ENOUGH_DEATHS);
    uint32_t next = script_upgrade(&s, d);

    (void)state;
    script_spawned(&s, next);
    script_hello(&s, next);
    script_exit(&s, d->worker, true);
    assert_true(script_killed(&s, next));
    script_ready(&s, next); /* it was on its way */
    assert_int_equal(script_heard(&s, next, NULL), B(CONFIGURE));
    assert_int_equal(script_heard(&s, next, NULL), B(_NOT_SET));
    assert_int_not_equal(d->worker, next);
    assert_true(script_wait_deadline(&s));
    assert_int_not_equal(d->worker, 0);
    assert_int_not_equal(d->worker, next);
    script_end(&s);
}

static void a_drain_that_takes_too_long(void **state)
{
    struct device *d = running_rng(ENOUGH_DEATHS);
    uint32_t old = d->worker, next = script_upgrade(&s, d);

    (void)state;
    script_make_ready(&s, next);
    hears(d, B(QUIESCE));
    assert_true(script_wait_deadline(&s));
    assert_true(script_killed(&s, next));
    assert_true(script_replied(&s) > 0);
    assert_int_equal(d->worker, old);
    script_answer(&s, old, B(QUIESCED));
    hears(d, B(UNQUIESCE));
    script_end(&s);
}

static void one_after_the_other(void **state)
{
    struct event opened = { .kind = EVENT_PROGRAM_OPENED };

    (void)state;
    script_run(&s, ENOUGH_DEATHS);
    script_ask(&s, (struct command){ .kind = COMMAND_UPGRADE_ALL });
    for (unsigned i = 0; i < s.vm.n_devices; i++) {
        struct device *d = &s.vm.devices[i];

        assert_int_equal(d->stage, STAGE_PROBE);
        assert_int_equal(script_replied(&s), -1);
        opened.device = i;
        script_happen(&s, &opened);
        script_make_ready(&s, d->candidate);
    }
    assert_int_equal(script_replied(&s), 0);
    script_end(&s);
}

/* ---- of a kind that is exclusive ---- */

static struct device *running_vsock(void)
{
    struct device *d;

    script_run_vsock(&s);
    d = script_device(&s, BULKHEAD__ROLE__ROLE_VSOCK);
    script_use(&s, d);
    return d;
}

static void an_exclusive_one_waits_for_the_end(void **state)
{
    struct device *d = running_vsock();
    uint32_t old = d->worker, next = script_upgrade(&s, d);

    (void)state;
    script_spawned(&s, next);
    script_hello(&s, next);
    assert_int_equal(script_heard(&s, next, NULL), B(_NOT_SET));
    assert_int_equal(script_heard(&s, old, NULL), B(STOP));
    script_exit(&s, old, true);
    assert_int_equal(d->worker, next);
    assert_int_equal(script_heard(&s, next, NULL), B(CONFIGURE));
    script_ready(&s, next);
    assert_int_equal(script_heard(&s, next, NULL), B(ACTIVATE));
    assert_int_equal(script_replied(&s), -1);
    script_answer(&s, next, B(ACTIVATED));
    assert_int_equal(script_replied(&s), 0);
    script_end(&s);
}

static void its_candidate_dies_meanwhile(void **state)
{
    struct device *d = running_vsock();
    uint32_t old = d->worker, next = script_upgrade(&s, d);

    (void)state;
    script_spawned(&s, next);
    script_hello(&s, next);
    script_exit(&s, next, false);
    assert_true(script_replied(&s) > 0);
    script_exit(&s, old, true);
    assert_int_not_equal(d->worker, 0);
    assert_int_equal(vm_worker(&s.vm, d)->program, PROGRAM_OF_DEVICE);
    script_make_ready(&s, d->worker);
    hears(d, B(ACTIVATE));
    script_end(&s);
}

/* ---- what is told of it ---- */

/* A driver and its worker may do this for ever: who listens hears it once a second. */
static void resets_do_not_flood(void **state)
{
    Bulkhead__NeedsReset needs = BULKHEAD__NEEDS_RESET__INIT;
    ENVELOPE(e, NEEDS_RESET, needs_reset, &needs);
    struct device *d = running_rng(ENOUGH_DEATHS);
    unsigned told = 0;
    char why[] = "garbage in the ring";

    (void)state;
    needs.why = why;
    for (unsigned i = 0; i < 300; i++) {
        script_say(&s, d->worker, &e);
        script_core_hears(&s, B(NEEDS_RESET));
        told += script_noticed(&s, "needs_reset");
        script_reset(&s, d);
        hears(d, B(RESET));
        script_answer(&s, d->worker, B(RESET_DONE));
        script_use(&s, d);
        s.n_log = 0;
    }
    assert_int_equal(told, 1);
    s.now += UINT64_C(1000000000);
    script_say(&s, d->worker, &e);
    assert_true(script_noticed(&s, "needs_reset"));
    script_end(&s);
}

/* A driver that writes in a loop while the worker looks at no message. */
static void writes_are_gathered(void **state)
{
    Bulkhead__ConfigUpdate update = BULKHEAD__CONFIG_UPDATE__INIT;
    ENVELOPE(e, CONFIG_UPDATE, config_update, &update);
    struct event no_room = { .kind = EVENT_NO_ROOM, .from = 4, .to = 8 };
    const struct event tick = { .kind = EVENT_TICK };
    struct device *d;
    struct action a;
    uint32_t value = 7;

    (void)state;
    script_run(&s, ENOUGH_DEATHS);
    d = script_device(&s, BULKHEAD__ROLE__ROLE_BALLOON);
    script_use(&s, d);
    update.slot = d->plan->pci_slot;
    update.offset = 4;
    update.data = (ProtobufCBinaryData){ .len = sizeof value, .data = (uint8_t *)&value };
    script_say(&s, s.vm.core, &e);
    assert_int_equal(script_heard(&s, d->worker, &a), B(CONFIG_UPDATE));
    no_room.child = d->worker;
    no_room.device = d->number;
    script_happen(&s, &no_room); /* it did not get there */
    hears(d, B(_NOT_SET));
    script_happen(&s, &tick);
    assert_int_equal(script_heard(&s, d->worker, &a), B(CONFIG_UPDATE));
    assert_int_equal(a.from, 4);
    assert_int_equal(a.to, 8);
    script_happen(&s, &tick);
    hears(d, B(_NOT_SET));
    script_end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_replaced),
        cmocka_unit_test(what_was_not_begun_is_not_resumed),
        cmocka_unit_test(too_many_deaths_fail_the_device_alone),
        cmocka_unit_test(a_host_without_room_is_asked_again),
        cmocka_unit_test(one_that_left_is_waited_for),
        cmocka_unit_test(a_reset_that_is_never_answered),
        cmocka_unit_test(an_activation_that_is_never_answered),
        cmocka_unit_test(a_worker_that_is_never_ready),
        cmocka_unit_test(a_child_that_does_not_die),
        cmocka_unit_test(a_worker_that_does_not_die),
        cmocka_unit_test(a_new_build_takes_over),
        cmocka_unit_test(a_new_build_that_never_goes_on_is_rolled_back),
        cmocka_unit_test(a_new_build_that_dies_soon_is_rolled_back),
        cmocka_unit_test(an_old_workers_answer_is_not_the_new_ones),
        cmocka_unit_test(no_upgrade_during_a_reset),
        cmocka_unit_test(a_reset_during_an_upgrade),
        cmocka_unit_test(an_old_worker_that_leaves_takes_the_candidate_along),
        cmocka_unit_test(a_drain_that_takes_too_long),
        cmocka_unit_test(one_after_the_other),
        cmocka_unit_test(an_exclusive_one_waits_for_the_end),
        cmocka_unit_test(its_candidate_dies_meanwhile),
        cmocka_unit_test(resets_do_not_flood),
        cmocka_unit_test(writes_are_gathered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
