/* SPDX-License-Identifier: Apache-2.0 */
/* command.c - see command.h. */
#include "vm/command.h"

#include "base/compiler.h"
#include "config/group.h"
#include "vm/end.h"
#include "vm/hotplug.h"
#include "vm/link.h"
#include "vm/pause.h"
#include "vm/replace.h"
#include "vm/settings.h"

static void press(struct vm *vm, struct ticket *ticket)
{
    struct fault f;

    if (vm->phase == VM_RUNNING && vm_tell_core(vm, BULKHEAD__ENVELOPE__BODY_POWER_BUTTON, NULL)) {
        action_reply_ok(&vm->actions, ticket, "power button pressed");
        return;
    }
    fault_state(&f, "the VM does not run: there is no button to press");
    action_reply(&vm->actions, ticket, &f);
}

/* passt starts again, or a tap that was made again is taken. */
static void reconnect(struct vm *vm, struct device *d, struct ticket *ticket)
{
    struct fault f;

    if (d->asker.session != 0) {
        fault_input(&f, "%s is being repaired or upgraded already: wait for it", d->plan->name);
        action_reply(&vm->actions, ticket, &f);
        return;
    }
    if (!d->passt_failed) {
        d->asker = *ticket;
        action_add_device(&vm->actions, ACTION_ATTACH_TAP, d->number);
        return;
    }
    d->passt_failed = false;
    d->passt_deaths = 0;
    d->link_changed = true;
    link_start_passt(vm, d);
    if (d->passt_failed)
        fault_host(&f, 11, "starting passt: no resources");
    if (d->passt_failed)
        action_reply(&vm->actions, ticket, &f);
    else
        action_reply_ok(&vm->actions, ticket, "passt was started again");
}

void command_tap_attached(struct vm *vm, struct device *d, const struct fault *fault)
{
    struct child *worker = vm_worker(vm, d);

    if (fault->error != 0) {
        action_reply(&vm->actions, &d->asker, fault);
        return;
    }
    /* Told of the link once more, it looks, and says LinkFound. */
    if (worker)
        worker->link_up = !link_wanted(d);
    action_reply_ok(&vm->actions, &d->asker, "the interface is used again");
}

static int repair(struct vm *vm, struct device *d, struct ticket *ticket, struct fault *f)
{
    if (vm->phase != VM_RUNNING)
        return fault_input(f, "the VM does not run: there is nothing to repair");
    if (!link_is_cut_off(d))
        return replace_by_hand(vm, d, *ticket, f);
    reconnect(vm, d, ticket);
    return 0;
}

static bool bucket_is_valid(const Bulkhead__TokenBucket *bucket)
{
    return !bucket || (bucket->size > 0 && bucket->refill_time_ms > 0);
}

static int set_limit(struct vm *vm, const struct command *c, struct fault *f)
{
    struct device *d = c->group ? NULL : &vm->devices[c->device];
    bool disk = d && d->plan->role == BULKHEAD__ROLE__ROLE_BLK;

    if (d && !disk && d->plan->role != BULKHEAD__ROLE__ROLE_NET)
        return fault_input(f, "%s has no rate limit: disks and network devices do", d->plan->name);
    if (disk && group_of_disk(vm->config, vm->config->disks[d->plan->index]))
        return fault_input(f, "%s shares the limit of group %s: set that one", d->plan->name,
                           vm->config->disks[d->plan->index]->rate_limit_group);
    if (!bucket_is_valid(c->limit->bandwidth) || !bucket_is_valid(c->limit->ops))
        return fault_input(f, "a rate limit of size 0 or refill time 0: give at least 1, or leave "
                              "it out");
    if (d)
        settings_limit(vm, d, c->limit);
    else
        settings_group_limit(vm, c->group, c->limit);
    return 0;
}

static int set_balloon(struct vm *vm, uint64_t size, struct fault *f)
{
    for (unsigned i = 0; i < vm->n_devices; i++) {
        if (!vm->devices[i].here || vm->devices[i].plan->role != BULKHEAD__ROLE__ROLE_BALLOON)
            continue;
        if (size % PAGE_BYTES != 0 || size >= vm->config->memory->size)
            return fault_input(f,
                               "balloon size %llu: give a multiple of 4096 below %llu, the guest's "
                               "memory",
                               (unsigned long long)size,
                               (unsigned long long)vm->config->memory->size);
        settings_balloon(&vm->devices[i], size);
        return 0;
    }
    return fault_input(f, "this VM has no balloon: start it with --balloon");
}

static int set_link(struct vm *vm, struct device *d, bool up, struct fault *f)
{
    (void)vm;
    if (d->plan->role != BULKHEAD__ROLE__ROLE_NET)
        return fault_input(f, "%s has no link: network devices do", d->plan->name);
    d->link_down = !up;
    d->link_changed = true;
    return 0;
}

static bool names_device(const struct command *c)
{
    return c->kind == COMMAND_REPAIR || c->kind == COMMAND_UPGRADE || c->kind == COMMAND_SET_LINK ||
           c->kind == COMMAND_REMOVE || (c->kind == COMMAND_SET_LIMIT && !c->group);
}

/* 0 and *ret_done, if it is done at once; 0 and NULL, if the reply comes later; or the fault. */
static int take(struct vm *vm, const struct command *c, struct ticket *ticket,
                const char **ret_done, struct fault *f)
{
    struct device *d = &vm->devices[c->device];
    int r;

    *ret_done = NULL;
    if (names_device(c) && !d->here)
        return fault_input(f, "this device was removed");
    switch (c->kind) {
    case COMMAND_STOP:
        action_reply_ok(&vm->actions, ticket, "stopping");
        end_vm(vm, END_BY_USER, BULKHEAD__GUEST_STATE_KIND__GUEST_NONE, "stopped");
        return 0;
    case COMMAND_PRESS_POWER_BUTTON:
        press(vm, ticket);
        return 0;
    case COMMAND_PAUSE:
        return pause_begin(vm, *ticket, f);
    case COMMAND_RESUME:
        return pause_end(vm, *ticket, f);
    case COMMAND_REPAIR:
        return repair(vm, d, ticket, f);
    case COMMAND_UPGRADE:
        r = replace_check_upgrade(vm, d, f);
        if (r == 0)
            replace_upgrade(vm, d, *ticket, c->opened);
        return r;
    case COMMAND_UPGRADE_ALL:
        return replace_upgrade_all(vm, *ticket, f);
    case COMMAND_SET_LIMIT:
        *ret_done = "rate limit set";
        return set_limit(vm, c, f);
    case COMMAND_SET_BALLOON:
        *ret_done = "balloon target set";
        return set_balloon(vm, c->size_bytes, f);
    case COMMAND_SET_LINK:
        *ret_done = c->up ? "link up" : "link down";
        return set_link(vm, d, c->up, f);
    case COMMAND_ADD:
        return hotplug_add(vm, d, *ticket, f);
    case COMMAND_REMOVE:
        return hotplug_remove(vm, d, c->force, *ticket, f);
    default:
        return fault_input(f, "this request is not known here: is the client newer than the "
                              "broker?");
    }
}

void command_take(struct vm *vm, const struct command *c, bool *ret_taken)
{
    struct ticket ticket = c->ticket;
    const char *done;
    struct fault f = { 0 };

    *ret_taken = false;
    if (take(vm, c, &ticket, &done, &f) < 0) {
        action_reply(&vm->actions, &ticket, &f);
        if (c->kind == COMMAND_UPGRADE && c->opened && vm->devices[c->device].stage == STAGE_SERVED)
            action_add_device(&vm->actions, ACTION_DROP_CANDIDATE, c->device);
        if (c->kind == COMMAND_ADD)
            action_add_device(&vm->actions, ACTION_FREE_DEVICE, c->device);
        return;
    }
    *ret_taken = c->kind == COMMAND_SET_LIMIT;
    if (done)
        action_reply_ok(&vm->actions, &ticket, "%s", done);
}
