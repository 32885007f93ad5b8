/* SPDX-License-Identifier: Apache-2.0 */
/* rules.c - the table of legal messages, and the range checks that need no context. */
#include "ipc/rules.h"

#include <errno.h>
#include "base/compiler.h"
#include "base/err.h"
#include "base/fd.h"
#include "ipc/channel.h"
#include "ipc/regions.h"
#include "shm/layout.h"

#define BIT(x) (1u << (x))
#define B(name) BULKHEAD__ENVELOPE__BODY_##name

enum {
    R_CORE = BIT(BULKHEAD__ROLE__ROLE_CORE),
    R_LOADER = BIT(BULKHEAD__ROLE__ROLE_LOADER),
    R_BLK = BIT(BULKHEAD__ROLE__ROLE_BLK),
    R_RNG = BIT(BULKHEAD__ROLE__ROLE_RNG),
    R_CONSOLE = BIT(BULKHEAD__ROLE__ROLE_CONSOLE),
    R_NET = BIT(BULKHEAD__ROLE__ROLE_NET),
    R_VSOCK = BIT(BULKHEAD__ROLE__ROLE_VSOCK),
    R_BALLOON = BIT(BULKHEAD__ROLE__ROLE_BALLOON),
    R_WORKERS = R_BLK | R_RNG | R_CONSOLE | R_NET | R_VSOCK | R_BALLOON,
    R_ALL = R_CORE | R_LOADER | R_WORKERS,
};

enum {
    S_STARTED = BIT(CHILD_STARTED),
    S_GREETED = BIT(CHILD_GREETED),
    S_CONFIGURED = BIT(CHILD_CONFIGURED),
    S_READY = BIT(CHILD_READY),
    S_RUNNING = BIT(CHILD_RUNNING),
    S_QUIESCED = BIT(CHILD_QUIESCED),
    S_LIVE = S_READY | S_RUNNING | S_QUIESCED,
    S_BEFORE_END = S_STARTED | S_GREETED | S_CONFIGURED | S_LIVE,
    S_LIVE_OR_ENDED = S_LIVE | BIT(CHILD_ENDED),
};

enum { SAME = -1 };

struct rule {
    enum rule_dir dir;
    Bulkhead__Envelope__BodyCase body;
    unsigned roles;
    unsigned states;
    unsigned min_fds, max_fds;
    int next; /* state afterwards, or SAME */
};

static const struct rule rules[] = {
    { RULE_FROM_CHILD, B(HELLO), R_ALL, S_STARTED, 0, 0, CHILD_GREETED },
    { RULE_TO_CHILD, B(CONFIGURE), R_ALL, S_GREETED, 1, CHANNEL_MAX_FDS, CHILD_CONFIGURED },
    { RULE_FROM_CHILD, B(READY), R_ALL, S_CONFIGURED, 0, 0, CHILD_READY },
    { RULE_FROM_CHILD, B(FAILED), R_ALL, S_BEFORE_END, 0, 0, CHILD_ENDED },
    { RULE_TO_CHILD, B(STOP), R_ALL, S_BEFORE_END, 0, 0, CHILD_ENDED },

    { RULE_TO_CHILD, B(START), R_LOADER | R_CORE, S_READY, 0, 0, CHILD_RUNNING },
    { RULE_FROM_CHILD, B(LOADED), R_LOADER, S_RUNNING, 0, 0, CHILD_ENDED },

    { RULE_TO_CHILD, B(ATTACH_DEVICE), R_CORE, S_LIVE, 0, 2 * RULE_MAX_QUEUES, SAME },
    { RULE_TO_CHILD, B(DETACH_DEVICE), R_CORE, S_RUNNING | S_QUIESCED, 0, 0, SAME },
    { RULE_FROM_CHILD, B(DEVICE_GONE), R_CORE, S_RUNNING | S_QUIESCED, 0, 0, SAME },
    { RULE_FROM_CHILD, B(ACTIVATE), R_CORE, S_RUNNING | S_QUIESCED, 0, 0, SAME },
    { RULE_TO_CHILD, B(ACTIVATE), R_WORKERS, S_READY, 0, 0, CHILD_RUNNING },
    { RULE_FROM_CHILD, B(ACTIVATED), R_WORKERS, S_RUNNING, 0, 0, SAME },
    { RULE_FROM_CHILD, B(RESET), R_CORE, S_RUNNING | S_QUIESCED, 0, 0, SAME },
    { RULE_TO_CHILD, B(RESET), R_WORKERS, S_RUNNING | S_QUIESCED, 0, 0, SAME },
    { RULE_FROM_CHILD, B(RESET_DONE), R_WORKERS, S_RUNNING | S_QUIESCED, 0, 0, CHILD_READY },
    { RULE_TO_CHILD, B(RESET_DONE), R_CORE, S_RUNNING | S_QUIESCED, 0, 0, SAME },
    { RULE_FROM_CHILD, B(NEEDS_RESET), R_WORKERS, S_RUNNING | S_QUIESCED, 0, 0, SAME },
    { RULE_TO_CHILD, B(NEEDS_RESET), R_CORE, S_RUNNING | S_QUIESCED, 0, 0, SAME },
    { RULE_FROM_CHILD, B(CONFIG_UPDATE), R_WORKERS, S_LIVE, 0, 0, SAME },
    { RULE_FROM_CHILD, B(CONFIG_UPDATE), R_CORE, S_RUNNING | S_QUIESCED, 0, 0, SAME },
    { RULE_TO_CHILD, B(CONFIG_UPDATE), R_WORKERS | R_CORE, S_LIVE, 0, 0, SAME },

    { RULE_TO_CHILD, B(QUIESCE), R_WORKERS, S_RUNNING, 0, 0, SAME },
    { RULE_FROM_CHILD, B(QUIESCED), R_WORKERS, S_RUNNING, 0, 0, CHILD_QUIESCED },
    { RULE_TO_CHILD, B(UNQUIESCE), R_WORKERS, S_QUIESCED, 0, 0, CHILD_RUNNING },
    { RULE_TO_CHILD, B(PAUSE_VCPUS), R_CORE, S_RUNNING, 0, 0, SAME },
    { RULE_TO_CHILD, B(RESUME_VCPUS), R_CORE, S_QUIESCED, 0, 0, SAME },
    { RULE_FROM_CHILD, B(GUEST_STATE), R_CORE, S_RUNNING | S_QUIESCED, 0, 0, SAME },
    { RULE_TO_CHILD, B(POWER_BUTTON), R_CORE, S_RUNNING | S_QUIESCED, 0, 0, SAME },

    { RULE_TO_CHILD, B(ADD_REGION), R_WORKERS, S_LIVE, 1, 1, SAME },
    { RULE_TO_CHILD, B(REMOVE_REGION), R_WORKERS, S_LIVE, 0, 0, SAME },
    { RULE_TO_CHILD, B(SET_DIRTY_LOG), R_WORKERS, S_LIVE, 0, 1, SAME },
    { RULE_FROM_CHILD, B(RAM_CHANGED), R_WORKERS, S_LIVE, 0, 0, SAME },

    { RULE_FROM_CHILD, B(RING_DRAINED), R_BLK, S_LIVE, 0, 0, SAME },
    { RULE_FROM_CHILD, B(CONSOLE_ESCAPE), R_CONSOLE, S_LIVE, 0, 0, SAME },
    { RULE_FROM_CHILD, B(CONSOLE_CLIENT), R_CONSOLE, S_LIVE, 0, 1, SAME },
    { RULE_FROM_CHILD, B(VSOCK_CONNECT), R_VSOCK, S_RUNNING | S_QUIESCED, 0, 0, SAME },
    { RULE_TO_CHILD, B(VSOCK_CONNECTED), R_VSOCK, S_LIVE, 0, 1, SAME },
    { RULE_TO_CHILD, B(SET_RATE_LIMIT), R_BLK | R_NET, S_LIVE, 0, 0, SAME },
    { RULE_TO_CHILD, B(BALLOON_TARGET), R_BALLOON, S_LIVE, 0, 0, SAME },
    { RULE_TO_CHILD, B(LINK_STATE), R_NET, S_LIVE, 0, 0, SAME },
    { RULE_FROM_CHILD, B(LINK_LOST), R_NET, S_LIVE, 0, 0, SAME },
    { RULE_FROM_CHILD, B(LINK_FOUND), R_NET, S_LIVE, 0, 0, SAME },

    /* Who is leaving doesn't answer, and must not be in the wrong for being asked. */
    { RULE_TO_CHILD, B(RESYNC), R_CORE | R_WORKERS, S_LIVE_OR_ENDED, 0, 0, SAME },
    { RULE_FROM_CHILD, B(SNAPSHOT), R_CORE | R_WORKERS, S_LIVE, 0, 0, SAME }, /* rules_next() */
    { RULE_FROM_CHILD, B(DEVICE_SNAPSHOT), R_CORE, S_LIVE, 0, 0, SAME },
};

static const struct rule *find(enum rule_dir dir, Bulkhead__Role role,
                               Bulkhead__Envelope__BodyCase body)
{
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
        if (rules[i].dir == dir && rules[i].body == body && (rules[i].roles & BIT(role)))
            return &rules[i];
    return NULL;
}

static int check_announce(const Bulkhead__Announce *a)
{
    if (!a)
        return 0;
    if (a->virtio_id == 0 || a->virtio_id > 63 || a->num_queues > RULE_MAX_QUEUES ||
        !is_power_of_two(a->queue_size) || a->queue_size > 32768 ||
        a->config.len > RULE_MAX_CONFIG_BYTES)
        return err_origin(-EBADMSG, "announce is out of range");
    return 0;
}

static int check_ready(Bulkhead__Role role, const Bulkhead__Ready *ready)
{
    bool worker = BIT(role) & R_WORKERS;

    /* Only the console has a form, the serial port's, without a virtio device. */
    if (role != BULKHEAD__ROLE__ROLE_CONSOLE && worker != (ready->announce != NULL))
        return err_origin(-EBADMSG, "ready with the wrong announce");
    return check_announce(ready->announce);
}

static int check_queues(Bulkhead__QueueState *const *queues, size_t n)
{
    if (n > RULE_MAX_QUEUES)
        return err_origin(-EBADMSG, "%zu queues", n);
    for (size_t i = 0; i < n; i++) {
        const Bulkhead__QueueState *q = queues[i];

        if (q->index >= RULE_MAX_QUEUES || !is_power_of_two(q->size) || q->size > 32768)
            return err_origin(-EBADMSG, "activate: queue %u is out of range", q->index);
    }
    return 0;
}

static int check_activate(const Bulkhead__Activate *a)
{
    if (a->slot >= LAYOUT_PCI_SLOTS)
        return err_origin(-EBADMSG, "activate is out of range");
    return check_queues(a->queues, a->n_queues);
}

/* An end is one of the guest's, not a pause. */
static int check_end(const Bulkhead__GuestState *end)
{
    return end->state >= BULKHEAD__GUEST_STATE_KIND__GUEST_SHUTDOWN &&
                   end->state <= BULKHEAD__GUEST_STATE_KIND__GUEST_ERROR
               ? 0
               : err_origin(-EBADMSG, "snapshot with the end %d", (int)end->state);
}

static int check_snapshot(Bulkhead__Role role, const Bulkhead__Snapshot *s)
{
    bool worker = BIT(role) & R_WORKERS;
    bool activated = s->state == BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_RUNNING ||
                     s->state == BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_QUIESCED;

    if (s->epoch == 0 || s->state <= BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_NONE ||
        s->state > BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_QUIESCED ||
        s->config.len > RULE_MAX_CONFIG_BYTES)
        return err_origin(-EBADMSG, "snapshot is out of range");
    if (!worker)
        return s->activate ? err_origin(-EBADMSG, "snapshot of a core with a worker's part")
               : s->end    ? check_end(s->end)
                           : 0;
    if (activated != (s->activate != NULL) || s->end || s->pausing)
        return err_origin(-EBADMSG, "snapshot contradicts its state");
    /* Both are asked for in an activated worker only. */
    if (!activated && (s->owes_reset || s->owes_quiesce || s->needs_reset))
        return err_origin(-EBADMSG, "snapshot owes what can't be owed in its state");
    return s->activate ? check_activate(s->activate) : 0;
}

static int check_device_snapshot(const Bulkhead__DeviceSnapshot *s)
{
    if (s->epoch == 0 || s->slot == 0 || s->slot >= LAYOUT_PCI_SLOTS || s->generation > UINT8_MAX ||
        s->config.len > RULE_MAX_CONFIG_BYTES || (s->resetting && !s->active) ||
        (!s->active && s->n_queues > 0))
        return err_origin(-EBADMSG, "device snapshot is out of range");
    return check_queues(s->queues, s->n_queues);
}

static int check_slot(uint32_t slot)
{
    return slot < LAYOUT_PCI_SLOTS ? 0 : err_origin(-EBADMSG, "slot %u", slot);
}

/* Where a device can be: slot 0 is the host bridge. */
static int check_device_slot(uint32_t slot)
{
    return slot != 0 ? check_slot(slot) : err_origin(-EBADMSG, "slot 0 has no device");
}

static int check_config_update(const Bulkhead__ConfigUpdate *u)
{
    if (u->slot >= LAYOUT_PCI_SLOTS || u->data.len == 0 || u->data.len > RULE_MAX_UPDATE_BYTES ||
        u->offset > RULE_MAX_CONFIG_BYTES || u->data.len > RULE_MAX_CONFIG_BYTES - u->offset)
        return err_origin(-EBADMSG, "config update is out of range");
    return 0;
}

static int check_attach(const Bulkhead__AttachDevice *a, size_t n_fds)
{
    int r = check_announce(a->announce);

    if (r < 0)
        return err_trace(r);
    if (!a->announce || check_device_slot(a->slot) < 0 ||
        n_fds != 2 * (size_t)a->announce->num_queues)
        return err_origin(-EBADMSG, "attach device is out of range");
    return 0;
}

static int check_entry(const Bulkhead__EntryState *entry, bool required)
{
    if (!entry)
        return required ? err_origin(-EBADMSG, "entry state is missing") : 0;
    if (entry->kind != BULKHEAD__ENTRY_KIND__ENTRY_LINUX64 &&
        entry->kind != BULKHEAD__ENTRY_KIND__ENTRY_PVH)
        return err_origin(-EBADMSG, "entry kind %d", (int)entry->kind);
    return 0;
}

static int check_content(Bulkhead__Role role, const Bulkhead__Envelope *e, size_t n_fds)
{
    switch ((int)e->body_case) {
    case B(HELLO):
        return e->hello->role == role ? 0 : err_origin(-EBADMSG, "hello of another role");
    case B(CONFIGURE):
        return e->configure->num_queues <= RULE_MAX_QUEUES
                   ? regions_check(e->configure, n_fds)
                   : err_origin(-EBADMSG, "configure: too many queues");
    case B(READY):
        return check_ready(role, e->ready);
    case B(ATTACH_DEVICE):
        return check_attach(e->attach_device, n_fds);
    case B(DETACH_DEVICE):
        return check_device_slot(e->detach_device->slot);
    case B(DEVICE_GONE):
        return check_device_slot(e->device_gone->slot);
    case B(START):
        return check_entry(e->start->entry, role == BULKHEAD__ROLE__ROLE_CORE);
    case B(LOADED):
        return check_entry(e->loaded->entry, true);
    case B(ACTIVATE):
        return check_activate(e->activate);
    case B(RESET):
        return check_slot(e->reset->slot);
    case B(RESET_DONE):
        return check_slot(e->reset_done->slot);
    case B(NEEDS_RESET):
        return check_slot(e->needs_reset->slot);
    case B(CONFIG_UPDATE):
        return check_config_update(e->config_update);
    case B(GUEST_STATE):
        return e->guest_state->state > BULKHEAD__GUEST_STATE_KIND__GUEST_NONE &&
                       e->guest_state->state <= BULKHEAD__GUEST_STATE_KIND__GUEST_ERROR
                   ? 0
                   : err_origin(-EBADMSG, "guest state %d", (int)e->guest_state->state);
    case B(ADD_REGION):
        return e->add_region->region ? 0 : err_origin(-EBADMSG, "a region without its place");
    case B(VSOCK_CONNECTED):
        return (e->vsock_connected->error != 0) == (n_fds == 0)
                   ? 0
                   : err_origin(-EBADMSG, "vsock connected with %zu fds", n_fds);
    case B(RESYNC):
        return e->resync->epoch != 0 ? 0 : err_origin(-EBADMSG, "resync without an epoch");
    case B(SNAPSHOT):
        return check_snapshot(role, e->snapshot);
    case B(DEVICE_SNAPSHOT):
        return check_device_snapshot(e->device_snapshot);
    default:
        return 0;
    }
}

int rules_check(enum rule_dir dir, Bulkhead__Role role, enum child_state state,
                const Bulkhead__Envelope *envelope, size_t n_fds)
{
    const struct rule *rule = find(dir, role, envelope->body_case);

    if (!rule || !(rule->states & BIT(state)) || n_fds < rule->min_fds || n_fds > rule->max_fds)
        return err_origin(-EPROTO, "%s %s %s in state %s with %zu fds is not allowed",
                          rules_body_name(envelope->body_case),
                          dir == RULE_FROM_CHILD ? "from" : "to", role_name(role),
                          rules_state_name(state), n_fds);
    return check_content(role, envelope, n_fds);
}

static enum child_state state_of(Bulkhead__SnapshotState state)
{
    return state == BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_READY     ? CHILD_READY
           : state == BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_RUNNING ? CHILD_RUNNING
                                                                 : CHILD_QUIESCED;
}

enum child_state rules_next(enum rule_dir dir, Bulkhead__Role role, enum child_state state,
                            const Bulkhead__Envelope *envelope)
{
    const struct rule *rule = find(dir, role, envelope->body_case);

    if (!rule || !(rule->states & BIT(state)))
        return state;
    if (dir == RULE_FROM_CHILD && envelope->body_case == B(GUEST_STATE)) {
        if (envelope->guest_state->state == BULKHEAD__GUEST_STATE_KIND__GUEST_PAUSED)
            return CHILD_QUIESCED;
        if (envelope->guest_state->state == BULKHEAD__GUEST_STATE_KIND__GUEST_RUNNING)
            return CHILD_RUNNING;
    }
    if (dir == RULE_FROM_CHILD && envelope->body_case == B(SNAPSHOT))
        return state_of(envelope->snapshot->state);
    return rule->next == SAME ? state : (enum child_state)rule->next;
}

bool rules_legal(enum rule_dir dir, Bulkhead__Role role, enum child_state state,
                 Bulkhead__Envelope__BodyCase body)
{
    const struct rule *rule = find(dir, role, body);

    return rule && (rule->states & BIT(state));
}

enum child_state rules_after(enum rule_dir dir, Bulkhead__Role role, enum child_state state,
                             Bulkhead__Envelope__BodyCase body)
{
    const struct rule *rule = find(dir, role, body);

    return !rule || !(rule->states & BIT(state)) || rule->next == SAME
               ? state
               : (enum child_state)rule->next;
}

bool rules_may_bring_fds(Bulkhead__Role role)
{
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
        if (rules[i].dir == RULE_FROM_CHILD && (rules[i].roles & BIT(role)) && rules[i].max_fds > 0)
            return true;
    return false;
}

const char *rules_body_name(Bulkhead__Envelope__BodyCase body)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field(&bulkhead__envelope__descriptor, (unsigned)body);

    return field ? field->name : "unknown";
}

const char *rules_state_name(enum child_state state)
{
    static const char *const names[CHILD_STATE__MAX] = {
        [CHILD_STARTED] = "started", [CHILD_GREETED] = "greeted", [CHILD_CONFIGURED] = "configured",
        [CHILD_READY] = "ready",     [CHILD_RUNNING] = "running", [CHILD_QUIESCED] = "quiesced",
        [CHILD_ENDED] = "ended",
    };

    return (unsigned)state < CHILD_STATE__MAX ? names[state] : "unknown";
}

const char *role_name(Bulkhead__Role role)
{
    static const char *const names[] = { "none",    "broker", "spawner", "core",   "loader",
                                         "blk",     "rng",    "console", "net",    "vsock",
                                         "balloon", "passt",  "holder",  "gateway" };

    return (unsigned)role < ARRAY_SIZE(names) ? names[role] : "unknown";
}
