// SPDX-License-Identifier: Apache-2.0
// vm_step.c - random events for a VM's rules. Whatever comes: no two living children share a uid, each ticket
// gets one reply, nobody is asked again before he has answered, every event settles, what is waited for has a deadline,
// and the VM can be ended, once. The broker dies between any two of its actions, and the next one goes on; the spawner
// dies, and nobody does.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "config/config.h"
#include "ipc/channel.h"
#include "vm/adopt.h"
#include "vm/hotplug.h"
#include "vm/record.h"
#include "vm/step.h"
#include "vm_config.h"
#include "vm_device_true.h"
#include "vm_owed.h"
#include "vm_undone.h"

#define B(name) BULKHEAD__ENVELOPE__BODY_##name
#define CHECK(what)                                                                                \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "vm_step: not so: %s\n", #what);                                       \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { MAX_TICKETS = 4096, MAX_EVENTS = 1500, MANY_DEADLINES = 2000, MAX_PENDING = 64 };
enum { DIES_EARLY = 192 };

static struct {
    struct vm vm;
    struct plan plan;
    Bulkhead__VmConfig *config;
    uint64_t now;
    uint32_t n_tickets;
    uint8_t replies[MAX_TICKETS];
    unsigned ended;
    bool spawner_gone;
    uint32_t
        on_rings[PLAN_MAX_DEVICES];    /* who was told to go on, and may have requests in flight */
    struct event pending[MAX_PENDING]; /* what came of actions */
    unsigned n_pending;
    unsigned dies_after; /* so many actions; 0: not yet */
    const uint8_t *data;
    size_t left;
} f;

static unsigned pick(unsigned n)
{
    if (f.left == 0)
        return 0;
    f.left--;
    return *f.data++ % n;
}

static void note_backends(void)
{
    bool is_user = strcmp(f.config->nets[0]->mode, "user") == 0;

    for (unsigned i = 0; i < f.vm.n_devices; i++)
        f.vm.devices[i].is_user = is_user && f.plan.devices[i].role == BULKHEAD__ROLE__ROLE_NET;
}

/* Done when all of this one's actions are. */
static void wait(const struct event *event)
{
    CHECK(f.n_pending < MAX_PENDING);
    f.pending[f.n_pending++] = *event;
}

/* The one before has said that it has nothing in flight, or has ended. */
static void go_on(const struct action *a)
{
    uint32_t *on = &f.on_rings[a->device];

    CHECK(*on == 0 || *on == a->child || !vm_look(&f.vm, *on));
    *on = a->child;
}

/* Effects that fail and effects that answer at once. */
static void perform(const struct action *a)
{
    struct event e = { .child = a->child, .device = a->device };

    switch ((int)a->kind) {
    case ACTION_START:
        CHECK(!f.spawner_gone);
        break;
    case ACTION_TELL:
        CHECK(owed_told(&f.vm, a->child, a->body));
        if (a->body == B(ACTIVATE) || a->body == B(UNQUIESCE))
            go_on(a);
        break;
    case ACTION_REPLY:
        CHECK(a->ticket.request < MAX_TICKETS);
        CHECK(++f.replies[a->ticket.request] == 1);
        break;
    case ACTION_ENDED:
        f.ended++;
        break;
    case ACTION_FREE_DEVICE:
        plan_remove(&f.plan, a->device);
        f.on_rings[a->device] = 0;
        break;
    case ACTION_MAKE_BOOT:
        e.kind = pick(16) == 1 ? EVENT_BOOT_FAILED : EVENT_BOOT_MADE;
        wait(&e);
        break;
    case ACTION_OPEN_PROGRAM:
    case ACTION_ATTACH_TAP:
        e.kind = a->kind == ACTION_ATTACH_TAP ? EVENT_TAP_ATTACHED : EVENT_PROGRAM_OPENED;
        e.fault.error = pick(4) == 1 ? 2 : 0;
        wait(&e);
        break;
    default:
        break;
    }
}

static void check(const struct vm *vm)
{
    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
        for (unsigned j = 0; j < i; j++)
            CHECK(vm->children[i].id == 0 || vm->children[j].id == 0 ||
                  vm->children[i].uid_slot != vm->children[j].uid_slot);
    CHECK(f.ended <= 1);
    CHECK((vm->phase == VM_GONE) == (f.ended == 1));
    CHECK(!vm_waits(vm) || vm_next_deadline(vm) != 0);
    for (unsigned i = 0; i < vm->n_devices; i++) {
        const struct child *w = vm_look(vm, vm->devices[i].worker);
        const struct child *next = vm_look(vm, vm->devices[i].candidate);

        /* Only one of the two may ever be on the rings. */
        CHECK(!w || !next || next->state != CHILD_RUNNING);
        if (!vm->devices[i].here)
            CHECK(vm_count_of_device(vm, &vm->devices[i]) == 0 &&
                  plan_is_free(vm->devices[i].plan));
        /* Until the core has said where it stands, nothing follows. */
        if (vm->phase != VM_RUNNING || adopt_waits(vm) || !vm->devices[i].here)
            continue;
        CHECK(device_is_served(vm, &vm->devices[i]));
        CHECK(device_is_answered(vm, &vm->devices[i]));
        CHECK(device_ring_is_watched(vm, &vm->devices[i]));
        CHECK(vm->upgrades_all || !vm->devices[i].for_all);
    }
}

static void adopt(void);

static void carry_out(const struct event *event)
{
    f.now += 1000000;
    vm_step(&f.vm, event, f.now);
    CHECK(!f.vm.actions.full);
    for (unsigned i = 0; i < f.vm.actions.n; i++) {
        if (f.dies_after > 0 && --f.dies_after == 0) {
            undone_note(&f.vm, &f.vm.actions.list[i], f.vm.actions.n - i);
            adopt();
            return;
        }
        perform(&f.vm.actions.list[i]);
    }
}

static void step(const struct event *event)
{
    carry_out(event);
    while (f.n_pending > 0) {
        struct event next = f.pending[0];

        f.n_pending--;
        memmove(&f.pending[0], &f.pending[1], f.n_pending * sizeof f.pending[0]);
        carry_out(&next);
    }
}

static uint32_t any_child(void)
{
    unsigned start = pick(VM_MAX_CHILDREN);

    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
        if (f.vm.children[(start + i) % VM_MAX_CHILDREN].id != 0)
            return f.vm.children[(start + i) % VM_MAX_CHILDREN].id;
    return 0;
}

/* ---- another broker takes over ---- */

static void say_device(struct device *d)
{
    Bulkhead__QueueState states[LAYOUT_MAX_QUEUES], *queues[LAYOUT_MAX_QUEUES];
    Bulkhead__DeviceSnapshot snapshot = BULKHEAD__DEVICE_SNAPSHOT__INIT;
    ENVELOPE(envelope, DEVICE_SNAPSHOT, device_snapshot, &snapshot);
    const struct event e = { .kind = EVENT_MESSAGE, .child = f.vm.core, .envelope = &envelope };
    bool waits = undone_tell_of(f.vm.core, B(RESET_DONE), d->number);

    snapshot.epoch = f.vm.epoch;
    snapshot.slot = d->plan->pci_slot;
    snapshot.active = d->active || (waits && d->n_queues > 0);
    snapshot.resetting = snapshot.active && (d->reset_wanted || waits);
    snapshot.queues = queues;
    snapshot.n_queues = snapshot.active ? device_list_queues(d, states, queues) : 0;
    snapshot.config = (ProtobufCBinaryData){ .len = d->config_len, .data = d->config };
    step(&e);
}

/* It may have let go of one that was to go, and not got one that it was to get. */
static bool core_may_have(const struct device *d)
{
    return d->here && d->attached && !d->gone &&
           !undone_tell_of(f.vm.core, B(ATTACH_DEVICE), d->number) &&
           ((d->active && d->removal == REMOVAL_NONE) || pick(4) != 1);
}

/* Where it stands is what its broker knew when it died, but for what that one had not come to. */
static void say_state(const struct child *c)
{
    Bulkhead__QueueState states[LAYOUT_MAX_QUEUES], *queues[LAYOUT_MAX_QUEUES];
    Bulkhead__Activate activate = BULKHEAD__ACTIVATE__INIT;
    Bulkhead__Snapshot snapshot = BULKHEAD__SNAPSHOT__INIT;
    ENVELOPE(envelope, SNAPSHOT, snapshot, &snapshot);
    const struct event e = { .kind = EVENT_MESSAGE, .child = c->id, .envelope = &envelope };
    enum child_state state = undone_state(c);
    bool runs = f.vm.phase == VM_RUNNING && c->killed_ns == 0 && !c->closed && c->asked_ns != 0;
    uint32_t id = c->id;
    bool core = c->id == f.vm.core, activated = !core && state != CHILD_READY;

    for (unsigned i = 0; core && i < f.vm.n_devices; i++)
        if (core_may_have(&f.vm.devices[i]))
            say_device(&f.vm.devices[i]);
    snapshot.epoch = f.vm.epoch;
    snapshot.state = (Bulkhead__SnapshotState)(state - CHILD_READY + 1);
    snapshot.pausing = core && state == CHILD_RUNNING && owed_by(c->id, B(PAUSE_VCPUS));
    if (activated) {
        const struct device *d = &f.vm.devices[c->device];

        activate.features = d->guest_features;
        activate.queues = queues;
        activate.n_queues = device_list_queues(d, states, queues);
        snapshot.activate = &activate;
        snapshot.owes_reset = owed_by(c->id, B(RESET));
        snapshot.owes_quiesce = state == CHILD_RUNNING && owed_by(c->id, B(QUIESCE));
    }
    owed_said(id, &envelope);
    step(&e);
    /* Who is honest about that is not the VM's end; another death may have come in between. */
    c = vm_look(&f.vm, id);
    CHECK(!core || !runs || f.vm.epoch != snapshot.epoch ||
          (c && c->killed_ns == 0 && (!f.vm.end.ended || f.vm.end.reboot)));
}

static void adopt(void)
{
    static struct record record;
    static struct kept_child kept[VM_MAX_CHILDREN];
    struct event e = { .kind = EVENT_ADOPTED, .kept = kept };
    uint32_t epoch = f.vm.epoch;

    record_store(&f.vm, &record);
    vm_deinit(&f.vm);
    memset(&f.vm, 0, sizeof f.vm);
    vm_init(&f.vm, f.config, &f.plan, f.now);
    f.vm.insecure = true;
    f.vm.epoch = epoch + 1;
    note_backends();
    CHECK(record_load(&f.vm, &record, f.now) == 0);
    f.n_pending = 0;
    for (unsigned i = 0; i < f.vm.n_devices; i++) /* as run/ does */
        if (!f.vm.devices[i].here && !plan_is_free(&f.plan.devices[i])) {
            plan_remove(&f.plan, i);
            f.on_rings[i] = 0;
        }
    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++) {
        const struct child *c = &f.vm.children[i];

        if (c->id != 0 && !undone_start(c->id) &&
            (c->pid != 0 || c->state != CHILD_STARTED || pick(4) != 1))
            kept[e.n_kept++] =
                (struct kept_child){ .id = c->id, .pid = c->pid, .has_ring = c->has_ring };
    }
    for (uint32_t i = 0; i < f.n_tickets; i++) /* who was not answered is not any more */
        f.replies[i] = 1;
    owed_adopted();
    step(&e);
}

/* What that child might say now: mostly what would be next. */
static void say(uint32_t id)
{
    static const Bulkhead__Envelope__BodyCase of_worker[] = { B(ACTIVATED),    B(RESET_DONE),
                                                              B(QUIESCED),     B(NEEDS_RESET),
                                                              B(RING_DRAINED), B(LINK_LOST),
                                                              B(LINK_FOUND),   B(FAILED) };
    const struct child *c = vm_look(&f.vm, id);
    const struct device *d = c && c->device != CHILD_NO_DEVICE ? &f.vm.devices[c->device] : NULL;
    Bulkhead__Envelope e = BULKHEAD__ENVELOPE__INIT;
    Bulkhead__Hello hello = BULKHEAD__HELLO__INIT;
    Bulkhead__Announce announce = BULKHEAD__ANNOUNCE__INIT;
    Bulkhead__Ready ready = BULKHEAD__READY__INIT;
    Bulkhead__EntryState entry = BULKHEAD__ENTRY_STATE__INIT;
    Bulkhead__Loaded loaded = BULKHEAD__LOADED__INIT;
    Bulkhead__Activate activate = BULKHEAD__ACTIVATE__INIT;
    Bulkhead__QueueState queue = BULKHEAD__QUEUE_STATE__INIT, *queues[] = { &queue };
    Bulkhead__Reset reset = BULKHEAD__RESET__INIT;
    Bulkhead__DeviceGone gone = BULKHEAD__DEVICE_GONE__INIT;
    Bulkhead__GuestState state = BULKHEAD__GUEST_STATE__INIT;
    Bulkhead__LinkLost lost = BULKHEAD__LINK_LOST__INIT;
    Bulkhead__NeedsReset needs = BULKHEAD__NEEDS_RESET__INIT;
    Bulkhead__Failed failed = BULKHEAD__FAILED__INIT;
    struct event event = { .kind = EVENT_MESSAGE, .child = id, .envelope = &e };
    uint8_t config[16] = { 0 };
    unsigned body;

    if (!c)
        return;
    if (c->unsure && pick(4) != 1) {
        say_state(c);
        return;
    }
    if (c->state == CHILD_STARTED) {
        hello.protocol_min = PROTOCOL_MIN;
        hello.protocol_max = PROTOCOL_MAX;
        hello.role = c->role;
        e.body_case = B(HELLO);
        e.hello = &hello;
    } else if (c->state == CHILD_CONFIGURED) {
        if (d) {
            announce.virtio_id = 4;
            announce.num_queues = d->plan->num_queues;
            announce.queue_size = d->plan->queue_size;
            announce.config = (ProtobufCBinaryData){ .len = sizeof config, .data = config };
            ready.announce = &announce;
        }
        e.body_case = B(READY);
        e.ready = &ready;
    } else if (c->role == BULKHEAD__ROLE__ROLE_LOADER) {
        entry.kind = BULKHEAD__ENTRY_KIND__ENTRY_LINUX64;
        loaded.entry = &entry;
        e.body_case = B(LOADED);
        e.loaded = &loaded;
    } else if (c->role == BULKHEAD__ROLE__ROLE_CORE) {
        unsigned slot = f.vm.devices[pick(f.vm.n_devices)].plan->pci_slot;

        queue.size = 8;
        activate.slot = reset.slot = slot;
        activate.queues = queues;
        activate.n_queues = 1;
        switch (pick(5)) {
        case 4:
            gone.slot = slot;
            e.body_case = B(DEVICE_GONE);
            e.device_gone = &gone;
            break;
        case 0:
            e.body_case = B(ACTIVATE);
            e.activate = &activate;
            break;
        case 1:
            e.body_case = B(RESET);
            e.reset = &reset;
            break;
        default:
            state.state = (Bulkhead__GuestStateKind)(1 + pick(8));
            e.body_case = B(GUEST_STATE);
            e.guest_state = &state;
            break;
        }
    } else {
        /* None of these has content that the rules need, but for the two below. */
        static Bulkhead__ResetDone done = BULKHEAD__RESET_DONE__INIT;

        body = pick(sizeof of_worker / sizeof of_worker[0]);
        e.body_case = of_worker[body];
        e.reset_done = &done;
        if (e.body_case == B(LINK_LOST))
            e.link_lost = &lost;
        if (e.body_case == B(FAILED))
            e.failed = &failed;
        if (e.body_case == B(NEEDS_RESET))
            e.needs_reset = &needs;
        lost.returns = body % 2;
        if (d && f.on_rings[d->number] == id && c->killed_ns == 0 &&
            ((e.body_case == B(QUIESCED) && child_owes(c, DEBT_QUIESCED)) ||
             (e.body_case == B(RESET_DONE) && child_owes(c, DEBT_RESET_DONE))))
            f.on_rings[d->number] = 0;
    }
    if (!c->unsure) /* else it counts for nothing, and it will say so again */
        owed_said(id, &e);
    step(&event);
}

/* Of disks' workers the spawner holds it. */
static bool has_ring(uint32_t child)
{
    const struct child *c = vm_look(&f.vm, child);

    return c && c->role == BULKHEAD__ROLE__ROLE_BLK;
}

/* Straight to a guest that runs: by chance alone that is rare. */
static void run_up(void)
{
    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++) {
        struct event started = { .kind = EVENT_STARTED,
                                 .child = f.vm.children[i].id,
                                 .pid = 100,
                                 .has_ring = has_ring(f.vm.children[i].id) };

        if (started.child == 0 || f.vm.children[i].role == BULKHEAD__ROLE__ROLE_PASST)
            continue;
        step(&started);
        say(started.child);
        say(started.child);
    }
    for (unsigned i = 0; i < f.vm.n_devices; i++) {
        const struct event settled = { .kind = EVENT_PASST_SETTLED, .device = i };

        step(&settled);
    }
    if (f.vm.loader != 0) {
        const struct event left = { .kind = EVENT_EXITED, .child = f.vm.loader, .clean = true };

        say(f.vm.loader);
        step(&left);
    }
}

/* As run/ does before it asks: one of the kinds of which there is one. */
static bool take_place(unsigned *ret_device)
{
    static const Bulkhead__Role roles[] = { BULKHEAD__ROLE__ROLE_RNG, BULKHEAD__ROLE__ROLE_BALLOON,
                                            BULKHEAD__ROLE__ROLE_VSOCK, BULKHEAD__ROLE__ROLE_NET };
    Bulkhead__Role role = roles[pick(4)];
    struct fault fault;
    int number;

    for (unsigned i = 0; i < f.plan.n_devices; i++)
        if (f.plan.devices[i].role == role)
            return false;
    if (hotplug_check_add(&f.vm, &fault) < 0 && pick(4) != 1)
        return false;
    number = plan_add(&f.plan, f.config, role, 0);
    CHECK(number >= 0);
    vm_take_place(&f.vm, (unsigned)number);
    note_backends();
    *ret_device = (unsigned)number;
    return true;
}

static void ask(void)
{
    struct command c = { .kind = (enum command_kind)pick(COMMAND_REMOVE + 1) };
    const struct event e = { .kind = EVENT_COMMAND, .command = &c };
    Bulkhead__RateLimit limit = BULKHEAD__RATE_LIMIT__INIT;
    uint8_t bytes[32];

    if (f.n_tickets + 1 >= MAX_TICKETS || (c.kind == COMMAND_STOP && pick(8) != 1))
        return;
    c.device = pick(f.vm.n_devices);
    c.opened = pick(2);
    c.up = pick(2);
    c.force = pick(2);
    if (c.kind == COMMAND_ADD && !take_place(&c.device))
        return;
    c.ticket = (struct ticket){ .session = 1, .request = f.n_tickets++ };
    c.size_bytes = pick(16) * 4096u;
    if (c.kind == COMMAND_SET_LIMIT)
        c.limit =
            bulkhead__rate_limit__unpack(NULL, bulkhead__rate_limit__pack(&limit, bytes), bytes);
    step(&e);
}

static void happen(void)
{
    struct event e = { .child = 0 };
    const struct child *c;
    unsigned rare;

    switch (pick(12)) {
    case 0:
    case 1:
    case 2:
    case 3:
        say(any_child());
        return;
    case 4:
    case 5:
        ask();
        return;
    case 6:
        e.kind = EVENT_EXITED;
        e.child = any_child();
        e.clean = pick(2);
        break;
    case 7:
        e.kind = pick(4) == 1 ? EVENT_START_FAILED : EVENT_STARTED;
        e.child = any_child();
        c = vm_look(&f.vm, e.child);
        if (!c || c->pid != 0)
            return; /* the spawner says so once */
        if (c->role != BULKHEAD__ROLE__ROLE_PASST && c->state != CHILD_STARTED) /* it was heard */
            e.kind = EVENT_STARTED;
        e.pid = 100;
        e.has_ring = has_ring(e.child);
        break;
    case 8:
        f.now += (uint64_t)pick(100) * 100000000u;
        e.kind = EVENT_DEADLINE;
        break;
    case 9:
        e.kind = EVENT_PULSE;
        e.device = pick(f.vm.n_devices);
        e.beat = f.now;
        e.pulse = (enum pulse)pick(4);
        break;
    case 10:
        e.kind = pick(2) ? EVENT_TAP : EVENT_PASST_SETTLED;
        e.device = pick(f.vm.n_devices);
        e.tap = (enum tap_state)pick(3);
        break;
    default:
        e.beat = pick(8);
        if (e.beat >= 6 && f.spawner_gone)
            return; /* nobody would start another broker */
        if (e.beat == 7) {
            undone_note(&f.vm, NULL, 0);
            adopt();
            return;
        }
        if (e.beat == 6) {
            f.dies_after = 1 + pick(32);
            return;
        }
        rare = e.beat == 1 ? 0 : pick(8);
        e.kind = e.beat == 1 ? EVENT_CLOSED : rare == 1 ? EVENT_DEAF : EVENT_TICK;
        e.child = any_child();
        if (e.beat == 5 && rare == 2 && !f.spawner_gone) {
            e.kind = EVENT_SPAWNER_GONE;
            f.spawner_gone = true;
            f.dies_after = 0;
        }
        break;
    }
    step(&e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct event boot = { .kind = EVENT_BOOT }, deadline = { .kind = EVENT_DEADLINE };
    struct event stop = { .kind = EVENT_END };

    memset(&f, 0, sizeof f);
    undone_clear();
    owed_clear();
    f.data = data;
    f.left = size;
    f.now = UINT64_C(1000000000000);
    f.config = vm_config_make(pick(2) ? "user" : "tap");
    f.config->no_reboot = pick(2);
    plan_make(f.config, &f.plan);
    vm_init(&f.vm, f.config, &f.plan, f.now);
    f.vm.insecure = true;
    note_backends();
    if (size > 0 && data[size - 1] >= DIES_EARLY) /* while it starts */
        f.dies_after = data[size - 1] - DIES_EARLY + 1u;
    step(&boot);
    if (pick(8) != 1)
        run_up();
    for (unsigned n = 0; f.left > 0 && n < MAX_EVENTS && f.vm.phase != VM_GONE; n++) {
        happen();
        check(&f.vm);
    }
    f.dies_after = 0;
    /* Nobody answers any more, and nobody dies: the end comes all the same. */
    if (f.vm.phase != VM_GONE)
        step(&stop);
    for (unsigned n = 0; f.vm.phase != VM_GONE && n < MANY_DEADLINES; n++) {
        uint64_t at = vm_next_deadline(&f.vm);

        CHECK(at != 0);
        f.now = at > f.now ? at : f.now;
        step(&deadline);
    }
    CHECK(f.vm.phase == VM_GONE && f.ended == 1);
    for (uint32_t i = 0; i < f.n_tickets; i++)
        CHECK(f.replies[i] == 1);
    vm_deinit(&f.vm);
    config_free(f.config);
    return 0;
}
