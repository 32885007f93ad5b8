// SPDX-License-Identifier: Apache-2.0
// console.c - see console.h. Between the caller's terminal, or whatever stands there, and a stream that the service
// hands out. Leaving it changes nothing for the VM.
#include "verbs/console.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "base/fd.h"
#include "client.h"
#include "host_client.h"
#include "output.h"
#include "terminal.h"

enum { INPUT_ONLY, OUTPUT_ONLY };
enum { AGAIN_MS = 100, MAX_AGAIN = 50, CTRL_A = 1 };

struct console {
    const char *vm;
    int fd;      /* the stream */
    int signals; /* signalfd */
    bool reads, shows;
    bool tty;        /* standard input is a terminal: raw, with a key for us */
    bool after_key;  /* Ctrl-A was the last one */
    bool left, over; /* by that key or a signal; the VM has ended */
    unsigned again;  /* how often the stream was opened again and brought nothing */
    size_t n;        /* bytes that the guest's side hasn't taken */
    char input[4096];
};

static int open_stream(struct console *c)
{
    int n = host_open_vm(c->vm, BULKHEAD__VM_CHANNEL__VM_CONSOLE, &c->fd, 1);

    return n < 0 ? n : 0;
}

/* The console's process may have died, and is started again: then there is another stream. */
static void open_again(struct console *c)
{
    const struct timespec pause = { .tv_nsec = AGAIN_MS * 1000000 };
    int r = -EPIPE;

    fd_closep(&c->fd);
    while (r < 0 && c->again++ < MAX_AGAIN) {
        nanosleep(&pause, NULL);
        r = open_stream(c);
        if (r == -ENOENT || r == -EREMOTE) /* it is stopped, or removed */
            break;
    }
    c->over = r < 0;
}

static void take_key(struct console *c, char key)
{
    if (c->tty && c->after_key && key == 'd') {
        c->left = true;
        return;
    }
    if (c->tty && !c->after_key && key == CTRL_A) {
        c->after_key = true;
        return;
    }
    /* Another key after it: the first one was meant for the guest too. */
    if (c->after_key && key != CTRL_A && c->n < sizeof(c->input))
        c->input[c->n++] = CTRL_A;
    c->after_key = false;
    if (c->n < sizeof(c->input)) /* else the guest takes nothing, and what is typed is lost */
        c->input[c->n++] = key;
}

/* From a pipe no more is taken than there is room for. */
static void on_input(struct console *c)
{
    char bytes[2048];
    size_t room = c->tty ? sizeof(bytes) : MIN(sizeof(bytes), sizeof(c->input) - c->n);
    ssize_t got = read(STDIN_FILENO, bytes, room);

    if (got < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (got <= 0) {
        c->reads = false; /* what the guest says goes on */
        return;
    }
    for (ssize_t i = 0; i < got && !c->left; i++)
        take_key(c, bytes[i]);
}

static void on_room(struct console *c)
{
    ssize_t n = send(c->fd, c->input, c->n, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n <= 0)
        return; /* its end shows when it is read */
    c->n -= (size_t)n;
    memmove(c->input, c->input + n, c->n);
}

static int write_all(const char *bytes, size_t len)
{
    while (len > 0) {
        struct pollfd p = { .fd = STDOUT_FILENO, .events = POLLOUT };
        ssize_t n = write(STDOUT_FILENO, bytes, len);

        if (n < 0 && errno == EAGAIN)
            n = poll(&p, 1, -1) < 0 && errno != EINTR ? -1 : 0;
        else if (n < 0 && errno == EINTR)
            n = 0;
        if (n < 0)
            return -errno;
        bytes += n;
        len -= (size_t)n;
    }
    return 0;
}

static int on_output(struct console *c)
{
    char bytes[16384];
    ssize_t n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    int r;

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return EXIT_OK;
    if (n <= 0) {
        open_again(c);
        return EXIT_OK;
    }
    c->again = 0;
    r = c->shows ? write_all(bytes, (size_t)n) : 0;
    if (r == -EPIPE) {
        c->left = true; /* as in `bulkhead console web | head` */
        return EXIT_OK;
    }
    return r < 0 ? say_error(EXIT_HOST, "standard output: %s", strerror(-r)) : EXIT_OK;
}

static void on_signal(struct console *c)
{
    struct signalfd_siginfo info;

    if (read(c->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return;
    if (info.ssi_signo == SIGTSTP) { /* from outside: the key is the guest's */
        terminal_restore();
        raise(SIGSTOP);
    } else if (info.ssi_signo == SIGCONT) {
        if (c->tty && terminal_raw(STDIN_FILENO) < 0)
            c->left = true;
    } else {
        c->left = true;
    }
}

static bool is_done(const struct console *c)
{
    return c->left || c->over || (!c->shows && !c->reads && c->n == 0);
}

static int follow(struct console *c)
{
    int status = EXIT_OK;

    while (status == EXIT_OK && !is_done(c)) {
        bool takes = c->reads && (c->tty || c->n < sizeof(c->input));
        struct pollfd p[] = {
            { .fd = c->fd, .events = (short)(POLLIN | (c->n > 0 ? POLLOUT : 0)) },
            { .fd = c->signals, .events = POLLIN },
            { .fd = takes ? STDIN_FILENO : -1, .events = POLLIN },
        };

        if (poll(p, ARRAY_SIZE(p), -1) < 0 && errno != EINTR)
            return say_error(EXIT_HOST, "waiting for the console: %s", strerror(errno));
        if (p[1].revents)
            on_signal(c);
        if (p[2].revents)
            on_input(c);
        if (p[0].revents & POLLOUT)
            on_room(c);
        if (p[0].revents & (POLLIN | POLLHUP | POLLERR))
            status = on_output(c);
    }
    return status;
}

static int open_signals(void)
{
    static const int watched[] = { SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGCONT };
    struct sigaction now;
    sigset_t set;
    int fd;

    sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_SIZE(watched); i++) /* nohup means what it says */
        if (sigaction(watched[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN)
            sigaddset(&set, watched[i]);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    fd = signalfd(-1, &set, SFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int attach(struct console *c)
{
    int r = open_stream(c);

    if (r < 0)
        return host_failed(r);
    c->signals = open_signals();
    if (c->signals < 0)
        return say_error(EXIT_HOST, "signals: %s", strerror(-c->signals));
    c->tty = c->reads && isatty(STDIN_FILENO);
    if (c->tty && isatty(STDERR_FILENO))
        say_error(0, "%s: Ctrl-A d leaves it, and the VM runs on", c->vm);
    r = c->tty ? terminal_raw(STDIN_FILENO) : 0;
    if (r < 0)
        return say_error(EXIT_HOST, "the terminal can't be set raw: %s", strerror(-r));
    r = follow(c);
    terminal_restore();
    if (isatty(STDERR_FILENO) && isatty(STDOUT_FILENO))
        fprintf(stderr, "\nbulkhead: %s %s\n", c->vm, c->over ? "has ended" : "runs on");
    return r;
}

struct args {
    const char *vm;
    bool help, input_only, output_only;
};

static const struct flag flags[] = {
    { "input-only", 0, FLAG_ONE, NULL, "send standard input, show nothing, and leave at its end",
      INPUT_ONLY },
    { "output-only", 0, FLAG_ONE, NULL, "show what the guest writes; standard input is not read",
      OUTPUT_ONLY },
    FLAGS_COMMON,
};
static const struct flag_list list = { flags, ARRAY_SIZE(flags) };

static int on_flag(void *arg, int id, const char *value, struct option_error *err)
{
    struct args *a = arg;

    if (id == FLAG_HELP)
        a->help = true;
    else if (id == INPUT_ONLY)
        a->input_only = true;
    else if (id == OUTPUT_ONLY)
        a->output_only = true;
    else if (a->vm)
        return option_fail(err, "too many arguments: '%s'", value);
    else
        a->vm = value;
    return 0;
}

static int run_console(int argc, char **argv)
{
    struct console c = { .fd = -1, .signals = -1 };
    struct args a = { 0 };
    struct option_error err;
    int r;

    if (flags_parse(&list, argc, argv, on_flag, &a, &err) < 0)
        return say_error(EXIT_BAD_INPUT, "%s", err.text);
    if (a.help)
        return VERB_HELP;
    if (!a.vm)
        return VERB_USAGE;
    if (a.input_only && a.output_only)
        return say_error(EXIT_BAD_INPUT, "--input-only and --output-only exclude each other");
    if (client_is_private(a.vm))
        return say_error(
            EXIT_BAD_INPUT,
            "'%s' is a VM of bulkhead run: its console is where that was told to put it", a.vm);
    r = host_check_name(a.vm);
    if (r != EXIT_OK)
        return r;
    c.vm = a.vm;
    c.reads = !a.output_only;
    c.shows = !a.input_only;
    r = attach(&c);
    fd_closep(&c.fd);
    fd_closep(&c.signals);
    return r;
}

static void more_of_console(FILE *out)
{
    fputs("At a terminal every key is the guest's but Ctrl-A d, which leaves; Ctrl-A Ctrl-A sends "
          "one Ctrl-A. "
          "The VM\n"
          "runs on whoever leaves and however. What comes from a pipe or a file is the guest's "
          "byte for byte, "
          "and at\n"
          "its end the guest's output is shown until the VM has ended. Several may be attached at "
          "once.\n",
          out);
}

const struct verb verb_console = {
    .name = "console",
    .usage = "VM [--input-only | --output-only]",
    .summary = "attach to the console of a VM of the host's service",
    .more = more_of_console,
    .operands = { OPERAND_VM },
    .flags = &list,
    .run = run_console,
};
