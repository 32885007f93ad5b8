/* SPDX-License-Identifier: Apache-2.0 */
/* control.c - see control.h. The thread waits on the control socket, on wake_fd and on
 * the serial port's input, and never blocks on a send: what doesn't fit waits for room. */
#include "control.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "messages.h"
#include "vcpu_threads.h"

#define ROLE BULKHEAD__ROLE__ROLE_CORE

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

/* ---- to the broker ---- */

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

/* Slot by slot, then all the rest. What was due before is said with it. */
static int send_of_snapshot(struct core *core)
{
    struct core_control *c = &core->control;
    int r;

    while (c->resync_slot < LAYOUT_PCI_SLOTS && !core->attached[c->resync_slot])
        c->resync_slot++;
    if (c->resync_slot < LAYOUT_PCI_SLOTS) {
        r = core_say_device_snapshot(core, c->resync_slot);
        c->resync_slot += r == 0;
        return r < 0 ? r : 1;
    }
    r = core_say_snapshot(core);
    if (r < 0)
        return r;
    c->resync_slot = 0;
    c->state_due = c->end_due = BULKHEAD__GUEST_STATE_KIND__GUEST_NONE;
    return 1;
}

/* One message, if one is due: 1 sent, 0 nothing to send, negative errno. */
static int send_one(struct core *core)
{
    struct core_control *c = &core->control;
    int r;

    if (c->resync_slot != 0)
        return send_of_snapshot(core);
    if (c->state_due != BULKHEAD__GUEST_STATE_KIND__GUEST_NONE) {
        r = core_say_guest_state(core, c->state_due);
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
    r = core_say_item(core, c->out_slot, &c->out);
    if (r == 0)
        c->out_held = false;
    return r < 0 ? r : 1;
}

/* There will be no other broker: nobody can tell a worker to leave the rings alone, and a reset that is acknowledged too early
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

/* A full socket means that the broker is slow, or dead with its end held open for the next one. Either
 * way the guest runs on, and a reset waits. */
static bool is_for_now_only(int r)
{
    return r == -EAGAIN || r == -ENOBUFS || r == -ENOMEM;
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
    if (r < 0 && !is_for_now_only(r))
        broker_is_gone(core);
    else
        watch_writable(c, r < 0);
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

/* What was taken from a device and not sent is in the device's snapshot. */
static int on_resync(struct core_control *c, uint32_t epoch)
{
    if (epoch <= c->epoch)
        return err_origin(-EPROTO, "resync %u after %u", epoch, c->epoch);
    c->epoch = epoch;
    c->resync_slot = 1;
    c->out_held = false;
    return 0;
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
    case BULKHEAD__ENVELOPE__BODY_RESYNC:
        return on_resync(c, e->resync->epoch);
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
        r = core_say_ready(core, missing_layers);
    while (r == 0)
        r = turn_loop(core);
    return r == -ESHUTDOWN ? 0 : err_trace(r);
}
