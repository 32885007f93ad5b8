/* SPDX-License-Identifier: Apache-2.0 */
/* answers.c - see answers.h. protobuf-c has no const; it only reads what is packed. */
#include "hostd/rules/answers.h"

#include <stdlib.h>
#include <string.h>
#include "hostd/rules/names.h"
#include "hostd/rules/quota.h"
#include "hostd/rules/requests.h"
#include "hostd/rules/spec.h"

enum { PAGE_BYTES_MAX = 60000, PAGE_MAX = 256 }; /* of a list */

struct status {
    Bulkhead__VmStatus status;
    Bulkhead__VmEnded ended;
};

struct answer {
    Bulkhead__HostEnvelope envelope;
    Bulkhead__VmList list;
    Bulkhead__VmDetails details;
    Bulkhead__TenantList tenants;
    Bulkhead__HostInfo info;
    struct status statuses[PAGE_MAX];
    Bulkhead__VmStatus *status_pointers[PAGE_MAX];
    Bulkhead__TenantUsage *usages, **usage_pointers; /* owned */
};

#define TEXT(text) ((char *)(uintptr_t)(text))

static Bulkhead__HostVmState state_of(const struct host_vm *vm)
{
    switch (vm->life) {
    case LIFE_STARTING:
        return BULKHEAD__HOST_VM_STATE__HOST_VM_STARTING;
    case LIFE_RUNNING:
        return vm->booting  ? BULKHEAD__HOST_VM_STATE__HOST_VM_STARTING
               : vm->paused ? BULKHEAD__HOST_VM_STATE__HOST_VM_PAUSED
                            : BULKHEAD__HOST_VM_STATE__HOST_VM_RUNNING;
    case LIFE_HALTING:
    case LIFE_STOPPING:
    case LIFE_LEAVING:
        return BULKHEAD__HOST_VM_STATE__HOST_VM_STOPPING;
    case LIFE_STOPPED:
    default:
        return vm->want_start ? BULKHEAD__HOST_VM_STATE__HOST_VM_STARTING
                              : BULKHEAD__HOST_VM_STATE__HOST_VM_STOPPED;
    }
}

static void fill_status(struct status *s, const struct host_vm *vm, bool labels)
{
    const Bulkhead__VmConfig *c = vm->spec->config;
    Bulkhead__VmStatus *to = &s->status;

    bulkhead__vm_status__init(to);
    to->tenant = TEXT(vm->tenant);
    to->name = TEXT(vm->name);
    to->state = state_of(vm);
    if (labels) {
        to->labels = vm->spec->labels;
        to->n_labels = vm->spec->n_labels;
    }
    to->vcpus = vm->cost.vcpus;
    to->memory = vm->cost.memory;
    to->disks = vm->cost.disks;
    to->nets = (uint32_t)c->n_nets;
    to->created_ns = vm->created_ns;
    to->started_ns = vm->started_ns;
    to->ended_ns = vm->ended_ns;
    to->starts = vm->starts;
    to->autostart = vm->spec->autostart;
    to->starts_again = vm->again;
    if (!vm->has_end)
        return;
    bulkhead__vm_ended__init(&s->ended);
    s->ended.state = vm->end.state;
    s->ended.by_user = vm->end.by_user;
    s->ended.host_failure = vm->end.host_failure;
    s->ended.detail = TEXT(vm->end.detail);
    to->how_ended = &s->ended;
}

/* A guest hears how it stands, and not of which files of the host it is made. */
static void fill_details(struct answer *a, const struct host_vm *vm, const struct session *session)
{
    fill_status(&a->statuses[0], vm, true);
    bulkhead__vm_details__init(&a->details);
    a->details.status = &a->statuses[0].status;
    a->details.spec = session->holder != 0 ? NULL : vm->spec;
    a->envelope.body_case = BULKHEAD__HOST_ENVELOPE__BODY_VM_DETAILS;
    a->envelope.vm_details = &a->details;
}

static bool has_labels(const struct host_vm *vm, const Bulkhead__ListVms *list)
{
    for (size_t i = 0; i < list->n_labels; i++) {
        const char *value = spec_label(vm->spec, list->labels[i]->key);

        if (!value || strcmp(value, list->labels[i]->value) != 0)
            return false;
    }
    return true;
}

static void fill_list(struct answer *a, const struct host *host, const struct session *session,
                      const Bulkhead__ListVms *list)
{
    char of[HOSTDIR_TENANT_BYTES], name[HOSTDIR_VM_BYTES];
    size_t bytes = 0;
    unsigned i = 0;

    bulkhead__vm_list__init(&a->list);
    a->list.vms = a->status_pointers;
    a->envelope.body_case = BULKHEAD__HOST_ENVELOPE__BODY_VM_LIST;
    a->envelope.vm_list = &a->list;
    if (names_split(list->after, session->tenant->name, of, name))
        i = host_find_after(host, of, name);
    for (; i < host->n_vms; i++) {
        struct status *s = &a->statuses[a->list.n_vms];

        if (!request_may_see(host, session, host->vms[i]) || !has_labels(host->vms[i], list))
            continue;
        if (a->list.n_vms == PAGE_MAX - 1) {
            a->list.more = true;
            return;
        }
        fill_status(s, host->vms[i], true);
        bytes += bulkhead__vm_status__get_packed_size(&s->status) + 8;
        if (bytes > PAGE_BYTES_MAX) {
            a->list.more = true;
            return;
        }
        a->status_pointers[a->list.n_vms++] = &s->status;
    }
}

static bool fill_tenants(struct answer *a, const struct host *host, const Bulkhead__Tenant *tenant)
{
    size_t n = host->config->n_tenants, bytes = 0;

    bulkhead__tenant_list__init(&a->tenants);
    a->usages = calloc(n, sizeof *a->usages);
    a->usage_pointers = calloc(n, sizeof *a->usage_pointers);
    if (!a->usages || !a->usage_pointers)
        return false;
    a->tenants.tenants = a->usage_pointers;
    for (size_t i = 0; i < n; i++) {
        Bulkhead__Tenant *t = host->config->tenants[i];
        Bulkhead__TenantUsage *u = &a->usages[i];
        struct usage usage;

        if (t != tenant && !tenant->host)
            continue;
        usage = quota_usage(host, t);
        bulkhead__tenant_usage__init(u);
        u->tenant = t;
        u->vms = usage.vms;
        u->vcpus = usage.vcpus;
        u->memory = usage.memory;
        u->disks = usage.disks;
        u->connections = usage.connections;
        bytes += bulkhead__tenant_usage__get_packed_size(u) + 8;
        if (bytes > PAGE_BYTES_MAX)
            break; /* tenants.pb has them all */
        a->usage_pointers[a->tenants.n_tenants++] = u;
    }
    a->envelope.body_case = BULKHEAD__HOST_ENVELOPE__BODY_TENANT_LIST;
    a->envelope.tenant_list = &a->tenants;
    return true;
}

static void fill_host(struct answer *a, const struct host *host, const struct session *session)
{
    bulkhead__host_info__init(&a->info);
    a->info.version = TEXT(host->version);
    a->info.started_ns = host->started_realtime;
    a->info.tenant = session->tenant->name;
    for (unsigned i = 0; i < host->n_vms; i++)
        if (request_may_see(host, session, host->vms[i])) {
            a->info.vms++;
            a->info.running += host->vms[i]->life == LIFE_RUNNING;
        }
    a->envelope.body_case = BULKHEAD__HOST_ENVELOPE__BODY_HOST_INFO;
    a->envelope.host_info = &a->info;
}

struct answer *answers_make(struct host *host, const struct host_action *action,
                            const Bulkhead__HostEnvelope *request)
{
    const struct session *session = host_session(host, action->ticket.session);
    const struct host_vm *vm = host_vm(host, action->vm);
    struct answer *a;
    bool ok = false;

    if (!session || !session->tenant)
        return NULL;
    a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    bulkhead__host_envelope__init(&a->envelope);
    a->envelope.id = action->ticket.request;
    switch (action->answer) {
    case ANSWER_LIST:
        ok = request && request->body_case == BULKHEAD__HOST_ENVELOPE__BODY_LIST_VMS;
        if (ok)
            fill_list(a, host, session, request->list_vms);
        break;
    case ANSWER_DETAILS:
        ok = vm && vm->spec;
        if (ok)
            fill_details(a, vm, session);
        break;
    case ANSWER_TENANTS:
        ok = fill_tenants(a, host, session->tenant);
        break;
    case ANSWER_HOST:
    default:
        fill_host(a, host, session);
        ok = true;
        break;
    }
    if (ok)
        return a;
    answers_free(a);
    return NULL;
}

const Bulkhead__HostEnvelope *answers_envelope(const struct answer *answer)
{
    return &answer->envelope;
}

void answers_free(struct answer *answer)
{
    if (!answer)
        return;
    free(answer->usages);
    free(answer->usage_pointers);
    free(answer);
}

uint8_t *answers_description(const struct host_vm *vm, size_t *ret_len)
{
    Bulkhead__VmDetails details = BULKHEAD__VM_DETAILS__INIT;
    struct status status;
    uint8_t *bytes;

    fill_status(&status, vm, false); /* the labels are the spec's */
    details.status = &status.status;
    details.spec = vm->spec;
    *ret_len = bulkhead__vm_details__get_packed_size(&details);
    bytes = malloc(*ret_len);
    if (bytes)
        bulkhead__vm_details__pack(&details, bytes);
    return bytes;
}
