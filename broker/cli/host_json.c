// SPDX-License-Identifier: Apache-2.0
// host_json.c - see host_json.h.
#include "host_json.h"
#include <stdio.h>
#include "ended.h"
#include "messages_json.h"

const char *host_state_word(Bulkhead__HostVmState state)
{
    switch (state) {
    case BULKHEAD__HOST_VM_STATE__HOST_VM_STOPPED:
        return "stopped";
    case BULKHEAD__HOST_VM_STATE__HOST_VM_STARTING:
        return "starting";
    case BULKHEAD__HOST_VM_STATE__HOST_VM_RUNNING:
        return "running";
    case BULKHEAD__HOST_VM_STATE__HOST_VM_PAUSED:
        return "paused";
    case BULKHEAD__HOST_VM_STATE__HOST_VM_STOPPING:
        return "stopping";
    case _BULKHEAD__HOST_VM_STATE_IS_INT_SIZE:
    default:
        return "unknown";
    }
}

json_t *host_ended_json(const Bulkhead__VmEnded *ended)
{
    char text[512];

    if (!ended)
        return json_null();
    return json_pack("{s:s,s:o,s:o}", "how", ended_word(ended), "detail", text_json(ended->detail),
                     "text", text_json(ended_text(text, sizeof(text), ended)));
}

/* Nanoseconds since 1970; 0: it never was. */
static json_t *time_json(uint64_t ns)
{
    return ns == 0 ? json_null() : json_integer((json_int_t)ns);
}

json_t *host_status_json(const Bulkhead__VmStatus *s)
{
    json_t *object = json_pack("{s:s,s:s,s:s,s:b,s:o,s:I,s:I,s:I,s:I}", "name", s->name, "tenant",
                               s->tenant, "state", host_state_word(s->state), "private", 0,
                               "labels", key_values_json(s->labels, s->n_labels), "vcpus",
                               (json_int_t)s->vcpus, "memory", (json_int_t)s->memory, "disks",
                               (json_int_t)s->disks, "nets", (json_int_t)s->nets);

    json_object_update_new(
        object, json_pack("{s:o,s:o,s:o,s:o,s:I,s:b}", "created_ns", time_json(s->created_ns),
                          "started_ns", time_json(s->started_ns), "ended_ns",
                          time_json(s->ended_ns), "ended", host_ended_json(s->how_ended), "starts",
                          (json_int_t)s->starts, "autostart", (int)s->autostart));
    return object;
}

static json_t *ids_json(const uint32_t *ids, size_t n)
{
    json_t *array = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(array, json_integer((json_int_t)ids[i]));
    return array;
}

static json_t *texts_json(char *const *texts, size_t n)
{
    json_t *array = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(array, json_string(texts[i]));
    return array;
}

static void put_limit(json_t *quota, const char *key, uint64_t limit)
{
    if (limit > 0)
        json_object_set_new(quota, key, json_integer((json_int_t)limit));
}

static json_t *quota_json(const Bulkhead__TenantQuota *q)
{
    json_t *quota = json_object();

    if (!q)
        return quota;
    put_limit(quota, "vms", q->vms);
    put_limit(quota, "vcpus", q->vcpus);
    put_limit(quota, "memory", q->memory);
    put_limit(quota, "disks", q->disks);
    put_limit(quota, "devices", q->devices);
    put_limit(quota, "connections", q->connections);
    put_limit(quota, "requests_per_s", q->requests_per_s);
    return quota;
}

json_t *host_tenant_json(const Bulkhead__TenantUsage *u)
{
    const Bulkhead__Tenant *t = u->tenant;
    char run_as[32];
    json_t *tenant;

    snprintf(run_as, sizeof(run_as), "%u:%u", t->uid, t->gid);
    tenant = json_pack("{s:s,s:o,s:o,s:s,s:o,s:o,s:o,s:b,s:b}", "name", t->name, "users",
                       ids_json(t->uids, t->n_uids), "groups", ids_json(t->gids, t->n_gids),
                       "run_as", run_as, "trees", texts_json(t->trees, t->n_trees), "quota",
                       quota_json(t->quota), "taps", texts_json(t->taps, t->n_taps), "user_net",
                       (int)t->user_net, "host", (int)t->host);
    if (t->uid_count > 0)
        json_object_set_new(tenant, "uid_range",
                            json_pack("{s:I,s:I}", "first", (json_int_t)t->uid_first, "count",
                                      (json_int_t)t->uid_count));
    json_object_set_new(tenant, "usage",
                        json_pack("{s:I,s:I,s:I,s:I,s:I}", "vms", (json_int_t)u->vms, "vcpus",
                                  (json_int_t)u->vcpus, "memory", (json_int_t)u->memory, "disks",
                                  (json_int_t)u->disks, "connections", (json_int_t)u->connections));
    return tenant;
}
