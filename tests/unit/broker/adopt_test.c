/* SPDX-License-Identifier: Apache-2.0 */
/* adopt_test.c - a broker dies at one point or another, and the next takes over: each case is what the record
 * says, what children say, and what must come of both. */
#include "script.h"
#include "vm/record.h"

#define B(name) BULKHEAD__ENVELOPE__BODY_##name
#define STANDS(name) BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_##name

static struct script s;

/* A VM that runs, with a device that the guest uses. */
static struct device *used_rng(void)
{
    struct device *d;

    script_run(&s, 5);
    d = script_device(&s, BULKHEAD__ROLE__ROLE_RNG);
    script_use(&s, d);
    return d;
}

static uint32_t other_worker(void)
{
    return script_device(&s, BULKHEAD__ROLE__ROLE_BALLOON)->worker;
}

/* Everybody has said where he stands; the device's worker in that state. */
static void all_say(struct device *d, Bulkhead__SnapshotState state)
{
    assert_int_equal(script_heard(&s, s.vm.core, NULL), B(RESYNC));
    script_core_says_all(&s, STANDS(RUNNING));
    assert_int_equal(script_heard(&s, other_worker(), NULL), B(RESYNC));
    script_worker_stands(&s, other_worker(), STANDS(READY));
    assert_int_equal(script_heard(&s, d->worker, NULL), B(RESYNC));
    script_worker_stands(&s, d->worker, state);
}

static void nobody_notices(void **state)
{
    struct device *d = used_rng();

    (void)state;
    script_adopt(&s, 0);
    assert_true(script_noticed(&s, "adopted"));
    assert_int_equal(script_heard(&s, d->worker, NULL), B(_NOT_SET)); /* the core first */
    all_say(d, STANDS(RUNNING));
    assert_int_equal(script_heard(&s, d->worker, NULL), B(_NOT_SET));
    assert_int_equal(script_heard(&s, s.vm.core, NULL), B(_NOT_SET));
    assert_int_equal(script_count(&s, ACTION_KILL), 0);
    script_end(&s);
}

static void what_was_on_its_way_counts_for_nothing(void **state)
{
    struct device *d = used_rng();
    Bulkhead__Snapshot snapshot = BULKHEAD__SNAPSHOT__INIT;
    ENVELOPE(e, SNAPSHOT, snapshot, &snapshot);

    (void)state;
    script_adopt(&s, 0);
    script_reset(&s, d); /* it will say so again, in its snapshot */
    script_answer(&s, d->worker, B(QUIESCED));
    snapshot.epoch = s.vm.epoch + 1; /* asked for by another broker */
    snapshot.state = STANDS(QUIESCED);
    script_say(&s, s.vm.core, &e);
    assert_false(d->reset_wanted);
    assert_true(vm_child(&s.vm, s.vm.core)->unsure);
    all_say(d, STANDS(RUNNING));
    assert_int_equal(script_count(&s, ACTION_KILL), 0);
    script_end(&s);
}

static void a_worker_that_died_meanwhile(void **state)
{
    struct device *d = used_rng();
    uint32_t old = d->worker;
    struct action a;

    (void)state;
    script_adopt(&s, 0);
    script_exit(&s, old, false);
    script_core_says_all(&s, STANDS(RUNNING));
    assert_int_not_equal(d->worker, old);
    assert_int_not_equal(d->worker, 0);
    script_make_ready(&s, d->worker);
    assert_int_equal(script_heard(&s, d->worker, &a), B(ACTIVATE));
    assert_true(a.flag); /* it resumes */
    script_end(&s);
}

static void a_reset_that_was_asked_for_meanwhile(void **state)
{
    struct device *d = used_rng();

    (void)state;
    script_adopt(&s, 0);
    script_device_stands(&s, d, true, true);
    script_core_stands(&s, STANDS(RUNNING));
    script_worker_stands(&s, d->worker, STANDS(RUNNING));
    s.n_log = 0;
    script_happen(&s, &(struct event){ .kind = EVENT_DEADLINE });
    assert_true(child_owes(vm_child(&s.vm, d->worker), DEBT_RESET_DONE));
    script_answer(&s, d->worker, B(RESET_DONE));
    script_core_hears(&s, B(RESET_DONE));
    assert_false(d->active);
    script_end(&s);
}

/* It was told to reset, and its answer was read and forgotten. */
static void a_reset_that_was_done_already(void **state)
{
    struct device *d = used_rng();

    (void)state;
    script_reset(&s, d);
    assert_int_equal(script_heard(&s, d->worker, NULL), B(RESET));
    script_adopt(&s, 0);
    all_say(d, STANDS(READY));
    script_core_hears(&s, B(RESET_DONE));
    assert_int_equal(script_heard(&s, d->worker, NULL), B(_NOT_SET));
    script_end(&s);
}

/* The core's word was read, and nothing came of it. */
static void an_activation_that_was_lost(void **state)
{
    struct device *d;
    struct action a;

    (void)state;
    script_run(&s, 5);
    d = script_device(&s, BULKHEAD__ROLE__ROLE_RNG);
    script_adopt(&s, 0);
    script_device_stands(&s, d, true, false);
    script_core_stands(&s, STANDS(RUNNING));
    assert_int_equal(script_heard(&s, d->worker, NULL), B(RESYNC));
    script_worker_stands(&s, d->worker, STANDS(READY));
    assert_int_equal(script_heard(&s, d->worker, &a), B(ACTIVATE));
    assert_false(a.flag);
    assert_int_equal(d->activation, 1);
    script_end(&s);
}

/* It was written down, and never sent. */
static void an_activation_that_was_not_sent(void **state)
{
    struct device *d;

    (void)state;
    script_run(&s, 5);
    d = script_device(&s, BULKHEAD__ROLE__ROLE_RNG);
    script_activate(&s, d);
    script_adopt(&s, 0);
    all_say(d, STANDS(READY));
    assert_int_equal(script_heard(&s, d->worker, NULL), B(ACTIVATE));
    assert_int_equal(d->activation, 1); /* the same one */
    script_end(&s);
}

static void a_worker_that_was_not_ready(void **state)
{
    struct device *d = used_rng();
    unsigned n_deaths;
    uint32_t half;

    (void)state;
    script_exit(&s, d->worker, false);
    half = d->worker;
    n_deaths = d->n_deaths;
    script_spawned(&s, half);
    script_hello(&s, half);
    script_adopt(&s, 0);
    assert_true(script_killed(&s, half));
    script_core_says_all(&s, STANDS(RUNNING));
    script_exit(&s, half, false);
    assert_int_not_equal(d->worker, half);
    assert_int_equal(d->n_deaths, n_deaths); /* it was no death of its own */
    script_make_ready(&s, d->worker);
    assert_int_equal(d->stage, STAGE_SERVED);
    script_end(&s);
}

static void a_worker_that_was_never_asked_for(void **state)
{
    struct device *d = used_rng();
    uint32_t missing;

    (void)state;
    script_exit(&s, d->worker, false);
    missing = d->worker;
    script_adopt(&s, missing);
    script_core_says_all(&s, STANDS(RUNNING));
    assert_true(script_wait_deadline(&s));
    assert_int_not_equal(d->worker, 0);
    assert_true(d->worker > missing);
    script_make_ready(&s, d->worker);
    assert_int_equal(script_heard(&s, d->worker, NULL), B(ACTIVATE));
    script_end(&s);
}

/* The host had no room for it, as is known only now. */
static void a_worker_that_could_not_be_started(void **state)
{
    struct device *d = used_rng();
    struct event no_room = { .kind = EVENT_START_FAILED };

    (void)state;
    script_exit(&s, d->worker, false);
    no_room.child = d->worker;
    script_adopt(&s, 0);
    script_happen(&s, &no_room);
    script_core_says_all(&s, STANDS(RUNNING));
    assert_true(script_wait_deadline(&s));
    assert_int_not_equal(d->worker, 0);
    script_make_ready(&s, d->worker);
    assert_int_equal(d->stage, STAGE_SERVED);
    script_end(&s);
}

static void a_candidate_is_given_up(void **state)
{
    struct device *d = used_rng();
    uint32_t candidate = script_upgrade(&s, d);

    (void)state;
    script_make_ready(&s, candidate); /* the old one drains */
    assert_int_equal(d->stage, STAGE_DRAIN);
    script_adopt(&s, 0);
    assert_true(script_killed(&s, candidate));
    assert_int_equal(d->stage, STAGE_SERVED);
    all_say(d, STANDS(QUIESCED));
    assert_int_equal(script_heard(&s, d->worker, NULL), B(UNQUIESCE)); /* the old one goes on */
    script_exit(&s, candidate, false);
    assert_int_equal(d->stage, STAGE_SERVED);
    script_end(&s);
}

static void an_upgrade_that_had_taken_over(void **state)
{
    struct device *d = used_rng();
    uint32_t old = d->worker, new = script_upgrade(&s, d);

    (void)state;
    script_make_ready(&s, new);
    script_answer(&s, old, B(QUIESCED));
    assert_int_equal(d->worker, new);
    script_adopt(&s, 0);
    assert_int_equal(d->worker, new);
    all_say(d, STANDS(RUNNING));
    assert_int_equal(d->stage, STAGE_SERVED);
    script_exit(&s, old, true); /* it was told to leave */
    assert_int_equal(d->worker, new);
    script_end(&s);
}

static void a_paused_guest_stays_paused(void **state)
{
    struct device *d = used_rng();

    (void)state;
    script_ask(&s, (struct command){ .kind = COMMAND_PAUSE });
    script_core_hears(&s, B(PAUSE_VCPUS));
    script_state(&s, BULKHEAD__GUEST_STATE_KIND__GUEST_PAUSED);
    script_answer(&s, d->worker, B(QUIESCED));
    assert_int_equal(s.vm.run, GUEST_IS_PAUSED);
    script_adopt(&s, 0);
    script_core_says_all(&s, STANDS(QUIESCED));
    script_worker_stands(&s, other_worker(), STANDS(READY));
    script_worker_stands(&s, d->worker, STANDS(QUIESCED));
    assert_int_equal(s.vm.run, GUEST_IS_PAUSED);
    s.n_log = 0;
    script_ask(&s, (struct command){ .kind = COMMAND_RESUME });
    assert_int_equal(script_heard(&s, d->worker, NULL), B(UNQUIESCE));
    script_core_hears(&s, B(RESUME_VCPUS));
    script_state(&s, BULKHEAD__GUEST_STATE_KIND__GUEST_RUNNING);
    assert_int_equal(script_replied(&s), 0);
    script_end(&s);
}

static void a_pause_on_its_way(void **state)
{
    struct device *d = used_rng();

    (void)state;
    script_ask(&s, (struct command){ .kind = COMMAND_PAUSE });
    script_adopt(&s, 0); /* PauseVcpus was written down and not sent */
    all_say(d, STANDS(RUNNING));
    script_core_hears(&s, B(PAUSE_VCPUS));
    script_state(&s, BULKHEAD__GUEST_STATE_KIND__GUEST_PAUSED);
    assert_int_equal(script_heard(&s, d->worker, NULL), B(QUIESCE));
    script_answer(&s, d->worker, B(QUIESCED));
    assert_true(script_noticed(&s, "paused"));
    script_end(&s);
}

/* The core has heard nothing of the pause, and so nothing has to be undone. */
static void a_resume_before_the_core_was_heard(void **state)
{
    struct device *d = used_rng();

    (void)state;
    script_ask(&s, (struct command){ .kind = COMMAND_PAUSE });
    script_adopt(&s, 0);
    script_ask(&s, (struct command){ .kind = COMMAND_RESUME });
    all_say(d, STANDS(RUNNING));
    assert_int_equal(s.vm.run, GUEST_RUNS);
    assert_int_equal(script_replied(&s), 0);
    script_end(&s);
}

static void a_worker_that_serves_something_else(void **state)
{
    struct device *d = used_rng();
    uint32_t liar = d->worker;

    (void)state;
    script_adopt(&s, 0);
    script_core_says_all(&s, STANDS(RUNNING));
    d->queues[0].desc ^= 4096; /* what the worker says is made of this */
    script_worker_stands(&s, liar, STANDS(RUNNING));
    assert_false(script_killed(&s, liar));
    d->queues[0].desc ^= 4096;
    script_end(&s);
    d = used_rng();
    liar = d->worker;
    script_adopt(&s, 0);
    script_device_stands(&s, d, false, false); /* the guest does not use it */
    script_core_stands(&s, STANDS(RUNNING));
    script_worker_stands(&s, liar, STANDS(RUNNING));
    assert_true(script_killed(&s, liar));
    script_end(&s);
}

static void a_core_that_is_silent(void **state)
{
    uint32_t core;

    (void)state;
    used_rng();
    core = s.vm.core;
    script_adopt(&s, 0);
    assert_true(script_wait_deadline(&s));
    assert_true(script_killed(&s, core));
    script_exit(&s, core, false);
    assert_int_equal(s.vm.phase, VM_ENDING);
    script_end(&s);
}

/* It has the time for which a disk may keep it, and is replaced then. */
static void a_worker_that_is_silent(void **state)
{
    struct device *d = used_rng();
    uint32_t mute = d->worker;

    (void)state;
    script_adopt(&s, 0);
    script_core_says_all(&s, STANDS(RUNNING));
    script_worker_stands(&s, other_worker(), STANDS(READY));
    assert_int_equal(script_heard(&s, mute, NULL), B(RESYNC));
    script_wait(&s, s.config->stall_timeout_ms);
    assert_false(script_killed(&s, mute));
    assert_true(script_wait_deadline(&s));
    assert_true(script_killed(&s, mute));
    assert_int_equal(s.vm.phase, VM_RUNNING);
    script_exit(&s, mute, false);
    assert_int_not_equal(d->worker, mute);
    script_make_ready(&s, d->worker);
    assert_int_equal(script_heard(&s, d->worker, NULL), B(ACTIVATE));
    script_end(&s);
}

/* Killed by the broker before, it doesn't die: it is killed once more, and nobody takes its place. */
static void a_worker_that_does_not_die(void **state)
{
    struct device *d = used_rng();
    uint32_t stuck = d->worker;

    (void)state;
    script_reset(&s, d);
    assert_true(script_wait_deadline(&s));
    assert_true(script_killed(&s, stuck));
    script_adopt(&s, 0);
    assert_true(script_killed(&s, stuck));
    script_core_says_all(&s, STANDS(RUNNING));
    script_worker_stands(&s, other_worker(), STANDS(READY));
    assert_true(script_wait_deadline(&s));
    assert_true(script_noticed(&s, "does_not_die"));
    assert_int_equal(d->worker, stuck);
    assert_int_equal(script_count(&s, ACTION_START), 0);
    script_exit(&s, stuck, false);
    script_make_ready(&s, d->worker);
    assert_int_equal(d->stage, STAGE_SERVED);
    script_end(&s);
}

static void a_guest_that_ended_meanwhile(void **state)
{
    Bulkhead__GuestState end = BULKHEAD__GUEST_STATE__INIT;
    Bulkhead__Snapshot snapshot = BULKHEAD__SNAPSHOT__INIT;
    ENVELOPE(e, SNAPSHOT, snapshot, &snapshot);

    (void)state;
    used_rng();
    script_adopt(&s, 0);
    snapshot.epoch = s.vm.epoch;
    snapshot.state = STANDS(QUIESCED);
    snapshot.end = &end;
    end.state = BULKHEAD__GUEST_STATE_KIND__GUEST_SHUTDOWN;
    script_say(&s, s.vm.core, &e);
    assert_int_equal(s.vm.phase, VM_ENDING);
    assert_int_equal(s.vm.end.state, BULKHEAD__GUEST_STATE_KIND__GUEST_SHUTDOWN);
    script_end(&s);
}

static void an_end_on_its_way(void **state)
{
    (void)state;
    used_rng();
    script_ask(&s, (struct command){ .kind = COMMAND_STOP });
    script_adopt(&s, 0);
    assert_int_equal(s.vm.phase, VM_ENDING);
    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
        if (s.vm.children[i].id != 0 && s.vm.children[i].id != s.vm.core)
            script_exit(&s, s.vm.children[i].id, true);
    script_exit(&s, s.vm.core, true);
    assert_int_equal(script_count(&s, ACTION_ENDED), 1);
    assert_int_equal(s.vm.end.by, END_BY_USER);
    script_end(&s);
}

static void a_reboot_begins_again(void **state)
{
    (void)state;
    used_rng();
    script_state(&s, BULKHEAD__GUEST_STATE_KIND__GUEST_REBOOT);
    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
        if (s.vm.children[i].id != 0 && s.vm.children[i].id != s.vm.core)
            script_exit(&s, s.vm.children[i].id, true);
    script_exit(&s, s.vm.core, true);
    script_happen(&s, &(struct event){ .kind = EVENT_BOOT_MADE });
    assert_int_equal(s.vm.phase, VM_STARTING);
    script_adopt(&s, 0);
    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
        if (s.vm.children[i].id != 0)
            script_exit(&s, s.vm.children[i].id, false);
    script_boot(&s);
    script_end(&s);
}

/* The core is ready, and waits to hear that it may start: there is no guest to lose. */
static void a_start_that_was_not_sent(void **state)
{
    (void)state;
    script_run(&s, 5);
    script_adopt(&s, 0);
    script_core_says_all(&s, STANDS(READY));
    assert_int_equal(script_count(&s, ACTION_KILL), 0);
    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
        if (s.vm.children[i].id != 0)
            script_exit(&s, s.vm.children[i].id, true);
    script_boot(&s);
    script_end(&s);
}

/* ---- a record that was written by somebody else ---- */

static struct record hostile;

static bool is_taken(void)
{
    static struct vm vm;
    int r;

    memset(&vm, 0, sizeof vm);
    vm_init(&vm, s.config, &s.plan, s.now);
    r = record_load(&vm, &hostile, s.now);
    vm_deinit(&vm);
    return r == 0;
}

#define REFUSES(field, value)                                                                      \
    do {                                                                                           \
        record_store(&s.vm, &hostile);                                                             \
        assert_true(is_taken());                                                                   \
        hostile.field = (value);                                                                   \
        assert_false(is_taken());                                                                  \
    } while (0)

static void a_record_that_makes_no_sense(void **state)
{
    unsigned n = (unsigned)(used_rng()->number);

    (void)state;
    REFUSES(version, 0);
    REFUSES(bytes, 8);
    REFUSES(n_children, VM_MAX_CHILDREN + 1);
    REFUSES(n_devices, 0);
    REFUSES(n_devices, PLAN_MAX_DEVICES);
    REFUSES(phase, 99);
    REFUSES(run, 99);
    REFUSES(core, hostile.children[1].id);
    REFUSES(core, 4711);
    REFUSES(next_id, 0);
    REFUSES(children[0].id, 0);
    REFUSES(children[1].id, hostile.children[0].id);
    REFUSES(children[1].uid_slot, hostile.children[0].uid_slot);
    REFUSES(children[1].uid_slot, 4711);
    REFUSES(children[1].role, BULKHEAD__ROLE__ROLE_SPAWNER);
    REFUSES(children[1].device, 31);
    REFUSES(children[1].state, CHILD_STATE__MAX);
    REFUSES(devices[n].worker, s.vm.core);
    REFUSES(devices[n].passt, hostile.devices[n].worker);
    REFUSES(devices[n].candidate, hostile.devices[n].worker);
    REFUSES(devices[n].stage, 99);
    REFUSES(devices[n].config_len, 4096);
    REFUSES(devices[n].num_queues, 65);
    REFUSES(devices[n].n_queues, 65);
    REFUSES(devices[n].queues[0].size, 3);
    REFUSES(devices[n].queues[0].index, 64);
    REFUSES(devices[n].guest_features, ~UINT64_C(0));
    REFUSES(devices[n].n_deaths, RECORD_DEATHS + 1);
    REFUSES(devices[n].tap, 99);
    script_end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_notices),
        cmocka_unit_test(what_was_on_its_way_counts_for_nothing),
        cmocka_unit_test(a_worker_that_died_meanwhile),
        cmocka_unit_test(a_reset_that_was_asked_for_meanwhile),
        cmocka_unit_test(a_reset_that_was_done_already),
        cmocka_unit_test(an_activation_that_was_lost),
        cmocka_unit_test(an_activation_that_was_not_sent),
        cmocka_unit_test(a_worker_that_was_not_ready),
        cmocka_unit_test(a_worker_that_was_never_asked_for),
        cmocka_unit_test(a_worker_that_could_not_be_started),
        cmocka_unit_test(a_candidate_is_given_up),
        cmocka_unit_test(an_upgrade_that_had_taken_over),
        cmocka_unit_test(a_paused_guest_stays_paused),
        cmocka_unit_test(a_pause_on_its_way),
        cmocka_unit_test(a_resume_before_the_core_was_heard),
        cmocka_unit_test(a_worker_that_serves_something_else),
        cmocka_unit_test(a_core_that_is_silent),
        cmocka_unit_test(a_worker_that_is_silent),
        cmocka_unit_test(a_worker_that_does_not_die),
        cmocka_unit_test(a_guest_that_ended_meanwhile),
        cmocka_unit_test(an_end_on_its_way),
        cmocka_unit_test(a_reboot_begins_again),
        cmocka_unit_test(a_start_that_was_not_sent),
        cmocka_unit_test(a_record_that_makes_no_sense),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
