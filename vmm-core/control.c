/* SPDX-License-Identifier: Apache-2.0 */
/* control.c - see control.h. The thread waits on the control socket, on wake_fd and on
 * the serial port's input, and never blocks on a send: what doesn't fit waits for room. */
#include "control.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "sandbox/layers.h"
#include "vcpu_threads.h"

#define ROLE BULKHEAD__ROLE__ROLE_CORE

int core_control_send(struct core *core, const Bulkhead__Envelope *envelope, bool block)
{
    struct core_control *c = &core->control;
    int r = channel_send(c->channel, envelope, NULL, 0, block);

    if (r < 0)
        return r;
    c->state = rules_next(RULE_FROM_CHILD, ROLE, c->state, envelope);
    return 0;
}

int core_control_next(struct core *core, bool block, struct message *ret_msg)
{
    struct core_control *c = &core->control;
    int r = channel_receive(c->channel, block, ret_msg);

    if (r == CHANNEL_CLOSED)
        return -ESHUTDOWN;
    if (r != 0)
        return r < 0 ? err_trace(r) : r;
    r = rules_check(RULE_TO_CHILD, ROLE, c->state, ret_msg->envelope, ret_msg->n_fds);
    if (r < 0)
        return err_trace(r);
    c->state = rules_next(RULE_TO_CHILD, ROLE, c->state, ret_msg->envelope);
    if (ret_msg->envelope->body_case == BULKHEAD__ENVELOPE__BODY_STOP)
        c->stop = true;
    return c->stop ? -ESHUTDOWN : 0;
}

/* ---- messages to the broker ---- */

static int send_activate(struct core *core, unsigned slot, const struct virtio_due_item *item)
{
    Bulkhead__Activate activate = BULKHEAD__ACTIVATE__INIT;
    Bulkhead__QueueState states[LAYOUT_MAX_QUEUES];
    Bulkhead__QueueState *queues[LAYOUT_MAX_QUEUES];

    ENVELOPE(e, ACTIVATE, activate, &activate);
    activate.slot = slot;
    activate.features = item->features;
    activate.n_queues = item->n_queues;
    activate.queues = queues;
    for (unsigned i = 0; i < item->n_queues; i++) {
        bulkhead__queue_state__init(&states[i]);
        states[i].index = item->queues[i].index;
        states[i].size = item->queues[i].size;
        states[i].desc = item->queues[i].desc;
        states[i].avail = item->queues[i].avail;
        states[i].used = item->queues[i].used;
        queues[i] = &states[i];
    }
    return core_control_send(core, &e, false);
}

static int send_reset(struct core *core, unsigned slot)
{
    Bulkhead__Reset reset = BULKHEAD__RESET__INIT;

    ENVELOPE(e, RESET, reset, &reset);
    reset.slot = slot;
    return core_control_send(core, &e, false);
}

static int send_config(struct core *core, unsigned slot, struct virtio_due_item *item)
{
    Bulkhead__ConfigUpdate update = BULKHEAD__CONFIG_UPDATE__INIT;

    ENVELOPE(e, CONFIG_UPDATE, config_update, &update);
    update.slot = slot;
    update.offset = item->config_off;
    update.data.data = item->config;
    update.data.len = item->config_len;
    return core_control_send(core, &e, false);
}

static int send_gone(struct core *core, unsigned slot)
{
    Bulkhead__DeviceGone gone = BULKHEAD__DEVICE_GONE__INIT;

    ENVELOPE(e, DEVICE_GONE, device_gone, &gone);
    gone.slot = slot;
    return core_control_send(core, &e, false);
}

static int send_item(struct core *core, unsigned slot, struct virtio_due_item *item)
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

static int send_guest_state(struct core *core, Bulkhead__GuestStateKind kind)
{
    Bulkhead__GuestState state = BULKHEAD__GUEST_STATE__INIT;

    ENVELOPE(e, GUEST_STATE, guest_state, &state);
    state.state = kind;
    /* Written once, before `end` was seen under the lock. */
    if (kind == core->turns.end) {
        state.detail = core->turns.end_detail;
        state.host_failure = core->turns.end_host_failure;
    }
    return core_control_send(core, &e, false);
}

static void watch_writable(struct core_control *c, bool on)
{
    struct epoll_event event = { .events = EPOLLIN | (on ? EPOLLOUT : 0u),
                                 .data.fd = channel_fd(c->channel) };

    if (on == c->want_write)
        return;
    c->want_write = on;
    (void)epoll_ctl(c->epoll_fd, EPOLL_CTL_MOD, event.data.fd, &event);
}

/* The guest goes on without a broker: it has its workers, and its end ends this process. */
static void broker_is_gone(struct core *core)
{
    struct core_control *c = &core->control;

    if (c->broker_gone)
        return;
    log_warn("the broker is gone; the guest keeps running");
    c->broker_gone = true;
    (void)epoll_ctl(c->epoll_fd, EPOLL_CTL_DEL, channel_fd(c->channel), NULL);
}

static bool take_due(struct core *core)
{
    struct core_control *c = &core->control;

    if (c->out_held)
        return true;
    for (unsigned slot = 1; slot < LAYOUT_PCI_SLOTS; slot++) {
        if (!core->attached[slot] || !virtio_pci_take(&core->devices[slot], &c->out))
            continue;
        if (c->out.what == VIRTIO_DUE_GONE)
            core->attached[slot] = false;
        c->out_slot = slot;
        c->out_held = true;
        return true;
    }
    return false;
}

/* One message, if one is due: 1 sent, 0 nothing to send, negative errno. */
static int send_one(struct core *core)
{
    struct core_control *c = &core->control;
    int r;

    if (c->state_due != BULKHEAD__GUEST_STATE_KIND__GUEST_NONE) {
        r = send_guest_state(core, c->state_due);
        if (r == 0) {
            c->state_due = c->end_due;
            c->end_due = BULKHEAD__GUEST_STATE_KIND__GUEST_NONE;
        }
        return r < 0 ? r : 1;
    }
    if (c->state != CHILD_RUNNING && c->state != CHILD_QUIESCED)
        return 0;
    if (!take_due(core))
        return 0;
    r = send_item(core, c->out_slot, &c->out);
    if (r == 0)
        c->out_held = false;
    return r < 0 ? r : 1;
}

/* Nobody can tell a worker to leave the rings alone, and a reset that is acknowledged too early
 * lets it write where the guest keeps other things by then. Drivers reset their devices when the
 * guest goes down, so that is what it is taken for. */
static void flush_alone(struct core *core)
{
    struct core_control *c = &core->control;

    while (take_due(core)) {
        c->out_held = false;
        if (c->out.what == VIRTIO_DUE_RESET)
            core_guest_ended(core, BULKHEAD__GUEST_STATE_KIND__GUEST_SHUTDOWN,
                             "a device was reset while no broker was there");
    }
}

static void flush(struct core *core)
{
    struct core_control *c = &core->control;
    int r = 1;

    while (r > 0 && !c->broker_gone)
        r = send_one(core);
    if (c->broker_gone) {
        flush_alone(core);
        return;
    }
    if (r < 0 && r != -EAGAIN)
        broker_is_gone(core);
    else
        watch_writable(c, r == -EAGAIN);
}

/* ---- messages from the broker ---- */

static void on_start(struct core *core, const Bulkhead__EntryState *entry)
{
    core->entry = (struct hv_entry){
        .kind = entry->kind == BULKHEAD__ENTRY_KIND__ENTRY_PVH ? HV_ENTRY_PVH : HV_ENTRY_LINUX64,
        .rip = entry->rip,
        .boot_data = entry->boot_data,
        .page_table = entry->page_table,
        .gdt = entry->gdt,
        .gdt_limit = (uint16_t)entry->gdt_limit,
    };
    core_resume(core);
    core->control.state_due = BULKHEAD__GUEST_STATE_KIND__GUEST_RUNNING;
}

static struct virtio_pci *device(struct core *core, uint32_t slot)
{
    return slot < LAYOUT_PCI_SLOTS && core->attached[slot] ? &core->devices[slot] : NULL;
}

/* What the broker says of an empty slot crossed DeviceGone on its way. */
static void on_device_message(struct core *core, const Bulkhead__Envelope *e)
{
    struct virtio_pci *dev;

    if (e->body_case == BULKHEAD__ENVELOPE__BODY_RESET_DONE) {
        dev = device(core, e->reset_done->slot);
        if (dev)
            virtio_pci_reset_done(dev);
    } else if (e->body_case == BULKHEAD__ENVELOPE__BODY_NEEDS_RESET) {
        dev = device(core, e->needs_reset->slot);
        if (dev)
            virtio_pci_needs_reset(dev);
    } else {
        const Bulkhead__ConfigUpdate *update = e->config_update;

        dev = device(core, update->slot);
        if (dev && !virtio_pci_config_changed(dev, update->offset, update->data.data,
                                              (unsigned)update->data.len))
            log_warn("slot %u: configuration update is out of range", update->slot);
    }
}

static int on_message(struct core *core, const struct message *msg)
{
    const Bulkhead__Envelope *e = msg->envelope;
    struct core_control *c = &core->control;

    switch ((int)e->body_case) {
    case BULKHEAD__ENVELOPE__BODY_ATTACH_DEVICE:
        return core_attach(core, e->attach_device, msg->fds);
    case BULKHEAD__ENVELOPE__BODY_DETACH_DEVICE:
        core_detach(core, e->detach_device->slot, e->detach_device->force);
        return 0;
    case BULKHEAD__ENVELOPE__BODY_START:
        on_start(core, e->start->entry);
        return 0;
    case BULKHEAD__ENVELOPE__BODY_RESET_DONE:
    case BULKHEAD__ENVELOPE__BODY_NEEDS_RESET:
    case BULKHEAD__ENVELOPE__BODY_CONFIG_UPDATE:
        on_device_message(core, e);
        return 0;
    case BULKHEAD__ENVELOPE__BODY_PAUSE_VCPUS:
        c->pausing = true;
        core_hold(core);
        return 0;
    case BULKHEAD__ENVELOPE__BODY_RESUME_VCPUS:
        c->pausing = false;
        core_resume(core);
        c->state_due = BULKHEAD__GUEST_STATE_KIND__GUEST_RUNNING;
        return 0;
    case BULKHEAD__ENVELOPE__BODY_POWER_BUTTON:
        ged_raise(&core->ged, LAYOUT_GED_POWER_BUTTON);
        keyboard_wake(&core->keyboard);
        return 0;
    default:
        return err_origin(-EPROTO, "message without a handler");
    }
}

/* Everything that has arrived. -ESHUTDOWN: leave. */
static int receive_all(struct core *core)
{
    struct message msg;
    int r;

    while ((r = core_control_next(core, false, &msg)) == 0) {
        r = on_message(core, &msg);
        if (r < 0)
            return err_trace(r);
    }
    if (r == CHANNEL_EMPTY)
        return 0;
    if (r == -ESHUTDOWN && !core->control.stop && core->control.state >= CHILD_RUNNING) {
        broker_is_gone(core);
        return 0;
    }
    return r;
}

/* ---- what vCPU threads have to say ---- */

static void on_wake(struct core *core)
{
    struct core_control *c = &core->control;
    Bulkhead__GuestStateKind end;
    bool all_parked;

    (void)fd_event_drain(core->wake_fd);
    pthread_mutex_lock(&core->turn_lock);
    end = core->turns.end;
    all_parked = core->turns.turn == CORE_HOLD && core->turns.parked == core->n_vcpus;
    pthread_mutex_unlock(&core->turn_lock);

    if (end != BULKHEAD__GUEST_STATE_KIND__GUEST_NONE && !c->kicked) {
        c->kicked = true;
        core_kick(core);
    }
    if (!all_parked)
        return;
    if (end != BULKHEAD__GUEST_STATE_KIND__GUEST_NONE && !c->end_told) {
        c->end_told = true;
        /* A guest of a few instructions ends before it was said to run: both are told. */
        if (c->state_due == BULKHEAD__GUEST_STATE_KIND__GUEST_RUNNING)
            c->end_due = end;
        else
            c->state_due = end;
    } else if (c->pausing && end == BULKHEAD__GUEST_STATE_KIND__GUEST_NONE) {
        c->state_due = BULKHEAD__GUEST_STATE_KIND__GUEST_PAUSED;
    }
    c->pausing = false;
}

/* ---- life ---- */

static int watch(struct core *core, int fd)
{
    struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

    if (epoll_ctl(core->control.epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        return err_origin(-errno, "epoll_ctl");
    return 0;
}

static int say_ready(struct core *core, unsigned missing_layers)
{
    Bulkhead__Ready ready = BULKHEAD__READY__INIT;
    char *names[32];

    ENVELOPE(e, READY, ready, &ready);
    ready.missing_layers = names;
    for (unsigned bit = 0; bit < ARRAY_SIZE(names); bit++)
        if (missing_layers & (1u << bit))
            names[ready.n_missing_layers++] = (char *)(uintptr_t)sandbox_layer_name(1u << bit);
    return core_control_send(core, &e, true);
}

static int turn_loop(struct core *core)
{
    struct core_control *c = &core->control;
    struct epoll_event events[4];
    int n = epoll_wait(c->epoll_fd, events, (int)ARRAY_SIZE(events), -1);
    int r = 0;

    if (n < 0 && errno != EINTR)
        return err_origin(-errno, "epoll_wait");
    for (int i = 0; r == 0 && i < n; i++) {
        if (events[i].data.fd == core->wake_fd) {
            on_wake(core);
        } else if (events[i].data.fd == core->serial_in_fd) {
            (void)fd_event_drain(core->serial_in_fd);
            serial_on_input(&core->serial);
        } else if (events[i].events & ~(uint32_t)EPOLLOUT) {
            r = receive_all(core);
        }
    }
    if (r == 0)
        flush(core);
    if (r == 0 && c->end_told && c->broker_gone)
        r = -ESHUTDOWN;
    return r;
}

int core_control_run(struct core *core, unsigned missing_layers)
{
    int r = watch(core, channel_fd(core->control.channel));

    if (r == 0)
        r = watch(core, core->wake_fd);
    if (r == 0 && core->serial_in_fd >= 0)
        r = watch(core, core->serial_in_fd);
    if (r == 0)
        r = say_ready(core, missing_layers);
    while (r == 0)
        r = turn_loop(core);
    return r == -ESHUTDOWN ? 0 : err_trace(r);
}
