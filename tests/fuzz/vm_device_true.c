/* SPDX-License-Identifier: Apache-2.0 */
/* vm_device_true.c - see vm_device_true.h. */
#include "vm_device_true.h"

bool device_is_answered(const struct vm *vm, const struct device *d)
{
    const struct child *w = vm_look(vm, d->worker);

    if (d->asker.session == 0 && !d->for_all)
        return true;
    return (d->stage != STAGE_SERVED && d->stage != STAGE_DEAD) ||
           (d->by_hand && w && w->killed_ns != 0);
}

static bool core_hears(const struct vm *vm)
{
    const struct child *core = vm_look(vm, vm->core);

    return core && child_is_live(core);
}

bool device_is_served(const struct vm *vm, const struct device *d)
{
    switch (d->stage) {
    case STAGE_SERVED:
    case STAGE_DRAIN:
    case STAGE_HANDOVER:
    case STAGE_MAKE_WAY:
        return vm_look(vm, d->worker) != NULL;
    case STAGE_PROBE:
        return vm_look(vm, d->worker) && vm_look(vm, d->candidate);
    case STAGE_REPAIR:
        return vm_look(vm, d->worker) || d->retry_ns != 0;
    case STAGE_DEAD:
        return d->worker == 0 && (!d->reset_wanted || !core_hears(vm));
    case STAGE_VACANT:
        return d->worker == 0;
    case STAGE_ADD:
        return vm_look(vm, d->worker) && d->asker.session != 0 &&
               (!d->is_user || vm_look(vm, d->passt));
    case STAGE_LEAVING:
        return !d->gone || vm_count_of_device(vm, d) > 0;
    case STAGE_NONE:
    case STAGE_FIRST:
    default:
        return false;
    }
}

bool device_ring_is_watched(const struct vm *vm, const struct device *d)
{
    const struct child *w = vm_look(vm, d->worker);

    return d->old_ring == 0 || !w || w->old_ring == d->old_ring;
}

bool vm_waits(const struct vm *vm)
{
    bool waits =
        vm->phase == VM_STARTING || vm->phase == VM_ENDING ||
        (vm->phase == VM_RUNNING && (vm->run == GUEST_RESUMING || vm->run == GUEST_PAUSING));

    for (unsigned i = 0; vm->phase == VM_RUNNING && i < VM_MAX_CHILDREN; i++) {
        const struct child *c = &vm->children[i];

        waits |= c->id != 0 && c->killed_ns == 0 && c->state != CHILD_ENDED && c->old_ring == 0 &&
                 (child_owes(c, DEBT_ACTIVATED) || child_owes(c, DEBT_RESET_DONE));
    }
    for (unsigned i = 0; vm->phase == VM_RUNNING && i < vm->n_devices; i++)
        waits |= vm->devices[i].stage == STAGE_VACANT || vm->devices[i].stage == STAGE_DRAIN ||
                 vm->devices[i].stage == STAGE_ADD || vm->devices[i].remover.session != 0;
    return waits;
}
