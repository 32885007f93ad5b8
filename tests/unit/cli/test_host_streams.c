// SPDX-License-Identifier: Apache-2.0
// test_host_streams.c - console and logs of a VM of the host's service: what goes through, and how one leaves.
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_host.h"

#define BODY(name) BULKHEAD__HOST_ENVELOPE__BODY_##name

/* ---- console ---- */

static int hand_out_console(struct fake_host *f)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    fake_host_open(f, "web", BULKHEAD__VM_CHANNEL__VM_CONSOLE, &pair[1], 1);
    return pair[0];
}

static void refuse_console(struct fake_host *f)
{
    struct channel *c = fake_host_accept(f);

    fake_host_reply(c, fake_host_expect(c, BODY(OPEN_VM))->id, EINVAL, true, "web is stopped");
    channel_free(c);
}

static void expect_bytes(int fd, const char *want)
{
    char got[64];
    size_t n = 0;

    while (n < strlen(want)) {
        ssize_t more = recv(fd, got + n, strlen(want) - n, 0);

        assert_true(more > 0);
        n += (size_t)more;
    }
    assert_memory_equal(got, want, n);
}

/* Byte for byte; the end of the input is not the end of the output, nor is the death of who keeps the console. */
static void test_console_pipe(void **state)
{
    struct fake_host *f = *state;
    int console;

    fake_host_run(f, "console web", NULL, true);
    console = hand_out_console(f);
    assert_int_equal(write(f->in, "\001d\001\001x", 5), 5);
    expect_bytes(console, "\001d\001\001x");
    close(f->in);
    f->in = -1;
    assert_int_equal(send(console, "one\n", 4, 0), 4);
    fake_host_await(f, "one\n");
    close(console);
    console = hand_out_console(f);
    assert_int_equal(send(console, "two\n", 4, 0), 4);
    close(console);
    refuse_console(f);
    assert_int_equal(fake_host_finish(f), 0);
    assert_string_equal(f->text, "one\ntwo\n");
}

static void test_console_one_way(void **state)
{
    struct fake_host *f = *state;
    int console;
    char byte;

    fake_host_run(f, "console web --input-only", NULL, true);
    console = hand_out_console(f);
    assert_int_equal(send(console, "unseen", 6, 0), 6);
    assert_int_equal(write(f->in, "reboot\n", 7), 7);
    assert_int_equal(fake_host_finish(f), 0);
    expect_bytes(console, "reboot\n");
    close(console);
    assert_string_equal(f->text, "");

    fake_host_run(f, "console web --output-only", NULL, true);
    console = hand_out_console(f);
    assert_int_equal(write(f->in, "unread\n", 7), 7);
    assert_int_equal(send(console, "seen\n", 5, 0), 5);
    fake_host_await(f, "seen\n");
    assert_int_equal(recv(console, &byte, 1, MSG_DONTWAIT), -1);
    kill(f->pid, SIGTERM);
    assert_int_equal(fake_host_finish(f), 0);
    close(console);
}

/* At a terminal there is a key to leave by, and one that sends it. */
static void test_console_tty(void **state)
{
    struct fake_host *f = *state;
    int console;

    fake_host_run_tty(f, "console web");
    console = hand_out_console(f);
    fake_host_await(f, "Ctrl-A d leaves it");
    assert_int_equal(send(console, "login: ", 7, 0), 7);
    fake_host_await(f, "login: ");
    assert_int_equal(write(f->in, "a\003\001\001\001qb", 7), 7);
    expect_bytes(console, "a\003\001\001qb");
    assert_int_equal(write(f->in, "\001", 1), 1);
    assert_int_equal(write(f->in, "dz", 2), 2);
    fake_host_await(f, "bulkhead: web runs on");
    close(f->in);
    f->in = -1;
    assert_int_equal(fake_host_finish(f), 0);
    close(console);
}

/* ---- logs ---- */

static int file_of(const struct fake_host *f, const char *name, const char *text)
{
    char path[128];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", f->dir, name);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    return fd;
}

static void test_logs(void **state)
{
    static const struct {
        const char *line, *older, *newer, *output;
        Bulkhead__VmChannel channel;
    } cases[] = {
        { "logs web", "a\nb\n", "c\033[2J\nd", "a\nb\nc\033[2J\nd",
          BULKHEAD__VM_CHANNEL__VM_CONSOLE_LOG },
        { "logs web --broker", NULL, "c\n", "c\n", BULKHEAD__VM_CHANNEL__VM_BROKER_LOG },
        { "logs web --tail 1", "a\nb\n", "c\nd\n", "d\n", BULKHEAD__VM_CHANNEL__VM_CONSOLE_LOG },
        { "logs web -n 2", "a\nb\n", "c\nd", "c\nd", BULKHEAD__VM_CHANNEL__VM_CONSOLE_LOG },
        { "logs web -n 3", "a\nb\n", "c\nd\n", "b\nc\nd\n", BULKHEAD__VM_CHANNEL__VM_CONSOLE_LOG },
        { "logs web -n 3", "a\nb", "c\nd\n", "a\nbc\nd\n", BULKHEAD__VM_CHANNEL__VM_CONSOLE_LOG },
        { "logs web -n 1", "a\nb\n", "", "b\n", BULKHEAD__VM_CHANNEL__VM_CONSOLE_LOG },
        { "logs web -n 9", "a\nb\n", "c\n", "a\nb\nc\n", BULKHEAD__VM_CHANNEL__VM_CONSOLE_LOG },
        { "logs web -n 0", "a\nb\n", "c\n", "", BULKHEAD__VM_CHANNEL__VM_CONSOLE_LOG },
    };
    struct fake_host *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int fds[2];
        size_t n = 0;

        if (cases[i].older)
            fds[n++] = file_of(f, "older", cases[i].older);
        fds[n++] = file_of(f, "newer", cases[i].newer);
        fake_host_run(f, cases[i].line, NULL, false);
        fake_host_open(f, "web", cases[i].channel, fds, n);
        assert_int_equal(fake_host_finish(f), 0);
        if (strcmp(f->text, cases[i].output) != 0)
            fail_msg("%s: '%s'", cases[i].line, f->text);
    }
}

/* Over a rotation, until the VM is removed. */
static void test_logs_follow(void **state)
{
    struct fake_host *f = *state;
    int older = file_of(f, "older", ""), newer = file_of(f, "newer", "one\n");
    int fds[2] = { dup(older), dup(newer) };
    char path[128];

    fake_host_run(f, "logs -f web", NULL, false);
    fake_host_open(f, "web", BULKHEAD__VM_CHANNEL__VM_CONSOLE_LOG, fds, 2);
    fake_host_await(f, "one\n");
    assert_int_equal(pwrite(older, "one\ntwo\n", 8, 0), 8);
    assert_int_equal(ftruncate(newer, 0), 0);
    fake_host_await(f, "two\n");
    assert_int_equal(pwrite(newer, "three\n", 6, 0), 6);
    fake_host_await(f, "three\n");
    snprintf(path, sizeof(path), "%s/newer", f->dir);
    unlink(path);
    assert_int_equal(fake_host_finish(f), 0);
    assert_string_equal(f->text, "one\ntwo\nthree\n");
    close(older);
    close(newer);
}

/* What a guest writes does not reach the terminal of who reads it later. */
static void test_logs_tty(void **state)
{
    struct fake_host *f = *state;
    int fd = file_of(f, "newer", "\033]0;evil\007\tx\r\nend\n");

    fake_host_run_tty(f, "logs web");
    fake_host_open(f, "web", BULKHEAD__VM_CHANNEL__VM_CONSOLE_LOG, &fd, 1);
    fake_host_await(f, "?]0;evil?");
    fake_host_await(f, "end\r\n");
    assert_null(strchr(f->text, '\033'));
    close(f->in);
    f->in = -1;
    assert_int_equal(fake_host_finish(f), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_host_setup, fake_host_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_console_pipe), TEST(test_console_one_way), TEST(test_console_tty),
        TEST(test_logs),         TEST(test_logs_follow),     TEST(test_logs_tty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
