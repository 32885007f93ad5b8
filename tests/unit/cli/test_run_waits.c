// SPDX-License-Identifier: Apache-2.0
// test_run_waits.c - `bulkhead run` waits for nobody: not for who reads what it says, nor for a broker that can't die.
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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "rig.h"
#include "silent.h"

enum {
    LEFT_MS = 8000, /* less than what an audit waits for an answer, or a client for its broker */
    ENOUGH_BYTES = 1 << 20,
};

/* ---- the broker's part ---- */

/* More of both than fits between us and whoever reads, and then until it is asked to stop; done: a file. */
static void talk(struct channel *channel, const char *done)
{
    static const char line[] = "what nobody reads, a line of a log\n";
    struct pollfd p = { .fd = channel_fd(channel), .events = POLLIN };
    struct pollfd room = { .fd = STDERR_FILENO, .events = POLLOUT };
    size_t said = 0;
    int tty;

    while (poll(&p, 1, 0) == 0) {
        if (poll(&room, 1, RIG_TIMEOUT_MS) != 1 || write(STDERR_FILENO, line, sizeof(line) - 1) < 0)
            _exit(30);
        rig_send_event(channel);
        said += sizeof(line);
        if (said > ENOUGH_BYTES)
            rig_make(done);
    }
    if (rig_receive(channel, &tty)->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_STOP_VM)
        rig_send_ended(channel, BULKHEAD__GUEST_STATE_KIND__GUEST_RUNNING, true, false);
}

/* In a call that doesn't return: SIGKILL doesn't end it. */
static void freeze(void)
{
    struct stat st;

    (void)!stat(getenv("SILENT"), &st);
}

/* Who audits is kept waiting for an answer, and whose audit it is dies. */
static void let_audit(struct channel *channel)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct pollfd left = { .fd = channel_fd(channel), .events = POLLRDHUP };
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", getenv("SOCKET"));
    if (rig_open_locked() < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(fd, 4) < 0)
        _exit(31);
    rig_send_event(channel);
    if (accept4(fd, NULL, NULL, SOCK_CLOEXEC) < 0)
        _exit(32);
    rig_make(getenv("DONE"));
    if (poll(&left, 1, LEFT_MS) == 1 && (left.revents & POLLRDHUP))
        rig_make(getenv("LEFT"));
}

/* Does what $PART says, once the file $GO is there. */
static int play_broker(void)
{
    const char *part = getenv("PART");
    const char *go = getenv("GO");
    struct channel *channel;
    int tty;

    if (!part || !go || channel_new(&channel, 3, CHANNEL_ARENA_BROKER) < 0)
        return 24;
    if (rig_receive(channel, &tty)->body_case != BULKHEAD__CLIENT_ENVELOPE__BODY_RUN_VM)
        return 25;
    rig_send_event(channel);
    while (access(go, F_OK) != 0)
        poll(NULL, 0, RIG_POLL_MS);
    if (strcmp(part, "talk") == 0)
        talk(channel, getenv("DONE"));
    else if (strcmp(part, "freeze") == 0)
        freeze();
    else if (strcmp(part, "audit") == 0)
        let_audit(channel);
    channel_free(channel);
    return 0;
}

/* ---- the test's part ---- */

/* Signals until it ends: each is one, however busy it is. False: it doesn't. */
static bool ends_by_signals(pid_t pid)
{
    siginfo_t info = { 0 };

    for (int ms = 0; ms < LEFT_MS && info.si_pid == 0; ms += 5 * RIG_POLL_MS) {
        kill(pid, SIGTERM);
        poll(NULL, 0, 5 * RIG_POLL_MS);
        assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT), 0);
    }
    return info.si_pid == pid;
}

/* It doesn't even die: no reason for us to stay. */
static void test_broker_that_can_not_die(void **state)
{
    struct rig *f = *state;
    char dir[80], file[96];
    struct silent silent;
    bool ended;

    snprintf(dir, sizeof(dir), "%s/silent", f->dir);
    snprintf(file, sizeof(file), "%s/file", dir);
    if (!silent_begin(&silent, dir))
        return;
    setenv("SILENT", file, 1);
    rig_start(f, "freeze", NULL, NULL);
    rig_await_raw(f, true);
    rig_go(f);
    silent_await(&silent);
    ended = ends_by_signals(f->pid);
    silent_end(&silent);
    assert_int_equal(rig_finish(f), 5);
    assert_true(ended);
}

static void make_pipe(int ends[2])
{
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
}

static void start_talk(struct rig *f, const int errors[2], const int events[2], char *ret_done,
                       size_t size)
{
    char value[32];

    snprintf(ret_done, size, "%s/done", f->dir);
    unlink(ret_done);
    setenv("DONE", ret_done, 1);
    f->errors = errors[1];
    f->passed = events[1];
    snprintf(value, sizeof(value), "fd=%d", events[1]);
    rig_start(f, "talk", "--event-monitor", value);
    rig_await_raw(f, true);
    rig_go(f);
    close(errors[1]);
    close(events[1]);
    rig_await(ret_done); /* it has passed on, or dropped, what its broker said */
}

/* Neither its stderr nor its events are read by anybody. */
static void test_nobody_reads(void **state)
{
    struct rig *f = *state;
    int errors[2], events[2];
    char done[96];

    make_pipe(errors);
    make_pipe(events);
    start_talk(f, errors, events, done, sizeof(done));
    kill(f->pid, SIGTERM);
    assert_int_equal(rig_finish(f), 5);
    unlink(done);
    close(errors[0]);
    close(events[0]);
}

static bool has_line(FILE *in, const char *part)
{
    char line[512];
    bool has = false;

    while (fgets(line, sizeof(line), in)) {
        assert_non_null(strchr(line, '\n'));
        has |= strstr(line, part) != NULL;
        if (line[0] == '{')
            assert_string_equal(line + strlen(line) - 2, "}\n");
    }
    fclose(in);
    return has;
}

/* Somebody begins to: lines are whole, and it is said that some are lost. */
static void test_lost_lines(void **state)
{
    struct rig *f = *state;
    int errors[2], events[2], status;
    char done[96];
    pid_t reader;

    make_pipe(errors);
    make_pipe(events);
    start_talk(f, errors, events, done, sizeof(done));
    reader = fork();
    if (reader == 0)
        _exit(has_line(fdopen(events[0], "r"), "\"event\":\"missed\",\"properties\":{\"count\":")
                  ? 0
                  : 1);
    kill(f->pid, SIGTERM);
    assert_true(has_line(fdopen(errors[0], "r"), " lines lost: nobody reads\n"));
    assert_int_equal(rig_finish(f), 5);
    assert_int_equal(waitpid(reader, &status, 0), reader);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    unlink(done);
    close(events[0]);
}

/* An audit that gets no answer doesn't hide from the broker that its client is gone, killed too. */
static void test_audit_that_waits(void **state)
{
    struct rig *f = *state;
    char vm[80], lock[96], sock[96], done[96], left[96];

    snprintf(vm, sizeof(vm), "%s/vm", f->dir);
    snprintf(lock, sizeof(lock), "%s/lock", vm);
    snprintf(sock, sizeof(sock), "%s/control.sock", vm);
    snprintf(done, sizeof(done), "%s/done", vm);
    snprintf(left, sizeof(left), "%s/left", vm);
    assert_int_equal(mkdir(vm, 0700), 0);
    setenv("BULKHEAD_RUNDIR", f->dir, 1);
    setenv("LOCK", lock, 1);
    setenv("SOCKET", sock, 1);
    setenv("DONE", done, 1);
    setenv("LEFT", left, 1);
    f->audits = true;
    rig_start(f, "audit", "--name", "vm");
    rig_go(f);
    rig_await(done);
    assert_int_equal(kill(f->pid, SIGKILL), 0);
    assert_int_equal(waitpid(f->pid, NULL, 0), f->pid);
    rig_await(left);
    close(f->master);
    unsetenv("BULKHEAD_RUNDIR");
    assert_int_equal(unlink(lock) | unlink(sock) | unlink(done) | unlink(left) | rmdir(vm), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_broker_that_can_not_die, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(test_nobody_reads, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(test_lost_lines, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(test_audit_that_waits, rig_setup, rig_teardown),
    };

    if (argc > 0 && strcmp(argv[0], "bulkhead-broker") == 0)
        return play_broker();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
