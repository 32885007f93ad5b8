/* SPDX-License-Identifier: Apache-2.0 */
/* handed_over_test.c - a worker's program that the broker handed over (an upgrade) runs behind
 * sandbox_filter_start from its exec on, and is not hindered by that: each role starts, serves a
 * driver, stops. What that filter forbids is hostile_broker's to show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "base/fd.h"
#include "roles.h"

/* As the kernel says of the process; -1: it doesn't say. */
static int n_filters(pid_t pid)
{
    char path[64], line[256];
    int n = -1;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    f = fopen(path, "re");
    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        if (strncmp(line, "Seccomp_filters:", 16) == 0)
            n = atoi(line + 16);
    fclose(f);
    return n;
}

static void lives(unsigned which, bool handed_over)
{
    struct role role;
    int own = n_filters(getpid());

    role_new(&role, which, NULL);
    role.wh->config.handed_over = handed_over;
    wh_start(role.wh);
    if (own >= 0)
        assert_int_equal(n_filters(role.wh->pid), own + 1 + handed_over);
    wh_activate(role.wh, role.wh->features, false);
    for (unsigned q = 0; q < role.wh->config.n_queues; q++)
        wh_kick_always(role.wh, q);
    wh_quiesce(role.wh);
    wh_unquiesce(role.wh);
    wh_reset(role.wh);
    wh_activate(role.wh, role.wh->features, false);
    wh_restart(role.wh, role.wh->features);
    assert_int_equal(wh_stop(role.wh), 0);
    role_free(&role);
}

static void each_role_lives(void **state)
{
    (void)state;
    for (unsigned which = 0; which < ROLES_N; which++) {
        if (!role_possible(which))
            continue;
        lives(which, false);
        lives(which, true);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(each_role_lives) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
