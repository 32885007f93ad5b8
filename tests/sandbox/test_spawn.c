/* SPDX-License-Identifier: Apache-2.0 */
/* test_spawn.c - the parent's half: the exact descriptor table, ids, environment, signals, and an
 * exec that fails is heard of here. As root and as an ordinary user. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/compiler.h"
#include "base/err.h"
#include "harness.h"
#include "sandbox/cgroup.h"
#include "sandbox/layers.h"
#include "sandbox/spawn.h"
#include <cmocka.h>

/* Starts the probe in mode "none" with these descriptors at 0..n-1; 3 must be `theirs`. */
static struct probe start_with_fds(const struct harness *h, const int *fds, unsigned n, int control)
{
    char *argv[] = { (char[]){ "sandbox_probe" }, (char[]){ "none" }, NULL };
    struct sandbox_spawn spawn = { .program_fd = h->program_fd,
                                   .argv = argv,
                                   .fds = fds,
                                   .n_fds = n,
                                   .uid = h->uid,
                                   .gid = h->uid,
                                   .no_userns = h->no_userns,
                                   .cgroup_fd = -1 };
    struct probe probe = { .pidfd = -1, .control = dup(control) };

    if (sandbox_spawn(&spawn, &probe.pid, &probe.pidfd, &probe.missing) < 0)
        fail_msg("%s", err_text());
    assert_int_equal(read(probe.control, &probe.report, sizeof probe.report), sizeof probe.report);
    return probe;
}

static bool same_file(pid_t pid, unsigned fd, int ours)
{
    char path[64];
    struct stat a, b;

    snprintf(path, sizeof path, "/proc/%d/fd/%u", (int)pid, fd);
    return stat(path, &a) == 0 && fstat(ours, &b) == 0 && a.st_ino == b.st_ino &&
           a.st_dev == b.st_dev;
}

static void expect_fds(const struct probe *probe, const int *fds, unsigned n)
{
    char path[64];

    for (unsigned i = 0; i < n; i++)
        if (!same_file(probe->pid, i, fds[i]))
            fail_msg("descriptor %u of the child is not our %d", i, fds[i]);
    for (unsigned i = n; i < n + 40; i++) {
        struct stat st;

        snprintf(path, sizeof path, "/proc/%d/fd/%u", (int)probe->pid, i);
        if (stat(path, &st) == 0)
            fail_msg("the child has descriptor %u", i);
    }
}

/* Descriptors whose numbers collide with the child's in every way: the table has to be exact. */
static void test_fd_table(void **state)
{
    const struct harness *h = *state;
    int mem[6], pair[2];
    const int orders[][6] = {
        /* index into mem for child's 0,1,2 (3 is the socket), 4, 5 */
        { 0, 1, 2, 3, 4, 5 },
        { 5, 4, 3, 2, 1, 0 },
        { 1, 0, 3, 2, 5, 4 },
        { 2, 2, 2, 2, 2, 2 },
    };

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(mem); i++) {
        mem[i] = memfd_create("x", i % 2 ? MFD_CLOEXEC : 0); /* inherited ones must go too */
        assert_true(mem[i] >= 0);
    }
    for (unsigned o = 0; o < ARRAY_SIZE(orders); o++) {
        int fds[6];
        struct probe probe;

        for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
            fds[i] = mem[orders[o][i]];
        fds[3] = pair[1];
        probe = start_with_fds(h, fds, ARRAY_SIZE(fds), pair[0]);
        expect_fds(&probe, fds, ARRAY_SIZE(fds));
        harness_end(&probe);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(mem); i++)
        close(mem[i]);
    close(pair[0]);
    close(pair[1]);
}

/* Runs in a child, since it plays with the standard descriptors: sources are its own 0..5, shuffled,
 * or (gaps) high ones while 0..5 are closed. */
static _Noreturn void overlap_child(const struct harness *h, bool gaps)
{
    int shuffled[6] = { 5, 4, 1, 3, 0, 2 }, high[6], pair[2];
    int out = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 50);
    struct harness copy = { .program_fd = fcntl(h->program_fd, F_DUPFD_CLOEXEC, 50),
                            .uid = h->uid,
                            .no_userns = h->no_userns };
    const int *fds = gaps ? high : shuffled;
    struct probe probe;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ||
        (pair[0] = fcntl(pair[0], F_DUPFD_CLOEXEC, 50)) < 0)
        _exit(2);
    for (int i = 0; i < 6; i++) {
        int fd = i == 3 ? pair[1] : memfd_create("high", MFD_CLOEXEC);

        high[i] = fcntl(fd, F_DUPFD_CLOEXEC, 60);
    }
    for (int i = 0; i < 6; i++)
        if (gaps)
            close(i);
        else
            dup2(high[i], i);
    probe = start_with_fds(&copy, fds, 6, pair[0]);
    for (unsigned i = 0; i < 6; i++)
        if (!same_file(probe.pid, i, fds[i])) {
            dprintf(out, "descriptor %u is wrong\n", i);
            _exit(1);
        }
    kill(probe.pid, SIGKILL);
    waitpid(probe.pid, NULL, 0);
    _exit(0);
}

static void test_fd_table_overlaps(void **state)
{
    for (int gaps = 0; gaps < 2; gaps++) {
        int status = 0;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0)
            overlap_child(*state, gaps != 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
}

static void test_fresh_process(void **state)
{
    const struct harness *h = *state;
    struct probe probe;
    char value[256];
    sigset_t set, old;

    /* What the parent does with signals is not the child's. */
    signal(SIGUSR1, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, &old);
    probe = harness_start(h, "filter", NULL);
    sigprocmask(SIG_SETMASK, &old, NULL);
    signal(SIGUSR1, SIG_DFL);

    harness_status(probe.pid, "SigBlk", value, sizeof value);
    assert_string_equal(value, "0000000000000000");
    harness_status(probe.pid, "SigIgn", value, sizeof value);
    assert_string_equal(value, "0000000000004003"); /* SIGHUP, SIGINT, SIGTERM */
    harness_status(probe.pid, "Umask", value, sizeof value);
    assert_string_equal(value, "0077");
    harness_status(probe.pid, "PPid", value, sizeof value);
    assert_int_equal(atoi(value), getpid());
    assert_int_equal(getsid(probe.pid), probe.pid);
    assert_int_equal(harness_proc(probe.pid, "environ", value, sizeof value), 0);
    harness_proc(probe.pid, "comm", value, sizeof value);
    assert_string_equal(value, "sandbox_probe\n"); /* although it was executed by descriptor */
    harness_end(&probe);
}

static void expect_one_id(const struct probe *probe, const char *map, unsigned id)
{
    unsigned inside = 9, outside = 9, count = 9;
    char text[256];

    harness_proc(probe->pid, map, text, sizeof text);
    assert_int_equal(sscanf(text, "%u %u %u", &inside, &outside, &count), 3);
    assert_int_equal(inside, 0);
    assert_int_equal(outside, id);
    assert_int_equal(count, 1);
}

static void test_ids(void **state)
{
    const struct harness *h = *state;
    const gid_t groups[] = { 0, 27 };
    struct probe probe;
    unsigned uid = h->uid ? h->uid : geteuid();
    char text[256];

    if (h->uid) /* the parent's groups must not reach a child with ids of its own */
        assert_int_equal(setgroups(ARRAY_SIZE(groups), groups), 0);
    probe = harness_start(h, "filter", NULL);
    if (h->uid) {
        assert_int_equal(setgroups(0, NULL), 0);
        harness_status(probe.pid, "Groups", text, sizeof text);
        assert_string_equal(text, " ");
    }
    if (!h->no_userns) {
        expect_one_id(&probe, "uid_map", uid);
        expect_one_id(&probe, "gid_map", uid);
        harness_proc(probe.pid, "setgroups", text, sizeof text);
        if (h->uid == 0)
            assert_string_equal(text, "deny\n");
    }
    /* No cgroup was given, and all else there is. */
    assert_int_equal(probe.missing, SANDBOX_LAYER_CGROUP | harness_missing(h));
    harness_end(&probe);
}

static int spawn_program(const struct harness *h, const char *path, int program_fd)
{
    char *argv[] = { (char[]){ "program" }, NULL };
    int fds[] = { 0, 1, 2 };
    struct sandbox_spawn spawn = { .program = path,
                                   .program_fd = program_fd,
                                   .argv = argv,
                                   .fds = fds,
                                   .n_fds = 3,
                                   .uid = h->uid,
                                   .gid = h->uid,
                                   .no_userns = h->no_userns,
                                   .cgroup_fd = -1 };
    pid_t pid = -1;
    int pidfd = -1;
    unsigned missing = 0;
    int r = sandbox_spawn(&spawn, &pid, &pidfd, &missing);

    if (r == 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        close(pidfd);
    } else {
        assert_int_equal(pid, -1); /* outputs only on success */
        assert_int_equal(pidfd, -1);
    }
    return r;
}

static void test_exec_failures(void **state)
{
    const struct harness *h = *state;
    char text[] = "/tmp/bulkhead-test-XXXXXX";
    unsigned fds = harness_count_fds();
    int fd;

    assert_int_equal(spawn_program(h, "/nonexistent/program", -1), -ENOENT);
    assert_non_null(strstr(err_text(), "/nonexistent/program"));
    assert_int_equal(spawn_program(h, "/", -1), -EACCES);
    assert_int_equal(spawn_program(h, "/dev/null", -1), -EACCES);
    assert_int_equal(spawn_program(h, NULL, -1), -EINVAL);
    fd = mkstemp(text);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "no program\n", 11), 11);
    assert_int_equal(fchmod(fd, 0755), 0);
    close(fd);
    assert_int_equal(spawn_program(h, text, -1), -ENOEXEC);
    assert_int_equal(chmod(text, 0644), 0);
    assert_int_equal(spawn_program(h, text, -1), -EACCES);
    unlink(text);
    /* Nothing is left behind: no descriptor, no zombie. */
    assert_int_equal(harness_count_fds(), fds);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void test_bad_fds(void **state)
{
    const struct harness *h = *state;
    char *argv[] = { (char[]){ "program" }, NULL };
    int fds[65] = { 0, 1, 999 };
    struct sandbox_spawn spawn = { .program_fd = h->program_fd,
                                   .argv = argv,
                                   .fds = fds,
                                   .n_fds = 3,
                                   .uid = h->uid,
                                   .gid = h->uid,
                                   .no_userns = h->no_userns,
                                   .cgroup_fd = -1 };
    unsigned missing = 0;
    int pidfd = -1;
    pid_t pid = -1;

    assert_int_equal(sandbox_spawn(&spawn, &pid, &pidfd, &missing), -EBADF);
    assert_non_null(strstr(err_text(), "descriptors"));
    spawn.n_fds = 65;
    assert_int_equal(sandbox_spawn(&spawn, &pid, &pidfd, &missing), -E2BIG);
    spawn.n_fds = 2;
    spawn.cgroup_fd = STDIN_FILENO; /* whatever it is, it doesn't take the child */
    assert_int_equal(sandbox_spawn(&spawn, &pid, &pidfd, &missing), -EBADF);
    spawn.uid = 77;
    spawn.gid = 0;
    assert_int_equal(sandbox_spawn(&spawn, &pid, &pidfd, &missing), -EINVAL);
}

static void test_no_leak(void **state)
{
    unsigned fds = harness_count_fds();

    for (int i = 0; i < 20; i++) {
        struct probe probe = harness_start(*state, "filter", NULL);

        harness_go(&probe);
        assert_int_equal(harness_wait(&probe), 0);
    }
    assert_int_equal(harness_count_fds(), fds);
}

static void test_cgroup(void **state)
{
    const struct harness *h = *state;
    const struct sandbox_cgroup_limits limits = { .pids_max = 4 };
    struct sandbox_spawn spawn = harness_spawn(h, (struct sandbox_spawn){ .cgroup_fd = -1 });
    unsigned in_force = 0;
    char name[64], text[512], path[512];
    struct probe probe;
    int base = -1, kill_fd;

    if (sandbox_cgroup_find(&base, path, sizeof path) != 0) {
        /* No group is this user's to divide: then that is said. */
        probe = harness_start(h, "filter", NULL);
        assert_int_equal(probe.missing & SANDBOX_LAYER_CGROUP, SANDBOX_LAYER_CGROUP);
        harness_end(&probe);
        return;
    }
    snprintf(name, sizeof name, "bulkhead-spawn-%d", (int)getpid());
    assert_int_equal(sandbox_cgroup_create(base, name, &limits, &spawn.cgroup_fd, &in_force), 0);
    probe = harness_start_with(h, spawn, "filter", NULL);
    assert_int_equal(probe.missing & SANDBOX_LAYER_CGROUP, 0);
    harness_proc(probe.pid, "cgroup", text, sizeof text);
    assert_non_null(strstr(text, name));
    assert_int_equal(sandbox_cgroup_remove(base, name), -EBUSY);
    kill_fd = sandbox_cgroup_open_kill(spawn.cgroup_fd);
    assert_int_equal(sandbox_cgroup_kill(kill_fd), 0);
    assert_int_equal(harness_wait(&probe), -SIGKILL);
    close(kill_fd);
    close(spawn.cgroup_fd);
    assert_int_equal(sandbox_cgroup_remove(base, name), 0);
    close(base);
}

/* A group that takes no process, beside one for threads: the child starts without one and that is said. */
static void test_bad_cgroup(void **state)
{
    const struct harness *h = *state;
    const struct sandbox_cgroup_limits none = { 0 };
    struct sandbox_spawn spawn = harness_spawn(h, (struct sandbox_spawn){ .cgroup_fd = -1 });
    int base = -1, group, threads, type;
    char name[64], path[512];
    struct probe probe;
    unsigned in_force;

    if (sandbox_cgroup_find(&base, path, sizeof path) != 0)
        return;
    snprintf(name, sizeof name, "bulkhead-spawn-%d", (int)getpid());
    assert_int_equal(sandbox_cgroup_create(base, name, &none, &group, &in_force), 0);
    assert_int_equal(sandbox_cgroup_create(group, "threads", &none, &threads, &in_force), 0);
    assert_int_equal(sandbox_cgroup_create(group, "bad", &none, &spawn.cgroup_fd, &in_force), 0);
    type = openat(threads, "cgroup.type", O_WRONLY | O_CLOEXEC);
    if (write(type, "threaded", 8) == 8) {
        probe = harness_start_with(h, spawn, "filter", NULL);
        assert_int_equal(probe.missing & SANDBOX_LAYER_CGROUP, SANDBOX_LAYER_CGROUP);
        harness_end(&probe);
    }
    close(type);
    close(threads);
    close(spawn.cgroup_fd);
    assert_int_equal(sandbox_cgroup_remove(group, "threads"), 0);
    assert_int_equal(sandbox_cgroup_remove(group, "bad"), 0);
    close(group);
    assert_int_equal(sandbox_cgroup_remove(base, name), 0);
    close(base);
}

static void test_share_netns(void **state)
{
    const struct harness *h = *state;
    const struct sandbox_spawn spawn =
        harness_spawn(h, (struct sandbox_spawn){ .cgroup_fd = -1, .share_netns = true });
    struct probe probe = harness_start_with(h, spawn, "none", NULL);
    char path[64], ours[64] = { 0 }, theirs[64] = { 0 };

    snprintf(path, sizeof path, "/proc/%d/ns/net", (int)probe.pid);
    assert_true(readlink("/proc/self/ns/net", ours, sizeof ours - 1) > 0);
    assert_true(readlink(path, theirs, sizeof theirs - 1) > 0);
    assert_string_equal(ours, theirs);
    assert_int_equal(probe.missing & SANDBOX_LAYER_NETNS, 0); /* as told */
    harness_end(&probe);
    /* And such a child can't enter a sandbox: netns is mandatory. */
    probe = harness_start_with(h, spawn, "filter", NULL);
    assert_int_equal(probe.report.r, -EPERM);
    assert_non_null(strstr(probe.report.text, h->no_userns ? "userns" : "netns"));
    harness_end(&probe);
}

/* Before its first instruction the program has no capability, not even one that it could regain,
 * and no file: what it reads until it enters its sandbox, it reads with nothing to lose. */
static void test_powerless_from_exec(void **state)
{
    static const char *const sets[] = { "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb" };
    const struct harness *h = *state;
    char text[8192], ids[64];
    struct probe probe;

    if (!h->no_userns)
        return; /* uid 0 of a user namespace of its own, until it enters */
    probe = harness_start(h, "none", NULL);
    for (unsigned i = 0; i < ARRAY_SIZE(sets); i++) {
        harness_status(probe.pid, sets[i], text, sizeof text);
        assert_string_equal(text, "0000000000000000");
    }
    snprintf(ids, sizeof ids, "%u\t%u\t%u\t%u", h->uid, h->uid, h->uid, h->uid);
    harness_status(probe.pid, "Uid", text, sizeof text);
    assert_string_equal(text, ids);
    harness_status(probe.pid, "Gid", text, sizeof text);
    assert_string_equal(text, ids);
    harness_proc(probe.pid, "mountinfo", text, sizeof text);
    assert_string_equal(strchr(text, '\n'), "\n");
    assert_non_null(strstr(text, " / / ro,nosuid,nodev,noexec"));
    harness_end(&probe);
}

static void test_no_userns_needs_a_uid(void **state)
{
    const struct harness *h = *state;
    char *argv[] = { (char[]){ "program" }, NULL };
    int fds[] = { 0, 1, 2 }, pidfd = -1;
    const struct sandbox_spawn spawn = { .program_fd = h->program_fd,
                                         .argv = argv,
                                         .fds = fds,
                                         .n_fds = 3,
                                         .no_userns = true,
                                         .cgroup_fd = -1 };
    unsigned missing = 0;
    pid_t pid = -1;

    assert_int_equal(sandbox_spawn(&spawn, &pid, &pidfd, &missing), -EINVAL);
}

static int group(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fd_table),
        cmocka_unit_test(test_fd_table_overlaps),
        cmocka_unit_test(test_fresh_process),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_exec_failures),
        cmocka_unit_test(test_bad_fds),
        cmocka_unit_test(test_no_leak),
        cmocka_unit_test(test_cgroup),
        cmocka_unit_test(test_bad_cgroup),
        cmocka_unit_test(test_share_netns),
        cmocka_unit_test(test_powerless_from_exec),
        cmocka_unit_test(test_no_userns_needs_a_uid),
    };

    return cmocka_run_group_tests(tests, harness_setup, harness_teardown);
}

/* Nobody but root can do without user namespaces, and root only with a static program. */
static void test_refused(void **state)
{
    struct harness h = *(struct harness *)*state;
    int r;

    h.no_userns = false;
    r = spawn_program(&h, NULL, h.program_fd);
    assert_int_equal(r, -ENOSPC);
    assert_non_null(strstr(err_text(), "user.max_user_namespaces"));
    if (geteuid() == 0) {
        h.no_userns = true;
        assert_int_equal(spawn_program(&h, NULL, h.program_fd), -EACCES);
        assert_non_null(strstr(err_text(), "linked statically"));
    }
}

static int refused(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_refused) };

    return cmocka_run_group_tests(tests, harness_setup, harness_teardown);
}

int main(void)
{
    return harness_run_both(group, refused);
}
