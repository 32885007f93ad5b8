/* SPDX-License-Identifier: Apache-2.0 */
/* pause.c - pause and resume: vCPUs first, then every worker finishes what is in flight; back in
 * the opposite order. */
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

        if (is_active(d) && (!d->worker || d->worker->state != CHILD_QUIESCED))
            return;
    }
    vm->pausing = false;
    vm->paused = true;
    answer(vm, "paused");
}

static void quiesce_workers(struct vm *vm)
{
    Bulkhead__Quiesce quiesce = BULKHEAD__QUIESCE__INIT;
    ENVELOPE(e, QUIESCE, quiesce, &quiesce);

    for (unsigned i = 0; i < vm->n_devices; i++) {
        struct device *d = &vm->devices[i];

        if (!is_active(d))
            continue;
        d->quiesce_wanted = true;
        if (d->worker && d->worker->state == CHILD_RUNNING)
            child_send(d->worker, &e, NULL, 0);
    }
}

void pause_on_core_state(struct vm *vm, Bulkhead__GuestStateKind state)
{
    if (state == BULKHEAD__GUEST_STATE_KIND__GUEST_PAUSED && vm->pausing) {
        quiesce_workers(vm);
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
    Bulkhead__Unquiesce unquiesce = BULKHEAD__UNQUIESCE__INIT;
    Bulkhead__ResumeVcpus resume = BULKHEAD__RESUME_VCPUS__INIT;
    ENVELOPE(go_on, UNQUIESCE, unquiesce, &unquiesce);
    ENVELOPE(e, RESUME_VCPUS, resume_vcpus, &resume);

    if (vm->phase != VM_RUNNING || !vm->paused || vm->resuming)
        return fault_input(f, "the VM is not paused: there is nothing to resume");
    for (unsigned i = 0; i < vm->n_devices; i++) {
        struct device *d = &vm->devices[i];

        d->quiesce_wanted = false;
        if (d->worker && d->worker->state == CHILD_QUIESCED)
            child_send(d->worker, &go_on, NULL, 0);
    }
    if (!vm->core || child_send(vm->core, &e, NULL, 0) < 0)
        return fault_host(f, EIO, "the core does not answer");
    vm->resuming = true;
    vm->pause_asker = asker;
    vm->pause_request = request;
    return 0;
}
