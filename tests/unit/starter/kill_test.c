/* SPDX-License-Identifier: Apache-2.0 */
/* kill_test.c - who is killed with a VM that has no control group. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "hostd/starter/groups.h"
#include <cmocka.h>

enum { PATIENCE_MS = 30000 };

static _Noreturn void wait_for_ever(void)
{
    for (;;)
        pause();
}

/* A session whose first process has ended; the other one, and its child, which is in a session of its own. */
static pid_t leave_behind(pid_t *ret_first, pid_t *ret_child)
{
    int pair[2];
    pid_t pids[2] = { 0 };

    assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
    *ret_first = fork();
    if (*ret_first == 0) {
        setsid();
        if (fork() != 0)
            _exit(0);
        pids[0] = getpid();
        pids[1] = fork();
        if (pids[1] == 0)
            setsid();
        else
            (void)!write(pair[1], pids, sizeof pids);
        wait_for_ever();
    }
    assert_int_equal(waitpid(*ret_first, NULL, 0), *ret_first);
    assert_int_equal(read(pair[0], pids, sizeof pids), sizeof pids);
    close(pair[0]);
    close(pair[1]);
    *ret_child = pids[1];
    return pids[0];
}

/* Of a VM without a control group: its spawner and the next broker are in the session that the first one made, and the core and
 * the workers are the spawner's children. */
static void kill_after_the_first_brokers_death(void **state)
{
    const struct service_groups none = { .base_fd = -1 };
    pid_t first = 0, child = 0, other = leave_behind(&first, &child);
    struct pollfd p = { .fd = (int)syscall(SYS_pidfd_open, other, 0), .events = POLLIN };
    struct pollfd core = { .fd = (int)syscall(SYS_pidfd_open, child, 0), .events = POLLIN };

    (void)state;
    assert_int_equal(groups_kill_all(&none, "acme", "web", other),
                     -ESRCH); /* who made no session */
    assert_int_equal(poll(&p, 1, 0), 0);
    assert_int_equal(groups_kill_all(&none, "acme", "web", first), 0);
    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    assert_int_equal(poll(&core, 1, PATIENCE_MS), 1);
    assert_int_equal(groups_kill_all(&none, "acme", "web", getpid()), -ESRCH);
    close(core.fd);
    close(p.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kill_after_the_first_brokers_death),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
