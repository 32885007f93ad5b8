/* SPDX-License-Identifier: Apache-2.0 */
/* successor_test.c - a successor, or a new build, that is there and never takes over; by a clock of the test's own. */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "spawner/main.h"
#include "spawner/successor.h"
#include <cmocka.h>

enum { TAKE_OVER_MS = 30000, TAKE_OVER_END_MS = 10000, DIE_MS = 5000, PATIENCE_MS = 20000 };
#define MS UINT64_C(1000000)

static struct state s; /* large */
static struct spawner_terms terms;
static uint64_t clock_ns;

uint64_t __wrap_now_ns(void);
uint64_t __wrap_now_ns(void)
{
    return clock_ns;
}

static int any_fd(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

/* One that does nothing. */
static pid_t hang(void)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0)
        for (;;)
            pause();
    return pid;
}

/* A VM that runs, whose broker died; its successor was started just now. */
static int setup(void **state)
{
    int pair[2];

    (void)state;
    clock_ns = 100000 * MS;
    s = (struct state){ .terms = &terms, .core_started = true, .signal_fd = -1, .null_fd = -1 };
    s.slots.sealed = true;
    store_init(&s.store);
    closers_init(&s.closers);
    s.store.fds[KEEP_SEALED] = any_fd();
    s.store.fds[KEEP_RECORD] = any_fd();
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    close(pair[1]);
    s.fd = pair[0];
    s.brokers = (struct brokers){ .program_fd = any_fd(),
                                  .candidate_fd = -1,
                                  .prev_fd = -1,
                                  .pid = hang(),
                                  .limit = 5,
                                  .window_s = 60,
                                  .window_ns = clock_ns,
                                  .since_ns = clock_ns };
    s.brokers.pidfd = (int)syscall(SYS_pidfd_open, s.brokers.pid, 0);
    assert_true(s.brokers.pidfd >= 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    closers_kill(&s.closers); /* they run in this memory */
    kill(s.brokers.pid, SIGKILL);
    waitpid(s.brokers.pid, NULL, 0);
    fd_closep(&s.brokers.pidfd);
    fd_closep(&s.brokers.program_fd);
    fd_closep(&s.brokers.candidate_fd);
    fd_closep(&s.fd);
    fd_closep(&s.store.fds[KEEP_SEALED]);
    fd_closep(&s.store.fds[KEEP_RECORD]);
    return 0;
}

static bool is_alive(void)
{
    return waitpid(s.brokers.pid, NULL, WNOHANG) == 0;
}

static void is_killed(void)
{
    struct pollfd p = { .fd = s.brokers.pidfd, .events = POLLIN };
    siginfo_t info = { 0 };

    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    assert_int_equal(waitid(P_PID, (id_t)s.brokers.pid, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(info.si_code, CLD_KILLED);
    assert_int_equal(info.si_status, SIGKILL);
}

/* It has so long, is looked at then, and is dead. */
static void killed_after(uint64_t ms)
{
    assert_int_equal(successor_enforce(&s), ms);
    clock_ns += (ms - 1) * MS;
    assert_int_equal(successor_enforce(&s), 1);
    assert_true(is_alive());
    clock_ns += MS;
    assert_int_equal(successor_enforce(&s), DIE_MS);
    is_killed();
}

/* A program that hangs, or is no broker at all but doesn't end: the build before it is the broker's again. */
static void a_new_build_that_hangs_is_given_up(void **state)
{
    (void)state;
    s.brokers.candidate_fd = any_fd();
    killed_after(TAKE_OVER_MS);
    successor_lost(&s); /* its end of the socket went with it */
    assert_true(s.brokers.fell_back);
    assert_int_equal(s.brokers.candidate_fd, -1);
    assert_true(s.brokers.awaited);
    assert_int_equal(s.brokers.deaths, 0); /* which is nobody's crash */
}

static void a_successor_that_hangs_is_followed(void **state)
{
    (void)state;
    killed_after(TAKE_OVER_MS);
    successor_lost(&s);
    assert_false(s.brokers.fell_back);
    assert_true(s.brokers.awaited);
    assert_int_equal(s.brokers.deaths, 1);
}

/* Whoever wants the VM to end doesn't wait as long. */
static void a_successor_that_hangs_at_the_end(void **state)
{
    (void)state;
    s.core_ended = true;
    s.core_ended_ns = clock_ns;
    killed_after(TAKE_OVER_END_MS);
}

static void who_has_taken_over_has_no_limit(void **state)
{
    (void)state;
    successor_adopted(&s);
    assert_int_equal(successor_enforce(&s), -1);
    clock_ns += 2 * TAKE_OVER_MS * MS;
    assert_int_equal(successor_enforce(&s), -1);
    assert_true(is_alive());
}

/* The kernel can't end it: nobody waits for it any more, and the guest runs on. */
static void one_that_does_not_die(void **state)
{
    (void)state;
    fd_closep(&s.brokers.pidfd); /* the signal reaches nobody */
    clock_ns += TAKE_OVER_MS * MS;
    assert_int_equal(successor_enforce(&s), DIE_MS);
    clock_ns += (DIE_MS - 1) * MS;
    assert_int_equal(successor_enforce(&s), 1);
    assert_true(s.fd >= 0);
    clock_ns += MS;
    assert_int_equal(successor_enforce(&s), 0);
    assert_int_equal(s.fd, -1);
    assert_int_equal(s.brokers.limit, 0); /* there will be none */
    assert_true(is_alive());
}

#define S(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        S(a_new_build_that_hangs_is_given_up),
        S(a_successor_that_hangs_is_followed),
        S(a_successor_that_hangs_at_the_end),
        S(who_has_taken_over_has_no_limit),
        S(one_that_does_not_die),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
