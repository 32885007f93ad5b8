/* SPDX-License-Identifier: Apache-2.0 */
/* replace.c - see replace.h. */
#include "vm/replace.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/compiler.h"
#include "vm/driver.h"
#include "vm/health.h"
#include "vm/link.h"

enum { RETRY_FIRST_MS = 50, RETRY_LAST_MS = 5000 };

static struct actions *out(struct vm *vm)
{
    return &vm->actions;
}

/* ---- answers ---- */

static bool has_upgrade(const struct device *d)
{
    return d->asker.session != 0 || d->for_all;
}

static void next_of_all(struct vm *vm);

/* Tells whoever asked for a repair or an upgrade of this device how it went. */
static void answer(struct vm *vm, struct device *d, const struct fault *fault)
{
    bool for_all = d->for_all;

    d->for_all = false;
    action_reply(out(vm), &d->asker, fault);
    if (for_all && fault->error != 0) {
        vm->upgrades_all = false;
        action_reply(out(vm), &vm->all_asker, fault);
    } else if (for_all) {
        next_of_all(vm);
    }
}

static void answer_ok(struct vm *vm, struct device *d, const char *what)
{
    struct fault ok = { 0 };

    snprintf(ok.text, sizeof ok.text, "%s %s", d->plan->name, what);
    answer(vm, d, &ok);
}

/* ---- repair ---- */

/* The two slots alternate, so that no two processes alive ever share a uid. */
static unsigned spare_slot(const struct device *d)
{
    unsigned spare = d->plan->uid_slot - PLAN_UID_FIRST_DEVICE + PLAN_UID_SPARE;

    return spare < PLAN_UID_BROKER ? spare : PLAN_UID_SPARE; /* or what is free */
}

/* The device can't be helped: what waits for it must not wait for ever. */
static void die_for_good(struct vm *vm, struct device *d)
{
    device_enter(d, STAGE_DEAD, vm->now);
    if (d->plan->role == BULKHEAD__ROLE__ROLE_NET)
        d->link_changed = true;
    else
        driver_needs_reset(d, "the device has failed");
}

static void start_worker(struct vm *vm, struct device *d)
{
    unsigned slot = d->restarts % 2 ? spare_slot(d) : d->plan->uid_slot;
    struct child *w = vm_start(vm, d->plan->role, d, slot);

    device_enter(d, STAGE_REPAIR, vm->now);
    d->retry_ns = 0;
    if (!w) { /* others that are about to be gone have the uids */
        d->retry_ns = vm->now + RETRY_FIRST_MS * UINT64_C(1000000);
        return;
    }
    d->worker = w->id;
    w->old_ring = d->old_ring;
}

/* The worker that a user wanted to have replaced is gone: from now on the device counts as any other. */
static bool begin_by_hand(struct device *d)
{
    bool by_hand = d->by_hand;

    if (by_hand)
        d->by_hand = d->failed = false;
    return by_hand;
}

static void fail(struct vm *vm, struct device *d, const char *how)
{
    struct fault f;

    action_notice(out(vm), "device", "failed", "id", d->plan->name, "why", how, NULL);
    action_log(out(vm), true,
               "%s failed: %u deaths within %u s; last: %s. `bulkhead repair %s %s` tries again",
               d->plan->name, d->n_deaths, vm->config->crash_window_s, how, vm->config->name,
               d->plan->name);
    fault_host(&f, EIO, "%s failed: %s", d->plan->name, how);
    answer(vm, d, &f);
    d->failed = true;
    if (device_fails_by_worker(d))
        start_worker(vm, d);
    else
        die_for_good(vm, d);
}

static void upgrade_failed(struct vm *vm, struct device *d, const char *why)
{
    struct fault f;

    action_notice(out(vm), "device", "upgrade_failed", "id", d->plan->name, "why", why, NULL);
    fault_input(&f, "%s: the new build was given up, the old one runs on: %s", d->plan->name, why);
    answer(vm, d, &f);
}

static bool roll_back(struct vm *vm, struct device *d, const char *how)
{
    /* Also one that never went on where the old one had stopped, however long that took. */
    bool probation = health_on_probation(vm, d) || (d->upgraded_ns != 0 && has_upgrade(d));

    d->upgraded_ns = 0;
    if (!probation)
        return false;
    action_add_device(out(vm), ACTION_ROLL_BACK, d->number);
    action_notice(out(vm), "device", "rolled_back", "id", d->plan->name, "why", how, NULL);
    upgrade_failed(vm, d, how);
    return true;
}

static void on_death(struct vm *vm, struct device *d, const char *how)
{
    bool by_hand = begin_by_hand(d);
    char restarts[16];

    if (d->failed) { /* the worker that fails every request died too */
        action_notice(out(vm), "device", "failed", "id", d->plan->name, "why", how, NULL);
        die_for_good(vm, d);
        return;
    }
    d->restarts++;
    snprintf(restarts, sizeof restarts, "%u", d->restarts);
    action_notice(out(vm), "device", "died", "id", d->plan->name, "why", how, "restarts", restarts,
                  NULL);
    action_log(out(vm), false, "%s died: %s", d->plan->name, how);
    if (!roll_back(vm, d, how) && !by_hand) {
        health_note_death(d, vm->now, (uint64_t)vm->config->crash_window_s * UINT64_C(1000000000));
        if (health_limit_reached(vm, d)) {
            fail(vm, d, how);
            return;
        }
    }
    start_worker(vm, d);
}

/* ---- the candidate ---- */

static void drop_candidate(struct vm *vm, struct device *d)
{
    struct child *next = vm_child(vm, d->candidate);

    d->candidate = 0;
    d->candidate_lost = false;
    if (next)
        child_kill(next, out(vm), vm->now, "upgrade given up");
    action_add_device(out(vm), ACTION_DROP_CANDIDATE, d->number);
}

void replace_give_up(struct vm *vm, struct device *d, const char *why)
{
    drop_candidate(vm, d);
    if (d->stage == STAGE_PROBE || d->stage == STAGE_DRAIN)
        device_enter(d, STAGE_SERVED, vm->now);
    upgrade_failed(vm, d, why);
}

/* The candidate becomes the worker. */
static struct child *promote(struct vm *vm, struct device *d)
{
    struct child *w = vm_child(vm, d->candidate);

    d->worker = d->candidate;
    d->candidate = 0;
    d->upgraded_ns = vm->now;
    w->program = PROGRAM_OF_DEVICE;
    action_add_device(out(vm), ACTION_PROMOTE, d->number);
    return w;
}

static void hand_over(struct vm *vm, struct device *d)
{
    struct child *old = vm_worker(vm, d), *w;

    d->died_ns = vm->now;
    w = promote(vm, d);
    w->beat_ns = vm->now;
    device_enter(d, STAGE_HANDOVER, vm->now);
    link_on_ready(vm, d); /* what was said since then was said to the old one */
    if (old)
        child_stop(old, out(vm), vm->now);
}

static void finish_upgrade(struct vm *vm, struct device *d)
{
    const struct child *w = vm_look(vm, d->worker);
    char ms[24], text[80];

    device_enter(d, STAGE_SERVED, vm->now);
    snprintf(ms, sizeof ms, "%.1f", (double)(vm->now - d->died_ns) / 1e6);
    action_notice(out(vm), "device", "upgraded", "id", d->plan->name, "stall_ms", ms, NULL);
    snprintf(text, sizeof text, "upgraded to %s", w->build_id);
    answer_ok(vm, d, text);
}

/* ---- what happened ---- */

void replace_gone(struct vm *vm, struct child *child, bool clean, const char *how)
{
    struct device *d = &vm->devices[child->device];
    bool told = child->state == CHILD_ENDED;

    if (child->id == d->candidate) {
        d->candidate_lost = true;
        snprintf(d->candidate_how, sizeof d->candidate_how, "%.150s", how);
        d->candidate = 0;
        return;
    }
    if (child->id != d->worker)
        return; /* it had been told to leave */
    d->worker = 0;
    d->vacated = true;
    d->vacated_clean = clean && !told;
    d->vacated_input = child->reason_bad_input;
    snprintf(d->vacated_how, sizeof d->vacated_how, "%.150s", how);
    /* One that has not drained its predecessor's ring has not used its own: the older one is kept. */
    if (child->old_ring != 0)
        return;
    if (d->old_ring != 0)
        action_add_child(out(vm), ACTION_DROP_RING, d->old_ring);
    d->old_ring = child->has_ring ? child->id : 0;
    child->has_ring = false;
}

void replace_not_started(struct vm *vm, struct child *child, const char *why)
{
    struct device *d = &vm->devices[child->device];
    uint64_t wait_ms = MIN((uint64_t)RETRY_FIRST_MS << MIN(d->retries, 16u), RETRY_LAST_MS);

    if (child->id == d->candidate) {
        d->candidate = 0;
        d->candidate_lost = true;
        snprintf(d->candidate_how, sizeof d->candidate_how, "%.150s", why);
        return;
    }
    if (child->id != d->worker)
        return;
    if (d->stage == STAGE_ADD || d->stage == STAGE_LEAVING) {
        replace_gone(vm, child, false, why);
        return;
    }
    /* A failure of the host's is not a crash: it is asked again, ever more rarely. */
    d->worker = 0;
    if (d->stage == STAGE_MAKE_WAY) /* a broker that took over killed it meanwhile */
        device_enter(d, STAGE_REPAIR, vm->now);
    (void)begin_by_hand(d); /* the one that was to be replaced was never there */
    if (d->retries++ == 0) {
        action_notice(out(vm), "device", "not_started", "id", d->plan->name, "why", why, NULL);
        action_log(out(vm), true, "%s: %s: it is tried again", d->plan->name, why);
    }
    d->retry_ns = vm->now + wait_ms * UINT64_C(1000000);
}

void replace_vacancy_ends(struct vm *vm, struct device *d)
{
    on_death(vm, d, d->last_reason);
}

void replace_try_again(struct vm *vm, struct device *d)
{
    start_worker(vm, d);
}

void replace_leave(struct vm *vm, struct device *d)
{
    struct child *w = vm_worker(vm, d), *passt = vm_child(vm, d->passt);
    struct fault f = { 0 };

    if (d->candidate != 0 || d->stage == STAGE_PROBE)
        drop_candidate(vm, d);
    device_enter(d, STAGE_LEAVING, vm->now);
    if (!d->for_all)
        fault_input(&f, "%s was removed", d->plan->name);
    answer(vm, d, &f);
    if (w)
        child_stop(w, out(vm), vm->now);
    if (passt)
        child_stop(passt, out(vm), vm->now);
}

/* ---- requests ---- */

int replace_by_hand(struct vm *vm, struct device *d, struct ticket ticket, struct fault *f)
{
    struct child *w = vm_worker(vm, d);

    if (!d->failed && d->stage != STAGE_DEAD)
        return fault_input(f, "%s is healthy: there is nothing to repair", d->plan->name);
    if (d->remover.session != 0 || d->stage == STAGE_LEAVING)
        return fault_input(f, "%s is being removed", d->plan->name);
    if (d->asker.session != 0)
        return fault_input(f, "%s is being repaired or upgraded already: wait for it",
                           d->plan->name);
    d->n_deaths = 0;
    d->asker = ticket;
    if (w) {
        d->by_hand = true;
        child_kill(w, out(vm), vm->now, "replaced by hand");
    } else {
        d->failed = false;
        d->restarts++;
        d->died_ns = vm->now;
        start_worker(vm, d);
    }
    return 0;
}

int replace_check_upgrade(const struct vm *vm, const struct device *d, struct fault *f)
{
    if (vm->phase != VM_RUNNING || vm->run == GUEST_PAUSING || vm->run == GUEST_IS_PAUSED)
        return fault_input(f, "%s can be upgraded while the VM runs: resume or start it first",
                           d->plan->name);
    if (d->remover.session != 0 || d->stage == STAGE_LEAVING || d->stage == STAGE_ADD)
        return fault_input(f, "%s is being %s: wait for it", d->plan->name,
                           d->stage == STAGE_ADD ? "added" : "removed");
    /* A candidate starts beside a living worker, and knows nothing of a dead one's ring. */
    if (d->stage != STAGE_SERVED || d->asker.session != 0 || d->failed || d->worker == 0 ||
        d->old_ring != 0)
        return fault_input(f, "%s is being replaced or has failed: repair it first", d->plan->name);
    if (d->reset_wanted)
        return fault_input(f, "the guest is resetting %s: try again", d->plan->name);
    return 0;
}

static void start_candidate(struct vm *vm, struct device *d)
{
    const struct child *w = vm_look(vm, d->worker);
    unsigned spare = spare_slot(d);
    struct child *next =
        vm_start(vm, d->plan->role, d, w && w->uid_slot == spare ? d->plan->uid_slot : spare);

    if (!next) {
        replace_give_up(vm, d, "there is no room for another process");
        return;
    }
    next->program = PROGRAM_CANDIDATE;
    d->candidate = next->id;
}

void replace_upgrade(struct vm *vm, struct device *d, struct ticket ticket, bool opened)
{
    d->asker = ticket;
    d->candidate_lost = false;
    device_enter(d, STAGE_PROBE, vm->now);
    if (opened)
        start_candidate(vm, d);
    else
        action_add_device(out(vm), ACTION_OPEN_PROGRAM, d->number);
}

void replace_program_opened(struct vm *vm, struct device *d)
{
    if (d->stage == STAGE_PROBE && d->candidate == 0 && vm->phase == VM_RUNNING)
        start_candidate(vm, d);
    else
        action_add_device(out(vm), ACTION_DROP_CANDIDATE, d->number);
}

void replace_no_program(struct vm *vm, struct device *d, const struct fault *fault)
{
    if (d->stage != STAGE_PROBE)
        return;
    device_enter(d, STAGE_SERVED, vm->now);
    answer(vm, d, fault);
}

static void next_of_all(struct vm *vm)
{
    const struct ticket nobody = { 0 };

    while (vm->all_next < vm->n_devices) {
        struct device *d = &vm->devices[vm->all_next++];
        struct fault f;

        if (!d->here || d->failed || d->stage == STAGE_DEAD || d->removal != REMOVAL_NONE)
            continue;
        if (replace_check_upgrade(vm, d, &f) < 0) {
            vm->upgrades_all = false;
            action_reply(out(vm), &vm->all_asker, &f);
            return;
        }
        d->for_all = true;
        replace_upgrade(vm, d, nobody, false);
        return; /* answer() goes on */
    }
    vm->upgrades_all = false;
    action_reply_ok(out(vm), &vm->all_asker, "all devices upgraded");
}

int replace_upgrade_all(struct vm *vm, struct ticket ticket, struct fault *f)
{
    if (vm->upgrades_all)
        return fault_input(f, "an upgrade of all devices is under way: wait for it");
    vm->upgrades_all = true;
    vm->all_asker = ticket;
    vm->all_next = 0;
    next_of_all(vm);
    return 0;
}

/* ---- what follows ---- */

static bool settle_vacated(struct vm *vm, struct device *d)
{
    char how[sizeof d->vacated_how];
    bool clean = d->vacated_clean;

    if (!d->vacated)
        return false;
    d->vacated = false;
    memcpy(how, d->vacated_how, sizeof how);
    if (d->stage == STAGE_MAKE_WAY) { /* it left as it was told */
        if (d->candidate != 0) {
            promote(vm, d)->started_ns = vm->now; /* it could do nothing before */
            device_enter(d, STAGE_REPAIR, vm->now);
        } else {
            (void)begin_by_hand(d);
            start_worker(vm, d);
        }
        return true;
    }
    /* The candidate knows nothing of the dead one's ring: it goes too, and the usual repair, with the old
     * build, takes up the journal. */
    if (d->stage == STAGE_PROBE || d->stage == STAGE_DRAIN)
        replace_give_up(vm, d, how);
    d->died_ns = vm->now;
    snprintf(d->last_reason, sizeof d->last_reason, "%s", how);
    if (clean) /* as workers do when the core is gone: for a moment that news is waited for */
        device_enter(d, STAGE_VACANT, vm->now);
    else
        on_death(vm, d, how);
    return true;
}

static bool settle_repair(struct vm *vm, struct device *d, struct child *w)
{
    char ms[24], pid[12];

    if (!w || w->state < CHILD_READY || !child_is_live(w))
        return false;
    device_enter(d, STAGE_SERVED, vm->now);
    d->retries = 0;
    d->link_changed = true;
    if (d->failed)
        return true;
    snprintf(ms, sizeof ms, "%.1f", (double)(vm->now - d->died_ns) / 1e6);
    snprintf(pid, sizeof pid, "%d", (int)w->pid);
    action_notice(out(vm), "device", "restarted", "id", d->plan->name, "after_ms", ms, "pid", pid,
                  NULL);
    if (d->upgraded_ns != 0 && has_upgrade(d))
        device_enter(d, STAGE_HANDOVER, vm->now);
    else
        answer_ok(vm, d, "runs again");
    return true;
}

/* What it had in flight is over when it has ended, and its end is acted on. */
static bool is_ending(const struct child *w)
{
    return w && !child_is_live(w);
}

static bool settle_probe(struct vm *vm, struct device *d, struct child *w)
{
    struct child *next = vm_child(vm, d->candidate);

    if (d->candidate_lost) {
        replace_give_up(vm, d, d->candidate_how);
        return true;
    }
    if (d->reset_wanted && next) {
        replace_give_up(vm, d, "the guest reset the device");
        return true;
    }
    if (!next || next->killed_ns != 0 || next->closed)
        return false;
    if (device_is_exclusive(d) && next->state == CHILD_GREETED) {
        device_enter(d, STAGE_MAKE_WAY, vm->now);
        d->died_ns = vm->now;
        if (w)
            child_stop(w, out(vm), vm->now);
        return true;
    }
    if (next->state != CHILD_READY || is_ending(w))
        return false;
    if (w && d->active && w->state == CHILD_RUNNING)
        device_enter(d, STAGE_DRAIN, vm->now);
    else
        hand_over(vm, d);
    return true;
}

static bool settle_drain(struct vm *vm, struct device *d, struct child *w)
{
    if (d->candidate_lost || d->reset_wanted) {
        replace_give_up(vm, d, d->candidate_lost ? d->candidate_how : "the guest reset the device");
        return true;
    }
    if (is_ending(w) || (w && w->state == CHILD_RUNNING))
        return false;
    hand_over(vm, d);
    return true;
}

/* An exclusive candidate waits for the old one's end; if it dies meanwhile the old build is back. */
static bool settle_make_way(struct vm *vm, struct device *d)
{
    if (!d->candidate_lost)
        return false;
    replace_give_up(vm, d, d->candidate_how);
    return true;
}

static bool settle_handover(struct vm *vm, struct device *d, struct child *w)
{
    if (!w || child_owes(w, DEBT_ACTIVATED) || !child_is_live(w) ||
        (d->active && w->state == CHILD_READY))
        return false;
    finish_upgrade(vm, d);
    return true;
}

/* passt was started again: a worker with the old stream leaves, its successor gets the new one. */
static bool settle_stream(struct vm *vm, struct device *d, struct child *w)
{
    bool configured = w && w->state >= CHILD_CONFIGURED && w->state <= CHILD_QUIESCED;

    if (!d->is_user || d->passt == 0 || !configured || w->stream == d->stream || w->killed_ns != 0)
        return false;
    if (d->stage == STAGE_PROBE || d->stage == STAGE_DRAIN)
        replace_give_up(vm, d, "passt died");
    if (w->state < CHILD_READY) {
        child_kill(w, out(vm), vm->now, "passt died: it has the old stream");
        return true;
    }
    device_enter(d, STAGE_MAKE_WAY, vm->now);
    d->died_ns = vm->now;
    child_stop(w, out(vm), vm->now);
    return true;
}

bool replace_settle(struct vm *vm, struct device *d)
{
    struct child *w = vm_worker(vm, d);

    if (vm->phase != VM_RUNNING || d->stage == STAGE_ADD || d->stage == STAGE_LEAVING)
        return false;
    if (settle_vacated(vm, d) || settle_stream(vm, d, w))
        return true;
    switch (d->stage) {
    case STAGE_FIRST:
        device_enter(d, STAGE_SERVED, vm->now);
        return true;
    case STAGE_REPAIR:
        return settle_repair(vm, d, w);
    case STAGE_PROBE:
        return settle_probe(vm, d, w);
    case STAGE_DRAIN:
        return settle_drain(vm, d, w);
    case STAGE_HANDOVER:
        return settle_handover(vm, d, w);
    case STAGE_MAKE_WAY:
        return settle_make_way(vm, d);
    case STAGE_NONE:
    case STAGE_SERVED:
    case STAGE_VACANT:
    case STAGE_DEAD:
    case STAGE_ADD:
    case STAGE_LEAVING:
    default:
        return false;
    }
}
