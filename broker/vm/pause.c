/* SPDX-License-Identifier: Apache-2.0 */
/* pause.c - see pause.h. */
#include "vm/pause.h"

#include "base/compiler.h"

#define B(name) BULKHEAD__ENVELOPE__BODY_##name

static void enter(struct vm *vm, enum guest_run run)
{
    vm->run = run;
    vm->run_ns = vm->now;
    vm->core_told = false;
}

int pause_begin(struct vm *vm, struct ticket ticket, struct fault *f)
{
    if (vm->phase != VM_RUNNING || vm->core == 0)
        return fault_state(f, "the VM does not run: there is nothing to pause");
    if (vm->run != GUEST_RUNS)
        return fault_state(f, "the VM is paused already, or on its way there or back");
    for (unsigned i = 0; i < vm->n_devices; i++)
        if (vm->devices[i].here && device_in_transit(&vm->devices[i]))
            return fault_input(f, "%s is being repaired, upgraded, added or removed: try again",
                               vm->devices[i].plan->name);
    enter(vm, GUEST_PAUSING);
    vm->run_asker = ticket;
    return 0;
}

int pause_end(struct vm *vm, struct ticket ticket, struct fault *f)
{
    if (vm->phase != VM_RUNNING || (vm->run != GUEST_IS_PAUSED && vm->run != GUEST_PAUSING))
        return fault_state(f, "the VM is not paused: there is nothing to resume");
    if (vm->run == GUEST_PAUSING)
        pause_give_up(vm, "it was resumed meanwhile");
    else
        enter(vm, GUEST_RESUMING);
    vm->run_asker = ticket;
    return 0;
}

void pause_give_up(struct vm *vm, const char *why)
{
    struct fault f;

    fault_input(&f, "the pause was given up, the guest runs on: %s", why);
    action_reply(&vm->actions, &vm->run_asker, &f);
    action_notice(&vm->actions, "vm", "pause_failed", "why", why, NULL);
    enter(vm, GUEST_RESUMING);
}

void pause_on_running(struct vm *vm)
{
    if (vm->run != GUEST_RESUMING || !vm->core_told) {
        action_notice(&vm->actions, "vm", "running", NULL);
        return;
    }
    enter(vm, GUEST_RUNS);
    action_notice(&vm->actions, "vm", "resumed", NULL);
    action_reply_ok(&vm->actions, &vm->run_asker, "%s", "");
}

/* Nothing of the guest's is in flight. */
static bool is_still(struct vm *vm, const struct device *d)
{
    const struct child *w = vm_worker(vm, d);

    if (!device_is_pci(d) || !d->active || d->stage == STAGE_DEAD)
        return true;
    return w && w->state == CHILD_QUIESCED && !w->unsure && !d->reset_wanted;
}

bool pause_settle(struct vm *vm)
{
    bool all_still = vm_core_stands(vm);

    if (vm->phase != VM_RUNNING || vm->run == GUEST_RUNS || vm->run == GUEST_IS_PAUSED)
        return false;
    if (vm->run == GUEST_RESUMING) {
        /* A core that has not answered a pause yet is told when it has. */
        if (vm->core_told || !vm_core_stands(vm) || !vm_tell_core(vm, B(RESUME_VCPUS), NULL))
            return false;
        vm->core_told = true;
        return true;
    }
    if (!vm->core_told) {
        vm->core_told = vm_tell_core(vm, B(PAUSE_VCPUS), NULL);
        return vm->core_told;
    }
    for (unsigned i = 0; all_still && i < vm->n_devices; i++)
        all_still = is_still(vm, &vm->devices[i]);
    if (!all_still)
        return false;
    enter(vm, GUEST_IS_PAUSED);
    action_notice(&vm->actions, "vm", "paused", NULL);
    action_reply_ok(&vm->actions, &vm->run_asker, "%s", "");
    return true;
}
