/* SPDX-License-Identifier: Apache-2.0 */
/* end_test.c - whose doing the end of a VM or of a process was. */
#include "run/watch.h"
#include "script.h"

#include <signal.h>
#include <sys/wait.h>

static void end_with(bool host_failure, char *detail)
{
    static struct script s;
    Bulkhead__GuestState state = BULKHEAD__GUEST_STATE__INIT;
    ENVELOPE(e, GUEST_STATE, guest_state, &state);

    script_run(&s, 5);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_core_says_whose_error_it_is),
        cmocka_unit_test(test_signals_are_explained),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
