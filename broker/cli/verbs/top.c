// SPDX-License-Identifier: Apache-2.0
// top.c - `bulkhead top`: processes and devices of a VM, refreshed in place.
#include "verbs/top.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "client.h"
#include "client/rundir.h"
#include "options/flags.h"
#include "output.h"
#include "samples.h"

enum { TOP_PERIOD_MS = 1000, TOP_FIRST_MS = 250, TOP_AGAIN_MS = 20, TOP_TRIES = 50 };

static uint64_t monotonic_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int take_sample(struct client *client, struct top_sample *s)
{
    Bulkhead__ListProcesses list = BULKHEAD__LIST_PROCESSES__INIT;
    Bulkhead__GetStats stats = BULKHEAD__GET_STATS__INIT;
    struct client_answer answer;
    struct kin kin;
    int r;

    memset(s, 0, sizeof(*s));
    CLIENT_ENVELOPE(list_request, LIST_PROCESSES, list_processes, &list);
    CLIENT_ENVELOPE(stats_request, GET_STATS, get_stats, &stats);
    r = client_call(client, &list_request, &answer);
    if (r == 0 && answer.envelope->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_PROCESS_LIST) {
        kin_look(&kin, client->run_dir, answer.envelope->process_list);
        top_take_processes(s, answer.envelope->process_list, &kin);
    }
    if (r == 0)
        r = client_call(client, &stats_request, &answer);
    if (r == 0 && answer.envelope->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_STATS)
        top_take_devices(s, answer.envelope->stats);
    s->time_ns = monotonic_ns();
    return r;
}

/* ---- the screen ---- */

/* The terminal's second screen, without a cursor: what was on it is there again afterwards. */
static void screen_open(void)
{
    fputs("\033[?1049h\033[?25l", stdout);
}

static void screen_close(void)
{
    fputs("\033[?25h\033[?1049l", stdout);
    fflush(stdout);
}

/* Line by line over the old ones, cut to the window: nothing wraps or scrolls. */
static void screen_draw(const char *text)
{
    struct winsize size = { 0 };
    size_t rows = 24;
    size_t columns = 80;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0) {
        rows = size.ws_row;
        columns = size.ws_col;
    }
    fputs("\033[H", stdout);
    for (size_t row = 0; row < rows && *text; row++) {
        size_t len = strcspn(text, "\n");

        printf("%s%.*s\033[K", row ? "\r\n" : "", (int)MIN(len, columns), text);
        text += len + (text[len] == '\n');
    }
    fputs("\033[J", stdout);
    fflush(stdout);
}

static void show(const struct top_sample *now, const struct top_sample *before, bool screen)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = screen ? open_memstream(&text, &len) : stdout;

    if (!out)
        return;
    top_print(out, now, before);
    if (!screen) {
        putchar('\n');
        fflush(stdout);
        return;
    }
    fclose(out);
    screen_draw(text);
    free(text);
}

static int open_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

/* Its broker has closed the connection, at the VM's end or by its own death. Then another takes over, at the same socket. */
static int take_sample_again(struct client *client, const char *vm, int sig, struct top_sample *s)
{
    int r = take_sample(client, s);

    for (int i = 0; i < TOP_TRIES && r == -EPIPE; i++) {
        struct pollfd p = { .fd = sig, .events = POLLIN };

        client_close(client);
        if (poll(&p, 1, TOP_AGAIN_MS) > 0 || client_connect(client, vm) < 0)
            return -EPIPE;
        r = take_sample(client, s);
    }
    return r;
}

static int watch_vm(struct client *client, const char *vm, struct top_sample samples[2])
{
    cleanup_(fd_closep) int sig = open_signals();
    bool screen = isatty(STDOUT_FILENO);
    unsigned i = 0;
    int r = take_sample(client, &samples[0]);

    if (r == 0 && screen)
        screen_open();
    while (r == 0) {
        struct pollfd p = { .fd = sig, .events = POLLIN };
        const struct top_sample *before = &samples[i % 2];
        struct top_sample *now = &samples[++i % 2];

        if (poll(&p, 1, i == 1 ? TOP_FIRST_MS : TOP_PERIOD_MS) > 0)
            break;
        r = take_sample_again(client, vm, sig, now);
        if (r == 0)
            show(now, before, screen);
    }
    if (screen && i > 0)
        screen_close();
    return r == -EPIPE ? 0 : r; /* the VM has ended */
}

static int top_vm(const char *vm, bool json)
{
    struct top_sample *samples = calloc(2, sizeof(*samples));
    struct client client = { 0 };
    int r = samples ? client_connect(&client, vm) : err_origin(-ENOMEM, "samples");
    int status = EXIT_OK;

    if (r == 0 && json) {
        r = take_sample(&client, &samples[0]);
        if (r == 0)
            status = say_json(top_json(&samples[0]));
    } else if (r == 0) {
        r = watch_vm(&client, vm, samples);
    }
    if (r < 0)
        status = client_failed(r);
    client_close(&client);
    free(samples);
    return status;
}

static int run_top(int argc, char **argv)
{
    static char names[RUNDIR_MAX_VMS][RUNDIR_NAME_BYTES];
    struct simple_args args;
    struct option_error err;
    size_t n;

    if (flags_parse_simple(argc, argv, &args, &err) < 0)
        return say_error(EXIT_BAD_INPUT, "%s", err.text);
    if (args.help)
        return VERB_HELP;
    if (args.n_operands > 1)
        return say_error(EXIT_BAD_INPUT, "top takes one VM");
    if (args.n_operands == 1)
        return top_vm(args.operands[0], args.json);
    n = rundir_list(names, RUNDIR_MAX_VMS);
    if (n == 1)
        return top_vm(names[0], args.json);
    return say_error(EXIT_BAD_INPUT,
                     n == 0 ? "no VM is running" : "several VMs run: name one (see bulkhead ps)");
}

const struct verb verb_top = {
    .name = "top",
    .usage = "[VM] [--json]",
    .summary = "watch processes and devices; --json prints one sample",
    .operands = { OPERAND_VM },
    .flags = &flags_simple,
    .run = run_top,
};
