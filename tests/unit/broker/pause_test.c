/* SPDX-License-Identifier: Apache-2.0 */
/* pause_test.c - pause, resume, repair and upgrade when one comes while another's answer is still
 * on its way, and a worker that is behind with reading; the order of all messages is the test's. */
#include "rig.h"

#include "base/fd.h"
#include "config/config.h"

#define B(name) BULKHEAD__ENVELOPE__BODY_##name
#define PAUSED BULKHEAD__GUEST_STATE_KIND__GUEST_PAUSED
#define RUNNING BULKHEAD__GUEST_STATE_KIND__GUEST_RUNNING

enum { ACTUAL_OFFSET = 4, MANY_WRITES = 5000 };
enum { ENOUGH_DEATHS = 5, NOBODY = 99 /* a client that has gone */ };

static struct rig rig;

/* The guest's driver sets up one queue, and the worker goes to work on it. */
static void activate(struct device *d)
{
    Bulkhead__QueueState queue = BULKHEAD__QUEUE_STATE__INIT, *queues[] = { &queue };
    Bulkhead__Activate a = BULKHEAD__ACTIVATE__INIT;
    ENVELOPE(e, ACTIVATE, activate, &a);

    queue.size = 8;
    a.slot = d->plan->pci_slot;
    a.queues = queues;
    a.n_queues = 1;
    rig_say(&rig, rig.vm.core, &e);
    assert_int_equal(rig_heard(&rig, d->worker, NULL), B(ACTIVATE));
    rig_say_bare(&rig, d->worker, B(ACTIVATED));
}

static void reset(const struct device *d)
{
    Bulkhead__Reset r = BULKHEAD__RESET__INIT;
    ENVELOPE(e, RESET, reset, &r);

    r.slot = d->plan->pci_slot;
    rig_say(&rig, rig.vm.core, &e);
}

/* A VM, of which this device is in use. */
static struct device *running_rng(uint32_t crash_limit)
{
    struct device *d;

    rig_run(&rig, crash_limit);
    d = rig_device(&rig, BULKHEAD__ROLE__ROLE_RNG);
    activate(d);
    return d;
}

/* Sooner or later. */
static void core_hears(Bulkhead__Envelope__BodyCase body)
{
    Bulkhead__Envelope__BodyCase heard;

    do {
        heard = rig_heard(&rig, rig.vm.core, NULL);
        assert_int_not_equal(heard, B(_NOT_SET));
    } while (heard != body);
}

static void pause_vcpus(void)
{
    struct fault f;

    assert_int_equal(pause_begin(&rig.vm, NOBODY, 0, &f), 0);
    core_hears(B(PAUSE_VCPUS));
    rig_say_state(&rig, PAUSED);
}

static void resume(void)
{
    struct fault f;

    assert_int_equal(pause_end(&rig.vm, NOBODY, 0, &f), 0);
    core_hears(B(RESUME_VCPUS));
    rig_say_state(&rig, RUNNING);
    assert_false(rig.vm.paused);
}

static void test_pause_and_resume(void **state)
{
    struct device *d;

    (void)state;
    d = running_rng(ENOUGH_DEATHS);
    pause_vcpus();
    assert_int_equal(rig_heard(&rig, d->worker, NULL), B(QUIESCE));
    assert_false(rig.vm.paused);
    rig_say_bare(&rig, d->worker, B(QUIESCED));
    assert_true(rig.vm.paused);
    assert_int_equal(rig_heard(&rig, d->worker, NULL), B(_NOT_SET));
    resume();
    assert_int_equal(rig_heard(&rig, d->worker, NULL), B(UNQUIESCE));
    assert_int_equal(d->worker->state, CHILD_RUNNING);
    rig_end(&rig);
}

/* The worker has done the reset already when a Quiesce would reach it. */
static void test_pause_while_reset(void **state)
{
    struct device *d;

    (void)state;
    d = running_rng(ENOUGH_DEATHS);
    reset(d);
    assert_int_equal(rig_heard(&rig, d->worker, NULL), B(RESET));
    pause_vcpus();
    assert_int_equal(rig_heard(&rig, d->worker, NULL), B(_NOT_SET));
    assert_false(rig.vm.paused);
    rig_say_bare(&rig, d->worker, B(RESET_DONE));
    assert_true(rig.vm.paused);
    resume();
    assert_int_equal(rig_heard(&rig, d->worker, NULL), B(_NOT_SET));
    rig_end(&rig);
}

/* It dies with the reset undone: the replacement does both. */
static void test_pause_while_reset_and_death(void **state)
{
    struct device *d;

    (void)state;
    d = running_rng(ENOUGH_DEATHS);
    reset(d);
    pause_vcpus();
    rig_exit(&rig, d->worker);
    rig_make_ready(&rig, d->worker);
    assert_int_equal(rig_heard(&rig, d->worker, NULL), B(ACTIVATE));
    assert_int_equal(rig_heard(&rig, d->worker, NULL), B(RESET));
    assert_int_equal(rig_heard(&rig, d->worker, NULL), B(_NOT_SET));
    rig_say_bare(&rig, d->worker, B(ACTIVATED));
    rig_say_bare(&rig, d->worker, B(RESET_DONE));
    assert_true(rig.vm.paused);
    rig_end(&rig);
}

/* No replacement can be started: nothing is left to wait for. */
static void test_pause_while_it_fails(void **state)
{
    struct device *d;

    (void)state;
    d = running_rng(ENOUGH_DEATHS);
    pause_vcpus();
    fd_closep(&rig.vm.programs.fds[BULKHEAD__ROLE__ROLE_RNG]);
    rig_exit(&rig, d->worker);
    assert_true(d->dead);
    assert_true(rig.vm.paused);
    rig_end(&rig);
}

/* A worker that was replaced during the pause is still to say Quiesced when the VM goes on. */
static void test_resume_before_quiesced(void **state)
{
    struct device *d;

    (void)state;
    d = running_rng(ENOUGH_DEATHS);
    pause_vcpus();
    rig_say_bare(&rig, d->worker, B(QUIESCED));
    assert_true(rig.vm.paused);
    rig_exit(&rig, d->worker);
    rig_make_ready(&rig, d->worker);
    assert_int_equal(rig_heard(&rig, d->worker, NULL), B(ACTIVATE));
    assert_int_equal(rig_heard(&rig, d->worker, NULL), B(QUIESCE));
    resume();
    rig_say_bare(&rig, d->worker, B(ACTIVATED));
    rig_say_bare(&rig, d->worker, B(QUIESCED));
    assert_int_equal(rig_heard(&rig, d->worker, NULL), B(UNQUIESCE));
    assert_int_equal(d->worker->state, CHILD_RUNNING);
    rig_end(&rig);
}

static void begin_upgrade(struct device *d)
{
    struct fault f;

    assert_int_equal(upgrade_begin(d, "/bin/true", NOBODY, 0, &f), 0);
    rig_spawn(&rig);
}

/* The old worker was asked to finish its work, and has not answered. */
static void begin_and_give_up_upgrade(struct device *d)
{
    begin_upgrade(d);
    rig_make_ready(&rig, d->next);
    assert_int_equal(rig_heard(&rig, d->worker, NULL), B(QUIESCE));
    rig_exit(&rig, d->next);
    assert_int_equal(d->step, STEP_NONE);
}

/* The Quiesced of an upgrade that was given up comes when a pause wants it as well. */
static void test_upgrade_given_up_then_pause(void **state)
{
    struct device *d;

    (void)state;
    d = running_rng(ENOUGH_DEATHS);
    begin_and_give_up_upgrade(d);
    pause_vcpus();
    rig_say_bare(&rig, d->worker, B(QUIESCED));
    assert_true(rig.vm.paused);
    assert_int_equal(rig_heard(&rig, d->worker, NULL), B(_NOT_SET));
    resume();
    assert_int_equal(rig_heard(&rig, d->worker, NULL), B(UNQUIESCE));
    rig_end(&rig);
}

static void test_upgrade_given_up(void **state)
{
    struct device *d;

    (void)state;
    d = running_rng(ENOUGH_DEATHS);
    begin_and_give_up_upgrade(d);
    assert_int_equal(rig_heard(&rig, d->worker, NULL), B(_NOT_SET));
    rig_say_bare(&rig, d->worker, B(QUIESCED));
    assert_int_equal(rig_heard(&rig, d->worker, NULL), B(UNQUIESCE));
    rig_end(&rig);
}

static void test_upgrade_takes_over(void **state)
{
    struct child *next;
    struct device *d;

    (void)state;
    d = running_rng(ENOUGH_DEATHS);
    begin_upgrade(d);
    next = d->next;
    rig_make_ready(&rig, next);
    rig_say_bare(&rig, d->worker, B(QUIESCED));
    assert_ptr_equal(d->worker, next);
    assert_int_equal(rig_heard(&rig, next, NULL), B(ACTIVATE));
    rig_say_bare(&rig, next, B(ACTIVATED));
    assert_int_equal(rig_heard(&rig, next, NULL), B(_NOT_SET));
    assert_int_equal(d->step, STEP_NONE);
    rig_end(&rig);
}

static void test_upgrade_while_reset(void **state)
{
    struct device *d;
    struct fault f;

    (void)state;
    d = running_rng(ENOUGH_DEATHS);
    reset(d);
    assert_true(upgrade_begin(d, "/bin/true", NOBODY, 0, &f) < 0);
    assert_non_null(strstr(f.text, "try again"));
    rig_say_bare(&rig, d->worker, B(RESET_DONE));
    begin_upgrade(d);
    rig_end(&rig);
}

/* What was dead when the VM was paused, and is repaired meanwhile, waits with the others. */
static void test_repair_while_paused(void **state)
{
    struct device *d;
    struct fault f;

    (void)state;
    d = running_rng(1);
    rig_exit(&rig, d->worker);
    assert_true(d->dead);
    pause_vcpus();
    assert_true(rig.vm.paused);
    assert_int_equal(repair_by_hand(d, NOBODY, 0, &f), 0);
    rig_make_ready(&rig, d->worker);
    assert_int_equal(rig_heard(&rig, d->worker, NULL), B(ACTIVATE));
    assert_int_equal(rig_heard(&rig, d->worker, NULL), B(QUIESCE));
    rig_say_bare(&rig, d->worker, B(ACTIVATED));
    rig_say_bare(&rig, d->worker, B(QUIESCED));
    resume();
    assert_int_equal(rig_heard(&rig, d->worker, NULL), B(UNQUIESCE));
    rig_end(&rig);
}

/* A driver that writes `actual` in a loop while the worker looks at no message. */
static void test_writes_are_gathered(void **state)
{
    Bulkhead__ConfigUpdate update = BULKHEAD__CONFIG_UPDATE__INIT;
    struct message msg;
    struct device *d;
    uint32_t value = 0, last = 0;
    unsigned told = 0;
    ENVELOPE(e, CONFIG_UPDATE, config_update, &update);

    (void)state;
    rig_run(&rig, ENOUGH_DEATHS);
    d = rig_device(&rig, BULKHEAD__ROLE__ROLE_BALLOON);
    activate(d);
    update.slot = d->plan->pci_slot;
    update.offset = ACTUAL_OFFSET;
    update.data = (ProtobufCBinaryData){ .len = sizeof value, .data = (uint8_t *)&value };
    for (value = 1; value < MANY_WRITES; value++)
        rig_say(&rig, rig.vm.core, &e);
    rig_say(&rig, rig.vm.core, &e);
    assert_false(d->worker->killing);
    pause_vcpus(); /* there is room for what counts */
    assert_false(d->worker->killing);
    while (rig_heard(&rig, d->worker, &msg) == B(CONFIG_UPDATE))
        told++;
    assert_in_range(told, 1, MANY_WRITES / 2);
    assert_int_equal(rig.vm.paused, false);
    rig_say_bare(&rig, d->worker, B(QUIESCED));
    assert_true(rig.vm.paused);
    relay_on_tick(d);
    assert_int_equal(rig_heard(&rig, d->worker, &msg), B(CONFIG_UPDATE));
    assert_int_equal(msg.envelope->config_update->offset, ACTUAL_OFFSET);
    assert_int_equal(msg.envelope->config_update->data.len, sizeof last);
    memcpy(&last, msg.envelope->config_update->data.data, sizeof last);
    assert_int_equal(last, MANY_WRITES);
    relay_on_tick(d);
    assert_int_equal(rig_heard(&rig, d->worker, NULL), B(_NOT_SET));
    /* With room again each write is told of at once. */
    value = 7;
    rig_say(&rig, rig.vm.core, &e);
    assert_int_equal(rig_heard(&rig, d->worker, NULL), B(CONFIG_UPDATE));
    rig_end(&rig);
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
        cmocka_unit_test(test_upgrade_takes_over),
        cmocka_unit_test(test_upgrade_while_reset),
        cmocka_unit_test(test_repair_while_paused),
        cmocka_unit_test(test_writes_are_gathered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
