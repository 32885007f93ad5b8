/* SPDX-License-Identifier: Apache-2.0 */
/* groups_test.c - a VM's control groups are its own, and all of them go with it, whoever is killed.
 * Needs a group that can be divided: ./dev test runs it in the emulated host, or where guests can run. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "fixture.h"
#include "sandbox/cgroup.h"
#include "sandbox/cgroup_life.h"
#include "sandbox/enter.h"
#include "sandbox/gen/filter_broker.h"
#include "sandbox/ids.h"
#include "sandbox/landlock.h"
#include "sandbox/layers.h"
#include "sandbox/spawn.h"
#include "spawner/cgroups.h"

static int base_fd = -1;

/* Root can divide its group wherever cgroup v2 is; whether others can is not theirs to say. */
static int can_divide(void)
{
    char path[GROUPS_PATH_BYTES];

    if (sandbox_cgroup_find(&base_fd, path, sizeof path) == 0)
        return 0;
    fprintf(stderr, "groups: this control group can't be divided: start it with "
                    "tests/host/run --emulated\n");
    return geteuid() == 0 ? 1 : 77;
}

static bool exists(const char *name)
{
    return faccessat(base_fd, name, F_OK, 0) == 0;
}

static int add(struct groups *groups, const char *leaf, uint32_t pids_max)
{
    const struct sandbox_cgroup_limits limits = { .pids_max = pids_max };
    unsigned missing;
    int fd;

    assert_int_equal(groups_add(groups, leaf, &limits, &fd, &missing), 0);
    return fd;
}

/* A process in that group, which waits until it is killed, or this test ends. */
static pid_t occupy(struct groups *groups, const char *leaf)
{
    int fd = add(groups, leaf, 0), procs, life[2];
    char text[16];
    pid_t pid;

    assert_true(fd >= 0);
    assert_int_equal(pipe2(life, O_CLOEXEC), 0); /* its write end goes with this test */
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(life[1]);
        _exit((int)read(life[0], text, 1));
    }
    close(life[0]);
    procs = openat(fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    snprintf(text, sizeof text, "%d", (int)pid);
    assert_int_equal(write(procs, text, strlen(text)), strlen(text));
    close(procs);
    close(fd);
    return pid;
}

static void assert_killed(pid_t pid)
{
    int status = 0;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* Two brokers with one pid, in two namespaces: each has a group, and ends its own alone. */
static void test_one_name(void **state)
{
    struct groups a, b;
    pid_t neighbour;

    (void)state;
    groups_make(&a, getpid());
    groups_make(&b, getpid());
    assert_string_not_equal(a.path, "");
    assert_string_not_equal(b.path, "");
    assert_string_not_equal(a.name, b.name);
    neighbour = occupy(&b, "core");
    groups_end(&a);
    assert_false(exists(a.name));
    assert_true(exists(b.name));
    assert_int_equal(waitpid(neighbour, NULL, WNOHANG), 0);
    groups_end(&b);
    assert_killed(neighbour);
    assert_false(exists(b.name));
}

/* Leaves whose processes live, and leaves that were kept because somebody was in them once. */
/* Who is started into a group of its own makes room in that, and leaves alone who started it. */
static void test_parent_in_another_group(void **state)
{
    char theirs[64] = "", ours[64] = "", name[32], line[32];
    int fd = -1, leaf, procs, status = -1;
    pid_t pid;

    (void)state;
    snprintf(name, sizeof name, "parent-%d", (int)getpid());
    assert_int_equal(sandbox_cgroup_claim(base_fd, name, &fd), 0);
    assert_int_equal(sandbox_cgroup_read(base_fd, "cgroup.procs", ours, sizeof ours), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        procs = openat(fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
        if (procs < 0 || write(procs, "0", 1) != 1)
            _exit(2);
        sandbox_cgroup_delegate(fd, "leaf");
        leaf = openat(fd, "leaf", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        snprintf(line, sizeof line, "%d", (int)getpid());
        if (leaf < 0 || sandbox_cgroup_read(leaf, "cgroup.procs", theirs, sizeof theirs) < 0)
            _exit(3);
        _exit(strcmp(theirs, line) == 0
                  ? 0
                  : 4); /* the lowest number comes first: the parent's would */
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(sandbox_cgroup_read(base_fd, "cgroup.procs", theirs, sizeof theirs), 0);
    assert_int_equal(sandbox_cgroup_end(base_fd, name, fd, -1), 0);
    close(fd);
    assert_int_equal(status, 0);
    assert_string_equal(theirs, ours);
}

static void test_leaves(void **state)
{
    struct groups groups;
    pid_t core, disk;

    (void)state;
    groups_make(&groups, getpid());
    core = occupy(&groups, "core");
    disk = occupy(&groups, "disk0");
    fd_closep(&(int){ add(&groups, "empty", 0) });
    groups_remove(&groups, "disk0"); /* too early */
    groups_end(&groups);
    assert_false(exists(groups.name));
    assert_killed(core);
    assert_killed(disk);
}

/* Nobody is started beside a group: not where it is full, nor where its name can't be had. */
static void test_nobody_outside(void **state)
{
    char *argv[] = { (char[]){ "true" }, NULL };
    const int fds[] = { 0, 1, 2, 2 };
    const struct sandbox_cgroup_limits none = { 0 };
    struct sandbox_spawn spawn = { .program = "/bin/true", .argv = argv, .fds = fds, .n_fds = 4 };
    struct groups groups;
    unsigned missing;
    int pidfd, fd;
    pid_t pid, full;

    (void)state;
    spawn.uid = spawn.gid = geteuid() == 0 ? sandbox_uid((uint32_t)getpid(), 9) : 0;
    groups_make(&groups, getpid());
    assert_true(groups_add(&groups, "cgroup.procs", &none, &fd, &missing) < 0);
    assert_int_equal(fd, -1);
    full = occupy(&groups, "rng");
    spawn.cgroup_fd = add(&groups, "rng", 1);
    if (faccessat(spawn.cgroup_fd, "pids.max", F_OK, 0) == 0)
        assert_int_equal(sandbox_spawn(&spawn, &pid, &pidfd, &missing), -EAGAIN);
    close(spawn.cgroup_fd);
    groups_end(&groups);
    assert_killed(full);
}

static uint64_t read_limit(int group_fd, const char *name)
{
    cleanup_(fd_closep) int fd = openat(group_fd, name, O_RDONLY | O_CLOEXEC);
    char text[32] = "";

    assert_true(fd >= 0 && read(fd, text, sizeof text - 1) > 0);
    return strtoull(text, NULL, 10);
}

/* A limit that no controller enforces is said to be missing, and so is the whole group. */
static void test_limits_in_force(void **state)
{
    const struct sandbox_cgroup_limits limits = { .pids_max = 3,
                                                  .memory_high_bytes = 8 << 20,
                                                  .memory_max_bytes = 16 << 20 },
                                       no_memory = { .pids_max = 3 };
    struct groups groups;
    unsigned missing = 0;
    int fd;

    (void)state;
    groups_make(&groups, getpid());
    assert_int_equal(groups_add(&groups, "disk0", &limits, &fd, &missing), 0);
    if ((~groups.limits & (SANDBOX_CGROUP_PIDS | SANDBOX_CGROUP_MEMORY)) == 0) {
        assert_int_equal(missing, 0);
        assert_int_equal(read_limit(fd, "pids.max"), 3);
        assert_int_equal(read_limit(fd, "memory.high"), 8 << 20);
        assert_int_equal(read_limit(fd, "memory.max"), 16 << 20);
    } else if (base_fd >= 0) {
        assert_int_equal(missing, SANDBOX_LAYER_CGROUP_LIMITS);
    } else {
        assert_int_equal(missing, SANDBOX_LAYER_CGROUP | SANDBOX_LAYER_CGROUP_LIMITS);
    }
    fd_closep(&fd);
    assert_int_equal(groups_add(&groups, "console", &no_memory, &fd, &missing), 0);
    if (groups.limits & SANDBOX_CGROUP_PIDS)
        assert_int_equal(missing, 0);
    fd_closep(&fd);
    groups_end(&groups);
}

static void assert_reads(int dir_fd, const char *file, const char *want)
{
    char text[64] = "";

    assert_int_equal(sandbox_cgroup_read(dir_fd, file, text, sizeof text), 0);
    assert_string_equal(text, want);
}

/* Of the whole VM: each controller is handed down when a limit of it is asked for, and not before. */
static void test_limits_of_the_vm(void **state)
{
    static const struct {
        unsigned controller;
        const char *file, *value;
    } cases[] = { { SANDBOX_CGROUP_CPU, "cpu.max", "150000 100000" },
                  { SANDBOX_CGROUP_CPU, "cpu.weight", "50" },
                  { SANDBOX_CGROUP_MEMORY, "memory.max", "1073741824" },
                  { SANDBOX_CGROUP_PIDS, "pids.max", "300" } };
    struct groups groups;

    (void)state;
    groups_make(&groups, getpid());
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int r = groups_limit(&groups, cases[i].controller, cases[i].file, cases[i].value);

        assert_int_equal(r == 0, (groups.limits & cases[i].controller) != 0);
        if (r == 0)
            assert_reads(groups.vm_fd, cases[i].file, cases[i].value);
    }
    groups_end(&groups);
    assert_int_equal(groups_limit(&groups, SANDBOX_CGROUP_CPU, "cpu.max", "1 1"), -ENODEV);
}

static int make_file(int dir_fd, const char *name)
{
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    return fd < 0 || close(fd) < 0 ? -1 : 0;
}

/* As the service's starter puts a VM's broker there. */
static void test_a_group_of_one_vm(void **state)
{
    static const char name[] = "vm:1.2:acme:web";
    struct groups groups;
    int status = -1, fd;
    pid_t pid;

    (void)state;
    groups_make(&groups, getpid());
    assert_false(groups.base_competes);
    groups_end(&groups);
    assert_int_equal(mkdirat(base_fd, name, 0755), 0);
    pid = fork();
    if (pid == 0) {
        fd = openat(base_fd, "vm:1.2:acme:web/cgroup.procs", O_WRONLY | O_CLOEXEC);
        if (write(fd, "0", 1) != 1)
            _exit(2);
        groups_make(&groups, getpid());
        status = groups.base_competes ? 0 : 1;
        groups_end(&groups);
        _exit(status);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    fd = openat(base_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    (void)unlinkat(fd, "supervisor", AT_REMOVEDIR);
    close(fd);
    assert_int_equal(unlinkat(base_fd, name, AT_REMOVEDIR), 0);
    assert_int_equal(status, 0);
}

/* A VM of the host's service is in a group that is its alone: there its weights count, beside those of others' VMs. Files stand in for
 * the kernel's. */
static void test_weights_where_they_count(void **state)
{
    static const char *const files[] = { "cpu.weight", "io.weight", "cpu.max" };
    char dir[] = "/tmp/bulkhead-groups-XXXXXX";
    struct groups groups = { .kill_fd = -1,
                             .limits = SANDBOX_CGROUP_IO | SANDBOX_CGROUP_CPU,
                             .base_competes = true };

    (void)state;
    assert_non_null(mkdtemp(dir));
    groups.base_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(groups.base_fd, "vm", 0700), 0);
    groups.vm_fd = openat(groups.base_fd, "vm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        assert_int_equal(make_file(groups.vm_fd, files[i]), 0);
        if (i == 0) /* one that can't be had there is refused */
            assert_int_equal(groups_limit(&groups, SANDBOX_CGROUP_CPU, files[i], "7"), -ENOENT);
        assert_int_equal(make_file(groups.base_fd, files[i]), 0);
        assert_int_equal(groups_limit(&groups, SANDBOX_CGROUP_CPU, files[i], "7"), 0);
        assert_reads(groups.vm_fd, files[i], "7");
        assert_reads(groups.base_fd, files[i], i < 2 ? "7" : "");
        assert_int_equal(unlinkat(groups.vm_fd, files[i], 0), 0);
        assert_int_equal(unlinkat(groups.base_fd, files[i], 0), 0);
    }
    assert_int_equal(unlinkat(groups.base_fd, "vm", AT_REMOVEDIR), 0);
    groups_close(&groups);
    assert_int_equal(rmdir(dir), 0);
}

/* As on a kernel that has BFQ and no io.weight: files stand in for the kernel's. */
static void test_older_weight(void **state)
{
    char dir[] = "/tmp/bulkhead-groups-XXXXXX";
    struct groups groups = { .kill_fd = -1, .limits = SANDBOX_CGROUP_IO };

    (void)state;
    assert_non_null(mkdtemp(dir));
    groups.base_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    groups.vm_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(groups_limit(&groups, SANDBOX_CGROUP_IO, "io.weight", "7"), -ENOENT);
    assert_int_equal(make_file(groups.vm_fd, "io.bfq.weight"), 0);
    assert_int_equal(groups_limit(&groups, SANDBOX_CGROUP_IO, "io.weight", "7"), 0);
    assert_reads(groups.vm_fd, "io.bfq.weight", "7");
    assert_int_equal(unlinkat(groups.vm_fd, "io.bfq.weight", 0), 0);
    groups_close(&groups);
    assert_int_equal(rmdir(dir), 0);
}

/* Broker and spawner both have the groups. Whoever ends last removes what there is, and nothing
 * that took the name since. */
static void test_both_end(void **state)
{
    struct groups broker, spawner, other;

    (void)state;
    groups_make(&broker, getpid());
    spawner = broker;
    spawner.base_fd = fcntl(broker.base_fd, F_DUPFD_CLOEXEC, 3);
    spawner.vm_fd = fcntl(broker.vm_fd, F_DUPFD_CLOEXEC, 3);
    spawner.kill_fd = fcntl(broker.kill_fd, F_DUPFD_CLOEXEC, 3);
    fd_closep(&(int){ add(&spawner, "core", 0) });
    groups_close(&spawner); /* killed */
    groups_end(&broker);
    assert_false(exists(broker.name));

    groups_make(&broker, getpid());
    spawner = broker;
    spawner.base_fd = fcntl(broker.base_fd, F_DUPFD_CLOEXEC, 3);
    spawner.vm_fd = fcntl(broker.vm_fd, F_DUPFD_CLOEXEC, 3);
    spawner.kill_fd = fcntl(broker.kill_fd, F_DUPFD_CLOEXEC, 3);
    groups_end(&spawner);
    groups_make(&other, getpid());
    assert_string_equal(other.name, broker.name);
    groups_end(&broker);
    assert_true(exists(other.name));
    groups_end(&other);
    assert_false(exists(other.name));
}

static bool writes(int dir_fd, const char *file)
{
    cleanup_(fd_closep) int fd = openat(dir_fd, file, O_WRONLY | O_CLOEXEC);

    return fd >= 0;
}

/* After it has given up all else the broker can still kill them; the removal is another's. */
static void kill_from_sandbox(const char *file)
{
    struct groups outer, groups = { .name = "bulkhead-1" };
    const struct sandbox_broker rights = { .readable = { -1, -1 } };
    unsigned missing = 0;
    int status = -1;
    pid_t core, pid;

    /* Not in the hierarchy's root, where even root needs a capability to remove a group. */
    groups_make(&outer, getpid());
    groups.base_fd = fcntl(outer.vm_fd, F_DUPFD_CLOEXEC, 3);
    assert_int_equal(sandbox_cgroup_claim(outer.vm_fd, groups.name, &groups.vm_fd), 0);
    groups.kill_fd = sandbox_cgroup_open_kill(groups.vm_fd);
    core = occupy(&groups, "core");
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (sandbox_enter_broker(&sandbox_filter_broker, &rights, &missing) < 0)
            _exit(1);
        groups_kill(&groups);
        /* Into a group that it may kill it can't have others moved, nor lift a limit. */
        _exit(writes(groups.vm_fd, file) ? 2 : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(status == 0 || WTERMSIG(status) == SIGSYS);
    assert_killed(core);
    groups_end(&groups);
    assert_int_equal(faccessat(outer.vm_fd, groups.name, F_OK, 0), -1);
    groups_end(&outer);
    assert_false(exists(outer.name));
}

static void test_sandboxed_broker(void **state)
{
    static const char *const files[] = { "cgroup.procs", "core/memory.max", "core/cgroup.freeze" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        kill_from_sandbox(files[i]);
}

/* Both were killed: the next VM removes their groups, if they are empty, and nobody else's. */
static void test_sweep(void **state)
{
    struct groups killed, alive, next;
    char stranger[48];
    pid_t orphan;

    (void)state;
    snprintf(stranger, sizeof stranger, "bulkhead-test%d", (int)getpid());
    assert_int_equal(mkdirat(base_fd, stranger, 0755), 0);
    groups_make(&alive, getpid());
    groups_make(&killed, getpid());
    orphan = occupy(&killed, "core");
    fd_closep(&(int){ add(&killed, "disk0", 0) });
    groups_close(&killed);

    groups_make(&next, getpid());
    assert_true(exists(killed.name)); /* a guest runs there */
    assert_int_equal(waitpid(orphan, NULL, WNOHANG), 0);
    groups_end(&next);
    kill(orphan, SIGKILL);
    assert_killed(orphan);
    groups_make(&next, getpid());
    assert_string_equal(killed.name, next.name); /* its name was free again */
    assert_int_equal(faccessat(next.vm_fd, "disk0", F_OK, 0), -1);
    assert_true(exists(alive.name));
    assert_true(exists(stranger));
    groups_end(&next);
    groups_end(&alive);
    assert_int_equal(unlinkat(base_fd, stranger, AT_REMOVEDIR), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_name),
        cmocka_unit_test(test_parent_in_another_group),
        cmocka_unit_test(test_leaves),
        cmocka_unit_test(test_nobody_outside),
        cmocka_unit_test(test_both_end),
        cmocka_unit_test(test_sandboxed_broker),
        cmocka_unit_test(test_sweep),
        cmocka_unit_test(test_limits_in_force),
        cmocka_unit_test(test_limits_of_the_vm),
        cmocka_unit_test(test_older_weight),
        cmocka_unit_test(test_a_group_of_one_vm),
        cmocka_unit_test(test_weights_where_they_count),
    };

    int status = can_divide();

    if (status == 0)
        status = cmocka_run_group_tests(tests, NULL, NULL);
    fd_closep(&base_fd);
    return status;
}
