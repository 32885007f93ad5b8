/* SPDX-License-Identifier: Apache-2.0 */
/* rights.c - see rights.h. One table says what each verb is; what stands in no row, no guest may ask for. */
#include "hostd/rules/rights.h"

#include <string.h>
#include "hostd/rules/names.h"
#include "hostd/rules/spec.h"

#define B(name) BULKHEAD__HOST_ENVELOPE__BODY_##name
#define V(name) BULKHEAD__CONTROL_VERB__CONTROL_##name

static const struct {
    Bulkhead__ControlVerb verb;
    Bulkhead__HostEnvelope__BodyCase body;
} verbs[] = {
    { V(START), B(START_VM) },  { V(STOP), B(HALT_VM) },       { V(REBOOT), B(REBOOT_VM) },
    { V(INFO), B(INSPECT_VM) }, { V(INFO), B(LIST_VMS) },      { V(INFO), B(GET_HOST) },
    { V(WAIT), B(WAIT_VM) },    { V(EVENTS), B(FOLLOW_HOST) },
};

static bool is_verb(Bulkhead__ControlVerb verb)
{
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
        if (verbs[i].verb == verb)
            return true;
    return false;
}

bool rights_has_any(const Bulkhead__VmSpec *spec)
{
    return spec->control != NULL || spec->n_on_request > 0;
}

void rights_fill(Bulkhead__VmSpec *spec)
{
    spec->config->vsock->service_port = rights_has_any(spec) ? HOSTDIR_SERVICE_PORT : 0;
}

/* ---- what may be given ---- */

static int check_vms(const Bulkhead__VmSpec *spec, struct fault *f)
{
    const Bulkhead__ControlRight *c = spec->control;
    char shown[NAMES_SHOWN_BYTES];

    if (c->n_vms > RIGHTS_MAX_VMS)
        return fault_input(f, "control: %zu VMs are over the limit: name at most %d, or a label",
                           c->n_vms, RIGHTS_MAX_VMS);
    for (size_t i = 0; i < c->n_vms; i++) {
        if (strchr(c->vms[i], '/'))
            return fault_input(
                f,
                "control: '%s': a VM's right is for VMs of its own tenant: name them "
                "without one",
                names_show(c->vms[i], shown));
        if (!hostdir_is_vm(c->vms[i]))
            return fault_input(f, "control: '%s' is no VM's name", names_show(c->vms[i], shown));
        if (strcmp(c->vms[i], spec->config->name) == 0)
            return fault_input(f, "control: %s: its right is for other VMs: leave it out",
                               c->vms[i]);
    }
    return 0;
}

static int check_labels(const Bulkhead__ControlRight *c, struct fault *f)
{
    char shown[NAMES_SHOWN_BYTES];

    if (c->n_labels > RIGHTS_MAX_LABELS)
        return fault_input(f, "control: %zu labels are over the limit: give at most %d",
                           c->n_labels, RIGHTS_MAX_LABELS);
    for (size_t i = 0; i < c->n_labels; i++)
        if (!names_is_label(c->labels[i]->key))
            return fault_input(f, "control: label '%s' is not usable",
                               names_show(c->labels[i]->key, shown));
    return 0;
}

int rights_check(const Bulkhead__VmSpec *spec, struct fault *f)
{
    const Bulkhead__ControlRight *c = spec->control;

    if (!c)
        return 0;
    if (!spec->config->vsock->enabled)
        return fault_input(f, "control: the VM has no vsock, over which its guest would ask: give "
                              "it one");
    if (c->n_verbs == 0 || c->n_verbs > ARRAY_SIZE(verbs))
        return fault_input(f, "control: say what it may do: start, stop, reboot, info, wait, "
                              "events, each once");
    for (size_t i = 0; i < c->n_verbs; i++)
        if (!is_verb(c->verbs[i]))
            return fault_input(f,
                               "control: verb %d is not known: is the client newer than the "
                               "service?",
                               (int)c->verbs[i]);
    if (c->n_vms == 0 && c->n_labels == 0)
        return fault_input(f, "control: say which VMs it is for: their names, or a label");
    return check_vms(spec, f) < 0 ? -EINVAL : check_labels(c, f);
}

/* ---- what was given ---- */

const struct host_vm *rights_holder(const struct host *host, const struct session *session)
{
    const struct host_vm *vm = host_vm(host, session->holder);

    return vm && vm->spec && vm->starts == session->run && vm->life != LIFE_STOPPED &&
                   vm->life != LIFE_LEAVING
               ? vm
               : NULL;
}

bool rights_allow(const struct host_vm *holder, Bulkhead__HostEnvelope__BodyCase body)
{
    const Bulkhead__ControlRight *c = holder->spec->control;

    if (body == B(ASK_DEVICE) || body == B(RETURN_DEVICE))
        return holder->spec->n_on_request > 0;
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
        for (size_t n = 0; c && n < c->n_verbs; n++)
            if (c->verbs[n] == verbs[i].verb && verbs[i].body == body)
                return true;
    return false;
}

static bool has_all(const struct host_vm *vm, const Bulkhead__ControlRight *c)
{
    for (size_t i = 0; i < c->n_labels; i++) {
        const char *value = spec_label(vm->spec, c->labels[i]->key);

        if (!value || strcmp(value, c->labels[i]->value) != 0)
            return false;
    }
    return c->n_labels > 0;
}

bool rights_cover(const struct host_vm *holder, const struct host_vm *vm)
{
    const Bulkhead__ControlRight *c = holder->spec->control;

    if (!c || !vm->spec || vm == holder || strcmp(vm->tenant, holder->tenant) != 0)
        return false;
    for (size_t i = 0; i < c->n_vms; i++)
        if (strcmp(c->vms[i], vm->name) == 0)
            return true;
    return has_all(vm, c);
}
