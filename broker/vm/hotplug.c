/* SPDX-License-Identifier: Apache-2.0 */
/* hotplug.c - see hotplug.h. */
#include "vm/hotplug.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/compiler.h"
#include "vm/link.h"
#include "vm/replace.h"

#define B(name) BULKHEAD__ENVELOPE__BODY_##name

/* ---- requests ---- */

static int check_runs(const struct vm *vm, struct fault *f)
{
    if (vm->phase != VM_RUNNING)
        return fault_input(f, "the VM does not run: devices come and go while it does");
    if (vm->run != GUEST_RUNS)
        return fault_input(f, "the VM is paused, or on its way there or back: resume it first");
    return 0;
}

int hotplug_check_add(const struct vm *vm, struct fault *f)
{
    return check_runs(vm, f);
}

int hotplug_add(struct vm *vm, struct device *d, struct ticket ticket, struct fault *f)
{
    struct child *w;

    if (check_runs(vm, f) < 0)
        return -EINVAL;
    w = vm_start(vm, d->plan->role, d, d->plan->uid_slot);
    if (!w)
        return fault_host(f, EAGAIN, "%s: there is no room for another process", d->plan->name);
    d->here = true;
    d->worker = w->id;
    d->asker = ticket;
    device_enter(d, STAGE_ADD, vm->now);
    link_start_passt(vm, d);
    return 0;
}

int hotplug_remove(struct vm *vm, struct device *d, bool force, struct ticket ticket,
                   struct fault *f)
{
    const char *name = d->plan->name;

    if (check_runs(vm, f) < 0)
        return -EINVAL;
    if (!device_is_pci(d))
        return fault_input(f, "%s is part of the machine and no PCI device: it can't be removed",
                           name);
    if (d->stage == STAGE_ADD)
        return fault_input(f, "%s is being added: wait for it", name);
    if (d->remover.session != 0 || d->removal == REMOVAL_FORCED || d->stage == STAGE_LEAVING)
        return fault_input(f, "%s is being removed already: wait for it", name);
    if (d->asker.session != 0 || d->for_all)
        return fault_input(f, "%s is being repaired or upgraded: wait for it", name);
    d->removal = force ? REMOVAL_FORCED : REMOVAL_ASKED;
    d->removal_told = false;
    d->removal_ns = vm->now;
    d->remover = ticket;
    return 0;
}

/* ---- time ---- */

void hotplug_asked_in_vain(struct vm *vm, struct device *d)
{
    struct fault f;

    action_notice(&vm->actions, "device", "not_removed", "id", d->plan->name, NULL);
    fault_input(
        &f,
        "%s: the guest has not let go of it within %d s, and may still do so: ask again, or "
        "take it away with --force",
        d->plan->name, HOTPLUG_EJECT_MS / 1000);
    action_reply(&vm->actions, &d->remover, &f);
}

void hotplug_waited_for_passt(struct vm *vm, struct device *d)
{
    (void)vm;
    d->passt_settled = true;
}

void hotplug_wait_no_more(struct vm *vm, struct device *d)
{
    struct child *w = vm_worker(vm, d);

    replace_leave(vm, d);
    if (w)
        child_kill(w, &vm->actions, vm->now, "the device was taken away");
}

/* ---- what follows ---- */

/* Nothing is left of it; what was opened for it is closed, and then whoever asked is told: he may want the path of
 * its socket again. */
static void finish_removal(struct vm *vm, struct device *d)
{
    if (d->old_ring != 0)
        action_add_child(&vm->actions, ACTION_DROP_RING, d->old_ring);
    action_add_device(&vm->actions, ACTION_FREE_DEVICE, d->number);
    if (d->not_added.error != 0)
        action_reply(&vm->actions, &d->remover, &d->not_added);
    if (d->removal != REMOVAL_NONE) {
        action_notice(&vm->actions, "device", "removed", "id", d->plan->name, NULL);
        action_reply_ok(&vm->actions, &d->remover, "%s was removed", d->plan->name);
    }
    device_deinit(d);
    device_init(d, d->number, d->plan);
    d->here = false;
}

/* Who asked is told when the last of it has ended, for he may try again at once. */
static void give_up(struct vm *vm, struct device *d)
{
    struct fault *f = &d->not_added;

    if (!d->vacated)
        link_passt_fault(d, f);
    else if (d->vacated_input)
        fault_input(f, "%s was not added: %s", d->plan->name, d->vacated_how);
    else
        fault_host(f, EIO, "%s was not added: %s", d->plan->name, d->vacated_how);
    d->vacated = false;
    d->remover = d->asker;
    d->asker = (struct ticket){ 0 };
    d->gone = true; /* the core never had it */
    replace_leave(vm, d);
}

/* As at the VM's start the guest has a user network when its passt has opened all ports. */
static bool lacks_passt(const struct device *d)
{
    return d->is_user && !d->passt_settled;
}

static bool settle_add(struct vm *vm, struct device *d, struct child *w)
{
    struct action *a;
    char address[16];

    if (d->vacated || (d->is_user && d->passt == 0)) {
        give_up(vm, d);
        return true;
    }
    if (!w || w->state != CHILD_READY || !child_is_live(w) || lacks_passt(d) ||
        !vm_tell_core(vm, B(ATTACH_DEVICE), &a))
        return false;
    a->device = d->number;
    d->attached = true;
    if (d->is_user)
        action_add_device(&vm->actions, ACTION_LOUD, d->number);
    device_enter(d, STAGE_SERVED, vm->now);
    plan_address(d->plan, address, sizeof address);
    action_notice(&vm->actions, "device", "added", "id", d->plan->name, "address", address, NULL);
    if (d->asker.session != 0) {
        action_reply_ok(&vm->actions, &d->asker, "%s was added", d->plan->name);
        a = &vm->actions.list[vm->actions.n - 1];
        a->flag = true;
        a->device = d->number;
    }
    return true;
}

static bool settle_removal(struct vm *vm, struct device *d)
{
    struct action *a;

    if (d->gone) {
        replace_leave(vm, d);
        return true;
    }
    if (d->removal_told || !vm_tell_core(vm, B(DETACH_DEVICE), &a))
        return false;
    d->removal_told = true;
    a->device = d->number;
    a->flag = d->removal == REMOVAL_FORCED;
    return true;
}

static bool settle_leaving(struct vm *vm, struct device *d)
{
    d->vacated = d->candidate_lost = false;
    if (!d->gone || vm_count_of_device(vm, d) > 0)
        return false;
    finish_removal(vm, d);
    return true;
}

bool hotplug_settle(struct vm *vm, struct device *d)
{
    if (d->stage == STAGE_ADD)
        return settle_add(vm, d, vm_worker(vm, d));
    if (d->stage == STAGE_LEAVING)
        return settle_leaving(vm, d);
    return d->removal != REMOVAL_NONE && settle_removal(vm, d);
}

bool hotplug_settle_end(struct vm *vm)
{
    bool moved = false;

    if (vm->phase != VM_ENDING || !vm->end.reboot || vm_count_children(vm) > 0)
        return false;
    for (unsigned i = 0; i < vm->n_devices; i++) {
        struct device *d = &vm->devices[i];
        struct fault f;

        if (!d->here ||
            (d->stage != STAGE_ADD && d->stage != STAGE_LEAVING && d->removal == REMOVAL_NONE))
            continue;
        fault_input(&f, "%s was not added: the guest rebooted: try again", d->plan->name);
        action_reply(&vm->actions, &d->asker, &f);
        finish_removal(vm, d);
        moved = true;
    }
    return moved;
}
