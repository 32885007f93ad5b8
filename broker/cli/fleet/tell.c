// SPDX-License-Identifier: Apache-2.0
// tell.c - see tell.h.
#include "fleet/tell.h"
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "output.h"

enum { FIRST_MS = 1000, PERIOD_MS = 500 };

static void clear(struct tell *t)
{
    if (t->shown)
        fputs("\r\033[K", stderr);
    t->shown = false;
}

void tell_begin(struct tell *t, struct fleet *fleet, const struct course *course,
                const struct look *looks, bool json)
{
    *t = (struct tell){ .fleet = fleet, .course = course, .looks = looks, .json = json };
    t->begun_ms = t->shown_ms = clock_ms(CLOCK_MONOTONIC);
    t->vms = bag_alloc(&fleet->bag, (fleet->n + 1) * sizeof(*t->vms));
}

/* ---- one thing ---- */

/* ms: how long it took; -1: that is of no interest. */
static void tell_event(struct tell *t, size_t vm, const char *event, int64_t ms)
{
    const char *name = t->fleet->vms[vm]->name;
    json_t *object;

    clear(t);
    t->acted = true;
    if (t->json) {
        object = json_pack("{s:s,s:s}", "vm", name, "event", event);
        if (ms >= 0)
            json_object_set_new(object, "ms", json_integer(ms));
        (void)say_json(object);
        return;
    }
    if (ms >= 0)
        printf("%s: %s, after %lld.%02d s\n", name, event, (long long)ms / 1000,
               (int)(ms % 1000 / 10));
    else
        printf("%s: %s\n", name, event);
    fflush(stdout);
}

static void tell_trouble(struct tell *t, size_t vm, const char *event, const char *text)
{
    const char *name = t->fleet->vms[vm]->name;
    char clean[512];

    clear(t);
    t->vms[vm].said = true;
    t->vms[vm].why = text;
    if (t->json)
        (void)say_json(json_pack("{s:s,s:s,s:s}", "vm", name, "event", event, "text",
                                 say_clean(clean, sizeof(clean), text)));
    else
        (void)say_error(EXIT_HOST, "%s: %s", name, text);
}

void tell_begun(struct tell *t, size_t vm, enum course_op op)
{
    if (op == OP_CREATE || op == OP_START)
        t->vms[vm].was_started = true;
    if (op != OP_READY || !t->vms[vm].was_started)
        t->vms[vm].begun_ms = clock_ms(CLOCK_MONOTONIC);
}

void tell_done(struct tell *t, size_t vm, enum course_op op, bool ok, const char *text)
{
    int64_t ms = clock_ms(CLOCK_MONOTONIC) - t->vms[vm].begun_ms;

    if (!ok) {
        tell_trouble(t, vm, "failed", text);
        return;
    }
    switch (op) {
    case OP_CREATE:
    case OP_START:
        tell_event(t, vm, "running", ms);
        break;
    case OP_READY:
        if (t->vms[vm].was_started)
            tell_event(t, vm, "ready", ms);
        break;
    case OP_HALT:
        tell_event(t, vm, "stopped", ms);
        break;
    case OP_REMOVE:
        tell_event(t, vm, "removed", -1);
        break;
    case OP_AWAIT_STOP:
    case OP_NONE:
    default:
        break;
    }
}

/* ---- what follows ---- */

static void tell_ends(struct tell *t)
{
    struct bag *bag = &t->fleet->bag;

    for (size_t i = 0; i < t->fleet->n; i++) {
        const struct course_vm *vm = &t->course->vms[i];

        if (t->vms[i].said)
            continue;
        if (vm->end == END_SKIPPED)
            tell_trouble(t, i, "skipped",
                         bag_printf(bag, "not %s, because of '%s'",
                                    t->course->down ? "stopped" : "started",
                                    t->fleet->vms[vm->because]->name));
        else if (vm->end == END_FAILED) /* that is all that fails by itself */
            tell_trouble(t, i, "failed",
                         bag_printf(bag,
                                    "the service has another VM of that name (its %s): bulkhead "
                                    "fleet up --recreate removes that one",
                                    t->looks[i].differs));
    }
}

/* "db, web and 3 others" */
static const char *say_busy(struct tell *t)
{
    const char *text = "";
    size_t n = 0;

    for (size_t i = 0; i < t->fleet->n; i++) {
        if (t->course->vms[i].busy == OP_NONE)
            continue;
        if (n++ < 3)
            text = bag_printf(&t->fleet->bag, "%s%s%s", text, n > 1 ? ", " : "",
                              t->fleet->vms[i]->name);
    }
    return n > 3 ? bag_printf(&t->fleet->bag, "%s and %zu others", text, n - 3) : text;
}

void tell_progress(struct tell *t)
{
    int64_t now = clock_ms(CLOCK_MONOTONIC);

    tell_ends(t);
    if (now - t->begun_ms < FIRST_MS || now - t->shown_ms < PERIOD_MS || !isatty(STDERR_FILENO))
        return;
    t->shown_ms = now;
    t->shown = true;
    fflush(stdout);
    fprintf(stderr, "\r%zu of %zu %s, %lld s: %.60s\033[K", course_count(t->course, END_DONE),
            t->fleet->n, t->course->down ? "down" : "up", (long long)(now - t->begun_ms) / 1000,
            say_busy(t));
}

/* ---- the end ---- */

static const char *result_of(const struct tell *t, size_t i)
{
    const struct course_vm *vm = &t->course->vms[i];

    switch (vm->end) {
    case END_DONE:
        return t->course->down ? "down" : "up";
    case END_FAILED:
        return "failed";
    case END_SKIPPED:
        return t->course->down ? "not stopped" : "not started";
    case END_NONE:
    default:
        break;
    }
    if (vm->busy == OP_READY)
        return "not ready yet";
    if (vm->busy != OP_NONE)
        return t->course->down ? "being stopped" : "being started";
    if (course_is_up(vm))
        return "running";
    return t->course->down ? "not stopped" : "not started";
}

static void print_table(const struct tell *t)
{
    static const char *const titles[] = { "VM", "RESULT", "WHY" };
    struct table table;

    table_init(&table, ARRAY_SIZE(titles), 0);
    table_row(&table, titles);
    for (size_t i = 0; i < t->fleet->n; i++) {
        const char *cells[] = { t->fleet->vms[i]->name, result_of(t, i), t->vms[i].why };

        table_row(&table, cells);
    }
    putchar('\n');
    table_print(&table, stdout);
    table_deinit(&table);
}

int tell_end(struct tell *t, bool interrupted, bool cut)
{
    size_t n = t->fleet->n, done = course_count(t->course, END_DONE);
    int64_t ms = clock_ms(CLOCK_MONOTONIC) - t->begun_ms;
    int status = done == n ? EXIT_OK : EXIT_HOST;

    tell_ends(t);
    clear(t);
    if (t->json)
        (void)say_json(json_pack("{s:s,s:I,s:I,s:I,s:I,s:b,s:I}", "event",
                                 t->course->down ? "down" : "up", "vms", (json_int_t)n, "done",
                                 (json_int_t)done, "failed",
                                 (json_int_t)course_count(t->course, END_FAILED), "skipped",
                                 (json_int_t)course_count(t->course, END_SKIPPED), "interrupted",
                                 (int)interrupted, "ms", (json_int_t)ms));
    else if (done == n)
        printf("%zu VM%s %s %s", n, n == 1 ? "" : "s", n == 1 ? "is" : "are",
               t->course->down ? "down" : "up");
    if (!t->json && done == n && t->acted)
        printf(", after %lld.%02d s", (long long)ms / 1000, (int)(ms % 1000 / 10));
    if (!t->json && done == n)
        putchar('\n');
    else if (!t->json)
        print_table(t);
    fflush(stdout);
    if (interrupted)
        status =
            say_error(EXIT_BY_USER, "interrupted: what runs goes on, and the service with what "
                                    "it was asked for");
    return cut ? EXIT_HOST : status;
}
