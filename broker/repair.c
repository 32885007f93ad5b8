/* SPDX-License-Identifier: Apache-2.0 */
/* repair.c - a worker died or hangs: a new one takes its place with the same descriptors, journal
 * and driver state. Too many deaths fail the device, never the VM.
 *
 * A device that failed answers: a disk's worker is started once more in a mode that gives every
 * request an I/O error; a network device's link goes down; the others tell the driver that they
 * need a reset, and the broker acknowledges that reset itself. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "vm.h"

enum { NET_STATUS_OFFSET = 6, TICK_LATE_MS = 2 * VM_TICK_MS, LEFT_GRACE_MS = 50 };

/* The device can't be helped: what waits for it must not wait for ever. */
static void give_up(struct device *d)
{
    d->dead = true;
    d->step = STEP_NONE;
    if (d->plan->role == BULKHEAD__ROLE__ROLE_NET && d->config_len >= NET_STATUS_OFFSET + 2) {
        uint8_t down[2] = { 0, 0 };
        Bulkhead__ConfigUpdate update = BULKHEAD__CONFIG_UPDATE__INIT;

        update.offset = NET_STATUS_OFFSET;
        update.data = (ProtobufCBinaryData){ .len = sizeof down, .data = down };
        relay_config_from_worker(d, &update);
    } else {
        relay_needs_reset(d, "the device has failed");
    }
    if (d->reset_pending)
        relay_reset_done(d);
    pause_on_progress(d->vm);
}

void repair_start_worker(struct device *d)
{
    struct vm *vm = d->vm;
    /* The two slots alternate, so that no two processes alive ever share a uid. */
    unsigned spare = d->plan->uid_slot - PLAN_UID_FIRST_DEVICE + PLAN_UID_SPARE;
    struct fault f;

    d->step = STEP_REPAIR;
    d->step_deadline_ns = now_ns() + VM_READY_TIMEOUT_MS * 1000000ull;
    d->worker = child_start(vm, d->plan->role, d, d->restarts % 2 ? spare : d->plan->uid_slot,
                            d->program_fd, &f);
    if (!d->worker) {
        log_error("%s: %s", d->plan->name, f.text);
        session_event(vm, "device", "failed", "id", d->plan->name, "why", f.text, NULL);
        give_up(d);
        upgrade_answer(d, &f);
    }
}

static bool crash_limit_reached(struct device *d)
{
    const Bulkhead__VmConfig *c = d->vm->config;
    uint64_t now = now_ns(), window = (uint64_t)c->crash_window_s * 1000000000ull;
    unsigned n = 0, limit = MIN(c->crash_limit, (unsigned)VM_MAX_DEATHS);

    for (unsigned i = 0; i < d->n_deaths; i++)
        if (now - d->deaths_ns[i] < window)
            d->deaths_ns[n++] = d->deaths_ns[i];
    if (n == VM_MAX_DEATHS) {
        memmove(d->deaths_ns, d->deaths_ns + 1, (VM_MAX_DEATHS - 1) * sizeof d->deaths_ns[0]);
        n--;
    }
    d->deaths_ns[n++] = now;
    d->n_deaths = n;
    return n >= limit;
}

static void fail_device(struct device *d, const char *how)
{
    struct fault f;

    session_event(d->vm, "device", "failed", "id", d->plan->name, "why", how, NULL);
    log_error("%s failed: %u deaths within %u s; last: %s. `bulkhead repair %s %s` tries again",
              d->plan->name, d->n_deaths, d->vm->config->crash_window_s, how, d->vm->config->name,
              d->plan->name);
    fault_host(&f, EIO, "%s failed: %s", d->plan->name, how);
    upgrade_answer(d, &f);
    d->failed = true;
    if (d->plan->role == BULKHEAD__ROLE__ROLE_BLK)
        repair_start_worker(d);
    else
        give_up(d);
}

void repair_on_death(struct device *d, const char *how)
{
    char restarts[16];
    bool by_hand = d->asker != 0 && d->failed == false && d->step == STEP_NONE;

    if (d->step == STEP_REPLACE) { /* it left as it was told */
        repair_start_worker(d);
        return;
    }
    if (d->next && d->step == STEP_LEAVE) { /* an upgrade: it left as it was told */
        upgrade_on_left(d);
        return;
    }
    if (d->next) {
        upgrade_on_old_gone(d, how);
        return;
    }
    d->died_ns = now_ns();
    snprintf(d->last_reason, sizeof d->last_reason, "%.150s", how);
    if (d->failed && !by_hand) {
        /* Even the worker that only says no died. */
        session_event(d->vm, "device", "failed", "id", d->plan->name, "why", how, NULL);
        give_up(d);
        return;
    }
    d->restarts++;
    snprintf(restarts, sizeof restarts, "%u", d->restarts);
    session_event(d->vm, "device", "died", "id", d->plan->name, "why", how, "restarts", restarts,
                  NULL);
    log_warn("%s died: %s", d->plan->name, how);
    if (upgrade_roll_back(d, how))
        repair_start_worker(d);
    else if (!by_hand && crash_limit_reached(d))
        fail_device(d, how);
    else
        repair_start_worker(d);
}

void repair_on_leave(struct device *d, const char *how)
{
    d->left = true;
    d->died_ns = now_ns();
    snprintf(d->last_reason, sizeof d->last_reason, "%.150s", how);
}

static void check_left(struct device *d, uint64_t now)
{
    char how[sizeof d->last_reason];

    if (!d->left || now - d->died_ns < LEFT_GRACE_MS * 1000000ull)
        return;
    d->left = false;
    memcpy(how, d->last_reason, sizeof how);
    repair_on_death(d, how);
}

void repair_on_ready(struct device *d)
{
    struct fault ok = { 0 };
    char ms[24], pid[12];

    if (d->step != STEP_REPAIR)
        return;
    d->step = STEP_NONE;
    d->dead = false;
    if (d->plan->pci_slot != 0 && d->active) {
        relay_send_activate(d, d->worker, d->worker_activated);
        if (d->reset_pending) {
            Bulkhead__Reset reset = BULKHEAD__RESET__INIT;
            ENVELOPE(e, RESET, reset, &reset);

            child_send(d->worker, &e, NULL, 0);
        }
    } else if (d->reset_pending) {
        relay_reset_done(d);
    }
    snprintf(ms, sizeof ms, "%.1f", (double)(now_ns() - d->died_ns) / 1e6);
    if (d->failed)
        return;
    snprintf(pid, sizeof pid, "%d", d->worker->pid);
    session_event(d->vm, "device", "restarted", "id", d->plan->name, "after_ms", ms, "pid", pid,
                  NULL);
    if (d->upgraded_ns == 0) {
        snprintf(ok.text, sizeof ok.text, "%s runs again", d->plan->name);
        upgrade_answer(d, &ok);
    } else if (!d->active) {
        upgrade_on_activated(d);
    }
}

int repair_by_hand(struct device *d, uint64_t asker, uint32_t request, struct fault *f)
{
    if (!d->failed && !d->dead)
        return fault_input(f, "%s is healthy: there is nothing to repair", d->plan->name);
    if (d->asker != 0)
        return fault_input(f, "%s is being repaired or upgraded already: wait for it",
                           d->plan->name);
    d->failed = false;
    d->n_deaths = 0;
    d->asker = asker;
    d->asker_request = request;
    if (d->worker) {
        child_kill(d->worker, "replaced by hand");
    } else {
        d->restarts++;
        d->died_ns = now_ns();
        repair_start_worker(d);
    }
    return 0;
}

static void on_beat(struct device *d, uint64_t beat, uint64_t now)
{
    struct child *w = d->worker;

    if (w->stalled)
        session_event(d->vm, "device", "answers", "id", d->plan->name, NULL);
    w->stalled = false;
    w->heartbeat = beat;
    w->heartbeat_ns = now;
    w->starved = (struct starved){ 0 };
}

/* A worker whose loop turns writes its heartbeat; one that is stopped or spins doesn't. Nor does
 * one that the host's disk keeps waiting, but a new one would be in the same place soon. */
static void check_heartbeat(struct device *d, uint64_t now)
{
    const Bulkhead__VmConfig *config = d->vm->config;
    const struct starved_limits limits = {
        .hang_ns = config->hang_timeout_ms * UINT64_C(1000000),
        .stall_ns = config->stall_timeout_ms * UINT64_C(1000000),
    };
    struct child *w = d->worker;
    enum starved_of of;
    bool too_long;
    uint64_t beat;
    char ms[24];

    if (!w || w->killing || w->state < CHILD_READY || w->state > CHILD_QUIESCED)
        return;
    beat = __atomic_load_n(&d->stats->heartbeat, __ATOMIC_RELAXED);
    if (beat != w->heartbeat) {
        on_beat(d, beat, now);
        return;
    }
    too_long = starved_too_long(&w->starved, w->stat_fd, now - w->heartbeat_ns, now, &limits, &of);
    snprintf(ms, sizeof ms, "%llu", (unsigned long long)((now - w->heartbeat_ns) / 1000000));
    if (too_long) {
        session_event(d->vm, "device", "hung", "id", d->plan->name, "silent_ms", ms, NULL);
        child_kill(w, "hung: no heartbeat for %s ms", ms);
    } else if (of == STARVED_OF_DISK && !w->stalled) {
        w->stalled = true;
        session_event(d->vm, "device", "stalled", "id", d->plan->name, "silent_ms", ms, NULL);
        log_warn("%s: the host's disk keeps it waiting, for %s ms now", d->plan->name, ms);
    }
}

static void check_deadlines(struct vm *vm, uint64_t now)
{
    for (unsigned i = 0; i < vm->n_children; i++) {
        struct child *child = vm->children[i];

        if (child->stop_deadline_ns != 0 && now > child->stop_deadline_ns)
            child_kill(child, "did not leave in time");
        else if (vm->phase == VM_RUNNING && child->device && child->state < CHILD_READY &&
                 now - child->started_ns > VM_READY_TIMEOUT_MS * 1000000ull)
            child_kill(child, "was not ready within %d s", VM_READY_TIMEOUT_MS / 1000);
    }
    for (unsigned i = 0; i < vm->n_devices; i++) {
        struct device *d = &vm->devices[i];

        if (d->step == STEP_DRAIN && now > d->step_deadline_ns)
            upgrade_abort(d, "the old build did not finish its work in time");
    }
}

void repair_on_tick(int fd, unsigned what, void *arg)
{
    struct vm *vm = arg;
    uint64_t now = now_ns();
    uint64_t gap_ns = vm->last_tick_ns != 0 ? now - vm->last_tick_ns : 0;
    /* Time in which we were not run ourselves is not held against them. */
    uint64_t lost_ns = gap_ns > TICK_LATE_MS * 1000000ull ? gap_ns - VM_TICK_MS * 1000000ull : 0;

    (void)fd;
    (void)what;
    vm->last_tick_ns = now;
    check_deadlines(vm, now);
    if (vm->phase != VM_RUNNING)
        return;
    for (unsigned i = 0; i < vm->n_devices; i++) {
        struct child *w = vm->devices[i].worker;

        if (w)
            w->heartbeat_ns = starved_excuse(w->heartbeat_ns, lost_ns, now);
        relay_on_tick(&vm->devices[i]);
        netdev_on_tick(&vm->devices[i], now);
        check_heartbeat(&vm->devices[i], now);
        check_left(&vm->devices[i], now);
    }
}
