/* SPDX-License-Identifier: Apache-2.0 */
/* signals_test.c - what ends a VM from outside: the broker ends it in order, its spawner outlives
 * that and does it alone where there is no broker, and nobody depends on what the caller ignored.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "resources/signals.h"
#include "rig.h"
#include "run/watch.h"
#include "spawner/cgroups.h"
#include "spawner/uids.h"

enum { HANG_MS = 60000, LOOK_MS = 1 };

static const int ending[] = { SIGTERM, SIGINT, SIGHUP };

/* ---- the broker ---- */

static void look(int fd, unsigned what, void *arg)
{
    struct rig *rig = arg;

    (void)fd;
    (void)what;
    if (rig->in.vm.phase == VM_ENDING)
        loop_quit(rig->loop, 0);
}

static void test_broker_ends_its_vm(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(ending); i++) {
        static struct rig rig;
        struct loop_event *timer;
        sigset_t none, pending;

        signals_init();
        rig_run(&rig, 5);
        assert_int_equal(watch_signals(&rig.in), 0);
        assert_int_equal(loop_add_timer(rig.loop, look, &rig, &timer), 0);
        assert_int_equal(loop_timer_arm(timer, LOOK_MS, true), 0);
        assert_int_equal(raise(ending[i]), 0);
        assert_int_equal(loop_run(rig.loop), 0);
        assert_int_equal(rig.in.vm.end.by, END_BY_USER);
        for (unsigned d = 0; d < rig.in.vm.n_devices; d++)
            assert_int_equal(rig_heard(&rig, rig.in.vm.devices[d].worker, NULL),
                             BULKHEAD__ENVELOPE__BODY_STOP);
        /* The core leaves last. */
        assert_int_equal(rig_heard(&rig, rig.in.vm.core, NULL), BULKHEAD__ENVELOPE__BODY__NOT_SET);
        loop_event_free(timer);
        rig_end(&rig);
        assert_int_equal(sigpending(&pending), 0);
        assert_int_equal(sigismember(&pending, ending[i]), 0);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
    }
}

/* ---- the spawner ---- */

enum { SLOT_CORE = PLAN_UID_CORE, SLOT_RNG = PLAN_UID_FIRST_DEVICE };

static void tell_slot(struct spawner *spawner, uint32_t slot, Bulkhead__Role role)
{
    struct spawner_request request = { .kind = SPAWNER_SLOT,
                                       .slot = slot,
                                       .setup = { .role = role, .pids_max = 8 } };

    snprintf(request.setup.name, sizeof request.setup.name, "slot%u", slot);
    assert_int_equal(spawner_send(spawner, &request, NULL, 0), 0);
}

static void start_spawner(struct spawner *spawner)
{
    static struct groups none = { .base_fd = -1, .vm_fd = -1, .kill_fd = -1 };
    static struct uids no_uids = { .file_fd = -1, .ns_fd = -1 };
    const struct spawner_terms terms = { .groups = &none, .uids = &no_uids, .broker_pidfd = -1 };
    const struct spawner_request seal = { .kind = SPAWNER_SEAL };

    assert_int_equal(spawner_start(spawner, -1, &terms), 0);
    tell_slot(spawner, SLOT_CORE, BULKHEAD__ROLE__ROLE_CORE);
    tell_slot(spawner, SLOT_RNG, BULKHEAD__ROLE__ROLE_RNG);
    assert_int_equal(spawner_send(spawner, &seal, NULL, 0), 0);
}

static void await(int fd, const char *what)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    if (poll(&p, 1, HANG_MS) != 1)
        fail_msg("%s: nothing for %d s", what, HANG_MS / 1000);
}

static void hear(struct spawner *spawner, uint32_t kind, struct spawner_report *ret,
                 int ret_fds[SPAWNER_REPORT_FDS])
{
    await(spawner->fd, "the spawner");
    assert_int_equal(spawner_receive(spawner, ret, ret_fds), 0);
    assert_int_equal(ret->kind, kind);
}

struct started {
    pid_t pid;
    int pidfd;
    int told; /* the test's end of its control socket */
};

/* What /proc says of it, where that may be hidden from the broker. */
static void check_stat(int fd, pid_t pid)
{
    char text[64] = "", wanted[16];

    snprintf(wanted, sizeof wanted, "%d (", (int)pid);
    assert_true(pread(fd, text, sizeof text - 1, 0) > 0);
    assert_memory_equal(text, wanted, strlen(wanted));
    close(fd);
}

/* signals_child.c, as the VM's core in slot 0 and as its entropy device in slot 2. */
static struct started start_child(struct spawner *spawner, uint32_t id, uint32_t slot)
{
    struct spawner_request request = {
        .kind = SPAWNER_START, .id = id, .slot = slot, .uid_slot = slot
    };
    struct spawner_report report;
    struct started child = { .pidfd = -1 };
    int log[2], control[2], fds[3], heard[SPAWNER_REPORT_FDS];

    assert_int_equal(pipe2(log, O_CLOEXEC), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control), 0);
    fds[0] = log[0];
    fds[1] = control[1];
    fds[2] = log[1];
    assert_int_equal(spawner_send(spawner, &request, fds, ARRAY_SIZE(fds)), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
        close(fds[i]);
    hear(spawner, SPAWNER_STARTED, &report, heard);
    if (report.error != 0)
        fail_msg("%s", report.text);
    child.pid = report.pid;
    child.pidfd = heard[SPAWNER_FD_PID];
    check_stat(heard[SPAWNER_FD_STAT], child.pid);
    child.told = control[0];
    return child;
}

static void leave(struct started *child, char status)
{
    if (status >= 0)
        assert_int_equal(write(child->told, &status, 1), 1);
    close(child->pidfd);
    close(child->told);
}

/* The signals go to all at once; the end is the broker's. */
static void test_nobody_but_the_broker_ends(void **state)
{
    struct spawner_request kill_it = { .kind = SPAWNER_KILL, .id = 1 };
    struct spawner_report report;
    struct spawner spawner;
    struct started core, other;
    int fds[SPAWNER_REPORT_FDS];

    (void)state;
    start_spawner(&spawner);
    core = start_child(&spawner, 1, SLOT_CORE);
    for (unsigned i = 0; i < ARRAY_SIZE(ending); i++) {
        assert_int_equal(kill(core.pid, ending[i]), 0);
        assert_int_equal(kill(spawner.pid, ending[i]), 0);
    }
    /* A spawner that was ended would not get this far. */
    other = start_child(&spawner, 2, SLOT_RNG);
    leave(&other, 0);
    hear(&spawner, SPAWNER_EXITED, &report, fds);
    assert_int_equal(report.id, 2);
    assert_int_equal(spawner_send(&spawner, &kill_it, NULL, 0), 0);
    hear(&spawner, SPAWNER_EXITED, &report, fds);
    assert_int_equal(report.id, 1);
    assert_int_equal(report.wait_code, CLD_KILLED);
    assert_int_equal(report.wait_status, SIGKILL);
    leave(&core, -1);
    spawner_stop(&spawner);
}

/* The guest outlives its broker, until the same signals come. */
static void test_spawner_without_broker(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(ending); i++)
        for (int first = 0; first < 2; first++) {
            struct spawner spawner;
            struct started core;
            int status = -1;

            start_spawner(&spawner);
            core = start_child(&spawner, 1, SLOT_CORE);
            if (first)
                assert_int_equal(kill(spawner.pid, ending[i]), 0);
            fd_closep(&spawner.fd);
            if (!first)
                assert_int_equal(kill(spawner.pid, ending[i]), 0);
            await(core.pidfd, "the end of the child");
            assert_int_equal(waitpid(spawner.pid, &status, 0), spawner.pid);
            assert_int_equal(status, 0);
            leave(&core, -1);
        }
}

/* Started by somebody who doesn't wait for his children. */
static void test_exit_status_is_heard(void **state)
{
    struct spawner_report report;
    struct spawner spawner;
    struct started core;
    int fds[SPAWNER_REPORT_FDS];

    (void)state;
    signal(SIGCHLD, SIG_IGN);
    start_spawner(&spawner);
    signal(SIGCHLD, SIG_DFL);
    core = start_child(&spawner, 1, SLOT_CORE);
    leave(&core, 3);
    hear(&spawner, SPAWNER_EXITED, &report, fds);
    assert_int_equal(report.wait_code, CLD_EXITED);
    assert_int_equal(report.wait_status, 3);
    spawner_stop(&spawner);
}

/* Nothing of the caller's signals is left in the broker. */
static void test_fresh_signals(void **state)
{
    struct sigaction now;
    sigset_t set;

    (void)state;
    signal(SIGCHLD, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    sigfillset(&set);
    sigprocmask(SIG_SETMASK, &set, NULL);
    signals_init();
    assert_int_equal(sigaction(SIGCHLD, NULL, &now), 0);
    assert_true(now.sa_handler == SIG_DFL);
    assert_int_equal(sigaction(SIGUSR1, NULL, &now), 0);
    assert_true(now.sa_handler == SIG_DFL);
    assert_int_equal(sigprocmask(SIG_BLOCK, NULL, &set), 0);
    for (int number = 1; number < SIGRTMIN; number++)
        assert_int_equal(sigismember(&set, number),
                         number == SIGTERM || number == SIGINT || number == SIGHUP);
    sigemptyset(&set);
    sigprocmask(SIG_SETMASK, &set, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_broker_ends_its_vm),
        cmocka_unit_test(test_nobody_but_the_broker_ends),
        cmocka_unit_test(test_spawner_without_broker),
        cmocka_unit_test(test_exit_status_is_heard),
        cmocka_unit_test(test_fresh_signals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
