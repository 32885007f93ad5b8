/* SPDX-License-Identifier: Apache-2.0 */
/* watch_test.c - a broker that was not run for a while itself, or whose spawner is gone, and children that send what they
 * may not. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/loop.h"
#include "rig.h"
#include "run/watch.h"

enum { A_SECOND_NS = 1000000000, PATIENCE_MS = 30000 };

static struct rig rig;

/* Its worker had given a sign of life just before, and none since. */
static void nobody_hung_meanwhile(void **state)
{
    struct child *w;

    (void)state;
    rig_run(&rig, 5);
    w = rig_worker(&rig, BULKHEAD__ROLE__ROLE_RNG);
    w->beat_ns = now_ns();
    rig.in.last_tick_ns = now_ns() - A_SECOND_NS;
    watch_on_tick(-1, 0, &rig.in);
    w = rig_worker(&rig, BULKHEAD__ROLE__ROLE_RNG);
    assert_int_equal(w->killed_ns, 0);
    rig_end(&rig);
}

static int count_fds(void)
{
    int n = 0;

    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* Who may send none and does: they stay in the socket, and when it is closed, in the spawner's copy of it. */
static void descriptors_that_may_not_come_are_not_taken(void **state)
{
    static const struct {
        Bulkhead__Role role;
        bool taken;
    } rows[] = { { BULKHEAD__ROLE__ROLE_RNG, false },
                 { BULKHEAD__ROLE__ROLE_BLK, false },
                 { BULKHEAD__ROLE__ROLE_CORE, false },
                 { BULKHEAD__ROLE__ROLE_CONSOLE, true } };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct port port = { .pidfd = -1, .stat_fd = -1 };
        struct pollfd sent = { 0 };
        struct message msg;
        int pair[2], pipe_fds[2], copy, before;

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
        copy = fcntl(pair[0], F_DUPFD_CLOEXEC, 3);
        assert_int_equal(port_open(&port, pair[0], rows[i].role, true), 0);
        assert_int_equal(fd_send(pair[1], "x", 1, &pipe_fds[1], 1, 0), 0);
        close(pipe_fds[1]);
        before = count_fds();
        assert_int_equal(channel_receive(port.channel, false, &msg), -EBADMSG);
        assert_int_equal(count_fds(), before + rows[i].taken); /* to be closed */
        port_close(&port);
        sent.fd = pipe_fds[0];
        assert_int_equal(poll(&sent, 1, 0), 0);
        assert_true(fcntl(pair[0], F_GETFD) < 0);
        close(copy);
        assert_int_equal(poll(&sent, 1, 0), 1);
        close(pair[1]);
        close(pipe_fds[0]);
    }
}

/* ---- without the spawner ---- */

static void on_late(int fd, unsigned what, void *arg)
{
    (void)fd;
    (void)what;
    loop_quit(arg, -1);
}

/* Runs until the VM is gone. */
static void on_ended(void *arg)
{
    loop_quit(arg, 1);
}

static void on_turn(int fd, unsigned what, void *arg)
{
    (void)fd;
    (void)what;
    loop_quit(arg, 2);
}

static int run_for(loop_fn fn, unsigned ms)
{
    struct loop_event *timer;
    int r;

    assert_int_equal(loop_add_timer(rig.loop, fn, rig.loop, &timer), 0);
    assert_int_equal(loop_timer_arm(timer, ms, false), 0);
    r = loop_run(rig.loop);
    loop_event_free(timer);
    return r;
}

static pid_t stopped_child(int *ret_pidfd)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        syscall(SYS_close_range, 0u, ~0u, 0u); /* the spawner's end of its socket is among it */
        raise(SIGSTOP);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
    *ret_pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    assert_true(*ret_pidfd >= 0);
    return pid;
}

/* Nobody reports exits any more, and one worker is stopped: its pidfd says when it ends. Of those that were never reported
 * as started nothing would be seen: they count as gone. */
static void a_spawner_that_dies(void **state)
{
    struct child *w;
    uint32_t stopped;
    pid_t pid;

    (void)state;
    rig_run(&rig, 5);
    rig.in.audience.ended = on_ended;
    rig.in.audience.arg = rig.loop;
    w = rig_worker(&rig, BULKHEAD__ROLE__ROLE_RNG);
    stopped = w->id;
    pid = stopped_child(&instance_port(&rig.in, stopped)->pidfd);
    w->pid = pid;
    close(rig.requests);
    assert_int_equal(run_for(on_turn, 20), 2);
    assert_int_equal(rig.in.vm.phase, VM_ENDING);
    assert_int_equal(rig.in.vm.end.by, END_BY_HOST);
    assert_int_equal(vm_count_children(&rig.in.vm), 1);
    assert_non_null(vm_look(&rig.in.vm, stopped));
    loop_timer_disarm(rig.in.deadline); /* after which it would not be waited for any more */
    kill(pid, SIGKILL);
    assert_int_equal(run_for(on_late, PATIENCE_MS), 1);
    assert_int_equal(rig.in.vm.phase, VM_GONE);
    assert_null(instance_port(&rig.in, stopped));
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    rig.requests = -1;
    rig_end(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_hung_meanwhile),
        cmocka_unit_test(descriptors_that_may_not_come_are_not_taken),
        cmocka_unit_test(a_spawner_that_dies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
