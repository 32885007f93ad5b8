/* SPDX-License-Identifier: Apache-2.0 */
/* kill_test.c - who is killed with a VM that has no control group, by processes that stand for its broker, spawner and
 * workers. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/compiler.h"
#include "base/loop.h"
#include "hostd/starter/kill.h"
#include "hostd/starter/process.h"
#include "hostd/starter/state.h"
#include "sandbox/ids.h"
#include "spawner/uids.h"
#include <cmocka.h>

enum { PATIENCE_MS = 30000, WORKERS = 3, ROUNDS = 20 };

static const struct service_groups none = { .base_fd = -1 };

struct vm {
    pid_t first, spawner;
    int pidfds[1 + WORKERS]; /* of the spawner and the workers */
};

static _Noreturn void wait_for_ever(void)
{
    for (;;)
        pause();
}

/* It can go back. */
static void take_uid(uint32_t first_uid, uint32_t slot)
{
    if (first_uid != 0 && syscall(SYS_setresuid, first_uid + slot, first_uid + slot, -1) < 0)
        _exit(1);
}

static _Noreturn void be_spawner(int report_fd, uint32_t first_uid, int flags)
{
    pid_t pids[1 + WORKERS] = { getpid() };

    (void)signal(SIGTERM, SIG_IGN);
    if (first_uid != 0 && syscall(SYS_setresuid, 0, 0, -1) < 0)
        _exit(1);

    for (uint32_t i = 1; i <= WORKERS; i++) {
        pids[i] = (pid_t)syscall(SYS_clone, (long)(flags | SIGCHLD), 0L, 0L, 0L, 0L);
        if (pids[i] != 0)
            continue;
        take_uid(first_uid, i);
        setsid();
        wait_for_ever();
    }
    for (unsigned i = 1; i <= WORKERS; i++)
        while (getsid(pids[i]) != pids[i])
            (void)poll(NULL, 0, 1);
    (void)!write(report_fd, pids, sizeof pids);
    wait_for_ever();
}

static struct vm make(bool first_lives, uint32_t first_uid, int flags)
{
    struct vm vm = { 0 };
    pid_t pids[1 + WORKERS];
    int pair[2];

    assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
    vm.first = fork();
    if (vm.first == 0) {
        setsid();
        take_uid(first_uid, SANDBOX_UIDS_PER_VM - 1);
        if (fork() == 0)
            be_spawner(pair[1], first_uid, flags);
        if (!first_lives)
            _exit(0);
        wait_for_ever();
    }
    if (!first_lives)
        assert_int_equal(waitpid(vm.first, NULL, 0), vm.first);
    assert_int_equal(read(pair[0], pids, sizeof pids), sizeof pids);
    close(pair[0]);
    close(pair[1]);
    vm.spawner = pids[0];
    for (unsigned i = 0; i <= WORKERS; i++) {
        vm.pidfds[i] = (int)syscall(SYS_pidfd_open, pids[i], 0);
        assert_true(vm.pidfds[i] >= 0);
    }
    return vm;
}

static bool is_dead(int pidfd, int within_ms)
{
    return poll(&(struct pollfd){ .fd = pidfd, .events = POLLIN }, 1, within_ms) == 1;
}

/* Of the workers this is so as soon as the killing is over. */
static void assert_dead(struct vm *vm)
{
    for (unsigned i = 1; i <= WORKERS; i++)
        assert_true(is_dead(vm->pidfds[i], 0));
    assert_true(is_dead(vm->pidfds[0], PATIENCE_MS));
    for (unsigned i = 0; i <= WORKERS; i++)
        close(vm->pidfds[i]);
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
}

/* Its spawner and the next broker are in the group that the first one made. */
static void test_after_the_first_brokers_death(void **state)
{
    struct vm vm = make(false, 0, 0);

    (void)state;
    assert_int_equal(kill_now(&none, "acme", "web", vm.spawner), -ESRCH); /* who made no group */
    assert_int_equal(kill_now(&none, "acme", "web", 0), -ESRCH);
    assert_int_equal(kill_now(&none, "acme", "web", getpgid(0)), -ESRCH);
    assert_false(is_dead(vm.pidfds[0], 0));
    assert_int_equal(kill_now(&none, "acme", "web", vm.first), 0);
    assert_dead(&vm);
}

/* Its spawner is a member of the group, and a child of one: if it died first, the workers would be nobody's. */
static void test_while_the_first_broker_lives(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct vm vm = make(true, 0, 0);

        assert_int_equal(kill_now(&none, "acme", "web", vm.first), 0);
        assert_dead(&vm);
    }
}

/* As one is that was killed in the middle of it. */
static void test_one_that_stands_still(void **state)
{
    struct vm vm = make(true, 0, 0);

    (void)state;
    assert_int_equal(kill(-vm.first, SIGSTOP), 0);
    assert_int_equal(kill_now(&none, "acme", "web", vm.first), 0);
    assert_dead(&vm);
}

/* A spawner that the kernel killed has left workers: root's service knows them by the uids of their VM. */
static void test_whose_spawner_is_dead(void **state)
{
    const uint32_t first_uid = sandbox_uid(17, 0);
    struct vm vm, other;

    (void)state;
    if (geteuid() != 0)
        return; /* nobody else's VMs have such */
    vm = make(true, first_uid, 0);
    other = make(true, sandbox_uid(18, 0), 0);
    assert_int_equal(syscall(SYS_pidfd_send_signal, vm.pidfds[0], SIGKILL, NULL, 0), 0);
    assert_true(is_dead(vm.pidfds[0], PATIENCE_MS));
    assert_int_equal(kill_now(&none, "acme", "web", vm.first), 0);
    assert_dead(&vm);
    for (unsigned i = 0; i <= WORKERS; i++)
        assert_false(is_dead(other.pidfds[i], 0));
    assert_int_equal(kill_now(&none, "acme", "web", other.first), 0);
    assert_dead(&other);
}

/* With the spawner went its claim, and another VM's processes have these uids by now. */
static void test_whose_uids_are_anothers(void **state)
{
    struct vm vm, other;
    struct uids claim;

    (void)state;
    if (geteuid() != 0)
        return;
    vm = make(true, sandbox_uid(17, 0), 0);
    assert_int_equal(syscall(SYS_pidfd_send_signal, vm.pidfds[0], SIGKILL, NULL, 0), 0);
    assert_true(is_dead(vm.pidfds[0], PATIENCE_MS));
    other = make(true, sandbox_uid(17, 0), 0);
    uids_claim_within(&claim, UIDS_FILE, 0, 17, 1);
    assert_true(claim.claimed);
    assert_int_equal(kill_now(&none, "acme", "web", vm.first), 0);
    for (unsigned i = 0; i <= WORKERS; i++)
        assert_false(is_dead(other.pidfds[i], 0));
    uids_release(&claim);
    assert_int_equal(kill_now(&none, "acme", "other", other.first), 0);
    assert_dead(&other);
    assert_dead(&vm); /* who has the claim kills all that have these */
}

/* As hidepid= does it: of a user's own VM the brokers are hidden. */
static void test_members_that_proc_does_not_show(void **state)
{
    struct vm vm = make(true, 0, 0);
    int status = -1;
    pid_t pid;

    (void)state;
    for (unsigned i = 1; i <= WORKERS; i++) {
        assert_int_equal(syscall(SYS_pidfd_send_signal, vm.pidfds[i], SIGKILL, NULL, 0), 0);
        assert_true(is_dead(vm.pidfds[i], PATIENCE_MS));
    }
    pid = fork();
    if (pid == 0) {
        if (unshare(CLONE_NEWNS | (geteuid() == 0 ? 0 : CLONE_NEWUSER)) < 0 ||
            mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("none", "/proc", "tmpfs", 0, NULL) < 0)
            _exit(99);
        _exit(-kill_now(&none, "acme", "web", vm.first));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_dead(&vm);
}

static void drop_cap_sys_ptrace(void)
{
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2];

    if (syscall(SYS_capget, &header, data) < 0)
        _exit(98);
    data[0].effective &= ~(1u << CAP_SYS_PTRACE);
    data[0].permitted &= ~(1u << CAP_SYS_PTRACE);
    data[0].inheritable = 0;
    if (syscall(SYS_capset, &header, data) < 0)
        _exit(98);
}

/* Of root's VM without user namespaces: its workers are hidden from root's service, which has not all rights, where another group
 * than root's sees all. */
static void test_workers_that_proc_hides(void **state)
{
    struct vm vm;
    int status = -1;
    pid_t pid;

    (void)state;
    if (geteuid() != 0)
        return;
    vm = make(true, sandbox_uid(17, 0), 0);
    pid = fork();
    if (pid == 0) {
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("proc", "/proc", "proc", 0, "hidepid=2,gid=65533") < 0)
            _exit(99);
        drop_cap_sys_ptrace();
        _exit(-kill_now(&none, "acme", "web", vm.first));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_dead(&vm);
}

/* In the worker's process id namespace, which can't end before it: the parent of `pid` is outside and reaps nobody. */
static pid_t hold(const struct vm *vm, int flags)
{
    int pair[2];
    pid_t pid;
    char byte;

    assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0) {
        if (setns(vm->pidfds[1], flags) < 0)
            _exit(99);
        if (fork() != 0)
            (void)!write(pair[1], "", 1);
        wait_for_ever();
    }
    close(pair[1]);
    assert_int_equal(read(pair[0], &byte, 1), 1);
    close(pair[0]);
    return pid;
}

static char state_of(pid_t pid)
{
    char path[32], text[128] = "", state = 0;
    int fd;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(read(fd, text, sizeof text - 1) > 0);
    close(fd);
    assert_int_equal(sscanf(text, "%*d (%*[^)]) %c", &state), 1);
    return state;
}

/* As one in a disk's driver: the spawner, which holds what the VM has claimed, outlives it. */
static void test_a_worker_that_does_not_die(void **state)
{
    const int flags = CLONE_NEWPID | (geteuid() == 0 ? 0 : CLONE_NEWUSER);
    struct vm vm = make(true, 0, flags);
    pid_t holder = hold(&vm, flags);

    (void)state;
    assert_int_equal(kill_now(&none, "acme", "web", vm.first), -EBUSY);
    assert_false(is_dead(vm.pidfds[1], 0));
    assert_false(is_dead(vm.pidfds[0], 0));
    while (state_of(vm.spawner) == 'T') /* it goes on, and ends by itself when it can */
        (void)poll(NULL, 0, 1);
    kill(holder, SIGKILL); /* who is left to this test is reaped with the rest */
    while (!is_dead(vm.pidfds[1], 1))
        (void)waitpid(-1, NULL, WNOHANG);
    assert_int_equal(kill_now(&none, "acme", "web", vm.first), 0);
    assert_dead(&vm);
}

/* Stands for the starter, and is killed while its killer still waits for a worker. */
static _Noreturn void be_starter(int hostd_fd, int report_fd, pid_t session)
{
    struct starter *s = calloc(1, sizeof *s);
    struct place *place = s ? &s->places[0] : NULL;

    if (!s || loop_new(&s->loop) < 0)
        _exit(1);
    s->fd = hostd_fd;
    s->groups.base_fd = -1;
    *place = (struct place){ .starter = s, .tenant = "acme", .vm = "web" };
    process_forget(&place->killer);
    place->broker.pid = session;
    if (kill_begin(place, 1) == 0)
        (void)!write(report_fd, &place->killer.pid, sizeof place->killer.pid);
    wait_for_ever();
}

/* Who kills outlives the starter, and hostd ends with that one. */
static void test_hostd_sees_the_starters_end(void **state)
{
    const int flags = CLONE_NEWPID | (geteuid() == 0 ? 0 : CLONE_NEWUSER);
    struct vm vm = make(true, 0, flags);
    pid_t holder = hold(&vm, flags), starter, killer = 0, pid;
    int pair[2], report[2], status = -1;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(pipe2(report, O_CLOEXEC), 0);
    starter = fork();
    if (starter == 0) {
        close(pair[0]);
        be_starter(pair[1], report[1], vm.first);
    }
    close(pair[1]);
    assert_int_equal(read(report[0], &killer, sizeof killer), sizeof killer);
    assert_int_equal(kill(starter, SIGKILL), 0);
    assert_int_equal(waitpid(starter, NULL, 0), starter);
    assert_int_equal(poll(&(struct pollfd){ .fd = pair[0], .events = POLLIN }, 1, PATIENCE_MS), 1);
    assert_int_equal(waitpid(killer, NULL, WNOHANG), 0); /* and that goes on */
    kill(holder, SIGKILL);
    do {
        pid = waitpid(-1, &status, WNOHANG);
        (void)poll(NULL, 0, pid == 0);
    } while (pid >= 0 && pid != killer);
    assert_int_equal(pid, killer);
    assert_int_equal(status, 0);
    assert_dead(&vm);
    close(pair[0]);
    close(report[0]);
    close(report[1]);
}

/* Who was just started can be killed by its group, whatever it has come to. */
static void test_a_start_has_a_session(void **state)
{
    char program[] = "/bin/sleep", seconds[] = "1000";
    char *const argv[] = { program, seconds, NULL }, *const envp[] = { NULL };
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    const int fds[] = { null_fd, null_fd, 2 };
    const struct process_order order = { .program = program,
                                         .argv = argv,
                                         .envp = envp,
                                         .fds = fds,
                                         .n_fds = ARRAY_SIZE(fds),
                                         .procs_fd = -1 };

    (void)state;
    for (unsigned i = 0; i < ROUNDS; i++) {
        pid_t pid = process_fork(&order);

        assert_true(pid > 0);
        assert_int_equal(kill_now(&none, "acme", "web", pid), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
    }
    close(null_fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_after_the_first_brokers_death),
        cmocka_unit_test(test_while_the_first_broker_lives),
        cmocka_unit_test(test_one_that_stands_still),
        cmocka_unit_test(test_whose_spawner_is_dead),
        cmocka_unit_test(test_whose_uids_are_anothers),
        cmocka_unit_test(test_members_that_proc_does_not_show),
        cmocka_unit_test(test_workers_that_proc_hides),
        cmocka_unit_test(test_a_worker_that_does_not_die),
        cmocka_unit_test(test_hostd_sees_the_starters_end),
        cmocka_unit_test(test_a_start_has_a_session),
    };

    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
