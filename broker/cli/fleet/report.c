// SPDX-License-Identifier: Apache-2.0
// report.c - see report.h. Whether a VM is ready is asked as `up` does, for a moment.
#include "fleet/report.h"
#include <poll.h>
#include <stdio.h>
#include <time.h>
#include "base/clock.h"
#include "fleet/look.h"
#include "fleet/ready.h"
#include "fleet/show.h"
#include "host_client.h"
#include "host_json.h"
#include "output.h"
#include "rights.h"

enum { PATIENCE_MS = 1000 };

struct report {
    struct fleet *fleet;
    struct look *looks;
    struct ready **readies;
    bool *is_ready;
};

static bool runs(const struct look *look)
{
    return look->there && (look->state == BULKHEAD__HOST_VM_STATE__HOST_VM_RUNNING ||
                           look->state == BULKHEAD__HOST_VM_STATE__HOST_VM_PAUSED);
}

static bool has_condition(const struct report *r, size_t i)
{
    return r->fleet->vms[i]->ready.kind != READY_NONE;
}

/* ---- readiness ---- */

static void begin(struct report *r)
{
    int64_t now = clock_ms(CLOCK_MONOTONIC), real = clock_ms(CLOCK_REALTIME);

    for (size_t i = 0; i < r->fleet->n; i++)
        if (runs(&r->looks[i]) && has_condition(r, i))
            r->readies[i] =
                ready_new(r->fleet->vms[i], now,
                          MAX(real - (int64_t)(r->looks[i].started_ns / 1000000), INT64_C(0)));
}

/* How many are still waited for. */
static size_t look_once(struct report *r, struct pollfd *polled, int64_t *next_ms)
{
    struct option_error why;
    size_t n = 0;

    for (size_t i = 0; i < r->fleet->n; i++) {
        enum ready_answer answer;

        if (!r->readies[i])
            continue;
        answer = ready_look(r->readies[i], clock_ms(CLOCK_MONOTONIC), &why);
        if (answer == READY_WAIT) {
            polled[n++] = (struct pollfd){ .fd = ready_fd(r->readies[i]), .events = POLLIN };
            *next_ms = MIN(*next_ms, ready_next_ms(r->readies[i]));
            continue;
        }
        r->is_ready[i] = answer == READY_YES;
        ready_free(r->readies[i]);
        r->readies[i] = NULL;
    }
    return n;
}

static void find_ready(struct report *r)
{
    struct pollfd *polled = bag_alloc(&r->fleet->bag, (r->fleet->n + 1) * sizeof(*polled));
    const int64_t end = clock_ms(CLOCK_MONOTONIC) + PATIENCE_MS;
    int64_t next, now;
    size_t n;

    begin(r);
    do {
        next = end;
        n = look_once(r, polled, &next);
        now = clock_ms(CLOCK_MONOTONIC);
        if (n > 0 && now < end)
            (void)poll(polled, n, (int)MAX(next - now, INT64_C(0)));
    } while (n > 0 && now < end);
    for (size_t i = 0; i < r->fleet->n; i++)
        ready_free(r->readies[i]);
}

/* ---- printing ---- */

enum column { NAME, STATE, READY, AFTER, UP, N_COLUMNS };

static const char *state_of(const struct look *look)
{
    return look->there ? host_state_word(look->state) : "absent";
}

static void print(struct report *r)
{
    static const char *const titles[N_COLUMNS] = { "VM", "STATE", "READY", "AFTER", "UP" };
    struct table table;

    table_init(&table, N_COLUMNS, 1u << UP);
    table_row(&table, titles);
    for (size_t i = 0; i < r->fleet->n; i++) {
        const struct look *look = &r->looks[i];
        const char *after = show_after(r->fleet, r->fleet->vms[i]);
        struct say_span up =
            say_span(clock_ms(CLOCK_REALTIME) / 1000 - (int64_t)(look->started_ns / 1000000000));
        const char *cells[N_COLUMNS] = { NULL };

        cells[NAME] = r->fleet->vms[i]->name;
        cells[STATE] = state_of(look);
        if (runs(look))
            cells[READY] = !has_condition(r, i) ? NULL : r->is_ready[i] ? "yes" : "no";
        cells[AFTER] = *after ? after : NULL;
        cells[UP] = runs(look) && look->started_ns ? up.text : NULL;
        table_row(&table, cells);
    }
    table_print(&table, stdout);
    table_deinit(&table);
    show_rights(r->fleet);
    for (size_t i = 0; i < r->fleet->n; i++)
        if (r->looks[i].differs)
            say(stdout, "\n%s: the service has another VM of that name: its %s\n",
                r->fleet->vms[i]->name, r->looks[i].differs);
}

static json_t *report_json(struct report *r)
{
    json_t *list = json_array();

    for (size_t i = 0; i < r->fleet->n; i++) {
        const struct look *look = &r->looks[i];
        json_t *vm = json_pack("{s:s,s:s}", "vm", r->fleet->vms[i]->name, "state", state_of(look));

        json_object_set_new(vm, "ready",
                            has_condition(r, i) ? json_boolean(r->is_ready[i]) : json_null());
        json_object_set_new(vm, "after", show_after_json(r->fleet->vms[i]));
        json_object_set_new(vm, "started_ns",
                            look->started_ns ? json_integer((json_int_t)look->started_ns)
                                             : json_null());
        json_object_set_new(vm, "control", rights_json(r->fleet->vms[i]->control));
        json_object_set_new(vm, "differs",
                            look->differs ? json_string(look->differs) : json_null());
        json_array_append_new(list, vm);
    }
    return list;
}

int report_status(struct fleet *fleet, bool json)
{
    struct report r = { .fleet = fleet };
    struct host host = { 0 };
    int status = host_connect(&host);

    if (status < 0)
        return host_failed(status);
    r.readies = bag_alloc(&fleet->bag, (fleet->n + 1) * sizeof(*r.readies));
    r.is_ready = bag_alloc(&fleet->bag, (fleet->n + 1) * sizeof(*r.is_ready));
    status = look_at_all(fleet, &host, &r.looks);
    host_close(&host);
    if (status != EXIT_OK)
        return status;
    find_ready(&r);
    if (json)
        return say_json(report_json(&r));
    print(&r);
    return EXIT_OK;
}
