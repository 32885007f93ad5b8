/* SPDX-License-Identifier: Apache-2.0 */
/* vm.c - see vm.h. */
#include "vm/vm.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/compiler.h"

void vm_init(struct vm *vm, Bulkhead__VmConfig *config, const struct plan *plan, uint64_t now)
{
    vm->config = config;
    vm->plan = plan;
    vm->now = vm->created_ns = now;
    bulkhead__entry_state__init(&vm->entry);
    for (unsigned i = 0; i < plan->n_devices; i++)
        device_init(&vm->devices[vm->n_devices++], i, &plan->devices[i]);
}

void vm_deinit(struct vm *vm)
{
    for (unsigned i = 0; i < vm->n_devices; i++)
        device_deinit(&vm->devices[i]);
}

struct device *vm_take_place(struct vm *vm, unsigned number)
{
    struct device *d = &vm->devices[number];

    device_init(d, number, &vm->plan->devices[number]);
    d->here = false;
    if (vm->n_devices <= number)
        vm->n_devices = number + 1;
    return d;
}

struct child *vm_child(struct vm *vm, uint32_t id)
{
    for (unsigned i = 0; id != 0 && i < VM_MAX_CHILDREN; i++)
        if (vm->children[i].id == id)
            return &vm->children[i];
    return NULL;
}

const struct child *vm_look(const struct vm *vm, uint32_t id)
{
    for (unsigned i = 0; id != 0 && i < VM_MAX_CHILDREN; i++)
        if (vm->children[i].id == id)
            return &vm->children[i];
    return NULL;
}

unsigned vm_count_children(const struct vm *vm)
{
    unsigned n = 0;

    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
        n += vm->children[i].id != 0;
    return n;
}

struct child *vm_worker(struct vm *vm, const struct device *d)
{
    return vm_child(vm, d->worker);
}

unsigned vm_count_of_device(const struct vm *vm, const struct device *d)
{
    unsigned n = 0;

    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
        n += vm->children[i].id != 0 && vm->children[i].device == d->number;
    return n;
}

struct device *vm_find_slot(struct vm *vm, uint32_t slot)
{
    for (unsigned i = 0; i < vm->n_devices; i++)
        if (slot != 0 && vm->devices[i].here && vm->devices[i].attached && !vm->devices[i].gone &&
            vm->devices[i].plan->pci_slot == slot)
            return &vm->devices[i];
    return NULL;
}

static bool slot_is_free(const struct vm *vm, unsigned slot)
{
    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
        if (vm->children[i].id != 0 && vm->children[i].uid_slot == slot)
            return false;
    return true;
}

/* The wanted uid, unless a process that is alive has it: no two ever share one. -1: all are taken. */
static int free_slot(const struct vm *vm, unsigned wanted)
{
    if (slot_is_free(vm, wanted))
        return (int)wanted;
    for (unsigned slot = PLAN_UID_FIRST_DEVICE; wanted < PLAN_UID_BROKER && slot < PLAN_UID_BROKER;
         slot++)
        if (slot_is_free(vm, slot))
            return (int)slot;
    return -1;
}

struct child *vm_start(struct vm *vm, Bulkhead__Role role, struct device *d, unsigned uid_slot)
{
    int slot = free_slot(vm, uid_slot);
    struct child *c = NULL;

    for (unsigned i = 0; i < VM_MAX_CHILDREN && !c; i++)
        if (vm->children[i].id == 0)
            c = &vm->children[i];
    if (slot < 0 || !c)
        return NULL;
    memset(c, 0, sizeof *c);
    c->id = ++vm->next_id;
    c->role = role;
    c->device = d ? d->number : CHILD_NO_DEVICE;
    c->uid_slot = (unsigned)slot;
    c->started_ns = vm->now;
    snprintf(c->name, sizeof c->name, "%s", d ? d->plan->name : role_name(role));
    action_add_child(&vm->actions, ACTION_START, c->id);
    return c;
}

void vm_forget(struct vm *vm, struct child *child)
{
    action_add_child(&vm->actions, ACTION_FORGET, child->id);
    if (vm->core == child->id)
        vm->core = 0;
    if (vm->loader == child->id)
        vm->loader = 0;
    child->id = 0;
}

bool vm_tell_core(struct vm *vm, Bulkhead__Envelope__BodyCase body, struct action **ret_action)
{
    struct child *core = vm_child(vm, vm->core);

    return core && child_tell(core, &vm->actions, body, vm->now, ret_action);
}

bool vm_core_stands(const struct vm *vm)
{
    const struct child *core = vm_look(vm, vm->core);

    return core && core->state == CHILD_QUIESCED && !core->unsure;
}

void vm_trace(struct vm *vm, const char *fmt, ...)
{
    struct trace_point *point;
    va_list args;

    if (vm->n_trace == VM_MAX_TRACE || vm->traced)
        return;
    point = &vm->trace[vm->n_trace++];
    point->ns = vm->now - vm->created_ns;
    va_start(args, fmt);
    vsnprintf(point->what, sizeof point->what, fmt, args);
    va_end(args);
}
