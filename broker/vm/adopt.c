/* SPDX-License-Identifier: Apache-2.0 */
/* adopt.c - see adopt.h. */
#include "vm/adopt.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/compiler.h"
#include "vm/driver.h"
#include "vm/end.h"
#include "vm/link.h"
#include "vm/replace.h"

#define B(name) BULKHEAD__ENVELOPE__BODY_##name

/* ---- who is there ---- */

static bool find_kept(struct child *c, const struct kept_child *kept, size_t n_kept)
{
    for (size_t i = 0; i < n_kept; i++) {
        if (kept[i].id != c->id)
            continue;
        if (kept[i].pid != 0)
            c->pid = kept[i].pid;
        c->missing_layers |= kept[i].missing;
        c->has_ring = kept[i].has_ring;
        return true;
    }
    return false;
}

/* It was written down, and then never asked for. */
static void never_was(struct vm *vm, struct child *c)
{
    struct device *d = c->device == CHILD_NO_DEVICE ? NULL : &vm->devices[c->device];

    if (d && d->worker == c->id)
        d->worker = 0;
    if (d && d->candidate == c->id)
        d->candidate = 0;
    if (d && d->passt == c->id)
        link_passt_gone(d, c, "the broker died");
    if (c->id == vm->core && vm->phase == VM_RUNNING)
        end_vm(vm, END_BY_HOST, BULKHEAD__GUEST_STATE_KIND__GUEST_NONE, "the core is gone");
    vm_forget(vm, c);
}

/* What was written down may not have been done: it is done again. */
static void kill_again(struct vm *vm, struct child *c, const char *why)
{
    c->killed_ns = 0;
    child_kill(c, &vm->actions, vm->now, "%s", why);
}

static void ask(struct vm *vm, struct child *c)
{
    struct action *a = action_add_child(&vm->actions, ACTION_TELL, c->id);

    a->device = c->device;
    a->body = B(RESYNC);
    a->state = c->state;
    c->asked_ns = vm->now;
}

static void take_child(struct vm *vm, struct child *c)
{
    struct device *d = c->device == CHILD_NO_DEVICE ? NULL : &vm->devices[c->device];

    if (c->killed_ns != 0) {
        kill_again(vm, c, c->reason);
    } else if (d && (d->stage == STAGE_ADD || d->stage == STAGE_LEAVING)) {
        child_stop(c, &vm->actions, vm->now);
    } else if (c->role == BULKHEAD__ROLE__ROLE_PASST) {
        if (c->id != d->passt)
            child_stop(c, &vm->actions, vm->now);
    } else if (c->state == CHILD_ENDED) {
        c->leave_by_ns = vm->now + CHILD_LEAVE_MS * UINT64_C(1000000);
    } else if (c->state < CHILD_READY || c->role == BULKHEAD__ROLE__ROLE_LOADER) {
        /* Its successor starts when it is gone, and this is no death of the device's worker. */
        if (d && c->id == d->worker && c->id != d->candidate)
            device_enter(d, STAGE_MAKE_WAY, vm->now);
        child_kill(c, &vm->actions, vm->now, "was not ready when the broker died");
    } else if (d && c->id != d->worker) {
        if (c->id != d->candidate) /* that one is given up with its device */
            child_stop(c, &vm->actions, vm->now);
    } else {
        c->unsure = true;
        c->asked_ns = 0;
        if (c->id == vm->core)
            ask(vm, c);
    }
}

static void take_device(struct vm *vm, struct device *d)
{
    if (d->stage == STAGE_LEAVING)
        return;
    if (d->stage == STAGE_ADD) { /* who asked for it is not there any more to be told */
        action_notice(&vm->actions, "device", "not_added", "id", d->plan->name, NULL);
        d->gone = true; /* the core never had it */
        replace_leave(vm, d);
        return;
    }
    if (d->stage == STAGE_PROBE || d->stage == STAGE_DRAIN || d->candidate != 0)
        replace_give_up(vm, d, "the broker died");
    if (d->worker == 0 && d->stage != STAGE_DEAD && !d->vacated && d->stage != STAGE_VACANT) {
        device_enter(d, STAGE_REPAIR, vm->now);
        d->retry_ns = vm->now;
    }
}

/* No guest runs: the boot is begun again, if there was one before this. */
static void boot_again(struct vm *vm)
{
    struct fault f;

    if (!vm->ran) {
        fault_host(&f, EPIPE, "the broker died while the VM started: start again");
        end_fail(vm, &f);
    } else {
        vm->end = (struct vm_end){ 0 };
        end_reboot(vm);
    }
    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
        if (vm->children[i].id != 0)
            kill_again(vm, &vm->children[i], "the broker died");
}

static void end_again(struct vm *vm)
{
    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++) {
        struct child *c = &vm->children[i];

        if (c->id == 0)
            continue;
        if (c->killed_ns != 0)
            kill_again(vm, c, c->reason);
        else if (c->state == CHILD_ENDED) /* it was told, or was about to be */
            c->leave_by_ns = vm->now + CHILD_LEAVE_MS * UINT64_C(1000000);
    }
    if (vm->phase == VM_GONE)
        action_add(&vm->actions, ACTION_ENDED);
}

void adopt_begin(struct vm *vm, const struct event *event)
{
    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
        if (vm->children[i].id != 0 && !find_kept(&vm->children[i], event->kept, event->n_kept))
            never_was(vm, &vm->children[i]);
    if (vm->phase == VM_ENDING || vm->phase == VM_GONE) {
        end_again(vm);
        return;
    }
    if (vm->phase != VM_RUNNING) {
        boot_again(vm);
        return;
    }
    action_notice(&vm->actions, "vm", "adopted", NULL);
    if (event->fell_back)
        action_notice(&vm->actions, "vm", "broker_rolled_back", NULL);
    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
        if (vm->children[i].id != 0)
            take_child(vm, &vm->children[i]);
    for (unsigned i = 0; i < vm->n_devices; i++)
        if (vm->devices[i].here)
            take_device(vm, &vm->devices[i]);
    if (vm->core == 0)
        end_vm(vm, END_BY_HOST, BULKHEAD__GUEST_STATE_KIND__GUEST_NONE, "the core is gone");
}

/* ---- what the core says ---- */

static void set_queues(struct device *d, Bulkhead__QueueState *const *queues, size_t n)
{
    d->n_queues = (unsigned)n;
    for (unsigned i = 0; i < d->n_queues; i++)
        d->queues[i] = (struct queue){ .index = queues[i]->index,
                                       .size = queues[i]->size,
                                       .desc = queues[i]->desc,
                                       .avail = queues[i]->avail,
                                       .used = queues[i]->used };
}

void adopt_device(struct vm *vm, struct child *core, const Bulkhead__DeviceSnapshot *s)
{
    struct device *d = vm_find_slot(vm, s->slot);

    if (!d || !driver_is_offered(d, s->features, s->queues, s->n_queues) ||
        s->config.len != d->config_len) {
        child_kill(core, &vm->actions, vm->now,
                   "broke the protocol: a device that was not offered");
        return;
    }
    if (s->active && !d->active) {
        d->activation++;
        d->touched = false;
    } else if (s->active) {
        d->touched = true; /* or not: the worker finds out by the activation's number */
    } else {
        d->touched = false;
    }
    d->core_has = true;
    d->active = s->active;
    d->reset_wanted = s->resetting;
    d->guest_features = s->features;
    set_queues(d, s->queues, s->n_queues);
    if (d->config_len > 0)
        memcpy(d->config, s->config.data, d->config_len);
    d->sees_needs_reset = s->needs_reset;
    d->link_changed = true;
    if (d->active && d->stage == STAGE_DEAD && !s->needs_reset && !s->resetting)
        driver_needs_reset(d, "the device has failed");
}

static void set_run(struct vm *vm, enum guest_run run)
{
    vm->run = run;
    vm->run_ns = vm->now;
    vm->core_told = false;
}

/* One that the core doesn't know: it was to get it, and didn't, or it has let go of it. */
static void match_slots(struct vm *vm)
{
    for (unsigned i = 0; i < vm->n_devices; i++) {
        struct device *d = &vm->devices[i];
        struct action *a;

        if (!d->here || !d->attached || d->gone || d->core_has)
            continue;
        d->active = d->touched = d->reset_wanted = false;
        if (d->removal != REMOVAL_NONE) {
            d->removal_told = true;
            driver_gone(vm, d->plan->pci_slot);
        } else if (vm_tell_core(vm, B(ATTACH_DEVICE), &a))
            a->device = d->number;
    }
}

void adopt_core(struct vm *vm, struct child *core, const Bulkhead__Snapshot *s)
{
    bool stands = core->state == CHILD_QUIESCED;

    core->unsure = false;
    core->asked_ns = 0;
    /* Its start was written down and never sent: no guest runs yet. */
    if (core->state == CHILD_READY) {
        end_reboot(vm);
        return;
    }
    match_slots(vm);
    switch (vm->run) {
    case GUEST_RUNS:
        if (stands || s->pausing)
            set_run(vm, GUEST_RESUMING);
        break;
    case GUEST_PAUSING:
        set_run(vm, GUEST_PAUSING);
        vm->core_told = stands || s->pausing;
        break;
    case GUEST_IS_PAUSED:
        if (!stands)
            set_run(vm, s->pausing ? GUEST_RESUMING : GUEST_RUNS);
        break;
    case GUEST_RESUMING:
        set_run(vm, stands || s->pausing ? GUEST_RESUMING : GUEST_RUNS);
        if (vm->run == GUEST_RUNS) /* who has asked meanwhile */
            action_reply_ok(&vm->actions, &vm->run_asker, "%s", "");
        break;
    default:
        break;
    }
}

/* ---- what a worker says ---- */

static bool serves_what_is_set_up(const struct device *d, const Bulkhead__Activate *a)
{
    if (!d->active || a->features != d->guest_features || a->n_queues != d->n_queues)
        return false;
    for (size_t i = 0; i < a->n_queues; i++) {
        const Bulkhead__QueueState *q = a->queues[i];
        const struct queue *own = &d->queues[i];

        if (q->index != own->index || q->size != own->size || q->desc != own->desc ||
            q->avail != own->avail || q->used != own->used)
            return false;
    }
    return true;
}

/* What it may not have been told. */
static void tell_again(struct device *d, struct child *w)
{
    if (d->settings != 0)
        w->settings = d->settings - 1;
    w->link_up = !link_wanted(d);
}

void adopt_worker(struct vm *vm, struct child *w, const Bulkhead__Snapshot *s)
{
    struct device *d = &vm->devices[w->device];
    bool was_reset = child_owes(w, DEBT_RESET_DONE) && w->state == CHILD_READY;

    w->unsure = false;
    w->asked_ns = 0;
    w->beat_ns = vm->now;
    w->debt_ns[DEBT_ACTIVATED] = 0;
    w->debt_ns[DEBT_RESET_DONE] = s->owes_reset ? vm->now : 0;
    w->debt_ns[DEBT_QUIESCED] = s->owes_quiesce ? vm->now : 0;
    w->needs_reset = s->needs_reset;
    if (w->id != d->worker)
        return;
    if (s->activate && !serves_what_is_set_up(d, s->activate)) {
        child_kill(w, &vm->actions, vm->now, "serves what the guest did not set up");
        return;
    }
    if (s->activate)
        d->touched = true;
    else if (was_reset)
        d->touched = false; /* nothing of this activation is left */
    if (s->needs_reset && !d->sees_needs_reset)
        driver_needs_reset(d, s->why);
    if (s->link_lost)
        link_on_lost(vm, d, s->link_returns);
    else if (d->plan->role == BULKHEAD__ROLE__ROLE_NET)
        link_on_found(vm, d);
    if (s->escape && d->has_keys)
        end_vm(vm, END_BY_USER, BULKHEAD__GUEST_STATE_KIND__GUEST_NONE, "ended from the terminal");
    tell_again(d, w);
}

/* ---- what follows ---- */

bool adopt_waits(const struct vm *vm)
{
    const struct child *core = vm_look(vm, vm->core);

    return core && core->unsure;
}

bool adopt_settle(struct vm *vm)
{
    bool moved = false;

    if (vm->phase != VM_RUNNING || adopt_waits(vm))
        return false;
    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++) {
        struct child *c = &vm->children[i];

        if (c->id == 0 || !c->unsure || c->asked_ns != 0 || c->killed_ns != 0 || c->closed)
            continue;
        ask(vm, c);
        moved = true;
    }
    return moved;
}
