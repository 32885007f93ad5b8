// SPDX-License-Identifier: Apache-2.0
// test_run.c - `bulkhead run` on a terminal of its own, against a broker that this test plays: the
// program is copied beside a copy of this test under the broker's name.
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
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "rig.h"

/* ---- the broker's part ---- */

static void send_refusal(struct channel *channel, uint32_t id, int error, bool bad_input)
{
    Bulkhead__ClientEnvelope e = BULKHEAD__CLIENT_ENVELOPE__INIT;
    Bulkhead__Reply reply = BULKHEAD__REPLY__INIT;
    char text[] = "not today";

    e.id = id;
    reply.error = error;
    reply.bad_input = bad_input;
    reply.text = text;
    e.body_case = BULKHEAD__CLIENT_ENVELOPE__BODY_REPLY;
    e.reply = &reply;
    if (channel_send_raw(channel, &e.base, NULL, 0, true) < 0)
        _exit(22);
}

/* The log is to the terminal, but the terminal is not in our hands. */
static void write_log(struct channel *channel)
{
    static const char lines[] = "one \033[2J line\nand one without an end";

    if (isatty(STDERR_FILENO) || (fcntl(STDERR_FILENO, F_GETFL) & O_ACCMODE) != O_WRONLY)
        _exit(27);
    if (write(STDERR_FILENO, lines, sizeof(lines) - 1) != (ssize_t)sizeof(lines) - 1)
        _exit(28);
    rig_send_ended(channel, BULKHEAD__GUEST_STATE_KIND__GUEST_SHUTDOWN, false, false);
}

/* It never ends a line, nor its log, but by what it is asked. */
static void flood_log(struct channel *channel)
{
    struct pollfd p = { .fd = channel_fd(channel), .events = POLLIN };
    static const char lines[] = "and another line\nand another line\nand another line\n";
    int tty;

    fcntl(STDERR_FILENO, F_SETFL, 0);
    while (poll(&p, 1, 0) == 0)
        (void)!write(STDERR_FILENO, lines, sizeof(lines) - 1);
    if (rig_receive(channel, &tty)->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_STOP_VM)
        rig_send_ended(channel, BULKHEAD__GUEST_STATE_KIND__GUEST_RUNNING, true, false);
}

/* Broker and spawner are gone, and with them the lock; an accomplice has the connection until the client leaves. */
static void hide_end(struct channel *channel)
{
    struct pollfd p = { .fd = channel_fd(channel) };
    int fd = rig_open_locked();

    if (fd < 0)
        _exit(29);
    if (fork() > 0)
        _exit(0);
    close(fd);
    poll(&p, 1, RIG_TIMEOUT_MS);
}

/* What a broker has started ends after it: here it makes the file $LATE then. */
static void leave_late(struct channel *channel)
{
    const char *late = getenv("LATE");

    rig_send_ended(channel, BULKHEAD__GUEST_STATE_KIND__GUEST_SHUTDOWN, false, false);
    if (!late || fork() > 0)
        return;
    channel_free(channel);
    poll(NULL, 0, 30 * RIG_POLL_MS);
    rig_make(late);
    _exit(0);
}

/* Does what $PART says, once the file $GO is there. */
static int play_broker(void)
{
    const char *part = getenv("PART");
    const char *go = getenv("GO");
    const Bulkhead__ClientEnvelope *e;
    struct channel *channel;
    struct termios mode;
    uint32_t id;
    int tty;

    if (!part || !go || channel_new(&channel, 3, CHANNEL_ARENA_BROKER) < 0)
        return 24;
    e = rig_receive(channel, &tty);
    if (e->body_case != BULKHEAD__CLIENT_ENVELOPE__BODY_RUN_VM)
        return 25;
    id = e->id;
    /* Until the VM has booted the terminal is as it was: the broker may not have looked yet. */
    poll(NULL, 0, 5 * RIG_POLL_MS);
    if (tcgetattr(tty, &mode) < 0 || (mode.c_lflag & ICANON) == 0)
        return 26;
    rig_send_event(channel);
    while (access(go, F_OK) != 0)
        poll(NULL, 0, RIG_POLL_MS);
    if (strcmp(part, "shutdown") == 0)
        rig_send_ended(channel, BULKHEAD__GUEST_STATE_KIND__GUEST_SHUTDOWN, false, false);
    else if (strcmp(part, "reboot") == 0)
        rig_send_ended(channel, BULKHEAD__GUEST_STATE_KIND__GUEST_REBOOT, false, false);
    else if (strcmp(part, "triple") == 0)
        rig_send_ended(channel, BULKHEAD__GUEST_STATE_KIND__GUEST_TRIPLE_FAULT, false, false);
    else if (strcmp(part, "error") == 0)
        rig_send_ended(channel, BULKHEAD__GUEST_STATE_KIND__GUEST_ERROR, false, false);
    else if (strcmp(part, "user") == 0)
        rig_send_ended(channel, BULKHEAD__GUEST_STATE_KIND__GUEST_RUNNING, true, false);
    else if (strcmp(part, "host") == 0)
        rig_send_ended(channel, BULKHEAD__GUEST_STATE_KIND__GUEST_NONE, false, true);
    else if (strcmp(part, "refuse") == 0 || strcmp(part, "fail") == 0)
        send_refusal(channel, id, EINVAL, strcmp(part, "refuse") == 0);
    else if (strcmp(part, "cancel") == 0)
        send_refusal(channel, id, ECANCELED, false);
    else if (strcmp(part, "stop") == 0 &&
             rig_receive(channel, &tty)->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_STOP_VM)
        rig_send_ended(channel, BULKHEAD__GUEST_STATE_KIND__GUEST_RUNNING, true, false);
    else if (strcmp(part, "stop-die") == 0)
        rig_receive(channel, &tty);
    else if (strcmp(part, "late") == 0)
        leave_late(channel);
    else if (strcmp(part, "hide") == 0)
        hide_end(channel);
    else if (strcmp(part, "flood") == 0)
        flood_log(channel);
    else if (strcmp(part, "stay") == 0)
        poll(NULL, 0, -1);
    else if (strcmp(part, "log") == 0)
        write_log(channel);
    else if (strcmp(part, "die") == 0)
        raise(SIGKILL);
    channel_free(channel);
    return 0;
}

/* ---- the test's part ---- */

static void test_statuses(void **state)
{
    static const struct {
        const char *part;
        int status;
        const char *text;
    } cases[] = {
        { "shutdown", 0, "Ctrl-A x ends the VM" },
        { "host", 1, "bulkhead: said the test" },
        { "fail", 1, "bulkhead: not today" },
        { "die", 1, "ended unexpectedly" },
        { "refuse", 2, "bulkhead: not today" },
        { "triple", 3, "the guest crashed: said the test" },
        { "error", 3, "the guest crashed: said the test" },
        { "reboot", 4, "" },
        { "user", 5, "" },
        { "cancel", 5, "" }, /* during the start */
    };
    struct rig *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int status;

        rig_start(f, cases[i].part, NULL, NULL);
        rig_await_raw(f, true);
        rig_go(f);
        status = rig_finish(f);
        if (status != cases[i].status || !strstr(f->text, cases[i].text))
            fail_msg("%s: status %d, output '%s'", cases[i].part, status, f->text);
    }
}

/* A signal asks the broker to stop the VM; a second one doesn't wait for it. */
static void test_log(void **state)
{
    struct rig *f = *state;

    rig_start(f, "log", NULL, NULL);
    rig_await_raw(f, true);
    rig_go(f);
    assert_int_equal(rig_finish(f), 0);
    assert_non_null(strstr(f->text, "one ?[2J line\r\nand one without an end\r\n"));
}

static void test_log_without_end(void **state)
{
    struct rig *f = *state;
    char bytes[4096];

    rig_start(f, "flood", NULL, NULL);
    rig_await_raw(f, true);
    rig_go(f);
    for (unsigned i = 0; i < 100; i++)
        assert_true(read(f->master, bytes, sizeof(bytes)) > 0);
    kill(f->pid, SIGTERM);
    while (read(f->master, bytes, sizeof(bytes)) > 0)
        ;
    assert_int_equal(rig_finish(f), 5);
}

/* Its client has left, and it stays. */
static void test_broker_that_stays(void **state)
{
    struct rig *f = *state;

    rig_start(f, "stay", NULL, NULL);
    rig_await_raw(f, true);
    rig_go(f);
    kill(f->pid, SIGTERM);
    poll(NULL, 0, 5 * RIG_POLL_MS); /* two signals, not one that comes twice */
    kill(f->pid, SIGTERM);
    assert_int_equal(rig_finish(f), 5);
}

/* Whoever has a copy of the broker's end of the connection keeps it open, not us. */
static void test_hidden_end(void **state)
{
    struct rig *f = *state;
    char vm[80], lock[96];

    snprintf(vm, sizeof(vm), "%s/vm", f->dir);
    snprintf(lock, sizeof(lock), "%s/lock", vm);
    assert_int_equal(mkdir(vm, 0700), 0);
    setenv("BULKHEAD_RUNDIR", f->dir, 1);
    setenv("LOCK", lock, 1);
    rig_start(f, "hide", "--name", "vm");
    rig_go(f);
    assert_int_equal(rig_finish(f), 1);
    assert_non_null(strstr(f->text, "the broker of 'vm' ended unexpectedly"));
    unsetenv("BULKHEAD_RUNDIR");
    unlink(lock);
    rmdir(vm);
}

/* When `run` has ended, so has all that its broker had started. */
static void test_late_end(void **state)
{
    struct rig *f = *state;
    char late[96];

    snprintf(late, sizeof(late), "%s/late", f->dir);
    setenv("LATE", late, 1);
    rig_start(f, "late", NULL, NULL);
    rig_await_raw(f, true);
    rig_go(f);
    assert_int_equal(rig_finish(f), 0);
    assert_int_equal(access(late, F_OK), 0);
    unlink(late);
    unsetenv("LATE");
}

static void test_signals(void **state)
{
    static const int signals[] = { SIGTERM, SIGINT, SIGHUP };
    struct rig *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
        rig_start(f, "stop", NULL, NULL);
        rig_await_raw(f, true);
        rig_go(f);
        kill(f->pid, signals[i]);
        assert_int_equal(rig_finish(f), 5);
    }
}

/* A broker that leaves without a word has not ended its VM in order. */
static void test_broker_dies_of_a_signal(void **state)
{
    struct rig *f = *state;

    rig_start(f, "stop-die", NULL, NULL);
    rig_await_raw(f, true);
    rig_go(f);
    kill(f->pid, SIGTERM);
    assert_int_equal(rig_finish(f), 1);
    assert_non_null(strstr(f->text, "ended unexpectedly"));
}

/* As under nohup: the VM isn't ended by a signal that was ignored when it started. */
static void test_ignored_signals(void **state)
{
    static const int signals[] = { SIGINT, SIGHUP };
    struct rig *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
        signal(signals[i], SIG_IGN);
        rig_start(f, "shutdown", NULL, NULL);
        signal(signals[i], SIG_DFL);
        rig_await_raw(f, true);
        kill(f->pid, signals[i]);
        rig_go(f);
        assert_int_equal(rig_finish(f), 0);
    }
}

static void test_stop_and_continue(void **state)
{
    struct rig *f = *state;
    int status = 0;

    rig_start(f, "shutdown", NULL, NULL);
    rig_await_raw(f, true);
    kill(f->pid, SIGTSTP);
    assert_int_equal(waitpid(f->pid, &status, WUNTRACED), f->pid);
    assert_true(WIFSTOPPED(status));
    assert_false(rig_is_raw(f));
    kill(f->pid, SIGCONT);
    rig_await_raw(f, true);
    rig_go(f);
    assert_int_equal(rig_finish(f), 0);
}

/* A crash of the command line itself must not leave a raw terminal behind. */
static void test_crash(void **state)
{
    struct rig *f = *state;
    siginfo_t info;

    rig_start(f, "shutdown", NULL, NULL);
    rig_await_raw(f, true);
    kill(f->pid, SIGSEGV);
    assert_int_equal(waitid(P_PID, (id_t)f->pid, &info, WEXITED | WNOWAIT), 0);
    rig_go(f); /* the broker has the terminal as well, and leaves */
    assert_int_not_equal(rig_finish(f), 0);
}

static void test_event_monitor(void **state)
{
    struct rig *f = *state;
    char value[128];
    char line[512] = "";
    FILE *file;

    snprintf(value, sizeof(value), "path=%s/events", f->dir);
    rig_start(f, "shutdown", "--event-monitor", value);
    rig_await_raw(f, true);
    rig_go(f);
    assert_int_equal(rig_finish(f), 0);
    file = fopen(value + 5, "re");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof(line), file));
    fclose(file);
    assert_non_null(strstr(line, "\"event\":\"booted\""));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_statuses, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(test_log, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(test_log_without_end, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(test_broker_that_stays, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(test_hidden_end, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(test_late_end, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(test_signals, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(test_broker_dies_of_a_signal, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(test_ignored_signals, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(test_stop_and_continue, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(test_crash, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(test_event_monitor, rig_setup, rig_teardown),
    };

    if (argc > 0 && strcmp(argv[0], "bulkhead-broker") == 0)
        return play_broker();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
