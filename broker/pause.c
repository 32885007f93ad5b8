/* SPDX-License-Identifier: Apache-2.0 */
/* pause.c - pause and resume: vCPUs first, then every worker finishes what is in flight; back in
 * the opposite order.
 *
 * Where a worker is wanted is never remembered: pause_steer() works it out of the VM's and the
 * device's state, and is called whenever one of them has changed. */
#include "base/log.h"
#include "vm.h"

static bool is_active(const struct device *d)
{
    return d->plan->pci_slot != 0 && d->active && !d->dead;
}

int pause_begin(struct vm *vm, uint64_t asker, uint32_t request, struct fault *f)
{
    Bulkhead__PauseVcpus pause = BULKHEAD__PAUSE_VCPUS__INIT;
    ENVELOPE(e, PAUSE_VCPUS, pause_vcpus, &pause);

    if (vm->phase != VM_RUNNING || !vm->core)
        return fault_input(f, "the VM does not run: there is nothing to pause");
    if (vm->paused || vm->pausing || vm->resuming)
        return fault_input(f, "the VM is paused already, or on its way there or back");
    for (unsigned i = 0; i < vm->n_devices; i++)
        if (vm->devices[i].step != STEP_NONE)
            return fault_input(f, "%s is being repaired or upgraded: try again",
                               vm->devices[i].plan->name);
    if (child_send(vm->core, &e, NULL, 0) < 0)
        return fault_host(f, EIO, "the core does not answer");
    vm->pausing = true;
    vm->pause_asker = asker;
    vm->pause_request = request;
    return 0;
}

static void answer(struct vm *vm, const char *event)
{
    struct fault ok = { 0 };

    session_event(vm, "vm", event, NULL);
    session_reply(vm, vm->pause_asker, vm->pause_request, &ok);
    vm->pause_asker = 0;
}

void pause_on_progress(struct vm *vm)
{
    if (!vm->pausing || !vm->core || vm->core->state != CHILD_QUIESCED)
        return;
    for (unsigned i = 0; i < vm->n_devices; i++) {
        const struct device *d = &vm->devices[i];

        if (is_active(d) && (!d->worker || d->worker->state != CHILD_QUIESCED || d->reset_pending))
            return;
    }
    vm->pausing = false;
    vm->paused = true;
    answer(vm, "paused");
}

static bool quiesce_wanted(const struct device *d)
{
    const struct vm *vm = d->vm;
    bool vcpus_stand = (vm->pausing || vm->paused) && vm->core && vm->core->state == CHILD_QUIESCED;

    return d->step == STEP_DRAIN || (vcpus_stand && !vm->resuming);
}

void pause_steer(struct device *d)
{
    Bulkhead__Quiesce quiesce = BULKHEAD__QUIESCE__INIT;
    Bulkhead__Unquiesce unquiesce = BULKHEAD__UNQUIESCE__INIT;
    ENVELOPE(stop, QUIESCE, quiesce, &quiesce);
    ENVELOPE(go_on, UNQUIESCE, unquiesce, &unquiesce);
    struct child *w = d->worker;

    /* What it was asked for last must be answered first: a worker that has done a reset, and whose
     * word of that is still on its way, takes neither of the two. */
    if (!w || d->reset_pending || (w->owed & 1u << BULKHEAD__ENVELOPE__BODY_QUIESCED))
        return;
    if (w->state == CHILD_RUNNING && quiesce_wanted(d))
        child_send(w, &stop, NULL, 0);
    else if (w->state == CHILD_QUIESCED && !quiesce_wanted(d))
        child_send(w, &go_on, NULL, 0);
}

static void steer_all(struct vm *vm)
{
    for (unsigned i = 0; i < vm->n_devices; i++)
        pause_steer(&vm->devices[i]);
}

void pause_on_core_state(struct vm *vm, Bulkhead__GuestStateKind state)
{
    if (state == BULKHEAD__GUEST_STATE_KIND__GUEST_PAUSED && vm->pausing) {
        steer_all(vm);
        pause_on_progress(vm);
    } else if (state == BULKHEAD__GUEST_STATE_KIND__GUEST_RUNNING && vm->resuming) {
        vm->resuming = false;
        vm->paused = false;
        answer(vm, "resumed");
    } else if (state == BULKHEAD__GUEST_STATE_KIND__GUEST_RUNNING) {
        session_event(vm, "vm", "running", NULL);
    }
}

int pause_end(struct vm *vm, uint64_t asker, uint32_t request, struct fault *f)
{
    Bulkhead__ResumeVcpus resume = BULKHEAD__RESUME_VCPUS__INIT;
    ENVELOPE(e, RESUME_VCPUS, resume_vcpus, &resume);

    if (vm->phase != VM_RUNNING || !vm->paused || vm->resuming)
        return fault_input(f, "the VM is not paused: there is nothing to resume");
    vm->resuming = true;
    steer_all(vm);
    if (!vm->core || child_send(vm->core, &e, NULL, 0) < 0) {
        vm->resuming = false;
        return fault_host(f, EIO, "the core does not answer");
    }
    vm->pause_asker = asker;
    vm->pause_request = request;
    return 0;
}
