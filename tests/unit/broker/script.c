/* SPDX-License-Identifier: Apache-2.0 */
/* script.c - see script.h. */
#include "script.h"

#include "config/config.h"
#include "vm/record.h"

#define B(name) BULKHEAD__ENVELOPE__BODY_##name
#define SECOND UINT64_C(1000000000)

enum { NET_ID = 1, RNG_ID = 4, BALLOON_ID = 5, VSOCK_ID = 19 };
enum { NET_CONFIG_BYTES = 12, NET_STATUS_OFFSET = 6, BALLOON_CONFIG_BYTES = 16, MAX_CONFIG = 16 };

void script_happen(struct script *s, const struct event *event)
{
    s->now += 1000;
    vm_step(&s->vm, event, s->now);
    assert_false(s->vm.actions.full);
    for (unsigned i = 0; i < s->vm.actions.n; i++) {
        assert_true(s->n_log < SCRIPT_LOG);
        s->log[s->n_log++] = s->vm.actions.list[i];
        if (s->vm.actions.list[i].kind == ACTION_FREE_DEVICE)
            plan_remove(&s->plan, s->vm.actions.list[i].device);
    }
}

/* What run/ finds in what was opened. */
static void note_backends(struct script *s)
{
    for (unsigned i = 0; i < s->vm.n_devices; i++) {
        struct device *d = &s->vm.devices[i];

        if (d->plan->role == BULKHEAD__ROLE__ROLE_NET)
            d->is_user = strcmp(s->config->nets[d->plan->index]->mode, "user") == 0;
    }
}

static void take_out(struct script *s, unsigned i)
{
    s->n_log--;
    memmove(&s->log[i], &s->log[i + 1], (s->n_log - i) * sizeof s->log[0]);
}

struct device *script_device(struct script *s, Bulkhead__Role role)
{
    for (unsigned i = 0; i < s->vm.n_devices; i++)
        if (s->vm.devices[i].here && s->vm.devices[i].plan->role == role)
            return &s->vm.devices[i];
    fail_msg("no such device");
    return NULL;
}

/* ---- children ---- */

void script_say(struct script *s, uint32_t child, const Bulkhead__Envelope *envelope)
{
    const struct event e = { .kind = EVENT_MESSAGE, .child = child, .envelope = envelope };

    script_happen(s, &e);
}

void script_answer(struct script *s, uint32_t child, Bulkhead__Envelope__BodyCase body)
{
    Bulkhead__Envelope e = BULKHEAD__ENVELOPE__INIT;
    Bulkhead__Activated activated = BULKHEAD__ACTIVATED__INIT;
    Bulkhead__Quiesced quiesced = BULKHEAD__QUIESCED__INIT;
    Bulkhead__ResetDone done = BULKHEAD__RESET_DONE__INIT;

    e.body_case = body;
    if (body == B(ACTIVATED))
        e.activated = &activated;
    else if (body == B(QUIESCED))
        e.quiesced = &quiesced;
    else
        e.reset_done = &done;
    script_say(s, child, &e);
}

void script_state(struct script *s, Bulkhead__GuestStateKind state)
{
    Bulkhead__GuestState guest = BULKHEAD__GUEST_STATE__INIT;
    ENVELOPE(e, GUEST_STATE, guest_state, &guest);

    guest.state = state;
    script_say(s, s->vm.core, &e);
}

void script_spawned(struct script *s, uint32_t child)
{
    const struct event e = { .kind = EVENT_STARTED, .child = child, .pid = 1000 + (int)child };

    script_happen(s, &e);
}

void script_hello(struct script *s, uint32_t child)
{
    Bulkhead__Hello hello = BULKHEAD__HELLO__INIT;
    ENVELOPE(e, HELLO, hello, &hello);

    hello.protocol_min = PROTOCOL_MIN;
    hello.protocol_max = PROTOCOL_MAX;
    hello.role = vm_child(&s->vm, child)->role;
    script_say(s, child, &e);
}

static void fill_announce(const struct script *s, const struct device *d, Bulkhead__Announce *a,
                          uint8_t *config)
{
    const ProtobufCBinaryData *mac;

    a->num_queues = d->plan->num_queues;
    a->queue_size = d->plan->queue_size;
    a->features = SCRIPT_OFFER & ~s->withheld;
    a->config.data = config;
    switch ((int)d->plan->role) {
    case BULKHEAD__ROLE__ROLE_BALLOON:
        a->virtio_id = BALLOON_ID;
        a->config.len = BALLOON_CONFIG_BYTES;
        break;
    case BULKHEAD__ROLE__ROLE_NET:
        a->virtio_id = NET_ID;
        a->config.len = NET_CONFIG_BYTES;
        mac = &s->config->nets[d->plan->index]->mac;
        memcpy(config, mac->data, mac->len);
        config[NET_STATUS_OFFSET] = 1; /* the link is up */
        break;
    case BULKHEAD__ROLE__ROLE_VSOCK:
        a->virtio_id = VSOCK_ID;
        break;
    default:
        a->virtio_id = RNG_ID;
        break;
    }
}

void script_ready(struct script *s, uint32_t child)
{
    const struct child *c = vm_child(&s->vm, child);
    Bulkhead__Announce announce = BULKHEAD__ANNOUNCE__INIT;
    Bulkhead__Ready ready = BULKHEAD__READY__INIT;
    uint8_t config[MAX_CONFIG] = { 0 };
    ENVELOPE(e, READY, ready, &ready);

    if (c->device != CHILD_NO_DEVICE) {
        fill_announce(s, &s->vm.devices[c->device], &announce, config);
        ready.announce = &announce;
    }
    script_say(s, child, &e);
}

void script_make_ready(struct script *s, uint32_t child)
{
    script_spawned(s, child);
    script_hello(s, child);
    assert_int_equal(script_heard(s, child, NULL), B(CONFIGURE));
    script_ready(s, child);
}

void script_exit(struct script *s, uint32_t child, bool clean)
{
    struct event e = { .kind = EVENT_EXITED, .child = child, .clean = clean };

    snprintf(e.fault.text, sizeof e.fault.text, "%s",
             clean ? "left with status 0" : "killed by signal 9 (Killed)");
    script_happen(s, &e);
}

void script_activate(struct script *s, struct device *d)
{
    Bulkhead__QueueState queue = BULKHEAD__QUEUE_STATE__INIT, *queues[] = { &queue };
    Bulkhead__Activate a = BULKHEAD__ACTIVATE__INIT;
    ENVELOPE(e, ACTIVATE, activate, &a);

    queue.size = 8;
    a.slot = d->plan->pci_slot;
    a.features = s->accepted;
    a.queues = queues;
    a.n_queues = 1;
    script_say(s, s->vm.core, &e);
}

void script_reset(struct script *s, struct device *d)
{
    Bulkhead__Reset r = BULKHEAD__RESET__INIT;
    ENVELOPE(e, RESET, reset, &r);

    r.slot = d->plan->pci_slot;
    script_say(s, s->vm.core, &e);
}

void script_use(struct script *s, struct device *d)
{
    script_activate(s, d);
    assert_int_equal(script_heard(s, d->worker, NULL), B(ACTIVATE));
    script_answer(s, d->worker, B(ACTIVATED));
}

void script_gone(struct script *s, unsigned slot)
{
    Bulkhead__DeviceGone gone = BULKHEAD__DEVICE_GONE__INIT;
    ENVELOPE(e, DEVICE_GONE, device_gone, &gone);

    gone.slot = slot;
    script_say(s, s->vm.core, &e);
}

/* ---- time ---- */

void script_wait(struct script *s, uint64_t ms)
{
    const struct event e = { .kind = EVENT_DEADLINE };

    s->now += ms * UINT64_C(1000000);
    script_happen(s, &e);
}

bool script_wait_deadline(struct script *s)
{
    const struct event e = { .kind = EVENT_DEADLINE };
    uint64_t at = vm_next_deadline(&s->vm);

    if (at == 0)
        return false;
    if (at > s->now)
        s->now = at;
    script_happen(s, &e);
    return true;
}

/* ---- another broker ---- */

void script_adopt(struct script *s, uint32_t unknown)
{
    static struct record record; /* large */
    struct kept_child kept[VM_MAX_CHILDREN];
    struct event e = { .kind = EVENT_ADOPTED, .kept = kept };
    uint32_t epoch = s->vm.epoch;

    record_store(&s->vm, &record);
    vm_deinit(&s->vm);
    memset(&s->vm, 0, sizeof s->vm);
    vm_init(&s->vm, s->config, &s->plan, s->now);
    s->vm.insecure = true;
    s->vm.epoch = epoch + 1;
    note_backends(s);
    assert_int_equal(record_load(&s->vm, &record, s->now), 0);
    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
        if (s->vm.children[i].id != 0 && s->vm.children[i].id != unknown)
            kept[e.n_kept++] = (struct kept_child){ .id = s->vm.children[i].id,
                                                    .pid = 1000 + (int)s->vm.children[i].id };
    s->n_log = 0;
    script_happen(s, &e);
}

void script_device_stands(struct script *s, struct device *d, bool active, bool resetting)
{
    Bulkhead__QueueState queue = BULKHEAD__QUEUE_STATE__INIT,
                         *queues[LAYOUT_MAX_QUEUES] = { &queue };
    Bulkhead__QueueState states[LAYOUT_MAX_QUEUES];
    Bulkhead__DeviceSnapshot snapshot = BULKHEAD__DEVICE_SNAPSHOT__INIT;
    ENVELOPE(e, DEVICE_SNAPSHOT, device_snapshot, &snapshot);

    queue.size = 8;
    if (d->n_queues > 0)
        device_list_queues(d, states, queues);
    snapshot.epoch = s->vm.epoch;
    snapshot.slot = d->plan->pci_slot;
    snapshot.active = active;
    snapshot.resetting = resetting;
    snapshot.queues = queues;
    snapshot.n_queues = active ? MAX(d->n_queues, 1u) : 0;
    snapshot.config = (ProtobufCBinaryData){ .len = d->config_len, .data = d->config };
    script_say(s, s->vm.core, &e);
}

void script_core_stands(struct script *s, Bulkhead__SnapshotState state)
{
    Bulkhead__Snapshot snapshot = BULKHEAD__SNAPSHOT__INIT;
    ENVELOPE(e, SNAPSHOT, snapshot, &snapshot);

    snapshot.epoch = s->vm.epoch;
    snapshot.state = state;
    script_say(s, s->vm.core, &e);
}

void script_core_says_all(struct script *s, Bulkhead__SnapshotState state)
{
    for (unsigned i = 0; i < s->vm.n_devices; i++)
        if (s->vm.devices[i].attached && !s->vm.devices[i].gone)
            script_device_stands(s, &s->vm.devices[i], s->vm.devices[i].active,
                                 s->vm.devices[i].reset_wanted);
    script_core_stands(s, state);
}

void script_worker_stands(struct script *s, uint32_t worker, Bulkhead__SnapshotState state)
{
    const struct device *d = &s->vm.devices[vm_child(&s->vm, worker)->device];
    Bulkhead__QueueState states[LAYOUT_MAX_QUEUES], *queues[LAYOUT_MAX_QUEUES];
    Bulkhead__Activate activate = BULKHEAD__ACTIVATE__INIT;
    Bulkhead__Snapshot snapshot = BULKHEAD__SNAPSHOT__INIT;
    ENVELOPE(e, SNAPSHOT, snapshot, &snapshot);

    device_list_queues(d, states, queues);
    activate.features = d->guest_features;
    activate.queues = queues;
    activate.n_queues = d->n_queues;
    snapshot.epoch = s->vm.epoch;
    snapshot.state = state;
    if (state != BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_READY)
        snapshot.activate = &activate;
    script_say(s, worker, &e);
}

/* ---- clients ---- */

void script_ask(struct script *s, struct command command)
{
    const struct event e = { .kind = EVENT_COMMAND, .command = &command };

    command.ticket = (struct ticket){ .session = SCRIPT_CLIENT, .request = ++s->request };
    script_happen(s, &e);
}

void script_ask_device(struct script *s, enum command_kind kind, struct device *d)
{
    script_ask(s, (struct command){ .kind = kind, .device = d->number, .opened = true });
}

uint32_t script_upgrade(struct script *s, struct device *d)
{
    script_ask_device(s, COMMAND_UPGRADE, d);
    assert_int_equal(script_replied(s), -1);
    assert_int_not_equal(d->candidate, 0);
    return d->candidate;
}

static struct device *add(struct script *s, Bulkhead__Role role)
{
    int number = plan_add(&s->plan, s->config, role, 0);
    struct device *d;

    assert_true(number >= 0);
    d = vm_take_place(&s->vm, (unsigned)number);
    note_backends(s);
    script_ask_device(s, COMMAND_ADD, d);
    return d;
}

struct device *script_add(struct script *s)
{
    s->config->vsock->enabled = true;
    return add(s, BULKHEAD__ROLE__ROLE_VSOCK);
}

struct device *script_add_net(struct script *s)
{
    if (s->config->n_nets == 0)
        fixture_add_net(s->config, "user");
    assert_int_equal(config_fill(s->config, "script"), 0);
    return add(s, BULKHEAD__ROLE__ROLE_NET);
}

/* ---- what came of it ---- */

Bulkhead__Envelope__BodyCase script_heard(struct script *s, uint32_t child, struct action *ret)
{
    for (unsigned i = 0; i < s->n_log; i++) {
        Bulkhead__Envelope__BodyCase body = s->log[i].body;

        if (s->log[i].kind != ACTION_TELL || s->log[i].child != child)
            continue;
        if (ret)
            *ret = s->log[i];
        take_out(s, i);
        return body;
    }
    return B(_NOT_SET);
}

void script_core_hears(struct script *s, Bulkhead__Envelope__BodyCase body)
{
    Bulkhead__Envelope__BodyCase heard;

    do {
        heard = script_heard(s, s->vm.core, NULL);
        assert_int_not_equal(heard, B(_NOT_SET));
    } while (heard != body);
}

bool script_killed(struct script *s, uint32_t child)
{
    for (unsigned i = 0; i < s->n_log; i++)
        if (s->log[i].kind == ACTION_KILL && s->log[i].child == child) {
            take_out(s, i);
            return true;
        }
    return false;
}

bool script_noticed(struct script *s, const char *name)
{
    for (unsigned i = 0; i < s->n_log; i++)
        if (s->log[i].kind == ACTION_NOTICE && strcmp(s->log[i].name, name) == 0) {
            take_out(s, i);
            return true;
        }
    return false;
}

int script_replied(struct script *s)
{
    for (unsigned i = 0; i < s->n_log; i++)
        if (s->log[i].kind == ACTION_REPLY && s->log[i].ticket.request == s->request) {
            int error = s->log[i].error;

            take_out(s, i);
            return error;
        }
    return -1;
}

void script_refused(struct script *s, const char *part)
{
    for (unsigned i = 0; i < s->n_log; i++) {
        const struct action *a = &s->log[i];

        if (a->kind != ACTION_REPLY || a->ticket.request != s->request)
            continue;
        if (a->error <= 0 || !a->bad_input || !strstr(a->text, part) || strchr(a->text, '\n'))
            fail_msg("said '%s' (%d), want '%s'", a->text, a->error, part);
        take_out(s, i);
        return;
    }
    fail_msg("no reply, want '%s'", part);
}

unsigned script_count(const struct script *s, enum action_kind kind)
{
    unsigned n = 0;

    for (unsigned i = 0; i < s->n_log; i++)
        n += s->log[i].kind == kind;
    return n;
}

/* ---- the VM ---- */

void script_loaded(struct script *s)
{
    Bulkhead__EntryState entry = BULKHEAD__ENTRY_STATE__INIT;
    Bulkhead__Loaded loaded = BULKHEAD__LOADED__INIT;
    ENVELOPE(e, LOADED, loaded, &loaded);
    uint32_t loader = s->vm.loader;

    script_make_ready(s, loader);
    assert_int_equal(script_heard(s, loader, NULL), B(START));
    entry.kind = BULKHEAD__ENTRY_KIND__ENTRY_LINUX64;
    loaded.entry = &entry;
    script_say(s, loader, &e);
}

void script_load(struct script *s)
{
    uint32_t loader = s->vm.loader;

    script_loaded(s);
    script_exit(s, loader, true);
}

void script_boot(struct script *s)
{
    const struct event made = { .kind = EVENT_BOOT_MADE };

    assert_int_equal(script_count(s, ACTION_MAKE_BOOT), 1);
    script_happen(s, &made);
    script_make_ready(s, s->vm.core);
    for (unsigned i = 0; i < s->vm.n_devices; i++) {
        struct event settled = { .kind = EVENT_PASST_SETTLED, .device = i };

        if (!s->vm.devices[i].here)
            continue;
        script_make_ready(s, s->vm.devices[i].worker);
        if (s->vm.devices[i].passt != 0)
            script_happen(s, &settled);
    }
    script_load(s);
    assert_int_equal(s->vm.phase, VM_RUNNING);
    script_core_hears(s, B(START));
    script_state(s, BULKHEAD__GUEST_STATE_KIND__GUEST_RUNNING);
    s->n_log = 0;
}

static void boot(struct script *s, Bulkhead__VmConfig *config)
{
    const struct event begin = { .kind = EVENT_BOOT };

    memset(s, 0, sizeof *s);
    s->now = 1000 * SECOND;
    s->config = config;
    config->memory->size = 64 << 20;
    config->crash_window_s = 3600;
    plan_make(config, &s->plan);
    vm_init(&s->vm, config, &s->plan, s->now);
    s->vm.insecure = true;
    note_backends(s);
    script_happen(s, &begin);
    script_boot(s);
}

static Bulkhead__VmConfig *small_config(uint32_t crash_limit, const char *net, bool vsock)
{
    Bulkhead__VmConfig empty = BULKHEAD__VM_CONFIG__INIT;
    Bulkhead__VmConfig *c = config_copy(&empty);

    assert_non_null(c);
    if (net)
        fixture_add_net(c, net);
    assert_int_equal(config_fill(c, "script"), 0);
    c->serial->mode = BULKHEAD__CONSOLE_MODE__CONSOLE_OFF;
    c->console->mode = BULKHEAD__CONSOLE_MODE__CONSOLE_OFF;
    c->rng->enabled = true;
    c->balloon->enabled = true;
    c->vsock->enabled = vsock;
    fixture_text(&c->vsock->id, "vsock0");
    c->crash_limit = crash_limit;
    return c;
}

void script_run(struct script *s, uint32_t crash_limit)
{
    boot(s, small_config(crash_limit, NULL, false));
}

void script_run_net(struct script *s, const char *mode)
{
    boot(s, small_config(5, mode, false));
}

void script_run_vsock(struct script *s)
{
    boot(s, small_config(5, NULL, true));
}

void script_run_disk(struct script *s)
{
    Bulkhead__VmConfig *c = small_config(5, NULL, false);

    fixture_add_disk(c, "/d0.raw");
    assert_int_equal(config_fill(c, "script"), 0);
    boot(s, c);
}

struct device *script_added(struct script *s)
{
    struct device *d = script_add(s);

    script_make_ready(s, d->worker);
    script_core_hears(s, B(ATTACH_DEVICE));
    assert_int_equal(script_replied(s), 0);
    return d;
}

void script_ask_removal(struct script *s, struct device *d, bool force)
{
    script_ask(s, (struct command){ .kind = COMMAND_REMOVE, .device = d->number, .force = force });
}

void script_core_detaches(struct script *s, bool force)
{
    Bulkhead__Envelope__BodyCase heard;
    struct action a;

    do {
        heard = script_heard(s, s->vm.core, &a);
        assert_int_not_equal(heard, B(_NOT_SET));
    } while (heard != B(DETACH_DEVICE));
    assert_int_equal(a.flag, force);
}

void script_is_free(const struct script *s, const struct device *d)
{
    assert_false(d->here);
    assert_int_equal(d->worker, 0);
    assert_int_equal(vm_count_of_device(&s->vm, d), 0);
    assert_true(plan_is_free(d->plan));
    assert_int_equal(script_count(s, ACTION_FREE_DEVICE), 1);
}

void script_end(struct script *s)
{
    vm_deinit(&s->vm);
    config_free(s->config);
}
