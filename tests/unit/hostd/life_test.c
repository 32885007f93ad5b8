/* SPDX-License-Identifier: Apache-2.0 */
/* life_test.c - a VM of the service: created, started, halted, rebooted, removed, and what is waited for in between. */
#include "script.h"

#include <errno.h>

#define B(name) BULKHEAD__HOST_ENVELOPE__BODY_##name
#define C(name) BULKHEAD__CLIENT_ENVELOPE__BODY_##name

static struct script s;
static uint64_t acme;

static int begin(void **state)
{
    (void)state;
    script_open(&s);
    acme = script_connect(&s, UID_ACME);
    return 0;
}

static int end(void **state)
{
    (void)state;
    script_end(&s);
    return 0;
}

static struct host_vm *web(void)
{
    return script_vm(&s, "acme", "web");
}

static struct host_vm *run_web(void)
{
    script_create(&s, acme, "web", true);
    script_runs(&s, "acme", "web");
    assert_int_equal(script_replied(&s, acme, s.request), 0);
    return web();
}

static Bulkhead__HostVmState state_of_web(void)
{
    const Bulkhead__HostEnvelope *e;

    script_ask(&s, acme, B(INSPECT_VM), "web");
    e = script_answered(&s, acme);
    assert_non_null(e);
    return e->vm_details->status->state;
}

static void created_when_it_is_kept(void **state)
{
    (void)state;
    script_create(&s, acme, "web", false);
    assert_int_equal(script_replied(&s, acme, s.request), -1); /* it may be lost still */
    script_does(&s, ASK_SAVE, 0);
    assert_int_equal(script_replied(&s, acme, s.request), 0);
    assert_int_equal(script_asked(&s, ASK_START), 0);
    assert_int_equal(state_of_web(), BULKHEAD__HOST_VM_STATE__HOST_VM_STOPPED);
    script_create(&s, acme, "web", false);
    assert_int_equal(script_replied(&s, acme, s.request), EEXIST);
}

static void not_created_if_it_cant_be_kept(void **state)
{
    (void)state;
    script_create(&s, acme, "web", true);
    script_does(&s, ASK_SAVE, ENOSPC);
    assert_int_equal(script_replied(&s, acme, s.request), ENOSPC);
    assert_null(web());
    assert_int_equal(script_asked(&s, ASK_START), 0);
}

static void starts_and_ends(void **state)
{
    struct host_vm *vm = run_web();
    uint32_t waits;

    (void)state;
    assert_int_equal(state_of_web(), BULKHEAD__HOST_VM_STATE__HOST_VM_RUNNING);
    script_ask(&s, acme, B(START_VM), "web");
    assert_int_equal(script_replied(&s, acme, s.request), EALREADY);
    script_ask(&s, acme, B(WAIT_VM), "web");
    waits = s.request;
    script_guest_ends(&s, vm);
    assert_int_equal(state_of_web(), BULKHEAD__HOST_VM_STATE__HOST_VM_STOPPING);
    s.request = waits;
    assert_null(script_answered(&s, acme)); /* its processes are there still */
    script_is_gone(&s, vm);
    assert_non_null(script_answered(&s, acme));
    assert_int_equal(s.answer->vm_details->status->how_ended->state,
                     BULKHEAD__GUEST_STATE_KIND__GUEST_SHUTDOWN);
    assert_int_equal(vm->starts, 1);
    script_does(&s, ASK_SAVE, 0);
    assert_int_equal(host_next_deadline(&s.host), 0);
}

static void a_start_that_fails(void **state)
{
    (void)state;
    script_create(&s, acme, "web", true);
    script_does(&s, ASK_SAVE, 0);
    script_does(&s, ASK_START, 0);
    script_launched(&s, web(), EACCES);
    assert_int_equal(script_replied(&s, acme, s.request),
                     -1); /* not before it can be tried again */
    script_is_gone(&s, web());
    assert_int_equal(script_replied(&s, acme, s.request), EACCES);
    assert_string_equal(s.text, "the launcher's word");
    assert_true(script_noticed(&s, "ended"));
    script_ask(&s, acme, B(START_VM), "web"); /* it is there, and can be started */
    script_does(&s, ASK_START, EPERM);
    script_is_gone(&s, web());
    assert_int_equal(script_replied(&s, acme, s.request), EPERM);
}

static void a_launcher_that_dies(void **state)
{
    (void)state;
    script_create(&s, acme, "web", true);
    script_does(&s, ASK_SAVE, 0);
    script_does(&s, ASK_START, 0);
    script_happen(&s, (struct host_event){ .kind = HOST_LAUNCHER_GONE, .vm = web()->serial });
    script_is_gone(&s, web());
    assert_int_equal(script_replied(&s, acme, s.request), EIO);
}

/* The launcher knows why, and what it says is what counts; but it isn't waited for as if there were something to come. */
static void a_broker_that_ends_while_it_starts(void **state)
{
    const struct host_event ended = { .kind = HOST_BROKER_ENDED, .tenant = "acme", .name = "web" };

    (void)state;
    script_create(&s, acme, "web", true);
    script_does(&s, ASK_SAVE, 0);
    script_does(&s, ASK_START, 0);
    script_happen(&s, ended);
    script_launched(&s, web(), EACCES);
    script_is_gone(&s, web());
    assert_int_equal(script_replied(&s, acme, s.request), EACCES);
    script_ask(&s, acme, B(START_VM), "web");
    script_saves(&s);
    script_does(&s, ASK_START, 0);
    script_happen(&s, ended);
    script_wait(&s, 2001);
    script_is_gone(&s, web());
    assert_int_equal(script_replied(&s, acme, s.request), EIO);
}

static void a_launcher_that_never_answers(void **state)
{
    (void)state;
    script_create(&s, acme, "web", true);
    script_does(&s, ASK_SAVE, 0);
    script_does(&s, ASK_START, 0);
    script_does(&s, ASK_SAVE, 0);
    script_wait(&s, 89000);
    assert_int_equal(web()->life, LIFE_STARTING);
    script_wait(&s, 1500);
    script_does(&s, ASK_KILL, 0);
    script_is_gone(&s, web());
    assert_int_equal(script_replied(&s, acme, s.request), ETIMEDOUT);
}

static void a_starter_that_never_answers(void **state)
{
    (void)state;
    script_create(&s, acme, "web", false);
    assert_int_not_equal(script_asked(&s, ASK_SAVE), 0);
    script_wait(&s, 30001);
    assert_int_equal(script_replied(&s, acme, s.request), ETIMEDOUT);
    assert_null(web());
}

static void halted_with_grace(void **state)
{
    struct host_vm *vm = run_web();

    (void)state;
    script_halt(&s, acme, "web", 5000);
    assert_true(script_told(&s, vm, C(PRESS_POWER_BUTTON)));
    script_wait(&s, 4000);
    assert_false(script_told(&s, vm, C(STOP_VM)));
    script_wait(&s, 1001);
    assert_true(script_told(&s, vm, C(STOP_VM)));
    assert_int_equal(script_replied(&s, acme, s.request), -1);
    script_guest_ends(&s, vm);
    script_is_gone(&s, vm);
    assert_int_equal(script_replied(&s, acme, s.request), 0);
    script_halt(&s, acme, "web", 0); /* and so it is */
    assert_int_equal(script_replied(&s, acme, s.request), 0);
}

static void a_guest_that_cant_be_asked_is_stopped_at_once(void **state)
{
    Bulkhead__ClientEnvelope e = BULKHEAD__CLIENT_ENVELOPE__INIT;
    Bulkhead__Reply reply = BULKHEAD__REPLY__INIT;
    struct host_vm *vm = run_web();

    (void)state;
    script_halt(&s, acme, "web", 60000);
    assert_true(script_told(&s, vm, C(PRESS_POWER_BUTTON)));
    reply.error = EBUSY;
    e.id = 4; /* BROKERS_BUTTON */
    e.body_case = C(REPLY);
    e.reply = &reply;
    script_says(&s, vm, &e);
    assert_true(script_told(&s, vm, C(STOP_VM)));
}

static void a_broker_that_does_not_stop_it_is_killed(void **state)
{
    struct host_vm *vm = run_web();

    (void)state;
    script_halt(&s, acme, "web", 0);
    assert_true(script_told(&s, vm, C(STOP_VM)));
    script_wait(&s, 20001);
    script_does(&s, ASK_KILL, 0);
    script_is_gone(&s, vm);
    assert_int_equal(script_replied(&s, acme, s.request), 0);
    assert_int_equal(vm->life, LIFE_STOPPED);
}

/* Who waits is told, and what follows from the end follows when it comes. */
static void what_does_not_die_is_told(void **state)
{
    struct host_vm *vm = run_web();

    (void)state;
    script_halt(&s, acme, "web", 0);
    script_wait(&s, 20001);
    script_does(&s, ASK_KILL, 0);
    script_wait(&s, 10001);
    assert_int_equal(script_replied(&s, acme, s.request), EIO);
    script_does(&s, ASK_KILL, 0);
    script_is_gone(&s, vm);
    assert_int_equal(vm->life, LIFE_STOPPED);
}

static void halted_while_it_starts(void **state)
{
    uint32_t start;

    (void)state;
    script_create(&s, acme, "web", true);
    start = s.request;
    script_does(&s, ASK_SAVE, 0);
    script_does(&s, ASK_START, 0);
    script_halt(&s, acme, "web", 5000);
    script_does(&s, ASK_KILL, 0);
    script_launched(&s, web(), 0); /* too late */
    assert_int_equal(web()->life, LIFE_LEAVING);
    script_is_gone(&s, web());
    assert_int_equal(script_replied(&s, acme, start), ECANCELED);
    assert_int_equal(script_replied(&s, acme, s.request), 0);
}

static void rebooted(void **state)
{
    struct host_vm *vm = run_web();
    uint32_t reboot, wait;

    (void)state;
    script_ask(&s, acme, B(WAIT_VM), "web");
    wait = s.request;
    script_ask(&s, acme, B(REBOOT_VM), "web");
    reboot = s.request;
    assert_false(script_told(&s, vm, C(STOP_VM))); /* before it is kept that it is to run again */
    script_saves(&s);
    assert_true(script_told(&s, vm, C(STOP_VM)));
    script_guest_ends(&s, vm);
    script_is_gone(&s, vm);
    assert_int_equal(script_replied(&s, acme, reboot), -1);
    script_runs(&s, "acme", "web");
    assert_int_equal(script_replied(&s, acme, reboot), 0);
    assert_int_equal(vm->starts, 2);
    s.request = wait;
    assert_null(script_answered(&s, acme)); /* a reboot is no end */
}

/* hostd may die at any of these steps: what is on the disk then has the next one start it. */
static void a_reboot_is_kept_until_it_runs(void **state)
{
    struct host_vm *vm = run_web();

    (void)state;
    script_saves(&s);
    script_ask(&s, acme, B(REBOOT_VM), "web");
    script_saves(&s);
    script_is_gone(&s, vm);
    assert_int_equal(script_asked(&s, ASK_START), 0); /* its end is kept first */
    assert_true(vm->again && vm->has_end && vm->saving);
    script_does(&s, ASK_SAVE, 0);
    assert_int_equal(vm->life, LIFE_STARTING);
    assert_true(vm->again && vm->has_end);
    script_does(&s, ASK_START, 0);
    script_launched(&s, vm, 0);
    assert_int_equal(script_replied(&s, acme, s.request), 0);
    assert_false(vm->again || vm->has_end);
    assert_true(vm->unsaved || vm->saving);
    script_ask(&s, acme, B(REBOOT_VM), "web"); /* a disk that is full holds nothing up for ever */
    script_saves(&s);
    script_is_gone(&s, vm);
    script_does(&s, ASK_SAVE, ENOSPC);
    script_runs(&s, "acme", "web");
    assert_int_equal(script_replied(&s, acme, s.request), 0);
}

static void removed(void **state)
{
    struct host_vm *vm = run_web();
    uint32_t remove;

    (void)state;
    script_remove(&s, acme, "web", false);
    assert_int_equal(script_replied(&s, acme, s.request), EBUSY);
    script_remove(&s, acme, "web", true);
    remove = s.request;
    assert_true(script_told(&s, vm, C(STOP_VM)));
    script_ask(&s, acme, B(START_VM), "web");
    assert_int_equal(script_replied(&s, acme, s.request), EBUSY);
    script_guest_ends(&s, vm);
    script_is_gone(&s, vm);
    script_does(&s, ASK_REMOVE, 0);
    assert_int_equal(script_replied(&s, acme, remove), 0);
    assert_null(web());
    assert_int_equal(host_next_deadline(&s.host), 0);
    script_create(&s, acme, "web", false); /* the name is free */
    script_does(&s, ASK_SAVE, 0);
    assert_int_equal(script_replied(&s, acme, s.request), 0);
}

static void not_removed_if_the_starter_cant(void **state)
{
    (void)state;
    script_create(&s, acme, "web", false);
    script_does(&s, ASK_SAVE, 0);
    script_remove(&s, acme, "web", false);
    script_does(&s, ASK_REMOVE, EACCES);
    assert_int_equal(script_replied(&s, acme, s.request), EACCES);
    assert_non_null(web());
    script_ask(&s, acme, B(START_VM), "web");
    script_runs(&s, "acme", "web");
    assert_int_equal(script_replied(&s, acme, s.request), 0);
}

/* A broker that an earlier starter began with may hold the directory when hostd thinks that it is free: what is wanted is
 * done when it has gone. */
static void put_off_until_the_directory_is_free(void **state)
{
    (void)state;
    script_create(&s, acme, "web", true);
    script_does(&s, ASK_SAVE, 0);
    script_does(&s, ASK_START, EBUSY);
    assert_int_equal(script_replied(&s, acme, s.request), -1);
    assert_int_equal(script_asked(&s, ASK_START), 0); /* not in a circle */
    assert_true(script_wait_deadline(&s));
    script_does(&s, ASK_CONNECT, EAGAIN);
    assert_true(script_wait_deadline(&s));
    script_is_gone(&s, web());
    script_runs(&s, "acme", "web");
    assert_int_equal(script_replied(&s, acme, s.request), 0);
    assert_int_equal(web()->starts, 1);
    script_guest_ends(&s, web());
    script_is_gone(&s, web());
    script_saves(&s);
    script_remove(&s, acme, "web", false);
    script_does(&s, ASK_REMOVE, EBUSY);
    assert_int_equal(script_replied(&s, acme, s.request), -1);
    assert_true(script_wait_deadline(&s));
    script_is_gone(&s, web());
    script_does(&s, ASK_REMOVE, 0);
    assert_int_equal(script_replied(&s, acme, s.request), 0);
    assert_null(web());
}

/* What stays there is killed; and who waits has an answer, whatever the starter says. */
static void not_put_off_for_ever(void **state)
{
    unsigned tries = 0;

    (void)state;
    script_create(&s, acme, "web", false);
    script_does(&s, ASK_SAVE, 0);
    script_remove(&s, acme, "web", false);
    script_does(&s, ASK_REMOVE, EBUSY);
    script_wait(&s, 10001);
    script_does(&s, ASK_CONNECT, EAGAIN);
    script_does(&s, ASK_KILL, 0);
    for (; script_replied(&s, acme, s.request) == -1; tries++) {
        script_is_gone(&s, web());
        script_does(&s, ASK_REMOVE, EBUSY);
        script_wait(&s, 1000);
        assert_in_range(tries, 0, 40);
    }
    assert_non_null(web());
    assert_int_equal(web()->life, LIFE_STOPPED);
}

/* Its spawner has another broker started, which listens in a moment: the VM has not ended. */
static void a_broker_that_dies_is_no_end(void **state)
{
    struct host_vm *vm = run_web();

    (void)state;
    script_happen(&s, (struct host_event){ .kind = HOST_LINK_LOST, .vm = vm->serial });
    script_does(&s, ASK_CONNECT, ECONNREFUSED);
    assert_int_equal(script_asked(&s, ASK_CONNECT), 0); /* not at once */
    assert_true(script_wait_deadline(&s));
    script_joins(&s, vm, "running");
    assert_int_equal(vm->life, LIFE_RUNNING);
    assert_int_equal(vm->starts, 1);
    assert_int_equal(host_next_deadline(&s.host), 0);
}

/* Else it would have the starter do nothing else. */
static void a_broker_that_joins_and_leaves_waits_longer_each_time(void **state)
{
    struct host_vm *vm = run_web();
    unsigned asked = 0;

    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        script_happen(&s, (struct host_event){ .kind = HOST_LINK_LOST, .vm = vm->serial });
        if (script_count(&s, HOST_ASK) > 0)
            asked++;
        else
            assert_true(script_wait_deadline(&s));
        script_joins(&s, vm, "running");
    }
    assert_int_equal(asked, 1); /* at once, and no more */
    assert_true(vm->link_tries > 8);
    script_wait(&s, 2000);
    script_happen(&s, (struct host_event){ .kind = HOST_LINK_LOST, .vm = vm->serial });
    script_joins(&s, vm, "running"); /* it had stayed */
}

static void a_vm_that_is_gone_has_ended(void **state)
{
    struct host_vm *vm = run_web();

    (void)state;
    script_is_gone(&s, vm);
    assert_int_equal(vm->life, LIFE_STOPPED);
    assert_true(vm->end.host_failure);
    assert_true(script_noticed(&s, "ended"));
}

static void a_stop_counts_for_the_next_broker(void **state)
{
    struct host_vm *vm = run_web();

    (void)state;
    script_halt(&s, acme, "web", 0);
    assert_true(script_told(&s, vm, C(STOP_VM)));
    script_happen(&s, (struct host_event){ .kind = HOST_LINK_LOST, .vm = vm->serial });
    script_joins(&s, vm, "running");
    assert_true(script_told(&s, vm, C(STOP_VM)));
}

static void a_console_is_started_again(void **state)
{
    struct host_vm *vm = run_web();

    (void)state;
    script_happen(
        &s, (struct host_event){ .kind = HOST_CONSOLE_ENDED, .tenant = "acme", .name = "web" });
    assert_int_equal(script_asked(&s, ASK_CONSOLE), 0); /* not in a circle */
    assert_true(script_wait_deadline(&s));
    script_does(&s, ASK_CONSOLE, EAGAIN);
    assert_true(script_wait_deadline(&s));
    script_does(&s, ASK_CONSOLE, 0);
    assert_true(vm->has_console);
    assert_int_equal(host_next_deadline(&s.host), 0);
}

static void channels(void **state)
{
    struct host_action *reply = NULL;

    (void)state;
    run_web();
    script_open_channel(&s, acme, "web", BULKHEAD__VM_CHANNEL__VM_COMMAND);
    script_done(&s, script_asked(&s, ASK_CONNECT), 0, 1);
    for (unsigned i = 0; i < s.n_log; i++)
        if (s.log[i].kind == HOST_REPLY)
            reply = &s.log[i];
    assert_non_null(reply);
    assert_true(reply->flag && reply->limits.limited && reply->limits.no_programs);
    assert_int_equal(script_replied(&s, acme, s.request), 0);
    script_open_channel(&s, acme, "web", BULKHEAD__VM_CHANNEL__VM_CONSOLE);
    script_done(&s, script_asked(&s, ASK_CONNECT), ENOENT, 0);
    assert_int_equal(script_replied(&s, acme, s.request), ENOTCONN);
    script_open_channel(&s, acme, "web", BULKHEAD__VM_CHANNEL__VM_BROKER_LOG);
    script_done(&s, script_asked(&s, ASK_LOGS), 0, 2);
    assert_int_equal(script_replied(&s, acme, s.request), 0);
    script_open_channel(&s, acme, "web", (Bulkhead__VmChannel)77);
    assert_int_equal(script_replied(&s, acme, s.request), EINVAL);
}

/* What one asks and doesn't wait for fills no table. */
static void who_leaves_is_not_answered(void **state)
{
    (void)state;
    run_web();
    for (unsigned round = 0; round < 100; round++) {
        uint64_t other = script_connect(&s, UID_ACME);

        for (unsigned i = 0; i < HOST_MAX_PENDING; i++)
            script_open_channel(&s, other, "web", BULKHEAD__VM_CHANNEL__VM_COMMAND);
        script_ask(&s, other, B(WAIT_VM), "web");
        script_leave(&s, other);
    }
    assert_true(s.host.n_asks <= HOST_MAX_OPENING);
    assert_null(web()->waits);
    s.n_log = 0;
    script_wait(&s, 31000); /* the starter answers none of them */
    assert_int_equal(s.host.n_asks, 0);
    assert_int_equal(script_count(&s, HOST_REPLY), 0);
    script_open_channel(&s, acme, "web", BULKHEAD__VM_CHANNEL__VM_COMMAND);
    script_done(&s, script_asked(&s, ASK_CONNECT), 0, 1);
    assert_int_equal(script_replied(&s, acme, s.request), 0);
}

static void too_many_at_once(void **state)
{
    (void)state;
    run_web();
    for (unsigned i = 0; i < HOST_MAX_PENDING; i++)
        script_ask(&s, acme, B(WAIT_VM), "web");
    script_ask(&s, acme, B(GET_HOST), NULL);
    assert_int_equal(script_replied(&s, acme, s.request), EAGAIN);
}

/* One who waits a thousand times for the same end is answered a thousand times, and the service goes on. */
static void many_wait_for_the_same(void **state)
{
    enum { WAITERS = 30 };
    uint64_t waiters[WAITERS];
    struct host_vm *vm = run_web();

    (void)state;
    for (unsigned i = 0; i < WAITERS; i++) {
        waiters[i] = script_connect(&s, UID_ACME);
        for (unsigned k = 0; k < HOST_MAX_PENDING; k++)
            script_ask(&s, waiters[i], B(WAIT_VM), "web");
    }
    script_guest_ends(&s, vm);
    script_is_gone(&s, vm);
    assert_false(script_happened(&s, HOST_QUIT));
    assert_int_equal(script_count(&s, HOST_ANSWER), WAITERS * HOST_MAX_PENDING);
    assert_int_equal(s.host.phase, HOST_OPEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(created_when_it_is_kept, begin, end),
        cmocka_unit_test_setup_teardown(not_created_if_it_cant_be_kept, begin, end),
        cmocka_unit_test_setup_teardown(starts_and_ends, begin, end),
        cmocka_unit_test_setup_teardown(a_start_that_fails, begin, end),
        cmocka_unit_test_setup_teardown(a_launcher_that_dies, begin, end),
        cmocka_unit_test_setup_teardown(a_broker_that_ends_while_it_starts, begin, end),
        cmocka_unit_test_setup_teardown(a_launcher_that_never_answers, begin, end),
        cmocka_unit_test_setup_teardown(a_starter_that_never_answers, begin, end),
        cmocka_unit_test_setup_teardown(halted_with_grace, begin, end),
        cmocka_unit_test_setup_teardown(a_guest_that_cant_be_asked_is_stopped_at_once, begin, end),
        cmocka_unit_test_setup_teardown(a_broker_that_does_not_stop_it_is_killed, begin, end),
        cmocka_unit_test_setup_teardown(what_does_not_die_is_told, begin, end),
        cmocka_unit_test_setup_teardown(halted_while_it_starts, begin, end),
        cmocka_unit_test_setup_teardown(rebooted, begin, end),
        cmocka_unit_test_setup_teardown(a_reboot_is_kept_until_it_runs, begin, end),
        cmocka_unit_test_setup_teardown(removed, begin, end),
        cmocka_unit_test_setup_teardown(not_removed_if_the_starter_cant, begin, end),
        cmocka_unit_test_setup_teardown(put_off_until_the_directory_is_free, begin, end),
        cmocka_unit_test_setup_teardown(not_put_off_for_ever, begin, end),
        cmocka_unit_test_setup_teardown(a_broker_that_dies_is_no_end, begin, end),
        cmocka_unit_test_setup_teardown(a_broker_that_joins_and_leaves_waits_longer_each_time,
                                        begin, end),
        cmocka_unit_test_setup_teardown(a_vm_that_is_gone_has_ended, begin, end),
        cmocka_unit_test_setup_teardown(a_stop_counts_for_the_next_broker, begin, end),
        cmocka_unit_test_setup_teardown(a_console_is_started_again, begin, end),
        cmocka_unit_test_setup_teardown(channels, begin, end),
        cmocka_unit_test_setup_teardown(who_leaves_is_not_answered, begin, end),
        cmocka_unit_test_setup_teardown(too_many_at_once, begin, end),
        cmocka_unit_test_setup_teardown(many_wait_for_the_same, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
