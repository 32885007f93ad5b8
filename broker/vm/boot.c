/* SPDX-License-Identifier: Apache-2.0 */
/* boot.c - see boot.h. */
#include "vm/boot.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/compiler.h"
#include "vm/end.h"
#include "vm/link.h"

#define B(name) BULKHEAD__ENVELOPE__BODY_##name

void boot_begin(struct vm *vm)
{
    vm->phase = VM_STARTING;
    vm->boot_ns = vm->now;
    action_add(&vm->actions, ACTION_MAKE_BOOT);
}

static void no_place(struct vm *vm, const char *name)
{
    struct fault f;

    fault_host(&f, EAGAIN, "starting %s: no resources", name);
    end_fail(vm, &f);
}

void boot_made(struct vm *vm)
{
    struct child *c;

    if (vm->phase != VM_STARTING)
        return;
    vm_trace(vm, "resources made");
    c = vm_start(vm, BULKHEAD__ROLE__ROLE_LOADER, NULL, PLAN_UID_LOADER);
    vm->loader = c ? c->id : 0;
    c = vm_start(vm, BULKHEAD__ROLE__ROLE_CORE, NULL, PLAN_UID_CORE);
    vm->core = c ? c->id : 0;
    if (vm->loader == 0 || vm->core == 0)
        no_place(vm, "the core");
    for (unsigned i = 0; vm->phase == VM_STARTING && i < vm->n_devices; i++) {
        struct device *d = &vm->devices[i];

        if (!d->here)
            continue;
        device_enter(d, STAGE_FIRST, vm->now);
        c = vm_start(vm, d->plan->role, d, d->plan->uid_slot);
        if (!c) {
            no_place(vm, d->plan->name);
            return;
        }
        d->worker = c->id;
        c->old_ring = d->old_ring;
        link_start_passt(vm, d);
    }
}

void boot_failed(struct vm *vm, const struct fault *fault)
{
    if (vm->ran)
        end_vm(vm, END_BY_HOST, BULKHEAD__GUEST_STATE_KIND__GUEST_NONE, "reboot: %s", fault->text);
    else
        end_fail(vm, fault);
}

static bool is_waited_for(const struct vm *vm, const struct child *c)
{
    if (c->role == BULKHEAD__ROLE__ROLE_LOADER)
        return !c->loaded;
    if (c->role == BULKHEAD__ROLE__ROLE_PASST)
        return !vm->devices[c->device].passt_settled;
    return c->state < CHILD_READY;
}

static void add_name(char *who, size_t size, const char *name)
{
    if (strlen(who) < size - 48)
        snprintf(who + strlen(who), size - strlen(who), " %s", name);
}

void boot_late(struct vm *vm)
{
    struct fault f;
    char who[200] = "";

    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
        if (vm->children[i].id != 0 && is_waited_for(vm, &vm->children[i]))
            add_name(who, sizeof who, vm->children[i].name);
    for (unsigned i = 0; i < vm->n_devices; i++) /* who left without a word */
        if (vm->devices[i].here && vm->devices[i].worker == 0)
            add_name(who, sizeof who, vm->devices[i].plan->name);
    fault_host(&f, ETIMEDOUT, "the start took over %d s; still not ready:%s", BOOT_MS / 1000, who);
    end_fail(vm, &f);
}

/* ---- who ends while the VM starts ---- */

static void worker_gone(struct vm *vm, const struct child *c, bool clean, const char *how)
{
    const char *name = vm->devices[c->device].plan->name;
    struct fault f;

    if (c->reason_bad_input)
        fault_input(&f, "%s: %s", name, c->reason);
    else if (clean && vm->core != 0)
        /* Nothing but the end of the life pipe makes a worker leave of its own accord: what the core said
         * last, or its exit, is on the way and says more. */
        return;
    else if (clean)
        fault_host(&f, ECHILD, "the core died while starting: %s saw it leave", name);
    else
        fault_host(&f, ECHILD, "%s (%s) died while starting: %s", name, plan_program(c->role), how);
    end_fail(vm, &f);
}

void boot_child_gone(struct vm *vm, struct child *c, bool clean, const char *how)
{
    struct fault f;

    if (c->role == BULKHEAD__ROLE__ROLE_LOADER) {
        if (c->loaded && clean)
            return;
        if (c->reason_bad_input)
            fault_input(&f, "%s", c->reason);
        else
            fault_host(&f, ECHILD, "the loader died: %s", how);
    } else if (c->role == BULKHEAD__ROLE__ROLE_CORE) {
        if (c->reason_bad_input)
            fault_input(&f, "%s: see bulkhead doctor", c->reason);
        else
            fault_host(&f, ECHILD, "the core died while starting: %s", how);
    } else if (c->role == BULKHEAD__ROLE__ROLE_PASST) {
        link_passt_fault(&vm->devices[c->device], &f);
    } else {
        worker_gone(vm, c, clean, how);
        return;
    }
    end_fail(vm, &f);
}

/* ---- what follows ---- */

/* A candidate that would read from the same place as the worker waits until that has left. */
static bool may_be_configured(const struct vm *vm, const struct child *c)
{
    const struct device *d = c->device == CHILD_NO_DEVICE ? NULL : &vm->devices[c->device];

    return c->id != 0 && c->state == CHILD_GREETED && c->killed_ns == 0 && !c->closed &&
           (!d || !device_is_exclusive(d) || d->worker == c->id);
}

static bool settle_greeted(struct vm *vm)
{
    bool moved = false;

    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++) {
        struct child *c = &vm->children[i];

        if (!may_be_configured(vm, c) || !child_tell(c, &vm->actions, B(CONFIGURE), vm->now, NULL))
            continue;
        moved = true;
        if (c->device == CHILD_NO_DEVICE)
            continue;
        c->settings = vm->devices[c->device].settings;
        c->stream = vm->devices[c->device].stream;
        c->link_up = link_wanted(&vm->devices[c->device]);
    }
    return moved;
}

static bool settle_loader(struct vm *vm)
{
    struct child *loader = vm_child(vm, vm->loader);

    return loader && loader->state == CHILD_READY &&
           child_tell(loader, &vm->actions, B(START), vm->now, NULL);
}

static bool start_core(struct vm *vm)
{
    if (!vm_tell_core(vm, B(START), NULL))
        return false;
    for (unsigned i = 0; i < vm->n_devices; i++)
        if (vm->devices[i].passt != 0)
            action_add_device(&vm->actions, ACTION_LOUD, i);
    vm_trace(vm, "core told to run");
    vm->phase = VM_RUNNING;
    vm->ran = true;
    action_notice(&vm->actions, "vm", "booted", "name", vm->config->name, NULL);
    return true;
}

static bool settle_core(struct vm *vm)
{
    const struct child *core = vm_child(vm, vm->core);
    bool ready = vm->have_entry && vm->loader == 0, moved = false;

    if (!core || core->state != CHILD_READY)
        return false;
    for (unsigned i = 0; i < vm->n_devices; i++) {
        struct device *d = &vm->devices[i];
        const struct child *w = vm_worker(vm, d);
        struct action *a;

        if (!d->here)
            continue;
        ready = ready && (d->passt == 0 || d->passt_settled);
        if (!w || w->state != CHILD_READY) {
            ready = false;
        } else if (device_is_pci(d) && !d->attached) {
            d->attached = moved = vm_tell_core(vm, B(ATTACH_DEVICE), &a);
            if (!moved)
                return false;
            a->device = i;
        }
    }
    return (ready && start_core(vm)) || moved;
}

void boot_report_trace(struct vm *vm)
{
    if (vm->traced)
        return;
    vm_trace(vm, "guest runs");
    vm->traced = true;
    for (unsigned i = 0; vm->config->trace_start_ns != 0 && i < vm->n_trace; i++) {
        char ms[24];

        snprintf(ms, sizeof ms, "%.3f", (double)vm->trace[i].ns / 1e6);
        action_notice(&vm->actions, "trace", vm->trace[i].what, "ms", ms, NULL);
    }
}

bool boot_settle(struct vm *vm)
{
    if (vm->phase == VM_NEW && vm->ran) { /* a reboot */
        boot_begin(vm);
        return true;
    }
    if (settle_greeted(vm))
        return true;
    return vm->phase == VM_STARTING && (settle_loader(vm) || settle_core(vm));
}
