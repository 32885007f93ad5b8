/* SPDX-License-Identifier: Apache-2.0 */
/* end_test.c - whose doing the end of a VM or of a process was. */
#include "rig.h"

#include <signal.h>
#include <sys/wait.h>

static void end_with(bool host_failure, char *detail)
{
    static struct rig rig;
    Bulkhead__GuestState state = BULKHEAD__GUEST_STATE__INIT;
    ENVELOPE(e, GUEST_STATE, guest_state, &state);

    rig_run(&rig, 5);
    state.state = BULKHEAD__GUEST_STATE_KIND__GUEST_ERROR;
    state.detail = detail;
    state.host_failure = host_failure;
    rig_say(&rig, rig.vm.core, &e);
    assert_true(rig.vm.ended);
    assert_int_equal(rig.vm.end_host_failure, host_failure);
    assert_string_equal(rig.vm.end_detail, detail);
    rig_end(&rig);
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
    child_describe_exit(CLD_KILLED, SIGBUS, text, sizeof text);
    assert_non_null(strstr(text, "memory that the host can't supply or has lost"));
    child_describe_exit(CLD_KILLED, SIGSYS, text, sizeof text);
    assert_non_null(strstr(text, "sandbox"));
    child_describe_exit(CLD_KILLED, SIGKILL, text, sizeof text);
    assert_string_equal(text, "killed by signal 9 (Killed)");
    child_describe_exit(CLD_EXITED, 1, text, sizeof text);
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
