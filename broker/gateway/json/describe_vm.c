/* SPDX-License-Identifier: Apache-2.0 */
/* describe_vm.c - see describe_vm.h. */
#include "json/describe_vm.h"

#include <stdbool.h>
#include <string.h>
#include "messages_json.h"
#include "vmconfig/describe.h"

/* Cloud Hypervisor has it in every answer, and some of its clients need it. */
static json_t *section(json_t *config, const char *name)
{
    json_t *object = json_object_get(config, name);

    if (object)
        return object;
    object = json_object();
    json_object_set_new(config, name, object);
    return object;
}

static void put_default(json_t *object, const char *key, json_t *value)
{
    if (json_object_get(object, key))
        json_decref(value);
    else
        json_object_set_new(object, key, value);
}

/* The serial port isn't on the PCI bus. */
static const char *pty_of(const Bulkhead__VmDescription *vm, bool serial)
{
    for (size_t i = 0; i < vm->n_devices; i++) {
        const Bulkhead__DeviceDescription *d = vm->devices[i];

        if (d->role == BULKHEAD__ROLE__ROLE_CONSOLE && (d->address[0] == '\0') == serial)
            return d->pty_path;
    }
    return "";
}

static void complete_console(json_t *console, const char *pty)
{
    put_default(console, "mode", json_string("Off"));
    put_default(console, "file", pty[0] ? text_json(pty) : json_null());
    put_default(console, "socket", json_null());
    put_default(console, "iommu", json_false());
}

static json_t *describe_whole_config(const Bulkhead__VmDescription *vm)
{
    json_t *config = describe_config(vm->config), *cpus = section(config, "cpus"),
           *memory = section(config, "memory"), *rng = section(config, "rng"), *disk;
    size_t i;

    put_default(cpus, "max_vcpus", json_incref(json_object_get(cpus, "boot_vcpus")));
    put_default(memory, "shared", json_true());
    put_default(memory, "hugepages", json_false());
    put_default(memory, "thp", json_true());
    put_default(rng, "src", json_string("/dev/urandom"));
    put_default(rng, "iommu", json_false());
    complete_console(section(config, "serial"), pty_of(vm, true));
    complete_console(section(config, "console"), pty_of(vm, false));
    json_array_foreach(json_object_get(config, "disks"), i, disk)
        put_default(disk, "readonly", json_false());
    return config;
}

static json_t *describe_devices(const Bulkhead__VmDescription *vm)
{
    json_t *tree = json_object();

    for (size_t i = 0; i < vm->n_devices; i++) {
        const Bulkhead__DeviceDescription *d = vm->devices[i];
        json_t *node = json_pack("{s:o}", "id", text_json(d->id));

        json_object_set_new(node, "pci_bdf", d->address[0] ? text_json(d->address) : json_null());
        if (json_object_set_new(tree, d->id, node) < 0)
            continue; /* a name that is not UTF-8, of a broker that was taken over */
    }
    return tree;
}

static const char *state_of(const char *state)
{
    static const struct {
        const char *ours, *theirs;
    } states[] = {
        { "starting", "Created" }, { "running", "Running" }, { "paused", "Paused" },
        { "ending", "Shutdown" },  { "gone", "Shutdown" },
    };

    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        if (strcmp(state, states[i].ours) == 0)
            return states[i].theirs;
    return "Running";
}

json_t *describe_vm(const Bulkhead__VmDescription *vm)
{
    uint64_t ram = vm->config->memory ? vm->config->memory->size : 0;

    ram -= vm->balloon_bytes < ram ? vm->balloon_bytes : ram;
    return json_pack("{s:o,s:s,s:I,s:o}", "config", describe_whole_config(vm), "state",
                     state_of(vm->state), "memory_actual_size", (json_int_t)ram, "device_tree",
                     describe_devices(vm));
}

static json_t *describe_counter(const Bulkhead__DeviceStats *d)
{
    const Bulkhead__Counters *c = d->counters;

    if (c && d->role == BULKHEAD__ROLE__ROLE_BLK)
        return json_pack("{s:I,s:I,s:I,s:I}", "read_bytes", (json_int_t)c->read_bytes, "read_ops",
                         (json_int_t)c->read_ops, "write_bytes", (json_int_t)c->write_bytes,
                         "write_ops", (json_int_t)c->write_ops);
    if (c && d->role == BULKHEAD__ROLE__ROLE_NET)
        return json_pack("{s:I,s:I,s:I,s:I}", "rx_bytes", (json_int_t)c->read_bytes, "rx_frames",
                         (json_int_t)c->read_ops, "tx_bytes", (json_int_t)c->write_bytes,
                         "tx_frames", (json_int_t)c->write_ops);
    return NULL;
}

json_t *describe_counters(const Bulkhead__Stats *stats)
{
    json_t *all = json_object();

    for (size_t i = 0; i < stats->n_devices; i++) {
        json_t *one = describe_counter(stats->devices[i]);

        if (one)
            json_object_set_new(all, stats->devices[i]->name, one);
    }
    return all;
}
