// SPDX-License-Identifier: Apache-2.0
// test_audit_rights.c - the audit of processes without a sandbox: capabilities, groups, and what /proc hides.
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "audit/binary.h"
#include "audit/process.h"
#include "audit/threads.h"
#include "sandbox/ids.h"

#include <cmocka.h>

static void print_all(const struct audit *audit)
{
    for (size_t i = 0; i < audit->n_findings; i++)
        print_message("  %d %s: %s\n", (int)audit->findings[i].verdict, audit->findings[i].check,
                      audit->findings[i].text);
}

/* It lives, with these capabilities, of which none is in force. */
static pid_t start_permitted(uint64_t caps)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2] = { { .permitted = (uint32_t)caps },
                                              { .permitted = (uint32_t)(caps >> 32) } };
    int ready[2];
    char byte = 0;
    pid_t pid;

    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0) {
        if (syscall(SYS_capset, &header, data) == 0 && write(ready[1], &byte, 1) == 1)
            pause();
        _exit(1);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

/* A right that is not in force can be put into force at any moment. */
static void test_broker_caps(void **state)
{
    static const struct {
        uint64_t may, has;
        bool drift;
    } cases[] = {
        { 0, 0, false },
        { 0, 1ull << CAP_SYS_ADMIN, true },
        { 1ull << CAP_DAC_OVERRIDE, 1ull << CAP_DAC_OVERRIDE, false },
        { 1ull << CAP_DAC_OVERRIDE, 1ull << CAP_KILL, true },
        { 0, 1ull << CAP_DAC_OVERRIDE, true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Bulkhead__ProcessPlan plan = BULKHEAD__PROCESS_PLAN__INIT;
        char name[] = "broker", profile[] = "broker", *profiles[] = { profile };
        struct audit audit = { 0 };
        struct audit_target t = { .audit = &audit, .plan = &plan, .caps = cases[i].may };
        bool found = false;

        plan.name = name;
        plan.role = BULKHEAD__ROLE__ROLE_BROKER;
        plan.profiles = profiles;
        plan.n_profiles = 1;
        t.pid = start_permitted(cases[i].has);
        audit_threads(&t);
        kill(t.pid, SIGKILL);
        waitpid(t.pid, NULL, 0);
        for (size_t j = 0; j < audit.n_findings; j++)
            found |= audit.findings[j].verdict == AUDIT_DRIFT &&
                     strstr(audit.findings[j].text, "CapPrm") != NULL;
        assert_int_equal(found, cases[i].drift);
        audit_deinit(&audit);
    }
}

static pid_t start_with_groups(uint32_t uid, const gid_t *groups, size_t n)
{
    int ready[2];
    char byte = 0;
    pid_t pid;

    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0) {
        if (setgroups(n, groups) == 0 && setresgid(uid, uid, uid) == 0 &&
            setresuid(uid, uid, uid) == 0 && write(ready[1], &byte, 1) == 1)
            pause();
        _exit(1);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

/* One that comes behind its own gid, since the kernel sorts them, is one too many as well. */
static void test_groups(void **state)
{
    const uint32_t uid = sandbox_uid(getpid(), 3);
    const gid_t own_and_another[] = { uid, uid + 1 };

    (void)state;
    for (size_t n = 0; n <= 2; n++) {
        Bulkhead__ProcessPlan plan = BULKHEAD__PROCESS_PLAN__INIT;
        char name[] = "rng", profile[] = "rng", *profiles[] = { profile };
        struct audit audit = { 0 };
        struct audit_target t = {
            .audit = &audit, .plan = &plan, .uid = uid, .gid = uid, .child = true
        };
        bool found = false;

        plan.name = name;
        plan.role = BULKHEAD__ROLE__ROLE_RNG;
        plan.profiles = profiles;
        plan.n_profiles = 1;
        t.pid = start_with_groups(uid, own_and_another, n);
        audit_threads(&t);
        kill(t.pid, SIGKILL);
        waitpid(t.pid, NULL, 0);
        for (size_t j = 0; j < audit.n_findings; j++)
            found |= strcmp(audit.findings[j].check, "groups") == 0;
        assert_int_equal(found, n == 2);
        audit_deinit(&audit);
    }
}

enum { OTHER_UID = 12345 };

/* As the broker is to its own user: it lives, and can't be looked into. */
static pid_t start_undumpable(void)
{
    int ready[2];
    char byte = 0;
    pid_t pid;

    if (pipe2(ready, O_CLOEXEC) < 0)
        return -1;
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_DUMPABLE, 0);
        close(ready[1]);
        pause();
    }
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 0) /* its end is closed: it is undumpable */
        return -1;
    close(ready[0]);
    return pid;
}

/* In a child: an ordinary user, for whom /proc hides what it may not look into. */
static int look_hidden(void)
{
    Bulkhead__ProcessPlan plan = BULKHEAD__PROCESS_PLAN__INIT;
    char name[] = "broker", profile[] = "broker", *profiles[] = { profile };
    struct audit audit = { 0 };
    struct audit_target t = { .audit = &audit, .plan = &plan, .uid = OTHER_UID, .gid = OTHER_UID };
    unsigned hidden = 0;

    plan.name = name;
    plan.role = BULKHEAD__ROLE__ROLE_BROKER;
    plan.profiles = profiles;
    plan.n_profiles = 1;
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("proc", "/proc", "proc", 0, "hidepid=2") < 0 || setgroups(0, NULL) < 0 ||
        setresgid(OTHER_UID, OTHER_UID, OTHER_UID) < 0 ||
        setresuid(OTHER_UID, OTHER_UID, OTHER_UID) < 0)
        return 2;
    t.pid = start_undumpable();
    audit_threads(&t);
    audit_process(&t);
    audit_memory(&t);
    audit_binary(&t);
    kill(t.pid, SIGKILL);
    for (size_t i = 0; i < audit.n_findings; i++)
        hidden += audit.findings[i].verdict == AUDIT_UNREADABLE &&
                  strstr(audit.findings[i].text, "hidepid") != NULL;
    if (hidden == audit.n_findings - 1 && !audit.gone) /* the memory says it in its own words */
        return 0;
    print_all(&audit);
    return 1;
}

/* What is hidden is neither drift nor gone, for which an audit would try again and again. */
static void test_hidepid(void **state)
{
    int status = 0;
    pid_t pid = fork();

    (void)state;
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(look_hidden());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hidepid),
        cmocka_unit_test(test_broker_caps),
        cmocka_unit_test(test_groups),
    };

    if (geteuid() != 0) {
        puts("skipped: only root may read filters back");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
