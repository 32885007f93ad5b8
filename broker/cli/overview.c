// SPDX-License-Identifier: Apache-2.0
// overview.c - see overview.h. A connection is kept to each VM; one that doesn't answer is left alone for a while.
#include "overview.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/fd.h"
#include "client.h"
#include "host_client.h"
#include "output.h"
#include "sampling.h"
#include "screen.h"
#include "summary.h"
#include "vm_names.h"

enum { PERIOD_MS = 1000, FIRST_MS = 250, ANSWER_MS = 1000, LEFT_ALONE = 10 /* periods */ };

struct watched {
    char name[HOST_NAME_BYTES];
    struct client client;
    unsigned left_alone;
    struct summary now, before;
};

struct view {
    struct watched *vms;
    size_t n;
};

static void *must_alloc(size_t n, size_t size)
{
    void *p = calloc(n + 1, size);

    if (!p)
        exit(say_error(EXIT_HOST, "out of memory"));
    return p;
}

static struct watched *find(struct view *view, const char *name)
{
    for (size_t i = 0; i < view->n; i++)
        if (strcmp(view->vms[i].name, name) == 0)
            return &view->vms[i];
    return NULL;
}

/* Who runs now; of those that ran before, with what is known of them. */
static int update_names(struct view *view)
{
    struct view next = { 0 };
    struct vm_names names;
    int r = vm_names_running(&names);

    next.vms = must_alloc(names.n, sizeof(*next.vms));
    for (size_t i = 0; i < names.n; i++) {
        struct watched *w = &next.vms[next.n++], *old = find(view, names.names[i]);

        if (old) {
            *w = *old;
            old->client.channel = NULL;
        } else {
            snprintf(w->name, sizeof(w->name), "%s", names.names[i]);
        }
    }
    for (size_t i = 0; i < view->n; i++)
        client_close(&view->vms[i].client);
    free(view->vms);
    vm_names_deinit(&names);
    *view = next;
    return r;
}

/* A broker that died is followed by another, at the same socket: then the second try has it. */
static int take(struct watched *w, struct top_sample *ret_sample)
{
    int r = -1;

    for (unsigned i = 0; i < 2 && r < 0; i++) {
        r = 0;
        if (!w->client.channel)
            r = client_connect(&w->client, w->name);
        w->client.timeout_ms = ANSWER_MS;
        if (r == 0)
            r = sampling_take(&w->client, ret_sample);
        if (r < 0)
            client_close(&w->client);
        if (r == -ETIMEDOUT)
            break;
    }
    snprintf(ret_sample->vm, sizeof(ret_sample->vm), "%s", w->name);
    return r;
}

static void look(struct watched *w, struct top_sample *buffer)
{
    if (w->left_alone > 0) {
        w->left_alone--;
        return;
    }
    w->before = w->now;
    if (take(w, buffer) == 0) {
        summary_take(&w->now, buffer);
        return;
    }
    w->left_alone = LEFT_ALONE;
    w->now = (struct summary){ .state = "no answer" };
    snprintf(w->now.vm, sizeof(w->now.vm), "%s", w->name);
}

static void show(const struct view *view, bool screen)
{
    struct summary_pair *pairs = must_alloc(view->n, sizeof(*pairs));
    char *text = NULL;
    size_t len = 0;
    FILE *out = screen ? open_memstream(&text, &len) : stdout;

    for (size_t i = 0; i < view->n; i++)
        pairs[i] = (struct summary_pair){ view->vms[i].now, view->vms[i].before };
    if (out)
        summary_print(out, pairs, view->n);
    if (out && screen) {
        fclose(out);
        screen_draw(text);
        free(text);
    } else if (out) {
        putchar('\n');
        fflush(stdout);
    }
    free(pairs);
}

static void watch(struct view *view, struct top_sample *buffer)
{
    cleanup_(fd_closep) int sig = screen_signals();
    struct pollfd p = { .fd = sig, .events = POLLIN };
    bool screen = isatty(STDOUT_FILENO);

    if (screen)
        screen_open();
    for (unsigned i = 0; !ferror(stdout); i++) {
        for (size_t v = 0; v < view->n; v++)
            look(&view->vms[v], buffer);
        if (i > 0)
            show(view, screen);
        if (poll(&p, 1, i == 0 ? FIRST_MS : PERIOD_MS) > 0)
            break;
        (void)!update_names(
            view); /* a service that is away for a moment: its VMs are back with it */
    }
    if (screen)
        screen_close();
}

static int print_json(struct view *view, struct top_sample *buffer)
{
    json_t *all = json_array();

    for (size_t i = 0; i < view->n; i++)
        if (take(&view->vms[i], buffer) == 0)
            json_array_append_new(all, top_json(buffer));
    return say_json(all);
}

int overview(bool json)
{
    struct top_sample *buffer = must_alloc(0, sizeof(*buffer));
    struct view view = { 0 };
    int r = update_names(&view), status = EXIT_OK;

    if (r < 0)
        status = host_failed(r);
    if (json)
        r = print_json(&view, buffer);
    else if (view.n > 0)
        watch(&view, buffer);
    else if (status == EXIT_OK)
        status = say_error(EXIT_BAD_INPUT, "no VM is running");
    for (size_t i = 0; i < view.n; i++)
        client_close(&view.vms[i].client);
    free(view.vms);
    free(buffer);
    return status != EXIT_OK ? status : MAX(r, EXIT_OK);
}
