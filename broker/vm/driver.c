/* SPDX-License-Identifier: Apache-2.0 */
/* driver.c - see driver.h. */
#include "vm/driver.h"

#include <stdio.h>
#include <string.h>
#include "base/compiler.h"

#define B(name) BULKHEAD__ENVELOPE__BODY_##name

enum { UPDATES_PER_TICK = 4, NEEDS_RESET_APART_MS = 1000 };
/* virtio 1.2, 5.1.4 and 5.5.4. */
enum { NET_MAC = 0, BALLOON_ACTUAL = 4, BALLOON_ACTUAL_BYTES = 4 };

static void core_lies(struct vm *vm, const char *what)
{
    struct child *core = vm_child(vm, vm->core);

    if (core)
        child_kill(core, &vm->actions, vm->now, "broke the protocol: %s", what);
}

/* What the driver agreed to must be within what the device offered. */
bool driver_is_offered(const struct device *d, uint64_t features,
                       Bulkhead__QueueState *const *queues, size_t n_queues)
{
    if ((features & ~d->features) != 0)
        return false;
    for (size_t i = 0; i < n_queues; i++) {
        if (queues[i]->index >= d->num_queues || queues[i]->size > d->queue_size)
            return false;
        for (size_t j = 0; j < i; j++)
            if (queues[j]->index == queues[i]->index)
                return false;
    }
    return true;
}

void driver_activate(struct vm *vm, const Bulkhead__Activate *a)
{
    struct device *d = vm_find_slot(vm, a->slot);

    if (!d || d->active || !driver_is_offered(d, a->features, a->queues, a->n_queues)) {
        core_lies(vm, "an activation that was not offered");
        return;
    }
    d->active = true;
    d->touched = false;
    d->activation++;
    d->guest_features = a->features;
    d->n_queues = (unsigned)a->n_queues;
    for (unsigned i = 0; i < d->n_queues; i++)
        d->queues[i] = (struct queue){ .index = a->queues[i]->index,
                                       .size = a->queues[i]->size,
                                       .desc = a->queues[i]->desc,
                                       .avail = a->queues[i]->avail,
                                       .used = a->queues[i]->used };
    if (d->stage == STAGE_DEAD)
        driver_needs_reset(d, "the device has failed");
}

void driver_reset(struct vm *vm, uint32_t slot)
{
    struct device *d = vm_find_slot(vm, slot);

    if (d)
        d->reset_wanted = true;
    else
        core_lies(vm, "a reset of no device");
}

void driver_gone(struct vm *vm, uint32_t slot)
{
    struct device *d = vm_find_slot(vm, slot);

    if (!d || !d->removal_told) {
        core_lies(vm, "the end of a device that was to stay");
        return;
    }
    d->gone = true;
    d->active = d->touched = d->reset_wanted = d->needs_reset_due = false;
}

void driver_needs_reset(struct device *d, const char *why)
{
    d->needs_reset_due = device_is_pci(d);
    child_copy_clean(d->needs_reset_why, sizeof d->needs_reset_why, why);
}

/* ---- configuration spaces ---- */

static void tell_of(struct vm *vm, struct child *child, struct device *d, struct dirty *dirty)
{
    struct action *a;

    if (dirty->from == dirty->to || !child_tell(child, &vm->actions, B(CONFIG_UPDATE), vm->now, &a))
        return;
    a->device = d->number;
    a->from = dirty->from;
    a->to = dirty->to;
    *dirty = (struct dirty){ 0 };
}

static void tell_core(struct vm *vm, struct device *d)
{
    struct child *core = vm_child(vm, vm->core);

    if (core && d->attached && !d->gone)
        tell_of(vm, core, d, &d->for_core);
}

void driver_tell_core(struct vm *vm, struct device *d)
{
    if (d->updates == UPDATES_PER_TICK)
        return;
    d->updates++;
    tell_core(vm, d);
}

static void tell_worker(struct vm *vm, struct device *d)
{
    struct child *w = vm_worker(vm, d);

    if (w && child_is_live(w))
        tell_of(vm, w, d, &d->for_worker);
}

void driver_on_tick(struct vm *vm, struct device *d)
{
    d->updates = 0;
    tell_core(vm, d);
    tell_worker(vm, d);
}

void driver_config_from_worker(struct vm *vm, struct device *d, struct child *worker,
                               const Bulkhead__ConfigUpdate *update)
{
    if (!device_write_config(d, update->offset, update->data.data, update->data.len)) {
        child_kill(worker, &vm->actions, vm->now,
                   "broke the protocol: a change beyond its configuration space");
        return;
    }
    device_add_dirty(&d->for_core, update->offset, update->offset + update->data.len);
    driver_tell_core(vm, d);
}

void driver_config_from_core(struct vm *vm, const Bulkhead__ConfigUpdate *update)
{
    struct device *d = vm_find_slot(vm, update->slot);

    if (!d || !device_write_config(d, update->offset, update->data.data, update->data.len)) {
        core_lies(vm, "a write beyond a configuration space");
        return;
    }
    device_add_dirty(&d->for_worker, update->offset, update->offset + update->data.len);
    tell_worker(vm, d);
}

void driver_no_room(struct device *d, size_t from, size_t to)
{
    device_add_dirty(&d->for_worker, from, to);
}

/* What a driver may set goes with it: the next one finds the host's address, and a balloon that holds
 * nothing. A worker sees to that too, but none may be left to do it, or one that knows nothing of what its
 * predecessor was told. */
static void forget_driver(struct vm *vm, struct device *d)
{
    static const uint8_t nothing[BALLOON_ACTUAL_BYTES];
    const uint8_t *value = nothing;
    size_t at = BALLOON_ACTUAL, len = sizeof nothing;

    if (d->plan->role == BULKHEAD__ROLE__ROLE_NET) {
        const ProtobufCBinaryData *mac = &vm->config->nets[d->plan->index]->mac;

        value = mac->data;
        at = NET_MAC;
        len = mac->len;
    } else if (d->plan->role != BULKHEAD__ROLE__ROLE_BALLOON) {
        return;
    }
    if (len == 0 || at + len > d->config_len || memcmp(d->config + at, value, len) == 0)
        return;
    (void)device_write_config(d, at, value, len);
    device_add_dirty(&d->for_core, at, at + len);
    device_add_dirty(&d->for_worker, at, at + len);
}

/* ---- what follows ---- */

static bool settle_reset(struct vm *vm, struct device *d, struct child *w)
{
    bool untouched = w && w->state == CHILD_READY && !d->touched;
    struct action *a;

    if (!d->reset_wanted)
        return false;
    /* There is nothing to lay to rest: not by a worker, nor by one that replaces it. */
    if (!d->active || d->stage == STAGE_DEAD || (d->stage == STAGE_LEAVING && d->worker == 0) ||
        untouched) {
        forget_driver(vm, d);
        tell_core(vm, d); /* with ResetDone the driver goes on, and reads it */
        if (vm->core != 0 && !vm_tell_core(vm, B(RESET_DONE), &a))
            return false;
        if (vm->core != 0)
            a->device = d->number;
        d->active = d->touched = d->reset_wanted = false;
        return true;
    }
    return w && !child_owes(w, DEBT_RESET_DONE) &&
           child_tell(w, &vm->actions, B(RESET), vm->now, NULL);
}

static bool settle_activation(struct vm *vm, struct device *d, struct child *w)
{
    struct action *a;

    if (!d->active || !w || w->state != CHILD_READY ||
        !child_tell(w, &vm->actions, B(ACTIVATE), vm->now, &a))
        return false;
    a->flag = d->touched; /* it resumes what another one had begun */
    return true;
}

static bool wants_quiet(const struct vm *vm, const struct device *d)
{
    bool pauses = vm->run == GUEST_PAUSING || vm->run == GUEST_IS_PAUSED;

    return d->stage == STAGE_DRAIN || (pauses && vm_core_stands(vm));
}

/* What it was asked for last must be answered first: a worker that has done a reset, and whose word of
 * that is still on its way, takes neither of the two. */
static bool settle_quiet(struct vm *vm, struct device *d, struct child *w)
{
    if (!w || d->reset_wanted || child_owes(w, DEBT_QUIESCED))
        return false;
    if (w->state == CHILD_RUNNING && wants_quiet(vm, d))
        return child_tell(w, &vm->actions, B(QUIESCE), vm->now, NULL);
    return w->state == CHILD_QUIESCED && !wants_quiet(vm, d) &&
           child_tell(w, &vm->actions, B(UNQUIESCE), vm->now, NULL);
}

static bool settle_needs_reset(struct vm *vm, struct device *d)
{
    struct action *a;

    if (!d->needs_reset_due || !vm_tell_core(vm, B(NEEDS_RESET), &a))
        return false;
    a->device = d->number;
    snprintf(a->text, sizeof a->text, "%s", d->needs_reset_why);
    d->needs_reset_due = false;
    /* A driver and its worker may do this for ever; who listens must hear the others too. */
    if (d->needs_reset_ns == 0 ||
        vm->now - d->needs_reset_ns >= NEEDS_RESET_APART_MS * UINT64_C(1000000)) {
        d->needs_reset_ns = vm->now;
        action_notice(&vm->actions, "device", "needs_reset", "id", d->plan->name, "why",
                      d->needs_reset_why, NULL);
    }
    return true;
}

bool driver_settle(struct vm *vm, struct device *d)
{
    struct child *w = vm_worker(vm, d);

    if (w && !child_is_live(w))
        w = NULL;
    return settle_reset(vm, d, w) || settle_activation(vm, d, w) || settle_quiet(vm, d, w) ||
           settle_needs_reset(vm, d);
}
