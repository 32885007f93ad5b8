// SPDX-License-Identifier: Apache-2.0
// run.c - `bulkhead run`: starts a private broker, lends it the terminal, shows the events and
// turns the guest's end into an exit status.
#include "verbs/run.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "audit/vm.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "client.h"
#include "client/rundir.h"
#include "ended.h"
#include "events.h"
#include "gateway.h"
#include "options/device_flags.h"
#include "options/run_flags.h"
#include "output.h"
#include "relay.h"
#include "sandbox/trim.h"
#include "terminal.h"
#include "verbs/run_output.h"

enum {
    LOOK_S = 5, /* how often we see for ourselves whether there is a VM */
    MAX_LAST_READS = 1024,
    MAX_UNREAD = 4096, /* messages that may wait for us when there is none any more */
    AUDIT_LOOKS = 24,  /* of LOOK_S: as long as an audit may take */
    REST_MS = 2000,    /* what is left of a VM that has ended */
    REST_LOOK_MS = 5,
};

struct run {
    struct vm_options options;
    struct client client;
    struct relay relay; /* of the broker's log */
    struct run_output out;
    struct gateway gateway;
    int signals;             /* signalfd */
    int looks;               /* timerfd, armed when the VM runs */
    int in_flags, out_flags; /* of descriptors 0 and 1, to be put back */
    bool tty;                /* the guest has our terminal */
    bool stopping;           /* we asked the broker to end the VM */
    bool ended;              /* it did, as the broker says */
    pid_t audit;             /* the process that audits, 0: none */
    unsigned audit_looks;    /* since it began */
    bool audit_again;        /* something was started since it began */
    int status;              /* exit status, -1: the VM still runs */
};

static bool is_ignored(int number)
{
    struct sigaction now;

    return sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
}

static int open_signals(void)
{
    static const int watched[] = { SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGCONT, SIGCHLD };
    sigset_t set;
    int fd;

    sigemptyset(&set);
    /* Where it is ignored nothing is heard of children; but nohup, and a script's background job,
     * mean what they say. */
    signal(SIGCHLD, SIG_DFL);
    for (size_t i = 0; i < ARRAY_SIZE(watched); i++)
        if (!is_ignored(watched[i]))
            sigaddset(&set, watched[i]);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    fd = signalfd(-1, &set, SFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* Before there is a broker: nothing has to be taken back. */
static int check_descriptors(const struct run *run)
{
    const struct vm_options *o = &run->options;
    int mode = fcntl(1, F_GETFL);
    struct option_error err;

    if (vm_options_uses_tty(o) && (mode < 0 || (mode & O_ACCMODE) == O_RDONLY))
        return say_error(EXIT_BAD_INPUT, "standard output is not open for writing, and the guest's "
                                         "console is to go there: see --serial");
    if (vm_net_fds_check(o, &err) < 0)
        return say_error(EXIT_BAD_INPUT, "%s", err.text);
    return EXIT_OK;
}

/* RunVm with the descriptors it may use: tty in, tty out, then those of --net fd=. */
static int send_run(struct run *run)
{
    Bulkhead__RunVm msg = BULKHEAD__RUN_VM__INIT;
    int fds[2 + VM_OPTIONS_MAX_FDS];
    size_t n = 0;
    size_t n_own;
    int r = 0;

    CLIENT_ENVELOPE(request, RUN_VM, run_vm, &msg);
    msg.config = &run->options.config;
    msg.has_tty = vm_options_uses_tty(&run->options);
    if (msg.has_tty) {
        fds[n++] = terminal_share(0, O_RDONLY);
        fds[n++] = terminal_share(1, O_WRONLY);
    }
    n_own = n;
    for (size_t i = 0; i < run->options.n_net_fds; i++)
        fds[n++] = run->options.net_fds[i];
    for (size_t i = 0; i < n_own && r == 0; i++)
        if (fds[i] < 0)
            r = say_error(EXIT_HOST, "standard %s can't be shared: %s", i == 0 ? "input" : "output",
                          strerror(-fds[i]));
    if (r == 0) {
        r = client_send(&run->client, &request, fds, n);
        r = r < 0 ? client_failed(r) : 0;
    }
    for (size_t i = 0; i < n_own; i++)
        fd_closep(&fds[i]);
    return r;
}

static int attach_terminal(struct run *run)
{
    int r;

    if (!run->tty)
        return 0;
    r = terminal_raw(0);
    if (r < 0)
        return say_error(EXIT_HOST, "the terminal can't be set raw: %s", strerror(-r));
    return 0;
}

/* The audit asks the broker, which must go on being served by us: hence a process of its own,
 * reaped when we end. What it finds becomes an event beside the broker's. */
static void start_audit(struct run *run)
{
    Bulkhead__Event event = BULKHEAD__EVENT__INIT;
    Bulkhead__KeyValue unreadable = BULKHEAD__KEY_VALUE__INIT;
    Bulkhead__KeyValue *properties[] = { &unreadable };
    char source[] = "audit";
    char words[][8] = {
        [AUDIT_PASSED] = "passed", [AUDIT_FOUND_DRIFT] = "drift", [AUDIT_FAILED] = "failed"
    };
    char key[] = "unreadable";
    char number[24];
    enum audit_outcome outcome;
    size_t n_unreadable;
    int r;

    if (run->audit > 0) {
        run->audit_again = true;
        return;
    }
    run->audit_again = false;
    run->audit_looks = 0;
    run->audit = fork();
    if (run->audit != 0)
        return;
    /* The broker is to see when we leave, and who lent us a tap. */
    run_output_in_child(&run->out);
    outcome = audit_vm_quietly(run->options.config.name, &n_unreadable);
    r = outcome == AUDIT_PASSED ? EXIT_OK : EXIT_HOST;
    snprintf(number, sizeof(number), "%zu", n_unreadable);
    unreadable.key = key;
    unreadable.value = number;
    event.properties = properties;
    event.n_properties = n_unreadable > 0 ? 1 : 0;
    event.time_ns = clock_ns(CLOCK_REALTIME);
    event.source = source;
    event.event = words[outcome];
    if (run_output_put(&run->out, &event) < 0)
        r = EXIT_HOST;
    if (run->options.verbose)
        run_output_print(&run->out, &event);
    run_output_drain(&run->out, -1);
    _exit(r);
}

static bool is_event(const Bulkhead__Event *event, const char *source, const char *name)
{
    return strcmp(event->source, source) == 0 && strcmp(event->event, name) == 0;
}

static bool calls_for_audit(const Bulkhead__Event *event)
{
    return is_event(event, "vm", "booted") || is_event(event, "device", "restarted") ||
           is_event(event, "device", "upgraded") || is_event(event, "device", "added");
}

static void on_booted(struct run *run)
{
    const struct itimerspec period = { .it_interval.tv_sec = LOOK_S, .it_value.tv_sec = LOOK_S };

    (void)timerfd_settime(run->looks, 0, &period, NULL);
    if (attach_terminal(run) != EXIT_OK)
        run->status = EXIT_HOST;
    trim_start_code();
}

static void on_event(struct run *run, const Bulkhead__Event *event)
{
    bool trace = strcmp(event->source, "trace") == 0;

    (void)run_output_put(&run->out, event);
    if (trace && run->out.said && run->options.config.trace_start_ns != 0) {
        const char *ms = event_property(event, "ms");

        say(run->out.said, "%9s ms  %s\n", ms ? ms : "?", event->event);
    } else if (run->options.verbose) {
        run_output_print(&run->out, event);
    } else if (strcmp(event->event, "pty") == 0 && event_property(event, "path")) {
        say_error(0, "%s: %s", event_property(event, "id"), event_property(event, "path"));
    }
    /* Not before: the broker remembers the terminal's mode while it prepares the VM. */
    if (is_event(event, "vm", "booted"))
        on_booted(run);
    if (strcmp(event->event, "adopted") == 0)
        gateway_tell(&run->gateway);
    if (run->options.config.audit && calls_for_audit(event))
        start_audit(run);
}

static void on_broker_gone(struct run *run)
{
    terminal_restore();
    run->status =
        say_error(EXIT_HOST, "the broker of '%s' ended unexpectedly", run->options.config.name);
}

static void on_message(struct run *run)
{
    Bulkhead__ClientEnvelope__BodyCase body;
    struct client_answer answer;
    int r = client_receive(&run->client, -1, &answer);

    if (r < 0) {
        on_broker_gone(run);
        return;
    }
    body = answer.envelope->body_case;
    if (body == BULKHEAD__CLIENT_ENVELOPE__BODY_EVENT) {
        on_event(run, answer.envelope->event);
    } else if (body == BULKHEAD__CLIENT_ENVELOPE__BODY_REPLY &&
               answer.envelope->reply->error != 0) {
        terminal_restore();
        /* ECANCELED: ended from the host before the guest ran. */
        run->ended = true; /* nothing comes after it */
        run->status = answer.envelope->reply->error == ECANCELED
                          ? EXIT_BY_USER
                          : client_reply(answer.envelope->reply);
    } else if (body == BULKHEAD__CLIENT_ENVELOPE__BODY_VM_ENDED) {
        terminal_restore();
        run->ended = true;
        run->status = ended_status(answer.envelope->vm_ended);
    }
}

/* What it looks at may not answer. Killed, it is reaped as ever; one that doesn't die of it, at the next look, is left. */
static void look_at_audit(struct run *run)
{
    if (run->audit <= 0 || ++run->audit_looks < AUDIT_LOOKS)
        return;
    kill(run->audit, SIGKILL);
    if (run->audit_looks == AUDIT_LOOKS)
        return;
    run->audit = 0;
    if (run->audit_again)
        start_audit(run);
}

/* A connection that nobody ends says nothing of the VM: whoever got a copy of the broker's end can keep it. The
 * VM's end, where it was said, has been said before the lock was let go. */
static void on_look(struct run *run)
{
    struct pollfd p = { .fd = channel_fd(run->client.channel), .events = POLLIN };
    uint64_t n;
    bool is_over;

    if (read(run->looks, &n, sizeof n) != (ssize_t)sizeof n)
        return;
    look_at_audit(run);
    gateway_again(&run->gateway);
    is_over = !rundir_is_held(run->options.config.name);
    for (int i = 0; i < MAX_UNREAD && is_over && run->status < 0 && poll(&p, 1, 0) > 0; i++)
        on_message(run);
    if (is_over && run->status < 0)
        on_broker_gone(run);
}

static void ask_to_stop(struct run *run)
{
    Bulkhead__StopVm msg = BULKHEAD__STOP_VM__INIT;

    CLIENT_ENVELOPE(request, STOP_VM, stop_vm, &msg);
    if (run->stopping || client_send(&run->client, &request, NULL, 0) < 0) {
        terminal_restore();
        run->status = EXIT_BY_USER; /* asked twice, or no broker: leave at once */
    }
    run->stopping = true;
}

/* Whether there is a broker shows on its socket, which the spawner keeps: one that died is followed by
 * another, which is no child of ours. */
static void on_child(struct run *run)
{
    if (run->client.broker > 0 && waitpid(run->client.broker, NULL, WNOHANG) == run->client.broker)
        run->client.broker = 0;
    gateway_reap(&run->gateway);
    if (run->audit <= 0 || waitpid(run->audit, NULL, WNOHANG) != run->audit)
        return;
    run->audit = 0;
    if (run->audit_again)
        start_audit(run);
}

static void on_signal(struct run *run)
{
    struct signalfd_siginfo info;

    if (read(run->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return;
    if (info.ssi_signo == SIGTSTP) {
        /* Ctrl-Z goes to the guest; this one came from outside: stop as the shell expects. */
        terminal_restore();
        raise(SIGSTOP);
        return;
    }
    if (info.ssi_signo == SIGCONT) {
        (void)attach_terminal(run);
        return;
    }
    if (info.ssi_signo == SIGCHLD) {
        on_child(run);
        return;
    }
    ask_to_stop(run);
}

static int follow(struct run *run)
{
    while (run->status < 0) {
        struct pollfd p[] = {
            { .fd = channel_fd(run->client.channel), .events = POLLIN },
            { .fd = run->signals, .events = POLLIN },
            { .fd = run->looks, .events = POLLIN },
            { .fd = run->relay.fd, .events = POLLIN },
            run_output_behind(&run->out.errors),
            run_output_behind(&run->out.log),
            run_output_behind(&run->out.events),
            gateway_wanted(&run->gateway),
        };

        if (poll(p, ARRAY_SIZE(p), -1) < 0 && errno != EINTR)
            return say_error(EXIT_HOST, "waiting for the broker: %s", strerror(errno));
        if (p[1].revents)
            on_signal(run);
        if (p[3].revents)
            relay_read(&run->relay);
        if (p[4].revents)
            outlet_go_on(&run->out.errors);
        if (p[5].revents)
            outlet_go_on(&run->out.log);
        if (p[6].revents)
            outlet_go_on(&run->out.events);
        gateway_act(&run->gateway, &p[7]);
        if (run->status < 0 && p[0].revents)
            on_message(run);
        if (run->status < 0 && p[2].revents)
            on_look(run);
    }
    return run->status;
}

static int start_broker(struct run *run)
{
    cleanup_(fd_closep) int log_fd = -1;
    int r =
        relay_open(&run->relay, run->options.log_path ? &run->out.log : &run->out.errors, &log_fd);

    if (r < 0)
        return say_error(EXIT_HOST, "a pipe for the broker's log: %s", strerror(-r));
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1); /* for await_rest() */
    r = gateway_open(&run->gateway, run->options.config.name, run->options.api_path,
                     run->options.api_fd, log_fd, run->options.config.insecure);
    if (r != EXIT_OK)
        return r;
    r = client_start_broker(&run->client, log_fd);
    run->gateway.broker = run->client.channel;
    return r < 0 ? client_failed(r) : EXIT_OK;
}

/* What it said last; of one that never ends no more than its pipe holds. */
static void end_relay(struct run *run)
{
    for (unsigned i = 0; i < MAX_LAST_READS && relay_read(&run->relay); i++)
        ;
    relay_close(&run->relay);
}

/* How it ended is known: from here on a signal that asks for an end ends our waiting. */
static void hurry_on_signals(struct run *run)
{
    static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
    sigset_t ends, others;

    sigemptyset(&ends);
    sigemptyset(&others);
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        if (!is_ignored(numbers[i]))
            sigaddset(&ends, numbers[i]);
    sigaddset(&others, SIGTSTP);
    sigaddset(&others, SIGCONT);
    (void)signalfd(run->signals, &ends, SFD_CLOEXEC);
    sigprocmask(SIG_UNBLOCK, &others, NULL);
}

/* The spawner outlives its broker for a moment, and is our child then. Of a VM that has ended nothing is left when we are
 * gone, so that whoever called may look, or start the next. */
static void await_rest(const struct run *run)
{
    const int64_t until = clock_ms(CLOCK_MONOTONIC) + REST_MS;
    struct pollfd stop = { .fd = run->signals, .events = POLLIN };
    pid_t pid;

    do
        pid = waitpid(-1, NULL, WNOHANG);
    while (pid > 0 ||
           (pid == 0 && clock_ms(CLOCK_MONOTONIC) < until && poll(&stop, 1, REST_LOOK_MS) == 0));
}

static void end(struct run *run)
{
    hurry_on_signals(run);
    run->gateway.broker = NULL;
    gateway_close(&run->gateway);
    if (run->ended)
        client_await_end(&run->client, run->signals);
    client_close_unless(&run->client, run->signals);
    if (run->ended)
        await_rest(run);
    end_relay(run);
    run_output_drain(&run->out, run->signals);
}

static int run_vm(struct run *run)
{
    int r = check_descriptors(run);

    if (r == EXIT_OK)
        r = run_output_open(&run->out, &run->options);
    if (r != EXIT_OK)
        return r;
    run->signals = open_signals();
    if (run->signals < 0)
        return say_error(EXIT_HOST, "signals: %s", strerror(-run->signals));
    run->looks = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (run->looks < 0)
        return say_error(EXIT_HOST, "timer: %s", strerror(errno));
    run->tty = vm_options_uses_tty(&run->options);
    run->in_flags = fcntl(0, F_GETFL);
    run->out_flags = fcntl(1, F_GETFL);
    r = start_broker(run);
    if (r != EXIT_OK)
        return r;
    r = send_run(run);
    if (r == EXIT_OK && run->tty && isatty(0) && isatty(2))
        say_error(0, "%s: Ctrl-A x ends the VM", run->options.config.name);
    if (r == EXIT_OK)
        r = follow(run);
    terminal_restore();
    end(run);
    if (run->in_flags >= 0)
        fcntl(0, F_SETFL, run->in_flags);
    if (run->out_flags >= 0)
        fcntl(1, F_SETFL, run->out_flags);
    return r;
}

static int run_run(int argc, char **argv)
{
    struct run run = { .relay.fd = -1, .signals = -1, .looks = -1, .status = -1 };
    struct option_error err;
    int r;

    gateway_init(&run.gateway);
    run_output_init(&run.out);
    if (vm_options_parse(&run.options, argc, argv, &err) < 0)
        r = say_error(EXIT_BAD_INPUT, "%s", err.text);
    else if (run.options.help)
        r = VERB_HELP;
    else
        r = run_vm(&run);
    gateway_close(&run.gateway);
    fd_closep(&run.signals);
    fd_closep(&run.looks);
    run_output_close(&run.out);
    vm_options_deinit(&run.options);
    return r;
}

static void more_of_run(FILE *out)
{
    vm_options_print_values(out);
    fputs(
        "\nExit status: 0 the guest shut down, 1 the host failed, 2 bad input, 3 the guest "
        "crashed,\n"
        "4 it rebooted under --no-reboot, 5 ended from the host (Ctrl-A x, bulkhead stop, a "
        "signal).\n"
        "While the guest has the terminal, every key goes to it but Ctrl-A x, which ends the VM;\n"
        "Ctrl-A Ctrl-A sends one Ctrl-A.\n",
        out);
}

const struct verb verb_run = {
    .name = "run",
    .usage = "--kernel PATH [FLAGS]",
    .summary = "start a VM and stay with it until it ends",
    .more = more_of_run,
    .flags = &vm_options_flags,
    .run = run_run,
};
