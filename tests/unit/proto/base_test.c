/* SPDX-License-Identifier: Apache-2.0 */
/* base_test.c - error records, descriptor types, the event loop. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/loop.h"

static int inner(void)
{
    return err_origin(-ENOENT, "disk '%s'", "x.img");
}

static int outer(void)
{
    return err_trace(inner());
}

static void errors_carry_text_and_frames(void **state)
{
    (void)state;
    assert_int_equal(outer(), -ENOENT);
    assert_string_equal(err_text(), "disk 'x.img': No such file or directory");
    assert_non_null(strstr(err_frames(), " < base_test.c:"));
    err_clear();
}

static void long_error_text_is_cut(void **state)
{
    char big[1000];

    (void)state;
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    assert_int_equal(err_origin(-EIO, "%s", big), -EIO);
    assert_true(strlen(err_text()) < 256);
    for (int i = 0; i < 100; i++)
        err_trace(-EIO);
    assert_true(strlen(err_frames()) < 256);
}

/* Of the anonymous inodes two kinds are named; all others look alike to fstat(). */
static void anonymous_inodes_are_told_apart(void **state)
{
    struct io_uring_params off = { .flags = IORING_SETUP_R_DISABLED }, on = { 0 };
    sigset_t none;
    const struct {
        int fd;
        enum fd_type want;
    } cases[] = {
        { eventfd(0, EFD_CLOEXEC), FD_TYPE_EVENTFD },
        { eventfd(5, EFD_CLOEXEC | EFD_NONBLOCK), FD_TYPE_EVENTFD },
        { eventfd(1, EFD_CLOEXEC | EFD_SEMAPHORE), FD_TYPE_EVENTFD },
        { (int)syscall(SYS_io_uring_setup, 4, &off), FD_TYPE_IO_URING },
        { (int)syscall(SYS_io_uring_setup, 4, &on), FD_TYPE_IO_URING },
        { epoll_create1(EPOLL_CLOEXEC), FD_TYPE_OTHER },
        { timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC), FD_TYPE_OTHER },
        { sigemptyset(&none) == 0 ? signalfd(-1, &none, SFD_CLOEXEC) : -1, FD_TYPE_OTHER },
        { inotify_init1(IN_CLOEXEC), FD_TYPE_OTHER },
        { (int)syscall(SYS_pidfd_open, getpid(), 0), FD_TYPE_OTHER },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_true(cases[i].fd >= 0);
        if (fd_type(cases[i].fd) != cases[i].want)
            fail_msg("descriptor %zu is taken for %d", i, (int)fd_type(cases[i].fd));
    }
    /* Asking changed nothing. */
    assert_int_equal(fd_event_drain(cases[0].fd), 0);
    assert_int_equal(fd_event_drain(cases[1].fd), 5);
    assert_int_equal(fd_event_drain(cases[2].fd), 1);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        close(cases[i].fd);
}

static void types_are_told_apart(void **state)
{
    int sv[2], st[2], pp[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, st), 0);
    assert_int_equal(pipe2(pp, O_CLOEXEC), 0);
    {
        int memfd = memfd_create("t", MFD_CLOEXEC), event = eventfd(0, EFD_CLOEXEC);
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC), dir = open("/", O_RDONLY | O_CLOEXEC);
        int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        const struct {
            int fd;
            enum fd_type want;
        } cases[] = {
            { sv[0], FD_TYPE_SEQPACKET }, { st[0], FD_TYPE_STREAM },  { pp[0], FD_TYPE_PIPE },
            { memfd, FD_TYPE_MEMFD },     { event, FD_TYPE_EVENTFD }, { null, FD_TYPE_CHAR },
            { dir, FD_TYPE_DIRECTORY },   { file, FD_TYPE_REGULAR },  { 1000, FD_TYPE_OTHER },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
            assert_int_equal(fd_type(cases[i].fd), cases[i].want);
        assert_int_equal(fd_expect(memfd, FD_TYPE_MEMFD, "x"), 0);
        assert_int_equal(fd_expect(event, FD_TYPE_MEMFD, "x"), -EBADF);
        close(memfd);
        close(event);
        close(null);
        close(dir);
        close(file);
    }
    for (int i = 0; i < 2; i++) {
        close(sv[i]);
        close(st[i]);
        close(pp[i]);
    }
}

static void eventfd_never_blocks(void **state)
{
    int fd = eventfd(0, EFD_CLOEXEC); /* blocking on purpose */

    (void)state;
    assert_int_equal(fd_event_drain(fd), 0);
    fd_event_signal(fd);
    fd_event_signal(fd);
    assert_int_equal(fd_event_drain(fd), 2);
    close(fd);
}

struct loop_fixture {
    struct loop *loop;
    struct loop_event *event, *timer;
    int fd, reads, ticks, sleeps;
};

static void on_fd(int fd, unsigned what, void *arg)
{
    struct loop_fixture *f = arg;

    assert_true(what & LOOP_READ);
    fd_event_drain(fd);
    f->reads++;
    loop_event_free(f->event); /* its own event, from its own callback */
}

static void on_tick(int fd, unsigned what, void *arg)
{
    struct loop_fixture *f = arg;

    (void)fd;
    (void)what;
    if (++f->ticks == 3)
        loop_quit(f->loop, 42);
}

static void on_sleep(void *arg)
{
    ((struct loop_fixture *)arg)->sleeps++;
}

static void loop_runs_events_and_timers(void **state)
{
    struct loop_fixture f = { .fd = eventfd(1, EFD_CLOEXEC) };

    (void)state;
    assert_int_equal(loop_new(&f.loop), 0);
    assert_int_equal(loop_add_fd(f.loop, f.fd, LOOP_READ, on_fd, &f, &f.event), 0);
    assert_int_equal(loop_add_timer(f.loop, on_tick, &f, &f.timer), 0);
    assert_int_equal(loop_timer_arm(f.timer, 5, true), 0);
    loop_set_before_sleep(f.loop, on_sleep, &f);
    assert_int_equal(loop_run(f.loop), 42);
    assert_int_equal(f.reads, 1);
    assert_int_equal(f.ticks, 3);
    assert_true(f.sleeps >= 3);
    loop_event_free(f.timer);
    loop_free(f.loop);
    close(f.fd);
}

struct edge_fixture {
    struct loop *loop;
    unsigned edges, ticks;
    int fd;
};

static void on_edge(int fd, unsigned what, void *arg)
{
    (void)fd;
    (void)what;
    ((struct edge_fixture *)arg)->edges++; /* not read: it stays readable */
}

static void on_edge_tick(int fd, unsigned what, void *arg)
{
    struct edge_fixture *f = arg;

    (void)fd;
    (void)what;
    if (++f->ticks == 3)
        fd_event_signal(f->fd);
    if (f->ticks == 6)
        loop_quit(f->loop, 0);
}

static void edges_are_told_once_each(void **state)
{
    struct edge_fixture f = { .fd = eventfd(1, EFD_CLOEXEC) };
    struct loop_event *event = NULL, *timer = NULL;

    (void)state;
    assert_int_equal(loop_new(&f.loop), 0);
    assert_int_equal(loop_add_fd(f.loop, f.fd, LOOP_READ | LOOP_EDGE, on_edge, &f, &event), 0);
    assert_int_equal(loop_add_timer(f.loop, on_edge_tick, &f, &timer), 0);
    assert_int_equal(loop_timer_arm(timer, 5, true), 0);
    assert_int_equal(loop_run(f.loop), 0);
    assert_int_equal(f.edges, 2); /* what was there before, and one write */
    loop_event_free(event);
    loop_event_free(timer);
    loop_free(f.loop);
    close(f.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_carry_text_and_frames),
        cmocka_unit_test(long_error_text_is_cut),
        cmocka_unit_test(types_are_told_apart),
        cmocka_unit_test(anonymous_inodes_are_told_apart),
        cmocka_unit_test(eventfd_never_blocks),
        cmocka_unit_test(loop_runs_events_and_timers),
        cmocka_unit_test(edges_are_told_once_each),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
