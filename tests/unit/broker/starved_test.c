/* SPDX-License-Identifier: Apache-2.0 */
/* starved_test.c - a late broker's excuse for a silent worker. */
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "resources/liveness.h"

static void an_excuse_never_reaches_past_now(void **state)
{
    (void)state;
    assert_int_equal(starved_excuse(1000, 0, 5000), 1000);
    assert_int_equal(starved_excuse(1000, 3000, 5000), 4000);
    /* It was ready, or beat, while the broker stood still: no more than all of it is excused. */
    assert_int_equal(starved_excuse(4500, 3000, 5000), 5000);
    assert_int_equal(starved_excuse(5000, 3000, 5000), 5000);
    assert_int_equal(starved_excuse(5000, 0, 5000), 5000);
}

enum { OTHER_UID = 12345, HANG_NS = 1000 };

/* In a child, an ordinary user's: whether what was opened before /proc hid us tells how much we ran. */
static int look(pid_t pid)
{
    const struct starved_limits limits = { .hang_ns = HANG_NS, .stall_ns = 2 * HANG_NS };
    struct starved s = { 0 };
    enum starved_of of;
    char path[32];
    int fd;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("proc", "/proc", "proc", 0, "hidepid=2") < 0 || setgroups(0, NULL) < 0 ||
        setresgid(OTHER_UID, OTHER_UID, OTHER_UID) < 0 ||
        setresuid(OTHER_UID, OTHER_UID, OTHER_UID) < 0 || open(path, O_RDONLY) >= 0)
        return 2;
    return !starved_too_long(&s, fd, HANG_NS - 1, 1, &limits, &of) && s.since_ns == 1;
}

static void what_hidepid_hides_is_known(void **state)
{
    int status = -1;
    pid_t pid;

    (void)state;
    if (geteuid() != 0)
        return; /* only root can mount it so */
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(look(getppid()));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), true);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(an_excuse_never_reaches_past_now),
                                        cmocka_unit_test(what_hidepid_hides_is_known) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
