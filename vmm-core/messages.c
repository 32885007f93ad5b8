/* SPDX-License-Identifier: Apache-2.0 */
/* messages.c - see messages.h. */
#include "messages.h"

#include "sandbox/layers.h"

#define ROLE BULKHEAD__ROLE__ROLE_CORE

int core_send(struct core *core, const Bulkhead__Envelope *envelope)
{
    struct core_control *c = &core->control;
    int r = channel_send(c->channel, envelope, NULL, 0, false);

    if (r < 0)
        return r;
    c->state = rules_next(RULE_FROM_CHILD, ROLE, c->state, envelope);
    return 0;
}

int core_say_ready(struct core *core, unsigned missing_layers)
{
    Bulkhead__Ready ready = BULKHEAD__READY__INIT;
    char *names[32];

    ENVELOPE(e, READY, ready, &ready);
    ready.missing_layers = names;
    for (unsigned bit = 0; bit < ARRAY_SIZE(names); bit++)
        if (missing_layers & (1u << bit))
            names[ready.n_missing_layers++] = (char *)(uintptr_t)sandbox_layer_name(1u << bit);
    return core_send(core, &e);
}

/* ---- what devices are due ---- */

struct queue_list {
    Bulkhead__QueueState states[LAYOUT_MAX_QUEUES];
    Bulkhead__QueueState *queues[LAYOUT_MAX_QUEUES];
};

static Bulkhead__QueueState **list_queues(struct queue_list *list,
                                          const struct virtio_due_item *item)
{
    for (unsigned i = 0; i < item->n_queues; i++) {
        Bulkhead__QueueState *q = list->queues[i] = &list->states[i];

        bulkhead__queue_state__init(q);
        q->index = item->queues[i].index;
        q->size = item->queues[i].size;
        q->desc = item->queues[i].desc;
        q->avail = item->queues[i].avail;
        q->used = item->queues[i].used;
    }
    return list->queues;
}

static int send_activate(struct core *core, unsigned slot, const struct virtio_due_item *item)
{
    Bulkhead__Activate activate = BULKHEAD__ACTIVATE__INIT;
    struct queue_list list;

    ENVELOPE(e, ACTIVATE, activate, &activate);
    activate.slot = slot;
    activate.features = item->features;
    activate.n_queues = item->n_queues;
    activate.queues = list_queues(&list, item);
    return core_send(core, &e);
}

static int send_reset(struct core *core, unsigned slot)
{
    Bulkhead__Reset reset = BULKHEAD__RESET__INIT;

    ENVELOPE(e, RESET, reset, &reset);
    reset.slot = slot;
    return core_send(core, &e);
}

static int send_config(struct core *core, unsigned slot, struct virtio_due_item *item)
{
    Bulkhead__ConfigUpdate update = BULKHEAD__CONFIG_UPDATE__INIT;

    ENVELOPE(e, CONFIG_UPDATE, config_update, &update);
    update.slot = slot;
    update.offset = item->config_off;
    update.data.data = item->config;
    update.data.len = item->config_len;
    return core_send(core, &e);
}

static int send_gone(struct core *core, unsigned slot)
{
    Bulkhead__DeviceGone gone = BULKHEAD__DEVICE_GONE__INIT;

    ENVELOPE(e, DEVICE_GONE, device_gone, &gone);
    gone.slot = slot;
    return core_send(core, &e);
}

int core_say_item(struct core *core, unsigned slot, struct virtio_due_item *item)
{
    switch (item->what) {
    case VIRTIO_DUE_ACTIVATE:
        return send_activate(core, slot, item);
    case VIRTIO_DUE_RESET:
        return send_reset(core, slot);
    case VIRTIO_DUE_CONFIG:
        return send_config(core, slot, item);
    case VIRTIO_DUE_GONE:
        return send_gone(core, slot);
    case VIRTIO_DUE_NOTHING:
        break;
    }
    return 0;
}

/* ---- the guest ---- */

static void describe_state(struct core *core, Bulkhead__GuestStateKind kind,
                           Bulkhead__GuestState *ret_state)
{
    bulkhead__guest_state__init(ret_state);
    ret_state->state = kind;
    /* Written once, before `end` was seen under the lock. */
    if (kind == core->turns.end) {
        ret_state->detail = core->turns.end_detail;
        ret_state->host_failure = core->turns.end_host_failure;
    }
}

int core_say_guest_state(struct core *core, Bulkhead__GuestStateKind kind)
{
    Bulkhead__GuestState state;

    ENVELOPE(e, GUEST_STATE, guest_state, &state);
    describe_state(core, kind, &state);
    return core_send(core, &e);
}

/* ---- all of it, for a new broker ---- */

int core_say_device_snapshot(struct core *core, unsigned slot)
{
    Bulkhead__DeviceSnapshot message = BULKHEAD__DEVICE_SNAPSHOT__INIT;
    struct virtio_snapshot snapshot;
    struct queue_list list;

    ENVELOPE(e, DEVICE_SNAPSHOT, device_snapshot, &message);
    virtio_pci_snapshot(&core->devices[slot], &snapshot);
    message.epoch = core->control.epoch;
    message.slot = slot;
    message.active = snapshot.active;
    message.resetting = snapshot.resetting;
    message.needs_reset = snapshot.needs_reset;
    message.config.data = snapshot.config;
    message.config.len = snapshot.config_len;
    message.generation = snapshot.generation;
    if (snapshot.active) {
        message.features = snapshot.driver.features;
        message.n_queues = snapshot.driver.n_queues;
        message.queues = list_queues(&list, &snapshot.driver);
    }
    return core_send(core, &e);
}

/* As if all that is due had been said. */
static Bulkhead__SnapshotState snapshot_state(const struct core_control *c)
{
    if (c->state_due == BULKHEAD__GUEST_STATE_KIND__GUEST_RUNNING)
        return BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_RUNNING;
    if (c->state_due == BULKHEAD__GUEST_STATE_KIND__GUEST_PAUSED || c->state == CHILD_QUIESCED)
        return BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_QUIESCED;
    return c->state == CHILD_RUNNING ? BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_RUNNING
                                     : BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_READY;
}

int core_say_snapshot(struct core *core)
{
    struct core_control *c = &core->control;
    Bulkhead__Snapshot snapshot = BULKHEAD__SNAPSHOT__INIT;
    Bulkhead__GuestState end;

    ENVELOPE(e, SNAPSHOT, snapshot, &snapshot);
    snapshot.epoch = c->epoch;
    snapshot.state = snapshot_state(c);
    snapshot.pausing = c->pausing;
    if (c->end_told) {
        describe_state(core, core->turns.end, &end);
        snapshot.end = &end;
    }
    return core_send(core, &e);
}
