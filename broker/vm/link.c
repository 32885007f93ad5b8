/* SPDX-License-Identifier: Apache-2.0 */
/* link.c - see link.h. */
#include "vm/link.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/compiler.h"
#include "vm/driver.h"

enum { STATUS_OFFSET = 6, STATUS_BYTES = 2, STATUS_LINK_UP = 1 }; /* struct virtio_net_config */
enum { TAP_EVENTS_APART_MS = 1000 };

static const Bulkhead__NetConfig *config_of(const struct vm *vm, const struct device *d)
{
    return vm->config->nets[d->plan->index];
}

static bool is_net(const struct device *d)
{
    return d->plan->role == BULKHEAD__ROLE__ROLE_NET;
}

/* A tap's worker finds out about the tap by itself. */
bool link_wanted(const struct device *d)
{
    return !d->link_down && !d->passt_failed && (!d->is_macvtap || d->tap == TAP_WELL);
}

void link_on_ready(struct vm *vm, struct device *d)
{
    if (!is_net(d))
        return;
    if (d->is_user)
        action_add_device(&vm->actions, ACTION_OLD_STREAM, d->number);
    if (!d->is_macvtap)
        d->tap = d->tap_told = TAP_WELL; /* or this one says so too */
    d->link_changed = true;
}

/* ---- a tap ---- */

static void tell_of_tap(struct vm *vm, struct device *d)
{
    const Bulkhead__NetConfig *n = config_of(vm, d);
    const char *tap = n->tap[0] != '\0' ? n->tap : "its interface", *id = d->plan->name;
    struct actions *out = &vm->actions;

    if (d->tap == d->tap_told || vm->phase != VM_RUNNING ||
        (d->tap_told_ns != 0 && vm->now < d->tap_told_ns + TAP_EVENTS_APART_MS * UINT64_C(1000000)))
        return;
    d->tap_told = d->tap;
    d->tap_told_ns = vm->now;
    if (d->tap == TAP_WELL) {
        action_notice(out, "device", "link_back", "id", id, NULL);
        action_log(out, false, "%s: %s carries frames again, the guest's link is up", id, tap);
    } else if (d->tap == TAP_DOWN) {
        action_notice(out, "device", "link_lost", "id", id, "why", "interface is down", NULL);
        action_log(out, false,
                   "%s: %s is down, and so is the guest's link until it is up again (ip link set)",
                   id, tap);
    } else {
        action_notice(out, "device", "link_lost", "id", id, "why", "interface is gone", NULL);
        action_log(out, true, "%s: %s was deleted, the guest's link is down: %s", id, tap,
                   strcmp(n->mode, "tap") == 0 ? "make it again and `bulkhead repair` the device"
                                               : "start the VM again to have another");
    }
}

void link_on_tick(struct vm *vm, struct device *d)
{
    if (is_net(d))
        tell_of_tap(vm, d);
}

void link_set_tap(struct vm *vm, struct device *d, enum tap_state state)
{
    d->tap = state;
    d->link_changed = true;
    tell_of_tap(vm, d); /* before the VM runs with the first tick */
}

void link_on_found(struct vm *vm, struct device *d)
{
    if (!d->is_macvtap)
        link_set_tap(vm, d, TAP_WELL);
}

void link_on_lost(struct vm *vm, struct device *d, bool returns)
{
    struct child *passt = vm_child(vm, d->passt);

    if (passt)
        child_kill(passt, &vm->actions, vm->now, "its stream is of no more use");
    else if (!d->is_user)
        link_set_tap(vm, d, returns ? TAP_DOWN : TAP_GONE);
}

/* ---- passt ---- */

void link_start_passt(struct vm *vm, struct device *d)
{
    struct child *passt;

    if (!d->is_user || d->passt != 0)
        return;
    passt = vm_start(vm, BULKHEAD__ROLE__ROLE_PASST, d, d->plan->passt_uid_slot);
    if (!passt && d->stage == STAGE_ADD) {
        link_passt_gone(d, NULL, "there is no room for another process");
        return;
    }
    if (!passt) {
        link_passt_refused(vm, d, "starting passt: no resources");
        return;
    }
    snprintf(passt->name, sizeof passt->name, "%s-passt", d->plan->name);
    passt->state = CHILD_RUNNING;
    d->passt = passt->id;
    d->passt_settled = false;
    d->stream++;
}

void link_passt_gone(struct device *d, const struct child *c, const char *how)
{
    d->passt = 0;
    d->passt_lost = true;
    d->passt_ran = c && c->pid != 0;
    d->passt_input = c && c->reason_bad_input;
    snprintf(d->passt_how, sizeof d->passt_how, "%s", how);
}

void link_passt_refused(struct vm *vm, struct device *d, const char *why)
{
    d->passt = 0;
    d->passt_failed = true;
    d->link_changed = true;
    action_notice(&vm->actions, "device", "passt_failed", "id", d->plan->name, "why", why, NULL);
    action_log(&vm->actions, true,
               "passt of %s failed: %s. The guest's link is down; `bulkhead repair %s %s` tries "
               "again",
               d->plan->name, why, vm->config->name, d->plan->name);
}

void link_passt_fault(const struct device *d, struct fault *f)
{
    const char *name = d->plan->name, *how = d->passt_how;

    if (d->passt_ran)
        fault_input(f, "%s: passt does not start: %s: correct hostfwd=, or use another network",
                    name, how);
    else if (d->passt_input) /* it said nothing itself */
        fault_input(f, "%s: passt: %s", name, how);
    else
        fault_host(f, ECHILD, "%s: passt: %s", name, how);
}

bool link_awaits_passt(const struct vm *vm, const struct device *d)
{
    return d->here && d->passt != 0 && !d->passt_settled &&
           (vm->phase == VM_STARTING || (vm->phase == VM_RUNNING && d->stage == STAGE_ADD));
}

/* The device's own limit holds for passt too, counted by itself. */
static bool dies_too_often(const struct vm *vm, struct device *d)
{
    uint64_t window_ns = (uint64_t)vm->config->crash_window_s * UINT64_C(1000000000);

    if (vm->now - d->passt_window_ns >= window_ns) {
        d->passt_window_ns = vm->now;
        d->passt_deaths = 0;
    }
    return ++d->passt_deaths >= vm->config->crash_limit;
}

static bool settle_passt(struct vm *vm, struct device *d)
{
    char how[sizeof d->passt_how];

    if (!d->passt_lost || vm->phase != VM_RUNNING)
        return false;
    d->passt_lost = false;
    memcpy(how, d->passt_how, sizeof how);
    action_notice(&vm->actions, "device", "passt_died", "id", d->plan->name, "why", how, NULL);
    if (dies_too_often(vm, d))
        link_passt_refused(vm, d, how);
    else
        link_start_passt(vm, d);
    return true;
}

bool link_is_cut_off(const struct device *d)
{
    return (d->passt_failed || d->tap == TAP_GONE) && !d->failed && d->stage != STAGE_DEAD;
}

/* ---- what follows ---- */

/* A worker tells of changes only, and one that took over from a failed one knows of none. */
static bool settle_guest(struct vm *vm, struct device *d)
{
    bool up = link_wanted(d) && d->stage != STAGE_DEAD && d->tap == TAP_WELL, sees;
    uint8_t status[STATUS_BYTES] = { up ? STATUS_LINK_UP : 0, 0 };

    if (!d->link_changed || !d->announced)
        return false;
    d->link_changed = false;
    sees = d->config_len > STATUS_OFFSET && (d->config[STATUS_OFFSET] & STATUS_LINK_UP);
    if (sees == up || !device_write_config(d, STATUS_OFFSET, status, sizeof status))
        return false;
    device_add_dirty(&d->for_core, STATUS_OFFSET, STATUS_OFFSET + STATUS_BYTES);
    driver_tell_core(vm, d);
    return true;
}

static bool settle_worker(struct vm *vm, struct device *d)
{
    struct child *w = vm_worker(vm, d);
    struct action *a;

    if (!w || !child_is_live(w) || w->link_up == link_wanted(d) ||
        !child_tell(w, &vm->actions, BULKHEAD__ENVELOPE__BODY_LINK_STATE, vm->now, &a))
        return false;
    w->link_up = a->flag = link_wanted(d);
    return true;
}

bool link_settle(struct vm *vm, struct device *d)
{
    return is_net(d) && d->stage != STAGE_ADD && d->stage != STAGE_LEAVING &&
           (settle_passt(vm, d) || settle_worker(vm, d) || settle_guest(vm, d));
}
