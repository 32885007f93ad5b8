// SPDX-License-Identifier: Apache-2.0
// test_doctor.c - doctor's word on control groups is what a VM would have there, wherever they are mounted.
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/fd.h"
#include "doctor/group_check.h"
#include "sandbox/cgroup.h"

#include <cmocka.h>

static unsigned count_groups(int base_fd)
{
    int again = openat(base_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fdopendir(again);
    struct dirent *entry;
    unsigned n = 0;

    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL)
        n += entry->d_type == DT_DIR;
    closedir(dir);
    return n;
}

static void test_control_groups(void **state)
{
    struct doctor_result result = { .verdict = DOCTOR_MISSING };
    cleanup_(fd_closep) int base_fd = -1;
    char path[PATH_MAX], after[PATH_MAX];
    unsigned kinds, before;

    (void)state;
    if (sandbox_cgroup_find(&base_fd, path, sizeof(path)) != 0) {
        doctor_cgroup(&result);
        assert_int_equal(result.verdict, DOCTOR_OPTIONAL_MISSING);
        assert_non_null(strstr(result.detail, "no group of cgroup v2"));
        return;
    }
    kinds = sandbox_cgroup_controllers(base_fd);
    before = count_groups(base_fd);
    doctor_cgroup(&result);
    print_message("%s\n", result.detail);
    if ((~kinds & (SANDBOX_CGROUP_PIDS | SANDBOX_CGROUP_MEMORY)) == 0 &&
        faccessat(base_fd, "cgroup.type", F_OK, 0) < 0) { /* the root */
        assert_int_equal(result.verdict, DOCTOR_OK);
        assert_non_null(strstr(result.detail, "were limited"));
        assert_int_equal(strstr(result.detail, "--limits of CPU time can be had") != NULL,
                         (kinds & SANDBOX_CGROUP_CPU) != 0);
    } else if ((kinds & (SANDBOX_CGROUP_PIDS | SANDBOX_CGROUP_MEMORY)) == 0) {
        assert_int_equal(result.verdict, DOCTOR_OPTIONAL_MISSING);
        assert_non_null(strstr(result.detail, "without limits of memory"));
        assert_non_null(strstr(result.detail, "and tasks"));
    }
    assert_int_equal(count_groups(base_fd), before);
    fd_closep(&base_fd);
    assert_int_equal(sandbox_cgroup_find(&base_fd, after, sizeof(after)), 0);
    assert_string_equal(path, after);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_control_groups) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
