/* SPDX-License-Identifier: Apache-2.0 */
/* outgoing.c - see outgoing.h. */
#include "run/outgoing.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "config/group.h"
#include "run/configure.h"

#define B(name) BULKHEAD__ENVELOPE__BODY_##name

static int send(struct instance *in, const struct action *a, const Bulkhead__Envelope *e,
                const int *fds, size_t n_fds)
{
    struct port *port = instance_port(in, a->child);
    const struct child *c = vm_look(&in->vm, a->child);
    int r;

    if (!port || !port->channel || !c)
        return 0;
    r = rules_check(RULE_TO_CHILD, c->role, a->state, e, n_fds);
    if (r == 0)
        r = channel_send(port->channel, e, fds, n_fds, false);
    return r == -EPIPE || r == -ECONNRESET ? 0 : r;
}

static int send_configure(struct instance *in, const struct action *a)
{
    struct configure c;
    int r;

    configure_make(in, a->child, &c);
    r = send(in, a, &c.envelope, c.fds, c.n_fds);
    /* The write end must be the core's alone: it closes when the core is gone. */
    if (a->child == in->vm.core)
        fd_closep(&in->life_write);
    return r;
}

static int send_attach(struct instance *in, const struct action *a)
{
    struct device *d = &in->vm.devices[a->device];
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
        fds[n++] = in->ends[a->device].kick[q];
    for (unsigned q = 0; q < d->num_queues; q++)
        fds[n++] = in->ends[a->device].call[q];
    return send(in, a, &e, fds, n);
}

static int send_activate(struct instance *in, const struct action *a)
{
    const struct device *d = &in->vm.devices[a->device];
    Bulkhead__QueueState queues[LAYOUT_MAX_QUEUES], *pointers[LAYOUT_MAX_QUEUES];
    Bulkhead__Activate activate = BULKHEAD__ACTIVATE__INIT;
    ENVELOPE(e, ACTIVATE, activate, &activate);

    device_list_queues(d, queues, pointers);
    activate.features = d->guest_features;
    activate.queues = pointers;
    activate.n_queues = d->n_queues;
    activate.resume = a->flag;
    activate.activation = d->activation;
    return send(in, a, &e, NULL, 0);
}

static int send_config_update(struct instance *in, const struct action *a)
{
    struct device *d = &in->vm.devices[a->device];
    struct port *port = instance_port(in, a->child);
    bool to_core = a->child == in->vm.core;
    Bulkhead__ConfigUpdate update = BULKHEAD__CONFIG_UPDATE__INIT;
    ENVELOPE(e, CONFIG_UPDATE, config_update, &update);
    int r = 0;

    /* Three quarters of a worker's socket stay free for what must not fail. */
    if (!to_core && port && port->channel && !channel_has_room(port->channel))
        return OUTGOING_NO_ROOM;
    update.slot = to_core ? d->plan->pci_slot : 0;
    for (size_t from = a->from; r == 0 && from < a->to; from += update.data.len) {
        update.offset = (uint32_t)from;
        update.data.data = d->config + from;
        update.data.len = MIN(a->to - from, (size_t)RULE_MAX_UPDATE_BYTES);
        r = send(in, a, &e, NULL, 0);
    }
    return r;
}

static int send_rate_limit(struct instance *in, const struct action *a)
{
    const struct device *d = &in->vm.devices[vm_look(&in->vm, a->child)->device];
    const Bulkhead__RateLimitGroup *group =
        d->plan->role == BULKHEAD__ROLE__ROLE_BLK
            ? group_of_disk(in->config, in->config->disks[d->plan->index])
            : NULL;
    Bulkhead__SetRateLimit set = BULKHEAD__SET_RATE_LIMIT__INIT;
    ENVELOPE(e, SET_RATE_LIMIT, set_rate_limit, &set);

    set.limit = group ? group->limit : d->rate_limit;
    return send(in, a, &e, NULL, 0);
}

/* Messages without content of their own. */
static int send_bare(struct instance *in, const struct action *a)
{
    Bulkhead__Envelope e = BULKHEAD__ENVELOPE__INIT;
    Bulkhead__Stop stop = BULKHEAD__STOP__INIT;
    Bulkhead__Reset reset = BULKHEAD__RESET__INIT;
    Bulkhead__Quiesce quiesce = BULKHEAD__QUIESCE__INIT;
    Bulkhead__Unquiesce unquiesce = BULKHEAD__UNQUIESCE__INIT;
    Bulkhead__PauseVcpus pause = BULKHEAD__PAUSE_VCPUS__INIT;
    Bulkhead__ResumeVcpus resume = BULKHEAD__RESUME_VCPUS__INIT;
    Bulkhead__PowerButton button = BULKHEAD__POWER_BUTTON__INIT;
    Bulkhead__Resync resync = BULKHEAD__RESYNC__INIT;

    e.body_case = a->body;
    switch ((int)a->body) {
    case B(STOP):
        e.stop = &stop;
        break;
    case B(RESET):
        e.reset = &reset;
        break;
    case B(QUIESCE):
        e.quiesce = &quiesce;
        break;
    case B(UNQUIESCE):
        e.unquiesce = &unquiesce;
        break;
    case B(PAUSE_VCPUS):
        e.pause_vcpus = &pause;
        break;
    case B(RESUME_VCPUS):
        e.resume_vcpus = &resume;
        break;
    case B(POWER_BUTTON):
        e.power_button = &button;
        break;
    case B(RESYNC):
        resync.epoch = in->vm.epoch;
        e.resync = &resync;
        break;
    default:
        return err_origin(-EINVAL, "nothing says how to send %s", rules_body_name(a->body));
    }
    return send(in, a, &e, NULL, 0);
}

static int send_small(struct instance *in, const struct action *a)
{
    const struct device *d = &in->vm.devices[a->device < in->vm.n_devices ? a->device : 0];
    Bulkhead__Envelope e = BULKHEAD__ENVELOPE__INIT;
    Bulkhead__Start start = BULKHEAD__START__INIT;
    Bulkhead__ResetDone done = BULKHEAD__RESET_DONE__INIT;
    Bulkhead__NeedsReset needs = BULKHEAD__NEEDS_RESET__INIT;
    Bulkhead__LinkState link = BULKHEAD__LINK_STATE__INIT;
    Bulkhead__BalloonTarget target = BULKHEAD__BALLOON_TARGET__INIT;
    Bulkhead__DetachDevice detach = BULKHEAD__DETACH_DEVICE__INIT;
    char why[sizeof a->text];

    e.body_case = a->body;
    switch ((int)a->body) {
    case B(START):
        start.entry = a->child == in->vm.core ? &in->vm.entry : NULL;
        e.start = &start;
        break;
    case B(RESET_DONE):
        done.slot = d->plan->pci_slot;
        e.reset_done = &done;
        break;
    case B(NEEDS_RESET):
        snprintf(why, sizeof why, "%s", a->text);
        needs.slot = d->plan->pci_slot;
        needs.why = why;
        e.needs_reset = &needs;
        break;
    case B(DETACH_DEVICE):
        detach.slot = d->plan->pci_slot;
        detach.force = a->flag;
        e.detach_device = &detach;
        break;
    case B(LINK_STATE):
        link.up = a->flag;
        e.link_state = &link;
        break;
    case B(BALLOON_TARGET):
        target.size = in->vm.devices[vm_look(&in->vm, a->child)->device].balloon_bytes;
        e.balloon_target = &target;
        break;
    default:
        return send_bare(in, a);
    }
    return send(in, a, &e, NULL, 0);
}

int outgoing_send(struct instance *in, const struct action *a)
{
    if (!vm_look(&in->vm, a->child))
        return 0;
    switch ((int)a->body) {
    case B(CONFIGURE):
        return send_configure(in, a);
    case B(ATTACH_DEVICE):
        return send_attach(in, a);
    case B(ACTIVATE):
        return send_activate(in, a);
    case B(CONFIG_UPDATE):
        return send_config_update(in, a);
    case B(SET_RATE_LIMIT):
        return send_rate_limit(in, a);
    default:
        return send_small(in, a);
    }
}

int outgoing_connected(struct instance *in, const struct action *a, int error, int fd)
{
    Bulkhead__VsockConnected done = BULKHEAD__VSOCK_CONNECTED__INIT;
    ENVELOPE(e, VSOCK_CONNECTED, vsock_connected, &done);
    const struct child *c = vm_look(&in->vm, a->child);
    struct action as_is = *a;

    if (!c || !child_is_live(c))
        return 0;
    as_is.state = c->state;
    done.token = a->token;
    done.error = error;
    return send(in, &as_is, &e, &fd, error == 0 ? 1 : 0);
}
