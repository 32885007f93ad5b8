/* SPDX-License-Identifier: Apache-2.0 */
/* relay.c - what core and workers have to tell each other. The broker checks it, and remembers
 * what a worker that replaces a dead one must be told again. */
#include <stdio.h>
#include <string.h>
#include "base/fd.h"
#include "base/log.h"
#include "vm.h"

struct device *relay_find_slot(struct vm *vm, uint32_t slot)
{
    for (unsigned i = 0; i < vm->n_devices; i++)
        if (slot != 0 && vm->devices[i].plan->pci_slot == slot)
            return &vm->devices[i];
    return NULL;
}

static void core_violation(struct vm *vm, const char *what)
{
    if (vm->core)
        child_kill(vm->core, "broke the protocol: %s", what);
}

int relay_attach(struct device *d)
{
    Bulkhead__AttachDevice attach = BULKHEAD__ATTACH_DEVICE__INIT;
    Bulkhead__Announce announce = BULKHEAD__ANNOUNCE__INIT;
    ENVELOPE(e, ATTACH_DEVICE, attach_device, &attach);
    int fds[2 * LAYOUT_MAX_QUEUES];
    char name[PLAN_NAME_BYTES];
    size_t n = 0;

    announce.virtio_id = d->virtio_id;
    announce.features = d->features;
    announce.num_queues = d->num_queues;
    announce.queue_size = d->queue_size;
    announce.config = (ProtobufCBinaryData){ .len = d->config_len, .data = d->config };
    snprintf(name, sizeof name, "%s", d->plan->name);
    attach.slot = d->plan->pci_slot;
    attach.announce = &announce;
    attach.name = name;
    for (unsigned q = 0; q < d->num_queues; q++)
        fds[n++] = d->kick[q];
    for (unsigned q = 0; q < d->num_queues; q++)
        fds[n++] = d->call[q];
    return child_send(d->vm->core, &e, fds, n);
}

/* What the driver agreed to must be within what the device offered. */
static bool activate_valid(const struct device *d, const Bulkhead__Activate *a)
{
    if ((a->features & ~d->features) != 0)
        return false;
    for (size_t i = 0; i < a->n_queues; i++) {
        if (a->queues[i]->index >= d->num_queues || a->queues[i]->size > d->queue_size)
            return false;
        for (size_t j = 0; j < i; j++)
            if (a->queues[j]->index == a->queues[i]->index)
                return false;
    }
    return true;
}

int relay_send_activate(struct device *d, struct child *worker, bool resume)
{
    Bulkhead__QueueState queues[LAYOUT_MAX_QUEUES], *pointers[LAYOUT_MAX_QUEUES];
    Bulkhead__Activate a = BULKHEAD__ACTIVATE__INIT;
    ENVELOPE(e, ACTIVATE, activate, &a);
    int r;

    for (unsigned i = 0; i < d->n_queues; i++) {
        bulkhead__queue_state__init(&queues[i]);
        queues[i].index = d->queues[i].index;
        queues[i].size = d->queues[i].size;
        queues[i].desc = d->queues[i].desc;
        queues[i].avail = d->queues[i].avail;
        queues[i].used = d->queues[i].used;
        pointers[i] = &queues[i];
    }
    a.features = d->guest_features;
    a.queues = pointers;
    a.n_queues = d->n_queues;
    a.resume = resume;
    r = child_send(worker, &e, NULL, 0);
    pause_steer(d);
    return r;
}

void relay_activate(struct vm *vm, const Bulkhead__Activate *a)
{
    struct device *d = relay_find_slot(vm, a->slot);

    if (!d || d->active || !activate_valid(d, a)) {
        core_violation(vm, "an activation that was not offered");
        return;
    }
    d->active = true;
    d->worker_activated = false;
    d->guest_features = a->features;
    d->n_queues = (unsigned)a->n_queues;
    for (unsigned i = 0; i < d->n_queues; i++) {
        d->queues[i].index = a->queues[i]->index;
        d->queues[i].size = a->queues[i]->size;
        d->queues[i].desc = a->queues[i]->desc;
        d->queues[i].avail = a->queues[i]->avail;
        d->queues[i].used = a->queues[i]->used;
    }
    if (d->dead)
        relay_needs_reset(d, "the device has failed");
    else if (d->worker && child_is_ready(d->worker))
        relay_send_activate(d, d->worker, false);
    /* else: a replacement is on its way and is told when it is ready */
}

void relay_reset(struct vm *vm, uint32_t slot)
{
    struct device *d = relay_find_slot(vm, slot);
    Bulkhead__Reset reset = BULKHEAD__RESET__INIT;
    ENVELOPE(e, RESET, reset, &reset);

    if (!d) {
        core_violation(vm, "a reset of no device");
        return;
    }
    d->reset_pending = true;
    upgrade_abort(d, "the guest reset the device");
    if (!d->active || d->dead)
        relay_reset_done(d);
    else if (d->worker && (d->worker->state == CHILD_RUNNING || d->worker->state == CHILD_QUIESCED))
        child_send(d->worker, &e, NULL, 0);
    else if (d->worker && child_is_ready(d->worker))
        relay_reset_done(d);
    /* else: the replacement first lays to rest what its predecessor had begun */
}

void relay_reset_done(struct device *d)
{
    Bulkhead__ResetDone done = BULKHEAD__RESET_DONE__INIT;
    ENVELOPE(e, RESET_DONE, reset_done, &done);

    d->active = false;
    d->worker_activated = false;
    if (!d->reset_pending)
        return;
    d->reset_pending = false;
    done.slot = d->plan->pci_slot;
    if (d->vm->core)
        child_send(d->vm->core, &e, NULL, 0);
    pause_on_progress(d->vm); /* nothing of it is to be quiesced any more */
}

void relay_needs_reset(struct device *d, const char *why)
{
    Bulkhead__NeedsReset needs = BULKHEAD__NEEDS_RESET__INIT;
    ENVELOPE(e, NEEDS_RESET, needs_reset, &needs);
    char text[128];

    snprintf(text, sizeof text, "%s", why);
    log_relay_clean(text, strlen(text));
    needs.slot = d->plan->pci_slot;
    needs.why = text;
    if (needs.slot == 0 || !d->vm->core)
        return;
    session_event(d->vm, "device", "needs_reset", "id", d->plan->name, "why", text, NULL);
    child_send(d->vm->core, &e, NULL, 0);
}

static void add_dirty(struct dirty *dirty, size_t from, size_t to)
{
    if (dirty->from != dirty->to) {
        from = MIN(from, dirty->from);
        to = MAX(to, dirty->to);
    }
    *dirty = (struct dirty){ .from = from, .to = to };
}

static void send_dirty(const struct device *d, struct child *child, uint32_t slot,
                       struct dirty *dirty)
{
    Bulkhead__ConfigUpdate update = BULKHEAD__CONFIG_UPDATE__INIT;
    ENVELOPE(e, CONFIG_UPDATE, config_update, &update);

    update.slot = slot;
    for (size_t from = dirty->from; from < dirty->to; from += update.data.len) {
        update.offset = (uint32_t)from;
        update.data.data = (uint8_t *)(uintptr_t)d->config + from;
        update.data.len = MIN(dirty->to - from, (size_t)RULE_MAX_UPDATE_BYTES);
        child_send(child, &e, NULL, 0);
    }
    *dirty = (struct dirty){ 0 };
}

static void tell_core(struct device *d)
{
    if (d->plan->pci_slot != 0 && d->attached && d->vm->core)
        send_dirty(d, d->vm->core, d->plan->pci_slot, &d->for_core);
}

/* Three quarters of the socket stay free for what must not fail. */
static void tell_worker(struct device *d)
{
    struct child *w = d->worker;

    if (d->for_worker.from == d->for_worker.to || !w || !w->channel || w->state < CHILD_READY ||
        w->state > CHILD_QUIESCED || !channel_has_room(w->channel))
        return;
    send_dirty(d, w, 0, &d->for_worker);
}

void relay_on_tick(struct device *d)
{
    d->updates = 0;
    tell_core(d);
    tell_worker(d);
}

void relay_config_from_worker(struct device *d, const Bulkhead__ConfigUpdate *update)
{
    size_t from = update->offset, to = from + update->data.len;

    if (update->offset > d->config_len || update->data.len > d->config_len - update->offset) {
        child_kill(d->worker, "broke the protocol: a change beyond its configuration space");
        return;
    }
    memcpy(d->config + from, update->data.data, update->data.len);
    add_dirty(&d->for_core, from, to);
    if (d->updates < VM_UPDATES_PER_TICK) {
        d->updates++;
        tell_core(d);
    }
}

void relay_config_from_core(struct vm *vm, const Bulkhead__ConfigUpdate *update)
{
    struct device *d = relay_find_slot(vm, update->slot);

    if (!d || update->offset > d->config_len || update->data.len > d->config_len - update->offset) {
        core_violation(vm, "a write beyond a configuration space");
        return;
    }
    memcpy(d->config + update->offset, update->data.data, update->data.len);
    add_dirty(&d->for_worker, update->offset, update->offset + update->data.len);
    tell_worker(d);
}

void relay_vsock_connect(struct child *child, const Bulkhead__VsockConnect *connect)
{
    Bulkhead__VsockConnected done = BULKHEAD__VSOCK_CONNECTED__INIT;
    ENVELOPE(e, VSOCK_CONNECTED, vsock_connected, &done);
    cleanup_(fd_closep) int fd = -1;
    /* The worker names a port, never a path. */
    int r = socket_path_connect(&child->device->backend.socket, connect->port, &fd);

    done.token = connect->token;
    done.error = -r;
    child_send(child, &e, &fd, r == 0 ? 1 : 0);
}
