/* SPDX-License-Identifier: Apache-2.0 */
/* health.c - see health.h. */
#include "vm/health.h"

#include <stdio.h>
#include <string.h>
#include "base/compiler.h"

enum { PROBATION_MS = 5000 };

static void on_beat(struct vm *vm, struct device *d, struct child *w, uint64_t beat)
{
    if (w->stalled)
        action_notice(&vm->actions, "device", "answers", "id", d->plan->name, NULL);
    w->stalled = false;
    w->beat = beat;
    w->beat_ns = vm->now;
}

void health_pulse(struct vm *vm, struct device *d, uint64_t beat, enum pulse pulse)
{
    struct child *w = vm_worker(vm, d);
    char ms[24];

    if (!w || !child_is_live(w))
        return;
    if (pulse == PULSE_BEATS) {
        on_beat(vm, d, w, beat);
        return;
    }
    snprintf(ms, sizeof ms, "%llu", (unsigned long long)((vm->now - w->beat_ns) / 1000000));
    if (pulse == PULSE_HANGS) {
        action_notice(&vm->actions, "device", "hung", "id", d->plan->name, "silent_ms", ms, NULL);
        child_kill(w, &vm->actions, vm->now, "hung: no heartbeat for %s ms", ms);
    } else if (pulse == PULSE_WAITS_FOR_DISK && !w->stalled) {
        w->stalled = true;
        action_notice(&vm->actions, "device", "stalled", "id", d->plan->name, "silent_ms", ms,
                      NULL);
        action_log(&vm->actions, false, "%s: the host's disk keeps it waiting, for %s ms now",
                   d->plan->name, ms);
    }
}

/* Never past now; 0 means that nothing is waited for. */
static void move(uint64_t *since_ns, uint64_t lost_ns, uint64_t now)
{
    if (*since_ns != 0)
        *since_ns = MIN(*since_ns + lost_ns, now);
}

/* Moves the last sign of life forward, and what answers and the start are counted from. */
void health_excuse(struct vm *vm, uint64_t lost_ns)
{
    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++) {
        struct child *c = &vm->children[i];

        if (c->id == 0)
            continue;
        c->beat_ns = MIN(c->beat_ns + lost_ns, vm->now);
        move(&c->started_ns, lost_ns, vm->now);
        for (unsigned debt = 0; debt < DEBTS; debt++)
            move(&c->debt_ns[debt], lost_ns, vm->now);
    }
}

void health_note_death(struct device *d, uint64_t now, uint64_t window_ns)
{
    unsigned n = 0;

    for (unsigned i = 0; i < d->n_deaths; i++)
        if (now - d->deaths_ns[i] < window_ns)
            d->deaths_ns[n++] = d->deaths_ns[i];
    if (n == DEVICE_MAX_DEATHS) {
        memmove(d->deaths_ns, d->deaths_ns + 1, (DEVICE_MAX_DEATHS - 1) * sizeof d->deaths_ns[0]);
        n--;
    }
    d->deaths_ns[n++] = now;
    d->n_deaths = n;
}

bool health_limit_reached(const struct vm *vm, const struct device *d)
{
    return d->n_deaths >= MIN(vm->config->crash_limit, (unsigned)DEVICE_MAX_DEATHS);
}

bool health_on_probation(const struct vm *vm, const struct device *d)
{
    return d->upgraded_ns != 0 && vm->now - d->upgraded_ns < PROBATION_MS * UINT64_C(1000000);
}
