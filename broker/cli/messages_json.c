// SPDX-License-Identifier: Apache-2.0
// messages_json.c - protobuf to JSON, field by field.
#include "messages_json.h"
#include <stdlib.h>
#include <string.h>
#include "ipc/cpu_bits.h"
#include "ipc/rules.h"

json_t *text_json(const char *text)
{
    json_t *value = json_string(text);
    char *copy = value ? NULL : strdup(text);

    for (char *c = copy; c && *c; c++)
        *c = (unsigned char)*c < 0x80 ? *c : '?';
    value = copy ? json_string(copy) : value;
    free(copy);
    return value;
}

json_t *key_values_json(Bulkhead__KeyValue *const *values, size_t n)
{
    json_t *object = json_object();

    for (size_t i = 0; i < n; i++) {
        json_t *key = text_json(values[i]->key);

        json_object_set_new(object, key ? json_string_value(key) : "", text_json(values[i]->value));
        json_decref(key);
    }
    return object;
}

json_t *affinity_json(Bulkhead__VcpuAffinity *const *affinity, size_t n)
{
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++) {
        json_t *cpus = json_array();

        for (unsigned cpu = 0; cpu < CPU_BITS_MAX; cpu++)
            if (cpu_bits_has(&affinity[i]->host_cpus, cpu))
                json_array_append_new(cpus, json_integer(cpu));
        json_array_append_new(
            list, json_pack("{s:I,s:o}", "vcpu", (json_int_t)affinity[i]->vcpu, "host_cpus", cpus));
    }
    return list;
}

static json_t *strings_json(char *const *strings, size_t n)
{
    json_t *array = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(array, json_string(strings[i]));
    return array;
}

static json_t *fds_json(Bulkhead__FdPlan *const *fds, size_t n)
{
    json_t *array = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(array,
                              json_pack("{s:i,s:s,s:s,s:s,s:b,s:i}", "fd", fds[i]->fd, "what",
                                        fds[i]->what, "type", fds[i]->type, "why", fds[i]->why,
                                        "kept", fds[i]->kept, "count", (int)fds[i]->count));
    return array;
}

static json_t *process_json(const Bulkhead__ProcessPlan *p)
{
    json_t *limits = json_object(), *affinity = NULL;

    if (p->pids_max != 0)
        json_object_set_new(limits, "pids.max", json_integer((json_int_t)p->pids_max));
    if (p->memory_high != 0)
        json_object_set_new(limits, "memory.high", json_integer((json_int_t)p->memory_high));
    if (p->memory_max != 0)
        json_object_set_new(limits, "memory.max", json_integer((json_int_t)p->memory_max));
    if (p->n_affinity > 0)
        affinity = affinity_json(p->affinity, p->n_affinity);
    return json_pack(
        "{s:s,s:s,s:s,s:I,s:I,s:o,s:o,s:I,s:b,s:o,s:o,s:s,s:o,s:s,s:b,s:o*}", "role",
        role_name(p->role), "name", p->name, "program", p->program, "uid", (json_int_t)p->uid,
        "gid", (json_int_t)p->gid, "namespaces", strings_json(p->namespaces, p->n_namespaces),
        "fds", fds_json(p->fds, p->n_fds), "ram_mapped", (json_int_t)p->ram_mapped, "ram_writable",
        p->ram_writable, "profiles", strings_json(p->profiles, p->n_profiles), "rlimits",
        key_values_json(p->rlimits, p->n_rlimits), "cgroup", p->cgroup, "cgroup_limits", limits,
        "root", p->root, "survives_boot", p->survives_boot, "affinity", affinity);
}

json_t *plan_json(const Bulkhead__VmPlan *plan)
{
    json_t *processes = json_array();

    for (size_t i = 0; i < plan->n_processes; i++)
        json_array_append_new(processes, process_json(plan->processes[i]));
    return json_pack("{s:s,s:o,s:o,s:s,s:o}", "vm", plan->vm, "processes", processes, "notes",
                     strings_json(plan->notes, plan->n_notes), "cgroup", plan->cgroup,
                     "cgroup_limits", key_values_json(plan->limits, plan->n_limits));
}
