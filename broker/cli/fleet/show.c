// SPDX-License-Identifier: Apache-2.0
// show.c - see show.h.
#include "fleet/show.h"
#include <stdio.h>
#include <string.h>
#include "fleet/order.h"
#include "output.h"
#include "rights.h"

static const char *when_word(enum fleet_when when)
{
    return when == WHEN_READY ? "ready" : "started";
}

const char *show_after(struct fleet *fleet, const struct fleet_vm *vm)
{
    const char *text = "";

    for (size_t i = 0; i < vm->n_after; i++)
        text = bag_printf(&fleet->bag, "%s%s%s (%s)", text, i ? ", " : "", vm->after[i].name,
                          when_word(vm->after[i].when));
    return text;
}

json_t *show_after_json(const struct fleet_vm *vm)
{
    json_t *list = json_array();

    for (size_t i = 0; i < vm->n_after; i++)
        json_array_append_new(list, json_pack("{s:s,s:s}", "vm", vm->after[i].name, "when",
                                              when_word(vm->after[i].when)));
    return list;
}

void show_rights(struct fleet *fleet)
{
    for (size_t i = 0; i < fleet->n; i++)
        if (fleet->vms[i]->control)
            say(stdout, "%s may, over its vsock, %s\n", fleet->vms[i]->name,
                rights_text(&fleet->bag, fleet->vms[i]->control));
    for (size_t i = 0; i < fleet->n; i++)
        if (fleet->vms[i]->n_on_request > 0)
            say(stdout, "%s may, over its vsock, ask for: %s\n", fleet->vms[i]->name,
                rights_devices(&fleet->bag, fleet->vms[i]->on_request,
                               fleet->vms[i]->n_on_request));
}

/* ---- what a VM has ---- */

struct devices {
    size_t disks, nets;
    bool vsock, balloon, rng, console;
};

static struct devices devices_of(const Bulkhead__VmConfig *c)
{
    return (struct devices){
        .disks = c->n_disks,
        .nets = c->n_nets,
        .vsock = c->vsock && c->vsock->enabled,
        .balloon = c->balloon && c->balloon->enabled,
        .rng = c->rng && c->rng->enabled,
        .console = c->console && c->console->mode != BULKHEAD__CONSOLE_MODE__CONSOLE_OFF,
    };
}

static uint32_t vcpus_of(const Bulkhead__VmConfig *c)
{
    return MAX(c->cpus->boot_vcpus, 1u);
}

/* What the service gives a VM that doesn't say. */
static uint64_t memory_of(const Bulkhead__VmConfig *c)
{
    return c->memory->size ? c->memory->size : UINT64_C(512) << 20;
}

static const char *say_devices(struct bag *bag, const Bulkhead__VmConfig *c)
{
    struct devices d = devices_of(c);
    const char *text = "";

    if (d.disks)
        text = bag_printf(bag, ", %zu disk%s", d.disks, d.disks == 1 ? "" : "s");
    if (d.nets)
        text = bag_printf(bag, "%s, %zu net%s", text, d.nets, d.nets == 1 ? "" : "s");
    text =
        bag_printf(bag, "%s%s%s%s%s", text, d.vsock ? ", vsock" : "", d.balloon ? ", balloon" : "",
                   d.rng ? ", rng" : "", d.console ? ", console" : "");
    return *text ? text + 2 : "";
}

static const char *say_ready(struct bag *bag, const struct fleet_ready *r)
{
    switch (r->kind) {
    case READY_TEXT:
        return bag_printf(bag, "'%s', %us", r->text, r->timeout_s);
    case READY_REGEX:
        return bag_printf(bag, "/%s/, %us", r->text, r->timeout_s);
    case READY_VSOCK:
        return bag_printf(bag, "vsock %u, %us", r->port, r->timeout_s);
    case READY_NONE:
    default:
        return "";
    }
}

static json_t *ready_json(const struct fleet_ready *r)
{
    switch (r->kind) {
    case READY_TEXT:
        return json_pack("{s:s,s:I}", "console", r->text, "timeout_s", (json_int_t)r->timeout_s);
    case READY_REGEX:
        return json_pack("{s:s,s:I}", "console_regex", r->text, "timeout_s",
                         (json_int_t)r->timeout_s);
    case READY_VSOCK:
        return json_pack("{s:I,s:I}", "vsock", (json_int_t)r->port, "timeout_s",
                         (json_int_t)r->timeout_s);
    case READY_NONE:
    default:
        return json_null();
    }
}

/* ---- the plan ---- */

enum column { WAVE, NAME, VCPUS, MEMORY, DEVICES, AFTER, READY, N_COLUMNS };

static void add_row(struct fleet *fleet, struct table *table, const struct fleet_vm *vm)
{
    const Bulkhead__VmConfig *c = &vm->options.config;
    const char *after = show_after(fleet, vm), *ready = say_ready(&fleet->bag, &vm->ready),
               *devices = say_devices(&fleet->bag, c);
    const char *cells[N_COLUMNS];

    cells[WAVE] = bag_printf(&fleet->bag, "%u", vm->wave + 1);
    cells[NAME] = vm->name;
    cells[VCPUS] = bag_printf(&fleet->bag, "%u", vcpus_of(c));
    cells[MEMORY] = bag_printf(&fleet->bag, "%s", say_size(memory_of(c)).text);
    cells[DEVICES] = *devices ? devices : NULL;
    cells[AFTER] = *after ? after : NULL;
    cells[READY] = *ready ? ready : NULL;
    table_row(table, cells);
}

void show_plan(struct fleet *fleet)
{
    static const char *const titles[N_COLUMNS] = { "WAVE",    "VM",    "VCPUS", "MEMORY",
                                                   "DEVICES", "AFTER", "READY" };
    uint64_t memory = 0, vcpus = 0;
    struct table table;

    table_init(&table, N_COLUMNS, 1u << WAVE | 1u << VCPUS | 1u << MEMORY);
    table_row(&table, titles);
    for (unsigned wave = 0; wave < order_n_waves(fleet); wave++)
        for (size_t i = 0; i < fleet->n; i++)
            if (fleet->vms[i]->wave == wave)
                add_row(fleet, &table, fleet->vms[i]);
    for (size_t i = 0; i < fleet->n; i++) {
        vcpus += vcpus_of(&fleet->vms[i]->options.config);
        memory += memory_of(&fleet->vms[i]->options.config);
    }
    if (fleet->n > 0)
        table_print(&table, stdout);
    table_deinit(&table);
    printf("%s%zu VM%s, %llu vCPU%s, %s\n", fleet->n ? "\n" : "", fleet->n,
           fleet->n == 1 ? "" : "s", (unsigned long long)vcpus, vcpus == 1 ? "" : "s",
           say_size(memory).text);
    show_rights(fleet);
}

static json_t *vm_json(const struct fleet_vm *vm)
{
    const Bulkhead__VmConfig *c = &vm->options.config;
    struct devices d = devices_of(c);
    json_t *object = json_pack("{s:s,s:s,s:I,s:I,s:o,s:o}", "vm", vm->name, "file", vm->file,
                               "vcpus", (json_int_t)vcpus_of(c), "memory", (json_int_t)memory_of(c),
                               "after", show_after_json(vm), "ready", ready_json(&vm->ready));

    json_object_set_new(object, "control", rights_json(vm->control));
    json_object_set_new(object, "on_request", json_array());
    for (size_t i = 0; i < vm->n_on_request; i++)
        json_array_append_new(json_object_get(object, "on_request"),
                              json_string(vm->on_request[i]));
    json_object_set_new(object, "devices",
                        json_pack("{s:I,s:I,s:b,s:b,s:b,s:b}", "disks", (json_int_t)d.disks, "nets",
                                  (json_int_t)d.nets, "vsock", (int)d.vsock, "balloon",
                                  (int)d.balloon, "rng", (int)d.rng, "console", (int)d.console));
    return object;
}

json_t *show_plan_json(const struct fleet *fleet)
{
    json_t *waves = json_array();

    for (unsigned wave = 0; wave < order_n_waves(fleet); wave++) {
        json_t *list = json_array();

        for (size_t i = 0; i < fleet->n; i++)
            if (fleet->vms[i]->wave == wave)
                json_array_append_new(list, vm_json(fleet->vms[i]));
        json_array_append_new(waves, list);
    }
    return json_pack("{s:o}", "waves", waves);
}
