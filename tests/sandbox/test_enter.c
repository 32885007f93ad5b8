/* SPDX-License-Identifier: Apache-2.0 */
/* test_enter.c - a process in its sandbox, as the kernel shows it to others, and what comes of
 * everything it tries; as root and as an ordinary user. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/compiler.h"
#include "harness.h"
#include "sandbox/enter.h"
#include "sandbox/gen/filter_rng.h"
#include "sandbox/layers.h"
#include "sandbox/limits.h"
#include "sandbox/readback.h"
#include "sandbox/spawn.h"
#include <cmocka.h>

static void expect_status(pid_t pid, const char *key, const char *want)
{
    char value[256];

    harness_status(pid, key, value, sizeof value);
    if (strcmp(value, want) != 0)
        fail_msg("%s is \"%s\", not \"%s\"", key, value, want);
}

static void expect_entered(const struct probe *probe)
{
    if (probe->report.r < 0)
        fail_msg("the probe did not enter: %s", probe->report.text);
}

static void test_status(void **state)
{
    const struct harness *h = *state;
    struct probe probe = harness_start(h, "filter", NULL);
    static const char *const none = "0000000000000000";
    unsigned uid = h->uid ? h->uid : geteuid();
    char ids[64];

    expect_entered(&probe);
    expect_status(probe.pid, "CapInh", none);
    expect_status(probe.pid, "CapPrm", none);
    expect_status(probe.pid, "CapEff", none);
    expect_status(probe.pid, "CapBnd", none);
    expect_status(probe.pid, "CapAmb", none);
    expect_status(probe.pid, "NoNewPrivs", "1");
    expect_status(probe.pid, "Seccomp", "2");
    expect_status(probe.pid, "Seccomp_filters", "1");
#ifndef BH_SANITIZED
    expect_status(probe.pid, "Threads", "1");
#endif
    snprintf(ids, sizeof ids, "%u\t%u\t%u\t%u", uid, uid, uid, uid);
    expect_status(probe.pid, "Uid", ids);
    expect_status(probe.pid, "Gid", ids);
    expect_status(probe.pid, "Groups", " ");
    expect_status(probe.pid, "SigBlk", none);
    harness_status(probe.pid, "NSpid", ids, sizeof ids);
    assert_string_equal(strrchr(ids, '\t'), "\t1");
    harness_end(&probe);
}

static ino_t namespace_inode(const char *pid, const char *kind)
{
    char path[64], target[64] = { 0 };
    unsigned long inode = 0;

    snprintf(path, sizeof path, "/proc/%s/ns/%s", pid, kind);
    if (readlink(path, target, sizeof target - 1) < 0)
        fail_msg("%s: %s", path, strerror(errno));
    inode = strtoul(strchr(target, '[') + 1, NULL, 10);
    assert_int_not_equal(inode, 0);
    return inode;
}

static void test_namespaces(void **state)
{
    static const char *const kinds[] = { "user", "pid", "mnt", "net", "ipc", "uts", "cgroup" };
    const struct harness *h = *state;
    struct probe one = harness_start(h, "filter", NULL);
    struct probe two = harness_start(h, "filter", NULL);
    char pid_one[16], pid_two[16];

    expect_entered(&one);
    snprintf(pid_one, sizeof pid_one, "%d", (int)one.pid);
    snprintf(pid_two, sizeof pid_two, "%d", (int)two.pid);
    for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
        ino_t ours = namespace_inode("self", kinds[i]);

        if (h->no_userns && strcmp(kinds[i], "user") == 0)
            continue;
        assert_int_not_equal(namespace_inode(pid_one, kinds[i]), ours);
        assert_int_not_equal(namespace_inode(pid_two, kinds[i]), ours);
        assert_int_not_equal(namespace_inode(pid_one, kinds[i]),
                             namespace_inode(pid_two, kinds[i]));
    }
    assert_int_equal(one.report.missing & ~(SANDBOX_LAYER_LANDLOCK | SANDBOX_LAYER_MDWE),
                     h->no_userns ? SANDBOX_USERNS_REPLACED : 0);
    harness_end(&one);
    harness_end(&two);
}

static void test_root_is_empty(void **state)
{
    struct probe probe = harness_start(*state, "filter", NULL);
    char text[8192], path[64];

    expect_entered(&probe);
    harness_proc(probe.pid, "mountinfo", text, sizeof text);
    /* One mount, and it is the empty one. */
    assert_non_null(strchr(text, '\n'));
    assert_string_equal(strchr(text, '\n'), "\n");
    assert_non_null(strstr(text, " / / ro,nosuid,nodev,noexec"));
    assert_non_null(strstr(text, " - tmpfs "));
    if (geteuid() == 0) {
        struct dirent **names = NULL;

        snprintf(path, sizeof path, "/proc/%d/root", (int)probe.pid);
        assert_int_equal(scandir(path, &names, NULL, NULL), 2); /* . and .. */
        free(names[0]);
        free(names[1]);
        free(names);
    }
    harness_end(&probe);
}

static void test_network_is_empty(void **state)
{
    struct probe probe = harness_start(*state, "filter", NULL);
    char text[8192];

    expect_entered(&probe);
    harness_proc(probe.pid, "net/route", text, sizeof text);
    if (strchr(text, '\n'))
        assert_string_equal(strchr(text, '\n'), "\n"); /* the heading alone */
    harness_proc(probe.pid, "net/dev", text, sizeof text);
    assert_non_null(strstr(text, " lo:"));
    assert_null(strstr(text, "eth0:"));
    harness_end(&probe);
}

static void expect_limit(const char *text, const char *name, const char *want)
{
    const char *line = strstr(text, name);
    char soft[32], hard[32];

    assert_non_null(line);
    assert_int_equal(sscanf(line + strlen(name), " %31s %31s", soft, hard), 2);
    assert_string_equal(soft, want);
    assert_string_equal(hard, want);
}

#ifndef BH_SANITIZED
/* Soft and hard value of a line of /proc/PID/limits. */
static void expect_limited(const char *limits, const char *title, unsigned long most)
{
    unsigned long soft = 0, hard = 0;
    const char *line = strstr(limits, title);

    assert_non_null(line);
    if (sscanf(line + strlen(title), "%lu %lu", &soft, &hard) != 2 || soft != hard || soft > most)
        fail_msg("%s: %.60s", title, line + strlen(title));
}
#endif

static void test_limits(void **state)
{
    struct probe probe = harness_start(*state, "filter", NULL);
    char text[4096];

    expect_entered(&probe);
    harness_proc(probe.pid, "limits", text, sizeof text);
    expect_limit(text, "Max core file size", "0");
    expect_limit(text, "Max open files", "4");
    expect_limit(text, "Max processes", "0");
    expect_limit(text, "Max file size", "0");
    expect_limit(text, "Max locked memory", "0");
    expect_limit(text, "Max realtime priority", "0");
#ifndef BH_SANITIZED
    expect_limited(text, "Max data size", 4 << 20);
    expect_limited(text, "Max stack size", SANDBOX_STACK_BYTES);
#endif
    harness_end(&probe);
}

static void test_fds(void **state)
{
    struct probe probe = harness_start(*state, "filter", NULL);
    char path[64];
    struct dirent **names = NULL;
    int n;

    expect_entered(&probe);
    snprintf(path, sizeof path, "/proc/%d/fd", (int)probe.pid);
    n = scandir(path, &names, NULL, alphasort);
    assert_int_equal(n, 6);
    for (int i = 0; i < n; i++) {
        if (i >= 2)
            assert_int_equal(atoi(names[i]->d_name), i - 2); /* 0 1 2 3 */
        free(names[i]);
    }
    free(names);
    harness_end(&probe);
}

static void test_without_filter(void **state)
{
    struct probe probe = harness_start(*state, "bare", NULL);
    const long locked = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                        SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED;

    expect_entered(&probe);
    assert_int_equal(probe.report.dumpable, 0);
    assert_int_equal(probe.report.securebits & locked, locked);
#ifndef BH_SANITIZED
    if (!(probe.report.missing & SANDBOX_LAYER_MDWE))
        assert_int_equal(probe.report.mdwe, 1);
#endif
    expect_status(probe.pid, "Seccomp", "0");
    expect_status(probe.pid, "NoNewPrivs", "1");
    harness_end(&probe);
}

/* The wall in front: whatever is tried, seccomp ends the process. */
static void test_actions_under_filter(void **state)
{
    for (unsigned i = 0; i < probe_n_actions; i++) {
        struct probe probe = harness_start(*state, "filter", probe_actions[i].name);
        struct probe_result result;
        int end;

        expect_entered(&probe);
        harness_go(&probe);
        if (harness_result(&probe, &result)) {
#ifdef SANDBOX_INSTRUMENTED
            if (result.error != 0) { /* answered with an error instead */
                harness_end(&probe);
                continue;
            }
#endif
            fail_msg("%s was let through (%s)", probe_actions[i].name, strerror(result.error));
        }
        end = harness_wait(&probe);
        if (end != -SIGSYS)
            fail_msg("%s ended with %d, not SIGSYS", probe_actions[i].name, end);
    }
}

static long landlock_abi(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, 1u);
}

/* The walls behind it: without seccomp the other layers still refuse. */
static void test_actions_without_filter(void **state)
{
    for (unsigned i = 0; i < probe_n_actions; i++) {
        const struct probe_action *action = &probe_actions[i];
        struct probe probe = harness_start(*state, "bare", action->name);
        struct probe_result result = { 0 };
        bool good = false;

        expect_entered(&probe);
        harness_go(&probe);
        if (!harness_result(&probe, &result))
            fail_msg("%s ended with %d", action->name, harness_wait(&probe));
        for (unsigned w = 0; w < ARRAY_SIZE(action->want); w++)
            good |= action->want[w] != 0 && result.error == action->want[w];
        if (action->want[0] != 0 && !good)
            fail_msg("%s: %s", action->name, strerror(result.error));
#ifndef BH_SANITIZED
        if (strstr(action->name, "-exec") && !(probe.report.missing & SANDBOX_LAYER_MDWE))
            assert_int_equal(result.error, EACCES);
#endif
        if (strcmp(action->name, "bind-inet") == 0 && landlock_abi() >= 4)
            assert_int_equal(result.error, EACCES);
        harness_end(&probe);
    }
}

static void test_threads(void **state)
{
    struct probe early = harness_start(*state, "early-thread", NULL);
    struct probe late = harness_start(*state, "thread", "open");
    struct probe_result result;

    assert_int_equal(early.report.r, -EPERM);
    assert_non_null(strstr(early.report.text, "before sandbox_enter_process"));
    harness_end(&early);
    expect_entered(&late);
    expect_status(late.pid, "Seccomp", "2");
    harness_go(&late);
#ifndef SANDBOX_INSTRUMENTED
    assert_false(harness_result(&late, &result));
    assert_int_equal(harness_wait(&late), -SIGSYS);
#else
    (void)result;
    harness_end(&late);
#endif
}

/* Without namespaces of its own a process does not enter, but with insecure, and then it says what
 * is missing and leaves the root alone. */
static void test_mandatory_layers(void **state)
{
    const struct sandbox_spawn plain = { .cgroup_fd = -1,
                                         .skip_layers = SANDBOX_LAYER_USERNS | SANDBOX_LAYER_PIDNS |
                                                        SANDBOX_LAYER_MNTNS | SANDBOX_LAYER_NETNS |
                                                        SANDBOX_LAYER_IPCNS | SANDBOX_LAYER_UTSNS |
                                                        SANDBOX_LAYER_CGROUPNS };
    /* A user namespace with one id is taken for its own: such a caller's too. */
    const bool one_id = geteuid() == 0 && ((const struct harness *)*state)->uid == 0;
    const unsigned seen = plain.skip_layers & ~(one_id ? SANDBOX_LAYER_USERNS : 0u);
    struct probe probe = harness_start_with(*state, plain, "filter", NULL);
    char ours[128] = { 0 }, theirs[128] = { 0 }, path[64];

    assert_int_equal(probe.missing & plain.skip_layers, plain.skip_layers);
    assert_int_equal(probe.report.r, -EPERM);
    assert_non_null(strstr(probe.report.text, one_id ? "netns" : "userns"));
    harness_end(&probe);

    probe = harness_start_with(*state, plain, "insecure", NULL);
    expect_entered(&probe);
    assert_int_equal(probe.report.missing & (plain.skip_layers | SANDBOX_LAYER_ROOT),
                     seen | SANDBOX_LAYER_ROOT);
    assert_int_equal(probe.report.missing & (SANDBOX_LAYER_SECCOMP | SANDBOX_LAYER_CAPS), 0);
    expect_status(probe.pid, "Seccomp", "2");
    expect_status(probe.pid, "CapEff", "0000000000000000");
    if (geteuid() == 0) {
        snprintf(path, sizeof path, "/proc/%d/root", (int)probe.pid);
        assert_true(readlink(path, theirs, sizeof theirs - 1) > 0);
        assert_true(readlink("/proc/self/root", ours, sizeof ours - 1) > 0);
        assert_string_equal(ours, theirs);
    }
    harness_end(&probe);
}

static void test_libc_still_works(void **state)
{
    struct probe probe = harness_start(*state, "filter", "libc");
    struct probe_result result = { .error = -1 };

    expect_entered(&probe);
    harness_go(&probe);
    if (!harness_result(&probe, &result))
        fail_msg("it ended with %d", harness_wait(&probe));
    assert_int_equal(result.error, 0);
    assert_int_equal(harness_wait(&probe), 0);
}

/* Root of the initial user namespace alone, which is always number 0xeffffffd. */
static bool may_read_back(void)
{
    return geteuid() == 0 && namespace_inode("self", "user") == 0xeffffffdu;
}

static void test_readback(void **state)
{
    struct probe probe = harness_start(*state, "filter", NULL);
    struct readback rb = { 0 };
    int calls[READBACK_MAX_CALL];
    char hex[BPF_SHA256_CHARS];

    expect_entered(&probe);
    if (!may_read_back()) {
        assert_int_equal(readback_thread(probe.pid, &rb), -EACCES);
        harness_end(&probe);
        return;
    }
    assert_int_equal(readback_thread(probe.pid, &rb), 0);
    assert_int_equal(rb.n_filters, 1);
    bpf_sha256(rb.filters[0].code, rb.filters[0].n, hex);
    assert_string_equal(hex, sandbox_filter_rng.sha256);
#ifndef SANDBOX_INSTRUMENTED
    assert_int_equal(readback_calls(&rb, calls), sandbox_filter_rng.n_syscalls);
    for (unsigned i = 0; i < sandbox_filter_rng.n_syscalls; i++)
        assert_int_equal(calls[i], sandbox_filter_rng.syscalls[i]);
#else
    (void)calls;
#endif
    readback_deinit(&rb);
    /* It goes on as if nothing had been. */
    harness_go(&probe);
    assert_int_equal(harness_wait(&probe), 0);
}

static void test_readback_without_filter(void **state)
{
    struct probe probe = harness_start(*state, "none", NULL);
    struct readback rb = { 0 };

    if (may_read_back()) {
        assert_int_equal(readback_thread(probe.pid, &rb), 0);
        assert_int_equal(rb.n_filters, 0);
        assert_int_equal(readback_calls(&rb, NULL), READBACK_MAX_CALL);
        readback_deinit(&rb);
    }
    harness_end(&probe);
    assert_true(readback_thread(probe.pid, &rb) < 0);
}

/* A service manager has put its own on before. */
static void test_readback_in_a_service(void **state)
{
    struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = { .len = 1, .filter = &allow };
    struct readback rb = { 0 };
    int ready[2], n = 20;
    char byte = 0;
    pid_t pid;

    (void)state;
    if (!may_read_back())
        return;
    assert_int_equal(pipe(ready), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        for (int i = 0; i < n; i++)
            if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
                _exit(1);
        if (write(ready[1], &byte, 1) == 1)
            pause();
        _exit(1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(readback_thread(pid, &rb), 0);
    assert_int_equal(rb.n_filters, n);
    readback_deinit(&rb);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(ready[0]);
    close(ready[1]);
}

/* A thread that waits for a child of vfork() can be interrupted by nothing but its death. */
static void test_readback_of_one_that_does_not_stop(void **state)
{
    struct readback rb;
    char byte;
    int begun[2];
    pid_t pid;

    (void)state;
    if (!may_read_back())
        return;
    assert_int_equal(pipe2(begun, O_CLOEXEC), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (vfork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            (void)!write(begun[1], "", 1);
            for (;;)
                pause();
        }
        _exit(0);
    }
    assert_int_equal(read(begun[0], &byte, 1), 1);
    assert_int_equal(readback_thread(pid, &rb), -ETIMEDOUT);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, __WALL), pid);
    close(begun[0]);
    close(begun[1]);
}

static int group(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_namespaces),
        cmocka_unit_test(test_root_is_empty),
        cmocka_unit_test(test_network_is_empty),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_fds),
        cmocka_unit_test(test_without_filter),
        cmocka_unit_test(test_actions_under_filter),
        cmocka_unit_test(test_actions_without_filter),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_mandatory_layers),
        cmocka_unit_test(test_libc_still_works),
        cmocka_unit_test(test_readback),
        cmocka_unit_test(test_readback_without_filter),
        cmocka_unit_test(test_readback_in_a_service),
        cmocka_unit_test(test_readback_of_one_that_does_not_stop),
    };

    return cmocka_run_group_tests(tests, harness_setup, harness_teardown);
}

static int refused(void)
{
    return 0; /* see test_spawn.c */
}

int main(void)
{
    return harness_run_both(group, refused);
}
