/* SPDX-License-Identifier: Apache-2.0 */
/* groups_test.c - where the control groups of the service's VMs are: beside its own, in the unit's that it was told of, and
 * below its own without one. Needs a group that can be divided, as unit_broker_groups. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/compiler.h"
#include "hostd/starter/groups.h"
#include "sandbox/cgroup.h"
#include "sandbox/cgroup_life.h"
#include <cmocka.h>

enum { PATH = 512 };

static int base_fd = -1, hostd_fd = -1, vms_fd = -1;
static char hostd_name[32], vms_name[32];

static int begin(void **state)
{
    (void)state;
    snprintf(hostd_name, sizeof hostd_name, "hostd-%d.service", (int)getpid());
    snprintf(vms_name, sizeof vms_name, "vms-%d.service", (int)getpid());
    return sandbox_cgroup_claim(base_fd, hostd_name, &hostd_fd) == 0 &&
                   sandbox_cgroup_claim(base_fd, vms_name, &vms_fd) == 0
               ? 0
               : -1;
}

static int end(void **state)
{
    int r = sandbox_cgroup_end(base_fd, hostd_name, hostd_fd, -1);

    (void)state;
    r = sandbox_cgroup_end(base_fd, vms_name, vms_fd, -1) | r;
    close(hostd_fd);
    close(vms_fd);
    return r;
}

/* In a process that is in the service's group: the status is 0 if the VM's is where it is expected. */
static int make_as_service(const char *beside, int wanted_fd)
{
    int procs = openat(hostd_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC), fd;
    struct service_groups groups;
    struct folders folders = { 0 };
    char name[160];
    struct stat st;

    if (procs < 0 || write(procs, "0", 1) != 1)
        return 2;
    if (beside)
        setenv("BULKHEAD_HOST_GROUP", beside, 1);
    else
        unsetenv("BULKHEAD_HOST_GROUP");
    for (unsigned i = 0; i < ARRAY_SIZE(folders.fds); i++)
        folders.fds[i] = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    groups_open(&groups, &folders);
    fd = groups_make_for(&groups, "acme", "web");
    if (fd < 0 || write(fd, "0", 1) != 1) /* somebody can be put there */
        return 3;
    snprintf(name, sizeof name, "vm:%llx.%llx:acme:web", groups.dev, groups.ino);
    return fstatat(wanted_fd, name, &st, 0) == 0 ? 0 : 4;
}

static void assert_is_in(const char *beside, int wanted_fd)
{
    int status = -1;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        _exit(make_as_service(beside, wanted_fd));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void beside_its_own(void **state)
{
    (void)state;
    assert_is_in(vms_name, vms_fd);
}

static void below_its_own(void **state)
{
    (void)state;
    assert_is_in(NULL, hostd_fd);
}

static void where_none_is_there(void **state)
{
    (void)state;
    assert_is_in("not-there.service", hostd_fd);
}

static void a_name_is_no_path(void **state)
{
    char path[PATH];

    (void)state;
    snprintf(path, sizeof path, "%s/.", vms_name);
    assert_is_in(path, hostd_fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(beside_its_own, begin, end),
        cmocka_unit_test_setup_teardown(below_its_own, begin, end),
        cmocka_unit_test_setup_teardown(where_none_is_there, begin, end),
        cmocka_unit_test_setup_teardown(a_name_is_no_path, begin, end),
    };
    char path[PATH];

    if (sandbox_cgroup_find(&base_fd, path, sizeof path) != 0) {
        fprintf(stderr, "groups: this control group can't be divided: start it with "
                        "tests/host/run --emulated\n");
        return geteuid() == 0 ? 1 : 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
