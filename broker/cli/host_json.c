// SPDX-License-Identifier: Apache-2.0
// host_json.c - see host_json.h.
#include "host_json.h"
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
    return json_pack("{s:s,s:s,s:s}", "how", ended_word(ended), "detail", ended->detail, "text",
                     ended_text(text, sizeof(text), ended));
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
