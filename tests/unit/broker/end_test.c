/* SPDX-License-Identifier: Apache-2.0 */
/* end_test.c - whose doing the end of a VM or of a process was, and an end that core or spawner stand in the way of. */
#include "run/watch.h"
#include "script.h"

#include <signal.h>
#include <sys/wait.h>

#define B(name) BULKHEAD__ENVELOPE__BODY_##name

enum { ENOUGH_DEATHS = 5, DIE_MS = 10000 };

static struct script s;

static struct device *running_rng(void)
{
    struct device *d;

    script_run(&s, ENOUGH_DEATHS);
    d = script_device(&s, BULKHEAD__ROLE__ROLE_RNG);
    script_use(&s, d);
    return d;
}

static void end_with(bool host_failure, char *detail)
{
    Bulkhead__GuestState state = BULKHEAD__GUEST_STATE__INIT;
    ENVELOPE(e, GUEST_STATE, guest_state, &state);

    script_run(&s, ENOUGH_DEATHS);
    state.state = BULKHEAD__GUEST_STATE_KIND__GUEST_ERROR;
    state.detail = detail;
    state.host_failure = host_failure;
    script_say(&s, s.vm.core, &e);
    assert_true(s.vm.end.ended);
    assert_int_equal(s.vm.end.by == END_BY_HOST, host_failure);
    assert_string_equal(s.vm.end.detail, detail);
    script_end(&s);
}

static void test_core_says_whose_error_it_is(void **state)
{
    (void)state;
    end_with(false, (char[]){ "KVM internal error" });
    end_with(true, (char[]){ "the host can't supply memory" });
}

static void exit_oom(uint32_t child)
{
    struct event e = { .kind = EVENT_EXITED, .child = child, .oom = true };

    snprintf(e.fault.text, sizeof e.fault.text, "killed by the kernel");
    script_happen(&s, &e);
}

/* Who was killed is said; then a device is repaired, and without its core a VM ends. */
static void test_oom_kills_are_told(void **state)
{
    struct device *d;

    (void)state;
    script_run(&s, ENOUGH_DEATHS);
    d = script_device(&s, BULKHEAD__ROLE__ROLE_RNG);
    script_exit(&s, d->worker, false);
    assert_false(script_noticed(&s, "oom_kill"));
    script_end(&s);

    script_run(&s, ENOUGH_DEATHS);
    d = script_device(&s, BULKHEAD__ROLE__ROLE_RNG);
    exit_oom(d->worker);
    assert_true(script_noticed(&s, "oom_kill"));
    assert_int_equal(d->restarts, 1);
    assert_false(s.vm.end.ended);
    exit_oom(s.vm.core);
    assert_true(script_noticed(&s, "oom_kill"));
    assert_true(s.vm.end.ended && s.vm.end.by == END_BY_HOST);
    assert_non_null(strstr(s.vm.end.detail, "the core died: "));
    assert_non_null(strstr(s.vm.end.detail, "killed by the kernel"));
    script_end(&s);
}

static void test_signals_are_explained(void **state)
{
    char text[128];

    (void)state;
    watch_describe_exit(CLD_KILLED, SIGBUS, text, sizeof text);
    assert_non_null(strstr(text, "memory that the host can't supply or has lost"));
    watch_describe_exit(CLD_KILLED, SIGSYS, text, sizeof text);
    assert_non_null(strstr(text, "sandbox"));
    watch_describe_exit(CLD_KILLED, SIGKILL, text, sizeof text);
    assert_string_equal(text, "killed by signal 9 (Killed)");
    watch_describe_exit(CLD_EXITED, 1, text, sizeof text);
    assert_string_equal(text, "left with status 1");
}

static void a_core_that_does_not_die(void **state)
{
    uint32_t core;

    (void)state;
    (void)running_rng();
    core = s.vm.core;
    script_gone(&s, 30); /* a lie */
    assert_true(script_killed(&s, core));
    script_wait(&s, DIE_MS - 1000);
    assert_int_equal(s.vm.phase, VM_RUNNING);
    script_wait(&s, 1000);
    assert_int_equal(s.vm.phase, VM_ENDING);
    assert_int_equal(s.vm.end.by, END_BY_HOST);
    assert_non_null(strstr(s.vm.end.detail, "the core was killed and does not die"));
    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
        if (s.vm.children[i].id != 0 && s.vm.children[i].id != core)
            script_exit(&s, s.vm.children[i].id, true);
    for (unsigned n = 0; s.vm.phase != VM_GONE && n < 10; n++)
        assert_true(script_wait_deadline(&s));
    assert_int_equal(script_count(&s, ACTION_ENDED), 1);
    script_end(&s);
}

/* ---- without the spawner ---- */

/* Nobody can be started or killed any more. Workers leave, and then the core; one that is stopped is not waited for
 * for ever. */
static void a_spawner_that_dies(void **state)
{
    const struct event gone = { .kind = EVENT_SPAWNER_GONE };
    struct device *d = running_rng();
    uint32_t stopped = d->worker, other, core = s.vm.core;

    (void)state;
    other = script_device(&s, BULKHEAD__ROLE__ROLE_BALLOON)->worker;
    script_happen(&s, &gone);
    assert_int_equal(s.vm.phase, VM_ENDING);
    assert_int_equal(s.vm.end.by, END_BY_HOST);
    assert_non_null(strstr(s.vm.end.detail, "the spawner died"));
    assert_int_equal(script_heard(&s, stopped, NULL), B(STOP));
    assert_int_equal(script_heard(&s, other, NULL), B(STOP));
    script_exit(&s, other, false); /* its pidfd says so, and not how */
    assert_int_equal(script_heard(&s, core, NULL), B(_NOT_SET));
    assert_true(script_wait_deadline(&s));
    assert_true(script_killed(&s, stopped)); /* in vain */
    assert_true(script_wait_deadline(&s));
    assert_null(vm_look(&s.vm, stopped));
    assert_int_equal(script_heard(&s, core, NULL), B(STOP));
    script_exit(&s, core, false);
    assert_int_equal(s.vm.phase, VM_GONE);
    assert_int_equal(script_count(&s, ACTION_ENDED), 1);
    assert_int_equal(script_count(&s, ACTION_START), 0);
    assert_false(script_wait_deadline(&s));
    script_end(&s);
}

/* It is the same to those who wait: whoever asked for something is told, and no guest is started again. */
static void a_spawner_that_dies_in_a_reboot(void **state)
{
    const struct event gone = { .kind = EVENT_SPAWNER_GONE };
    struct device *d = running_rng();

    (void)state;
    (void)script_upgrade(&s, d);
    script_state(&s, BULKHEAD__GUEST_STATE_KIND__GUEST_REBOOT);
    script_happen(&s, &gone);
    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
        if (s.vm.children[i].id != 0)
            script_exit(&s, s.vm.children[i].id, false);
    assert_int_equal(s.vm.phase, VM_GONE);
    assert_true(script_replied(&s) > 0);
    assert_int_equal(script_count(&s, ACTION_MAKE_BOOT), 0);
    script_end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_core_says_whose_error_it_is),
        cmocka_unit_test(test_oom_kills_are_told),
        cmocka_unit_test(test_signals_are_explained),
        cmocka_unit_test(a_core_that_does_not_die),
        cmocka_unit_test(a_spawner_that_dies),
        cmocka_unit_test(a_spawner_that_dies_in_a_reboot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
