// SPDX-License-Identifier: Apache-2.0
// look.c - see look.h.
#include "fleet/look.h"
#include <errno.h>
#include <string.h>
#include "ended.h"
#include "fleet/compare.h"
#include "output.h"

Bulkhead__VmSpec look_spec(struct fleet_vm *vm)
{
    Bulkhead__VmSpec spec = BULKHEAD__VM_SPEC__INIT;

    spec.config = &vm->options.config;
    spec.labels = vm->options.labels;
    spec.n_labels = vm->options.n_labels;
    spec.autostart = vm->options.autostart;
    spec.control = vm->control;
    spec.on_request = vm->on_request;
    spec.n_on_request = vm->n_on_request;
    return spec;
}

struct look look_at_details(struct fleet *fleet, struct fleet_vm *vm,
                            const Bulkhead__VmDetails *details)
{
    const Bulkhead__VmStatus *status = details->status;
    const Bulkhead__VmSpec ours = look_spec(vm);
    struct look look = { .there = true };
    char text[512];

    look.state = status ? status->state : BULKHEAD__HOST_VM_STATE__HOST_VM_STOPPED;
    look.started_ns = status ? status->started_ns : 0;
    if (status && status->how_ended)
        look.ended =
            bag_printf(&fleet->bag, "%s", ended_text(text, sizeof(text), status->how_ended));
    look.differs = compare_specs(&fleet->bag, &ours, details->spec);
    return look;
}

static int look_at(struct fleet *fleet, struct host *host, struct fleet_vm *vm,
                   struct look *ret_look)
{
    Bulkhead__InspectVm msg = BULKHEAD__INSPECT_VM__INIT;
    struct host_answer answer;
    int r;

    HOST_ENVELOPE(request, INSPECT_VM, inspect_vm, &msg);
    msg.vm = bag_strndup(&fleet->bag, vm->name, strlen(vm->name));
    r = host_call(host, &request, HOST_TIMEOUT_MS, &answer);
    if (r < 0)
        return host_failed(r);
    *ret_look = (struct look){ 0 };
    if (answer.envelope->body_case == BULKHEAD__HOST_ENVELOPE__BODY_REPLY &&
        answer.envelope->reply->error == ENOENT)
        return EXIT_OK;
    r = host_expect(&answer, BULKHEAD__HOST_ENVELOPE__BODY_VM_DETAILS);
    if (r == EXIT_OK)
        *ret_look = look_at_details(fleet, vm, answer.envelope->vm_details);
    return r;
}

int look_at_all(struct fleet *fleet, struct host *host, struct look **ret_looks)
{
    struct look *looks = bag_alloc(&fleet->bag, (fleet->n + 1) * sizeof(*looks));
    int r = EXIT_OK;

    for (size_t i = 0; i < fleet->n && r == EXIT_OK; i++)
        r = look_at(fleet, host, fleet->vms[i], &looks[i]);
    *ret_looks = looks;
    return r;
}
