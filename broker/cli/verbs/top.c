// SPDX-License-Identifier: Apache-2.0
// top.c - `bulkhead top`: processes and devices of a VM, refreshed in place.
#include "verbs/top.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "client.h"
#include "options/flags.h"
#include "output.h"
#include "overview.h"
#include "samples.h"
#include "sampling.h"
#include "screen.h"

enum { TOP_PERIOD_MS = 1000, TOP_FIRST_MS = 250, TOP_AGAIN_MS = 20, TOP_TRIES = 50 };

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

/* By the name that was asked for, which may have a tenant in it. */
static int take(struct client *client, const char *vm, struct top_sample *ret_sample)
{
    int r = sampling_take(client, ret_sample);

    if (strchr(vm, '/'))
        snprintf(ret_sample->vm, sizeof(ret_sample->vm), "%s", vm);
    return r;
}

/* Its broker has closed the connection, at the VM's end or by its own death. Then another takes over, at the same socket. */
static int again(struct client *client, const char *vm, int sig, struct top_sample *s)
{
    int r = take(client, vm, s);

    for (int i = 0; i < TOP_TRIES && r == -EPIPE; i++) {
        struct pollfd p = { .fd = sig, .events = POLLIN };

        client_close(client);
        if (poll(&p, 1, TOP_AGAIN_MS) > 0 || client_connect(client, vm) < 0)
            return -EPIPE;
        r = take(client, vm, s);
    }
    return r;
}

static int watch_vm(struct client *client, const char *vm, struct top_sample samples[2])
{
    cleanup_(fd_closep) int sig = screen_signals();
    bool screen = isatty(STDOUT_FILENO);
    unsigned i = 0;
    int r = take(client, vm, &samples[0]);

    if (r == 0 && screen)
        screen_open();
    while (r == 0) {
        struct pollfd p = { .fd = sig, .events = POLLIN };
        const struct top_sample *before = &samples[i % 2];
        struct top_sample *now = &samples[++i % 2];

        if (poll(&p, 1, i == 1 ? TOP_FIRST_MS : TOP_PERIOD_MS) > 0)
            break;
        r = again(client, vm, sig, now);
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
        r = take(&client, vm, &samples[0]);
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
    struct simple_args args;
    struct option_error err;

    if (flags_parse_simple(argc, argv, &args, &err) < 0)
        return say_error(EXIT_BAD_INPUT, "%s", err.text);
    if (args.help)
        return VERB_HELP;
    if (args.n_operands > 1)
        return say_error(EXIT_BAD_INPUT, "top takes one VM, or none for all");
    return args.n_operands == 1 ? top_vm(args.operands[0], args.json) : overview(args.json);
}

static void more_of_top(FILE *out)
{
    fputs("Without a VM all that run are shown, a line each, those that use most of the processors "
          "first. "
          "Memory and\n"
          "CPU are those of the VM's processes, as far as the caller may see them.\n",
          out);
}

const struct verb verb_top = {
    .name = "top",
    .usage = "[VM] [--json]",
    .summary = "watch a VM's processes and devices, or all VMs; --json prints one sample",
    .more = more_of_top,
    .operands = { OPERAND_VM },
    .flags = &flags_simple,
    .run = run_top,
};
