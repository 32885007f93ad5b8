/* SPDX-License-Identifier: Apache-2.0 */
/* log_test.c - a log that nobody reads holds nobody up, and says how much it lost. */
#include "test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/log.h"
#include "temp_dir.h"

enum { LINES = 50, HANG_S = 30 };

/* In a child: its log is a full pipe, which blocks as the user's does. */
static int write_lines(int pipe_fd, int written, int go)
{
    char byte;

    if (dup2(pipe_fd, FD_LOG) < 0)
        return 2;
    alarm(HANG_S);
    log_init("test", LOG_LEVEL_INFO);
    log_never_wait();
    for (int i = 0; i < LINES; i++)
        log_warn("nobody reads this");
    /* Now what is in the pipe is read. */
    if (write(written, "x", 1) != 1 || read(go, &byte, 1) != 1)
        return 3;
    log_warn("somebody reads this");
    return 0;
}

static void a_full_pipe(void **state)
{
    char text[512] = "";
    int log[2], written[2], go[2], status = -1;
    char byte;
    ssize_t n;
    pid_t pid;

    (void)state;
    assert_int_equal(pipe2(log, O_CLOEXEC), 0);
    assert_int_equal(pipe2(go, O_CLOEXEC) | pipe2(written, O_CLOEXEC), 0);
    assert_int_equal(fcntl(log[1], F_SETPIPE_SZ, 8192), 8192);
    memset(text, '.', sizeof text);
    for (int i = 0; i < 16; i++)
        assert_int_equal(write(log[1], text, sizeof text), sizeof text);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(write_lines(log[1], written[1], go[0]));
    assert_int_equal(read(written[0], &byte, 1), 1);
    for (int i = 0; i < 16; i++)
        assert_int_equal(read(log[0], text, sizeof text), sizeof text);
    assert_int_equal(write(go[1], "x", 1), 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    n = read(log[0], text, sizeof text - 1);
    assert_true(n > 0);
    text[n] = '\0';
    assert_non_null(strstr(text, "lines were not written"));
    assert_non_null(strstr(text, "somebody reads this"));
}

/* A terminal that nobody reads; ret_writer is what its user has. */
static int open_terminal(int *ret_writer)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

    assert_true(master >= 0);
    assert_int_equal(unlockpt(master), 0);
    *ret_writer = open(ptsname(master), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    assert_true(*ret_writer >= 0);
    return master;
}

static size_t fill(int fd, size_t most)
{
    size_t n = 0;

    while (n < most && write(fd, "x", 1) == 1)
        n++;
    return n;
}

/* Somebody shares the log, has left it less room than a line needs, and has it block. */
static void a_terminal_with_room_for_less_than_a_line(void **state)
{
    int master, writer, status = -1;
    size_t room;
    pid_t pid;

    (void)state;
    master = open_terminal(&writer);
    room = fill(writer, SIZE_MAX);
    close(writer);
    close(master);
    master = open_terminal(&writer);
    assert_int_equal(fill(writer, room - 20), room - 20);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (dup2(writer, FD_LOG) < 0)
            _exit(2);
        alarm(HANG_S);
        log_never_wait();
        if (fcntl(writer, F_SETFL, O_RDWR) < 0)
            _exit(3);
        log_warn("this is longer than the twenty bytes that are left");
        log_warn("and so is this, of course");
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    close(writer);
    close(master);
}

/* Its own reader: what it writes stays until somebody comes, and doesn't end it. */
static void a_fifo_without_a_reader(void **state)
{
    char dir[64], path[80], text[64] = "";
    int fd, status = -1;
    pid_t pid;

    (void)state;
    assert_true(temp_dir(dir, sizeof dir, "bulkhead-log"));
    snprintf(path, sizeof path, "%s/fifo", dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        fd = open(path, O_RDWR);
        if (dup2(fd, FD_LOG) < 0 || close(fd) < 0)
            _exit(2);
        log_init("test", LOG_LEVEL_INFO);
        log_never_wait();
        log_warn("nobody reads this");
        _exit(read(FD_LOG, text, sizeof text - 1) > 0 && strstr(text, "nobody reads this") ? 0 : 3);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_pipe),
        cmocka_unit_test(a_terminal_with_room_for_less_than_a_line),
        cmocka_unit_test(a_fifo_without_a_reader),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
