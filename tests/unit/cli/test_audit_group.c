// SPDX-License-Identifier: Apache-2.0
// test_audit_group.c - the audit of a VM's control group: its limits, and a broker that names other files as these.
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <unistd.h>
#include "audit/group.h"
#include "base/fd.h"
#include "sandbox/cgroup.h"
#include "sandbox/cgroup_life.h"

#include <cmocka.h>

/* "bulkhead-N/core", with a process in it that waits for its end; or that process alone, where no group is to be had. */
struct core {
    int base_fd, vm_fd, kill_fd;
    char name[32];
    pid_t pid;
};

static void begin(struct core *c)
{
    const struct sandbox_cgroup_limits none = { 0 };
    char path[512];
    unsigned in_force;
    int core_fd = -1, procs;

    *c = (struct core){ .base_fd = -1, .vm_fd = -1, .kill_fd = -1 };
    c->pid = fork();
    assert_true(c->pid >= 0);
    if (c->pid == 0) {
        pause();
        _exit(0);
    }
    snprintf(c->name, sizeof(c->name), "bulkhead-%d", (int)getpid());
    if (sandbox_cgroup_find(&c->base_fd, path, sizeof(path)) != 0 ||
        sandbox_cgroup_claim(c->base_fd, c->name, &c->vm_fd) < 0 ||
        sandbox_cgroup_create(c->vm_fd, "core", &none, &core_fd, &in_force) < 0)
        return;
    c->kill_fd = sandbox_cgroup_open_kill(c->vm_fd);
    procs = openat(core_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    (void)!dprintf(procs, "%d", (int)c->pid);
    close(procs);
    close(core_fd);
}

static void end(struct core *c)
{
    kill(c->pid, SIGKILL);
    (void)waitpid(c->pid, NULL, 0);
    if (c->vm_fd >= 0)
        (void)!sandbox_cgroup_end(c->base_fd, c->name, c->vm_fd, c->kill_fd);
    fd_closep(&c->base_fd);
    fd_closep(&c->vm_fd);
    fd_closep(&c->kill_fd);
}

static struct core core;
static char file[] = "/tmp/bulkhead-audit-XXXXXX";

static int tidy(void **state)
{
    (void)state;
    end(&core);
    return unlink(file);
}

/* Who reads its audit as root opens what stands there. */
static void test_others_files(void **state)
{
    char up[64], first[] = "memory.max", value[] = "1";
    char *const keys[] = { file, up, (char[]){ "" }, (char[]){ "." }, (char[]){ "cgroup.procs" } };
    int fd = mkstemp(file), watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

    (void)state;
    begin(&core);
    assert_true(fd >= 0 && watch >= 0);
    close(fd);
    assert_true(inotify_add_watch(watch, file, IN_OPEN) >= 0);
    snprintf(up, sizeof(up), "../../../../../../../../../..%s", file);
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        Bulkhead__KeyValue limits[2] = { BULKHEAD__KEY_VALUE__INIT, BULKHEAD__KEY_VALUE__INIT };
        Bulkhead__KeyValue *pointers[2] = { &limits[0], &limits[1] };
        Bulkhead__ProcessPlan process = BULKHEAD__PROCESS_PLAN__INIT;
        Bulkhead__VmPlan plan = BULKHEAD__VM_PLAN__INIT;
        struct audit audit = { 0 };
        const struct audit_target t = { .audit = &audit, .plan = &process, .pid = core.pid };
        char event[512];

        limits[0].key = first;
        limits[1].key = keys[i];
        limits[0].value = limits[1].value = value;
        plan.limits = pointers;
        plan.n_limits = 2;
        audit_vm_group(&t, &plan);
        assert_true(read(watch, event, sizeof(event)) < 0); /* nobody opened it */
        assert_int_equal(audit.n_findings, 1);
        assert_int_equal(audit.findings[0].verdict, AUDIT_DRIFT);
        assert_non_null(strstr(audit.findings[0].text, "is no limit of a VM"));
        audit_deinit(&audit);
    }
    close(watch);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test_teardown(test_others_files, tidy) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
