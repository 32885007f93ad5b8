// SPDX-License-Identifier: Apache-2.0
// test_run.c - `bulkhead run` on a terminal of its own, against a broker that this test plays: the
// program is copied beside a copy of this test under the broker's name.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "client.pb-c.h"
#include "ipc/channel.h"

enum { TIMEOUT_MS = 30000, POLL_MS = 10 };

/* ---- the broker's part ---- */

/* The descriptors that come with it stay open; *ret_tty is the first, or -1. */
static const Bulkhead__ClientEnvelope *receive(struct channel *channel, int *ret_tty)
{
    ProtobufCMessage *msg = NULL;
    size_t n_fds = 0;
    int *fds = NULL;

    if (channel_receive_raw(channel, true, &bulkhead__client_envelope__descriptor, &msg, &fds,
                            &n_fds) != 0)
        _exit(20);
    *ret_tty = n_fds > 0 ? fds[0] : -1;
    return (const Bulkhead__ClientEnvelope *)msg;
}

static void send_ended(struct channel *channel, Bulkhead__GuestStateKind state, bool by_user,
                       bool host_failure)
{
    Bulkhead__ClientEnvelope e = BULKHEAD__CLIENT_ENVELOPE__INIT;
    Bulkhead__VmEnded ended = BULKHEAD__VM_ENDED__INIT;
    char detail[] = "said the test";

    ended.state = state;
    ended.by_user = by_user;
    ended.host_failure = host_failure;
    ended.detail = detail;
    e.body_case = BULKHEAD__CLIENT_ENVELOPE__BODY_VM_ENDED;
    e.vm_ended = &ended;
    if (channel_send_raw(channel, &e.base, NULL, 0, true) < 0)
        _exit(21);
}

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

static void send_event(struct channel *channel)
{
    Bulkhead__ClientEnvelope e = BULKHEAD__CLIENT_ENVELOPE__INIT;
    Bulkhead__Event event = BULKHEAD__EVENT__INIT;
    char source[] = "vm";
    char name[] = "booted";

    event.time_ns = 1;
    event.source = source;
    event.event = name;
    e.body_case = BULKHEAD__CLIENT_ENVELOPE__BODY_EVENT;
    e.event = &event;
    if (channel_send_raw(channel, &e.base, NULL, 0, true) < 0)
        _exit(23);
}

/* The log is to the terminal, but the terminal is not in our hands. */
static void write_log(struct channel *channel)
{
    static const char lines[] = "one \033[2J line\nand one without an end";

    if (isatty(STDERR_FILENO) || (fcntl(STDERR_FILENO, F_GETFL) & O_ACCMODE) != O_WRONLY)
        _exit(27);
    if (write(STDERR_FILENO, lines, sizeof(lines) - 1) != (ssize_t)sizeof(lines) - 1)
        _exit(28);
    send_ended(channel, BULKHEAD__GUEST_STATE_KIND__GUEST_SHUTDOWN, false, false);
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
    if (receive(channel, &tty)->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_STOP_VM)
        send_ended(channel, BULKHEAD__GUEST_STATE_KIND__GUEST_RUNNING, true, false);
}

/* Broker and spawner are gone, and with them the lock; an accomplice has the connection until the client leaves. */
static void hide_end(struct channel *channel)
{
    struct flock all = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    struct pollfd p = { .fd = channel_fd(channel) };
    int fd = open(getenv("LOCK"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0 || fcntl(fd, F_OFD_SETLK, &all) < 0)
        _exit(29);
    if (fork() > 0)
        _exit(0);
    close(fd);
    poll(&p, 1, TIMEOUT_MS);
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
    e = receive(channel, &tty);
    if (e->body_case != BULKHEAD__CLIENT_ENVELOPE__BODY_RUN_VM)
        return 25;
    id = e->id;
    /* Until the VM has booted the terminal is as it was: the broker may not have looked yet. */
    poll(NULL, 0, 5 * POLL_MS);
    if (tcgetattr(tty, &mode) < 0 || (mode.c_lflag & ICANON) == 0)
        return 26;
    send_event(channel);
    while (access(go, F_OK) != 0)
        poll(NULL, 0, POLL_MS);
    if (strcmp(part, "shutdown") == 0)
        send_ended(channel, BULKHEAD__GUEST_STATE_KIND__GUEST_SHUTDOWN, false, false);
    else if (strcmp(part, "reboot") == 0)
        send_ended(channel, BULKHEAD__GUEST_STATE_KIND__GUEST_REBOOT, false, false);
    else if (strcmp(part, "triple") == 0)
        send_ended(channel, BULKHEAD__GUEST_STATE_KIND__GUEST_TRIPLE_FAULT, false, false);
    else if (strcmp(part, "error") == 0)
        send_ended(channel, BULKHEAD__GUEST_STATE_KIND__GUEST_ERROR, false, false);
    else if (strcmp(part, "user") == 0)
        send_ended(channel, BULKHEAD__GUEST_STATE_KIND__GUEST_RUNNING, true, false);
    else if (strcmp(part, "host") == 0)
        send_ended(channel, BULKHEAD__GUEST_STATE_KIND__GUEST_NONE, false, true);
    else if (strcmp(part, "refuse") == 0 || strcmp(part, "fail") == 0)
        send_refusal(channel, id, EINVAL, strcmp(part, "refuse") == 0);
    else if (strcmp(part, "cancel") == 0)
        send_refusal(channel, id, ECANCELED, false);
    else if (strcmp(part, "stop") == 0 &&
             receive(channel, &tty)->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_STOP_VM)
        send_ended(channel, BULKHEAD__GUEST_STATE_KIND__GUEST_RUNNING, true, false);
    else if (strcmp(part, "stop-die") == 0)
        receive(channel, &tty);
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

struct fixture {
    char dir[64], go[96];
    int master;
    pid_t pid;
    struct termios before;
    char text[8192];
};

static void copy_program(const char *from, const char *dir, const char *name)
{
    char path[128];
    struct stat st;
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    out = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
    assert_true(in >= 0 && out >= 0 && fstat(in, &st) == 0);
    for (off_t left = st.st_size; left > 0;) {
        ssize_t n = sendfile(out, in, NULL, (size_t)left);

        assert_true(n > 0);
        left -= n;
    }
    close(in);
    close(out);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    snprintf(f->dir, sizeof(f->dir), "/tmp/bulkhead-run-XXXXXX");
    if (!mkdtemp(f->dir))
        return -1;
    snprintf(f->go, sizeof(f->go), "%s/go", f->dir);
    setenv("GO", f->go, 1);
    copy_program(BULKHEAD_PROGRAM, f->dir, "bulkhead");
    copy_program("/proc/self/exe", f->dir, "bulkhead-broker");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    static const char *const names[] = { "bulkhead", "bulkhead-broker", "events" };
    struct fixture *f = *state;
    char path[128];

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", f->dir, names[i]);
        unlink(path);
    }
    unlink(f->go);
    rmdir(f->dir);
    free(f);
    return 0;
}

static void start(struct fixture *f, const char *part, const char *flag, const char *value)
{
    char program[96];
    int seen[2];
    char *argv[] = { (char[]){ "bulkhead" },
                     (char[]){ "run" },
                     (char[]){ "--kernel" },
                     (char[]){ "k" },
                     (char[32]){ "" },
                     (char[128]){ "" },
                     NULL };

    if (flag) {
        snprintf(argv[4], 32, "%s", flag);
        snprintf(argv[5], 128, "%s", value);
    } else {
        argv[4] = NULL;
    }
    snprintf(program, sizeof(program), "%s/bulkhead", f->dir);
    setenv("PART", part, 1);
    unlink(f->go);
    assert_int_equal(pipe2(seen, O_CLOEXEC), 0);
    f->pid = forkpty(&f->master, NULL, NULL, NULL);
    assert_true(f->pid >= 0);
    if (f->pid == 0) {
        char byte;

        close(seen[1]);
        (void)!read(seen[0], &byte, 1); /* until the terminal was looked at as it is now */
        execv(program, argv);
        _exit(127);
    }
    close(seen[0]);
    assert_int_equal(tcgetattr(f->master, &f->before), 0);
    close(seen[1]);
}

static void go(struct fixture *f)
{
    close(open(f->go, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

static bool is_raw(struct fixture *f)
{
    struct termios now;

    assert_int_equal(tcgetattr(f->master, &now), 0);
    return (now.c_lflag & (ICANON | ECHO | ISIG)) == 0;
}

static void await_raw(struct fixture *f, bool raw)
{
    for (int ms = 0; is_raw(f) != raw; ms += POLL_MS) {
        if (ms > TIMEOUT_MS)
            fail_msg("the terminal did not become %s", raw ? "raw" : "as before");
        poll(NULL, 0, POLL_MS);
    }
}

static int finish(struct fixture *f)
{
    struct termios now;
    int status = 0;
    size_t n = 0;

    assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
    assert_int_equal(tcgetattr(f->master, &now), 0);
    for (;;) { /* what it printed; EIO when the other side is closed */
        ssize_t got = read(f->master, f->text + n, sizeof(f->text) - 1 - n);

        if (got <= 0)
            break;
        n += (size_t)got;
    }
    f->text[n] = '\0';
    close(f->master);
    assert_int_equal(now.c_lflag, f->before.c_lflag);
    assert_int_equal(now.c_iflag, f->before.c_iflag);
    assert_int_equal(now.c_oflag, f->before.c_oflag);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

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
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int status;

        start(f, cases[i].part, NULL, NULL);
        await_raw(f, true);
        go(f);
        status = finish(f);
        if (status != cases[i].status || !strstr(f->text, cases[i].text))
            fail_msg("%s: status %d, output '%s'", cases[i].part, status, f->text);
    }
}

/* A signal asks the broker to stop the VM; a second one doesn't wait for it. */
static void test_log(void **state)
{
    struct fixture *f = *state;

    start(f, "log", NULL, NULL);
    await_raw(f, true);
    go(f);
    assert_int_equal(finish(f), 0);
    assert_non_null(strstr(f->text, "one ?[2J line\r\nand one without an end\r\n"));
}

static void test_log_without_end(void **state)
{
    struct fixture *f = *state;
    char bytes[4096];

    start(f, "flood", NULL, NULL);
    await_raw(f, true);
    go(f);
    for (unsigned i = 0; i < 100; i++)
        assert_true(read(f->master, bytes, sizeof(bytes)) > 0);
    kill(f->pid, SIGTERM);
    while (read(f->master, bytes, sizeof(bytes)) > 0)
        ;
    assert_int_equal(finish(f), 5);
}

/* Its client has left, and it stays. */
static void test_broker_that_stays(void **state)
{
    struct fixture *f = *state;

    start(f, "stay", NULL, NULL);
    await_raw(f, true);
    go(f);
    kill(f->pid, SIGTERM);
    poll(NULL, 0, 5 * POLL_MS); /* two signals, not one that comes twice */
    kill(f->pid, SIGTERM);
    assert_int_equal(finish(f), 5);
}

/* Whoever has a copy of the broker's end of the connection keeps it open, not us. */
static void test_hidden_end(void **state)
{
    struct fixture *f = *state;
    char vm[80], lock[96];

    snprintf(vm, sizeof(vm), "%s/vm", f->dir);
    snprintf(lock, sizeof(lock), "%s/lock", vm);
    assert_int_equal(mkdir(vm, 0700), 0);
    setenv("BULKHEAD_RUNDIR", f->dir, 1);
    setenv("LOCK", lock, 1);
    start(f, "hide", "--name", "vm");
    go(f);
    assert_int_equal(finish(f), 1);
    assert_non_null(strstr(f->text, "the broker of 'vm' ended unexpectedly"));
    unsetenv("BULKHEAD_RUNDIR");
    unlink(lock);
    rmdir(vm);
}

static void test_signals(void **state)
{
    static const int signals[] = { SIGTERM, SIGINT, SIGHUP };
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
        start(f, "stop", NULL, NULL);
        await_raw(f, true);
        go(f);
        kill(f->pid, signals[i]);
        assert_int_equal(finish(f), 5);
    }
}

/* A broker that leaves without a word has not ended its VM in order. */
static void test_broker_dies_of_a_signal(void **state)
{
    struct fixture *f = *state;

    start(f, "stop-die", NULL, NULL);
    await_raw(f, true);
    go(f);
    kill(f->pid, SIGTERM);
    assert_int_equal(finish(f), 1);
    assert_non_null(strstr(f->text, "ended unexpectedly"));
}

/* As under nohup: the VM isn't ended by a signal that was ignored when it started. */
static void test_ignored_signals(void **state)
{
    static const int signals[] = { SIGINT, SIGHUP };
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
        signal(signals[i], SIG_IGN);
        start(f, "shutdown", NULL, NULL);
        signal(signals[i], SIG_DFL);
        await_raw(f, true);
        kill(f->pid, signals[i]);
        go(f);
        assert_int_equal(finish(f), 0);
    }
}

static void test_stop_and_continue(void **state)
{
    struct fixture *f = *state;
    int status = 0;

    start(f, "shutdown", NULL, NULL);
    await_raw(f, true);
    kill(f->pid, SIGTSTP);
    assert_int_equal(waitpid(f->pid, &status, WUNTRACED), f->pid);
    assert_true(WIFSTOPPED(status));
    assert_false(is_raw(f));
    kill(f->pid, SIGCONT);
    await_raw(f, true);
    go(f);
    assert_int_equal(finish(f), 0);
}

/* A crash of the command line itself must not leave a raw terminal behind. */
static void test_crash(void **state)
{
    struct fixture *f = *state;
    siginfo_t info;

    start(f, "shutdown", NULL, NULL);
    await_raw(f, true);
    kill(f->pid, SIGSEGV);
    assert_int_equal(waitid(P_PID, (id_t)f->pid, &info, WEXITED | WNOWAIT), 0);
    go(f); /* the broker has the terminal as well, and leaves */
    assert_int_not_equal(finish(f), 0);
}

static void test_event_monitor(void **state)
{
    struct fixture *f = *state;
    char value[128];
    char line[512] = "";
    FILE *file;

    snprintf(value, sizeof(value), "path=%s/events", f->dir);
    start(f, "shutdown", "--event-monitor", value);
    await_raw(f, true);
    go(f);
    assert_int_equal(finish(f), 0);
    file = fopen(value + 5, "re");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof(line), file));
    fclose(file);
    assert_non_null(strstr(line, "\"event\":\"booted\""));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_statuses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_log, setup, teardown),
        cmocka_unit_test_setup_teardown(test_log_without_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_broker_that_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hidden_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_signals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_broker_dies_of_a_signal, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ignored_signals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop_and_continue, setup, teardown),
        cmocka_unit_test_setup_teardown(test_crash, setup, teardown),
        cmocka_unit_test_setup_teardown(test_event_monitor, setup, teardown),
    };

    if (argc > 0 && strcmp(argv[0], "bulkhead-broker") == 0)
        return play_broker();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
