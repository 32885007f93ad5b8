// SPDX-License-Identifier: Apache-2.0
// test_in_child.c - a child is waited for as long as was said, whatever it waits for itself.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd_file.h"
#include "in_child.h"
#include "process_info.h"
#include "silent.h"

enum { HANG_S = 60, SHORT_MS = 100, LONG_MS = 30000 };

static int give_seven(void *arg)
{
    (void)arg;
    return 7;
}

static int sleep_on(void *arg)
{
    (void)arg;
    while (pause() < 0)
        ;
    return 0;
}

/* Of a file there: its server says nothing. */
static int look_up(void *arg)
{
    struct stat st;
    char path[96];

    snprintf(path, sizeof(path), "%s/file", (const char *)arg);
    return stat(path, &st) == 0;
}

/* Of a descriptor that is open there. */
static int look_at(void *arg)
{
    struct fd_file is;

    return fd_file(*(const int *)arg, &is) < 0 || !S_ISDIR(is.mode) || is.ino == 0;
}

FILE *__real_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode);
static bool hangs;

/* A process that is looked at has changed its mappings ever since. */
FILE *__wrap_fopen(const char *path, const char *mode)
{
    while (hangs && strstr(path, "/smaps"))
        pause();
    return __real_fopen(path, mode);
}

static int count_fds(void *arg)
{
    int n = 0;

    (void)arg;
    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void test_statuses(void **state)
{
    (void)state;
    assert_int_equal(in_child(give_seven, NULL, LONG_MS), 7);
    assert_int_equal(in_child_alone(give_seven, NULL, LONG_MS), 7);
    assert_int_equal(in_child(sleep_on, NULL, SHORT_MS), -1);
    assert_int_equal(waitpid(-1, NULL, 0), -1); /* it is reaped */
    assert_int_equal(errno, ECHILD);
    assert_int_equal(in_child_alone(count_fds, NULL, LONG_MS), 3);
}

static void test_stop(void **state)
{
    int stop[2];
    pid_t pid;

    (void)state;
    assert_int_equal(pipe2(stop, O_CLOEXEC), 0);
    assert_int_equal(write(stop[1], "x", 1), 1);
    pid = fork();
    if (pid == 0)
        _exit(sleep_on(NULL));
    alarm(HANG_S);
    assert_int_equal(in_child_reap(pid, 2 * HANG_S * 1000, stop[0]), -1);
    alarm(0);
    assert_int_equal(kill(pid, 0), -1);
    close(stop[0]);
    close(stop[1]);
}

/* It has taken SIGKILL, and doesn't die of it: nobody waits for it any more, for it has nothing of ours. */
static void test_who_does_not_die(void **state)
{
    char dir[] = "/tmp/bulkhead-in-child.XXXXXX", mounted[64];
    struct pollfd closed = { .events = 0 };
    struct silent silent;
    int pair[2], status;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(mounted, sizeof(mounted), "%s/silent", dir);
    if (silent_begin(&silent, mounted)) {
        assert_int_equal(pipe2(pair, 0), 0);
        alarm(HANG_S);
        assert_int_equal(in_child_alone(look_up, mounted, SHORT_MS), -1);
        silent_await(&silent);
        alarm(0);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), 0); /* it is there */
        close(pair[1]);
        closed.fd = pair[0];
        assert_int_equal(poll(&closed, 1, 0), 1);
        assert_true(closed.revents & POLLHUP);
        close(pair[0]);
        silent_end(&silent);
        assert_true(waitpid(-1, &status, 0) > 0);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
    assert_int_equal(rmdir(dir), 0);
}

static void test_memory_of_one_that_does_not_let_us(void **state)
{
    struct process_memory memory;

    (void)state;
    process_memory(getpid(), &memory);
    assert_true(memory.known && memory.own_pss > 0);
    hangs = true;
    alarm(HANG_S);
    process_memory(getpid(), &memory);
    alarm(0);
    hangs = false;
    assert_false(memory.known);
}

/* What the kernel knows of a file it says without the file's server. */
static void test_a_look_that_asks_nobody(void **state)
{
    char dir[] = "/tmp/bulkhead-silent.XXXXXX", path[64];
    struct silent silent;
    struct fd_file is;
    struct stat st;
    int fd;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/silent", dir);
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(fd_file(fd, &is), 0);
    assert_true(is.dev == st.st_dev && is.ino == st.st_ino && is.mode == st.st_mode);
    close(fd);
    if (silent_begin(&silent, path)) {
        fd = open(path, O_PATH | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(in_child(look_at, &fd, LONG_MS), 0);
        close(fd);
        silent_end(&silent);
    }
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statuses),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_who_does_not_die),
        cmocka_unit_test(test_a_look_that_asks_nobody),
        cmocka_unit_test(test_memory_of_one_that_does_not_let_us),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
