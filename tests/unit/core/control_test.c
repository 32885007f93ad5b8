/* SPDX-License-Identifier: Apache-2.0 */
/* control_test.c - vmm-core/control.c and messages.c: the control thread of a core whose broker is slow, away,
 * dead, or a new one. The test is the broker and the driver; the vCPUs are a number. */
#include "test.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/fd.h"
#include "control.h"
#include "rig.h"
#include "vcpu_threads.h"

enum { PATIENCE_MS = 30000, QUIET_MS = 200, VCPUS = 2, SLOT = 5, BALLOON = 5, ACTUAL_AT = 4 };
enum { QUEUES = 2, QUEUE_MAX = 64, CONFIG_BYTES = 16 };
#define BAR (LAYOUT_MMIO32_BASE + SLOT * LAYOUT_BAR_STRIDE)
#define ECAM (LAYOUT_ECAM_BASE + SLOT * 8ull * PCI_FUNCTION_BYTES)
#define FEATURES VIRTIO_FEATURE_VERSION_1
#define OK                                                                                         \
    (VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FEATURES_OK |                \
     VIRTIO_STATUS_DRIVER_OK)
#define B(name) BULKHEAD__ENVELOPE__BODY_##name

/* A core with a balloon in SLOT, on the buses of the rig. */
static struct {
    struct core core;
    struct rig *rig;
    struct channel *broker;
    int far_fd; /* the core's end, once more */
    unsigned n_unread;
    pthread_t thread;
    int result;
} t;

/* ---- what control.c calls ---- */

int core_attach(struct core *core, const Bulkhead__AttachDevice *attach, int *fds)
{
    return (void)core, (void)attach, (void)fds, -ENOSYS;
}

void core_detach(struct core *core, unsigned slot, bool force)
{
    (void)core, (void)slot, (void)force;
}

void core_guest_ended(struct core *core, Bulkhead__GuestStateKind how, const char *detail)
{
    pthread_mutex_lock(&core->turn_lock);
    core->turns.end = how;
    snprintf(core->turns.end_detail, sizeof core->turns.end_detail, "%s", detail);
    core->turns.turn = CORE_HOLD;
    core->turns.parked = VCPUS;
    pthread_mutex_unlock(&core->turn_lock);
    fd_event_signal(core->wake_fd);
}

void core_kick(struct core *core)
{
    (void)core;
}

/* They stand still when the test says so. */
void core_hold(struct core *core)
{
    pthread_mutex_lock(&core->turn_lock);
    core->turns.turn = CORE_HOLD;
    pthread_mutex_unlock(&core->turn_lock);
}

void core_resume(struct core *core)
{
    pthread_mutex_lock(&core->turn_lock);
    core->turns.turn = CORE_RUN;
    core->turns.parked = 0;
    pthread_mutex_unlock(&core->turn_lock);
}

static enum core_turn turn(void)
{
    enum core_turn now;

    pthread_mutex_lock(&t.core.turn_lock);
    now = t.core.turns.turn;
    pthread_mutex_unlock(&t.core.turn_lock);
    return now;
}

static void park_all(void)
{
    for (unsigned i = 0; i < PATIENCE_MS && turn() != CORE_HOLD; i++)
        usleep(1000);
    assert_int_equal(turn(), CORE_HOLD);
    pthread_mutex_lock(&t.core.turn_lock);
    t.core.turns.parked = VCPUS;
    pthread_mutex_unlock(&t.core.turn_lock);
    fd_event_signal(t.core.wake_fd);
}

/* ---- the broker ---- */

static void tell(const Bulkhead__Envelope *e)
{
    assert_int_equal(channel_send(t.broker, e, NULL, 0, false), 0);
}

static const Bulkhead__Envelope *expect(Bulkhead__Envelope__BodyCase body)
{
    struct pollfd p = { .fd = channel_fd(t.broker), .events = POLLIN };
    struct message msg;

    if (poll(&p, 1, PATIENCE_MS) != 1)
        fail_msg("no %s", rules_body_name(body));
    assert_int_equal(channel_receive(t.broker, false, &msg), 0);
    assert_string_equal(rules_body_name(msg.envelope->body_case), rules_body_name(body));
    return msg.envelope;
}

static void expect_silence(void)
{
    struct pollfd p = { .fd = channel_fd(t.broker), .events = POLLIN };
    struct message msg;

    if (poll(&p, 1, QUIET_MS) == 0)
        return;
    assert_int_equal(channel_receive(t.broker, false, &msg), 0);
    fail_msg("%s where nothing was due", rules_body_name(msg.envelope->body_case));
}

static void expect_state(Bulkhead__GuestStateKind kind)
{
    assert_int_equal(expect(B(GUEST_STATE))->guest_state->state, kind);
}

static void go_away(void)
{
    expect_silence();
    for (t.n_unread = 0; send(t.far_fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1;)
        t.n_unread++;
    assert_true(t.n_unread > 0);
}

static void come_back(void)
{
    char byte[2];

    for (; t.n_unread > 0; t.n_unread--)
        assert_int_equal(recv(channel_fd(t.broker), byte, sizeof byte, MSG_DONTWAIT), 1);
}

static void resync(uint32_t epoch)
{
    Bulkhead__Resync m = BULKHEAD__RESYNC__INIT;
    ENVELOPE(e, RESYNC, resync, &m);

    m.epoch = epoch;
    tell(&e);
}

static void reset_done(void)
{
    Bulkhead__ResetDone m = BULKHEAD__RESET_DONE__INIT;
    ENVELOPE(e, RESET_DONE, reset_done, &m);

    m.slot = SLOT;
    tell(&e);
}

static void pause_vcpus(void)
{
    Bulkhead__PauseVcpus m = BULKHEAD__PAUSE_VCPUS__INIT;
    ENVELOPE(e, PAUSE_VCPUS, pause_vcpus, &m);

    tell(&e);
}

static void resume_vcpus(void)
{
    Bulkhead__ResumeVcpus m = BULKHEAD__RESUME_VCPUS__INIT;
    ENVELOPE(e, RESUME_VCPUS, resume_vcpus, &m);

    tell(&e);
}

static void device_changed(unsigned offset, uint32_t value)
{
    Bulkhead__ConfigUpdate m = BULKHEAD__CONFIG_UPDATE__INIT;
    ENVELOPE(e, CONFIG_UPDATE, config_update, &m);

    m.slot = SLOT;
    m.offset = offset;
    m.data.data = (uint8_t *)&value;
    m.data.len = sizeof value;
    tell(&e);
}

static const Bulkhead__DeviceSnapshot *expect_device(uint32_t epoch)
{
    const Bulkhead__DeviceSnapshot *s = expect(B(DEVICE_SNAPSHOT))->device_snapshot;

    assert_int_equal(s->epoch, epoch);
    assert_int_equal(s->slot, SLOT);
    return s;
}

static const Bulkhead__Snapshot *expect_snapshot(uint32_t epoch, Bulkhead__SnapshotState state)
{
    const Bulkhead__Snapshot *s = expect(B(SNAPSHOT))->snapshot;

    assert_int_equal(s->epoch, epoch);
    assert_int_equal(s->state, state);
    return s;
}

/* ---- the driver ---- */

static void reg(uint64_t off, unsigned size, uint64_t value)
{
    rig_write(t.rig, BAR + off, size, value);
}

static uint64_t status(void)
{
    return rig_read(t.rig, BAR + 0x14, 1);
}

static void drive(void)
{
    reg(0x14, 1, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
    for (unsigned i = 0; i < 2; i++) {
        reg(0x08, 4, i);
        reg(0x0c, 4, (uint32_t)(FEATURES >> (32 * i)));
    }
    reg(0x14, 1, OK & ~VIRTIO_STATUS_DRIVER_OK);
    reg(0x16, 2, 1);
    reg(0x18, 2, 32);
    reg(0x20, 8, 0x10000);
    reg(0x28, 8, 0x20000);
    reg(0x30, 8, 0x30000);
    reg(0x1c, 2, 1);
    reg(0x14, 1, OK);
}

static void wait_status(uint64_t want)
{
    for (unsigned i = 0; i < PATIENCE_MS && status() != want; i++)
        usleep(1000);
    assert_int_equal(status(), want);
}

/* ---- the core ---- */

static void *run(void *arg)
{
    (void)arg;
    t.result = core_control_run(&t.core, 0);
    return NULL;
}

static void plug(void)
{
    static const uint8_t config[CONFIG_BYTES] = { 1, 2, 3, 4 };
    struct virtio_pci *dev = &t.core.devices[SLOT];
    struct virtio_plug_config c = { .virtio_id = BALLOON,
                                    .features = FEATURES,
                                    .n_queues = QUEUES,
                                    .queue_size = QUEUE_MAX,
                                    .config = config,
                                    .config_len = CONFIG_BYTES,
                                    .first_gsi = 200,
                                    .kick_fds = t.rig->kick,
                                    .call_fds = t.rig->call };

    virtio_pci_init(dev, &t.rig->hv, SLOT, t.core.wake_fd);
    assert_int_equal(virtio_plug_in(dev, &c), 0);
    assert_int_equal(pci_host_plug(&t.rig->host, (struct pci_address){ .device = SLOT }, &dev->fn),
                     0);
    rig_write(t.rig, ECAM + PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    t.core.attached[SLOT] = true;
}

/* While nobody reads, its thread can't say that it has done what it was told. Should it need longer than
 * this, the test is less sharp, and passes all the same. */
static void let_it_turn(void)
{
    usleep(QUIET_MS * 1000);
}

static void start(void)
{
    Bulkhead__EntryState entry = BULKHEAD__ENTRY_STATE__INIT;
    Bulkhead__Start m = BULKHEAD__START__INIT;
    struct core *core = &t.core;
    int pair[2];
    ENVELOPE(e, START, start, &m);

    memset(&t, 0, sizeof t);
    t.rig = rig_new(BALLOON, RIG_QUEUES);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(channel_new(&t.broker, pair[0], CHANNEL_ARENA_BROKER), 0);
    assert_int_equal(channel_new(&core->control.channel, pair[1], CHANNEL_ARENA_CHILD), 0);
    t.far_fd = dup(pair[1]);
    core->control.state = CHILD_CONFIGURED;
    core->control.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    core->n_vcpus = VCPUS;
    core->wake_fd = t.rig->wake_fd;
    core->serial_in_fd = -1;
    pthread_mutex_init(&core->turn_lock, NULL);
    plug();
    assert_int_equal(pthread_create(&t.thread, NULL, run, NULL), 0);
    expect(B(READY));
    entry.kind = BULKHEAD__ENTRY_KIND__ENTRY_PVH;
    m.entry = &entry;
    tell(&e);
    expect_state(BULKHEAD__GUEST_STATE_KIND__GUEST_RUNNING);
}

/* Its answer to Stop is its end. */
static void stop(void)
{
    Bulkhead__Stop m = BULKHEAD__STOP__INIT;
    ENVELOPE(e, STOP, stop, &m);

    if (t.broker)
        tell(&e);
    pthread_join(t.thread, NULL);
    channel_freep(&t.broker);
    channel_freep(&t.core.control.channel);
    fd_closep(&t.far_fd);
    fd_closep(&t.core.control.epoll_fd);
    rig_free(t.rig);
}

/* ---- tests ---- */

/* What was the end of the guest without another broker to come: here one reads again, later. */
static void a_reset_waits_while_nobody_reads(void **state)
{
    const Bulkhead__Activate *a;

    (void)state;
    start();
    go_away();
    drive();
    let_it_turn();
    reg(0x14, 1, 0);
    let_it_turn();
    assert_int_equal(status(), OK); /* not acknowledged */
    assert_int_equal(t.core.turns.end, BULKHEAD__GUEST_STATE_KIND__GUEST_NONE);
    come_back();
    a = expect(B(ACTIVATE))->activate;
    assert_int_equal(a->slot, SLOT);
    assert_int_equal(expect(B(RESET))->reset->slot, SLOT);
    expect_silence();
    reset_done();
    wait_status(0);
    stop();
}

static void a_closed_socket_ends_a_guest_that_resets(void **state)
{
    (void)state;
    start();
    drive();
    expect(B(ACTIVATE));
    fd_closep(&t.far_fd);
    channel_freep(&t.broker);
    let_it_turn();
    assert_int_equal(t.core.turns.end, BULKHEAD__GUEST_STATE_KIND__GUEST_NONE);
    reg(0x14, 1, 0);
    stop(); /* or it would wait for ever */
    assert_int_equal(t.core.turns.end, BULKHEAD__GUEST_STATE_KIND__GUEST_SHUTDOWN);
    assert_int_equal(t.result, 0);
}

static void a_snapshot_says_what_the_driver_did(void **state)
{
    const Bulkhead__DeviceSnapshot *s;

    (void)state;
    start();
    resync(2);
    s = expect_device(2);
    assert_false(s->active || s->resetting || s->needs_reset);
    assert_int_equal(s->n_queues, 0);
    assert_int_equal(s->config.len, CONFIG_BYTES);
    assert_int_equal(s->config.data[2], 3);
    assert_null(expect_snapshot(2, BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_RUNNING)->end);
    drive();
    expect(B(ACTIVATE));
    resync(3);
    s = expect_device(3);
    assert_true(s->active);
    assert_false(s->resetting);
    assert_true(s->features == FEATURES);
    assert_int_equal(s->n_queues, 1);
    assert_int_equal(s->queues[0]->index, 1);
    assert_int_equal(s->queues[0]->size, 32);
    assert_int_equal(s->queues[0]->desc, 0x10000);
    assert_int_equal(s->queues[0]->avail, 0x20000);
    assert_int_equal(s->queues[0]->used, 0x30000);
    expect_snapshot(3, BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_RUNNING);
    reg(0x14, 1, 0);
    expect(B(RESET));
    resync(4);
    s = expect_device(4);
    assert_true(s->active && s->resetting);
    expect_snapshot(4, BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_RUNNING);
    reset_done();
    wait_status(0);
    resync(5);
    assert_false(expect_device(5)->active);
    expect_snapshot(5, BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_RUNNING);
    expect_silence();
    stop();
}

/* An Activate and a Reset that no broker has read, or that one read in vain. */
static void a_snapshot_stands_for_what_was_under_way(void **state)
{
    (void)state;
    start();
    go_away();
    drive();
    let_it_turn(); /* it was taken, and doesn't fit */
    resync(2);
    resync(3); /* the broker before had no time to hear the answer */
    let_it_turn();
    come_back();
    assert_true(expect_device(3)->active);
    expect_snapshot(3, BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_RUNNING);
    expect_silence();
    go_away();
    reg(0x14, 1, 0);
    let_it_turn();
    resync(7);
    let_it_turn();
    come_back();
    assert_true(expect_device(7)->resetting);
    expect_snapshot(7, BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_RUNNING);
    expect_silence();
    reset_done();
    wait_status(0);
    stop();
}

static void a_pause_is_told_in_each_of_its_stages(void **state)
{
    (void)state;
    start();
    pause_vcpus();
    resync(2);
    expect_device(2);
    assert_true(expect_snapshot(2, BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_RUNNING)->pausing);
    park_all();
    expect_state(BULKHEAD__GUEST_STATE_KIND__GUEST_PAUSED);
    resync(3);
    expect_device(3);
    assert_false(expect_snapshot(3, BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_QUIESCED)->pausing);
    go_away();
    resume_vcpus();
    resync(4); /* the answer to ResumeVcpus is in it */
    let_it_turn();
    come_back();
    expect_device(4);
    expect_snapshot(4, BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_RUNNING);
    expect_silence();
    go_away();
    pause_vcpus();
    park_all();
    let_it_turn();
    resync(5); /* the answer to PauseVcpus too */
    let_it_turn();
    come_back();
    expect_device(5);
    expect_snapshot(5, BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_QUIESCED);
    expect_silence();
    resume_vcpus();
    expect_state(BULKHEAD__GUEST_STATE_KIND__GUEST_RUNNING);
    stop();
}

static void an_end_is_told_to_each_broker(void **state)
{
    const Bulkhead__Snapshot *s;

    (void)state;
    start();
    core_guest_ended(&t.core, BULKHEAD__GUEST_STATE_KIND__GUEST_REBOOT, "reset register");
    expect_state(BULKHEAD__GUEST_STATE_KIND__GUEST_REBOOT);
    for (uint32_t epoch = 1; epoch < 4; epoch++) {
        resync(epoch);
        expect_device(epoch);
        s = expect_snapshot(epoch, BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_RUNNING);
        assert_non_null(s->end);
        assert_int_equal(s->end->state, BULKHEAD__GUEST_STATE_KIND__GUEST_REBOOT);
        assert_string_equal(s->end->detail, "reset register");
        expect_silence();
    }
    stop();
}

/* The guest ends while nobody reads: no end of the core's, which would end its workers. */
static void an_end_waits_too(void **state)
{
    (void)state;
    start();
    go_away();
    core_guest_ended(&t.core, BULKHEAD__GUEST_STATE_KIND__GUEST_SHUTDOWN, "ACPI S5");
    let_it_turn();
    resync(2);
    let_it_turn();
    come_back();
    expect_device(2);
    assert_non_null(expect_snapshot(2, BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_RUNNING)->end);
    expect_silence();
    stop();
}

static uint32_t actual(void)
{
    return (uint32_t)rig_read(t.rig, BAR + VIRTIO_BAR_DEVICE + ACTUAL_AT, 4);
}

static uint32_t target(void)
{
    return (uint32_t)rig_read(t.rig, BAR + VIRTIO_BAR_DEVICE, 4);
}

/* Both ends say again what they wrote: the driver's word counts for what is the driver's. */
static void what_the_driver_wrote_is_said_again(void **state)
{
    const Bulkhead__ConfigUpdate *u;

    (void)state;
    start();
    drive();
    expect(B(ACTIVATE));
    reg(VIRTIO_BAR_DEVICE + ACTUAL_AT, 4, 0x11223344);
    assert_int_equal(expect(B(CONFIG_UPDATE))->config_update->offset, ACTUAL_AT);
    resync(2);
    assert_int_equal(expect_device(2)->config.data[ACTUAL_AT], 0x44);
    expect_snapshot(2, BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_RUNNING);
    u = expect(B(CONFIG_UPDATE))->config_update;
    assert_int_equal(u->offset, ACTUAL_AT);
    assert_int_equal(u->data.len, 4);
    assert_int_equal(u->data.data[3], 0x11);
    device_changed(ACTUAL_AT, 0); /* what it was when the device said so last */
    device_changed(0, 77);
    for (unsigned i = 0; i < PATIENCE_MS && target() != 77; i++)
        usleep(1000);
    assert_int_equal(target(), 77);
    assert_int_equal(actual(), 0x11223344);
    /* After a reset there is no such driver. */
    reg(0x14, 1, 0);
    expect(B(RESET));
    device_changed(ACTUAL_AT, 0);
    resync(3);
    assert_int_equal(expect_device(3)->config.data[ACTUAL_AT], 0);
    expect_snapshot(3, BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_RUNNING);
    expect_silence();
    reset_done();
    wait_status(0);
    stop();
}

static void an_epoch_that_is_not_new_ends_the_core(void **state)
{
    (void)state;
    start();
    resync(2);
    expect_device(2);
    expect_snapshot(2, BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_RUNNING);
    resync(2);
    stop();
    assert_int_equal(t.result, -EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reset_waits_while_nobody_reads),
        cmocka_unit_test(a_closed_socket_ends_a_guest_that_resets),
        cmocka_unit_test(a_snapshot_says_what_the_driver_did),
        cmocka_unit_test(a_snapshot_stands_for_what_was_under_way),
        cmocka_unit_test(a_pause_is_told_in_each_of_its_stages),
        cmocka_unit_test(an_end_is_told_to_each_broker),
        cmocka_unit_test(an_end_waits_too),
        cmocka_unit_test(what_the_driver_wrote_is_said_again),
        cmocka_unit_test(an_epoch_that_is_not_new_ends_the_core),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
