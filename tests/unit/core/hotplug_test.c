/* SPDX-License-Identifier: Apache-2.0 */
/* hotplug_test.c - devices that come into a slot and leave it while the guest runs, and the registers
 * by which the guest hears of them. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>
#include "base/fd.h"
#include "platform/hotplug.h"
#include "rig.h"

enum { BLK = 2, RNG = 4, NET = 1, STATUS = 0x14, NOTIFY = 0x3000, TABLE = 0x4000 };
enum { UP = LAYOUT_PIO_HOTPLUG, DOWN = UP + 4, EJECT = UP + 8 };

/* ---- the registers ---- */

struct board {
    struct hv hv;
    struct bus pio;
    struct ged ged;
    struct hotplug hotplug;
    uint32_t ejected; /* slots */
    unsigned ejects;
};

static void on_eject(void *arg, unsigned slot)
{
    struct board *b = arg;

    b->ejected |= UINT32_C(1) << slot;
    b->ejects++;
}

static struct board *board_new(void)
{
    static struct board board;

    memset(&board, 0, sizeof board);
    ged_init(&board.ged, &board.hv);
    hotplug_init(&board.hotplug, &board.ged, on_eject, &board);
    assert_int_equal(ged_add_to(&board.ged, &board.pio), 0);
    assert_int_equal(hotplug_add_to(&board.hotplug, &board.pio), 0);
    return &board;
}

static uint64_t in(struct board *b, uint16_t port, unsigned size)
{
    uint64_t value = 0;

    bus_read(&b->pio, port, size, &value);
    return value;
}

static void out(struct board *b, uint16_t port, unsigned size, uint64_t value)
{
    bus_write(&b->pio, port, size, &value);
}

/* The guest may have the line masked: the event stays, and the line up, until the guest has looked. */
static void test_events_wait_for_the_guest(void **state)
{
    struct board *b = board_new();

    (void)state;
    hotplug_came(&b->hotplug, 5);
    hotplug_came(&b->hotplug, 31);
    hotplug_goes(&b->hotplug, 1);
    assert_true(b->hv.line[LAYOUT_GSI_GED]);
    assert_int_equal(b->hv.rises[LAYOUT_GSI_GED], 1);
    assert_int_equal(in(b, LAYOUT_PIO_GED, 4), LAYOUT_GED_PCI);
    assert_false(b->hv.line[LAYOUT_GSI_GED]);
    /* Parts are read and not taken. */
    assert_int_equal(in(b, UP, 1), 1 << 5);
    assert_int_equal(in(b, UP + 3, 1), 0x80);
    assert_int_equal(in(b, UP + 2, 4), 0x00028000);
    assert_int_equal(in(b, UP, 4), 1u << 31 | 1u << 5);
    assert_int_equal(in(b, UP, 4), 0);
    assert_int_equal(in(b, DOWN, 4), 1 << 1);
    assert_int_equal(in(b, DOWN, 4), 0);
    assert_int_equal(in(b, EJECT, 4), 0);
    assert_int_equal(in(b, EJECT + 4, 1), 0xff); /* nobody */
    /* Between the guest's read of the event and that of the slots. */
    hotplug_goes(&b->hotplug, 2);
    assert_int_equal(in(b, LAYOUT_PIO_GED, 4), LAYOUT_GED_PCI);
    hotplug_goes(&b->hotplug, 3);
    assert_int_equal(in(b, DOWN, 4), 1 << 2 | 1 << 3);
    assert_true(b->hv.line[LAYOUT_GSI_GED]);
}

static void test_an_eject_counts_if_it_was_asked_for(void **state)
{
    struct board *b = board_new();

    (void)state;
    out(b, EJECT, 4, UINT32_MAX);
    hotplug_came(&b->hotplug, 4);
    out(b, EJECT, 4, UINT32_MAX);
    assert_int_equal(b->ejects, 0);
    hotplug_goes(&b->hotplug, 4);
    hotplug_goes(&b->hotplug, 7);
    for (unsigned size = 1; size <= 8; size *= 2) /* not the register */
        for (unsigned off = 0; off < 12; off++)
            if (size != 4 || off != 8)
                out(b, (uint16_t)(UP + off), size, UINT64_C(0x0000009000000090));
    assert_int_equal(b->ejects, 0);
    out(b, EJECT, 4, 1 << 4 | 1 << 5);
    assert_int_equal(b->ejected, 1 << 4);
    out(b, EJECT, 4, 1 << 4);
    assert_int_equal(b->ejects, 1);
    /* What was asked of the device before is not asked of the next. */
    hotplug_came(&b->hotplug, 7);
    assert_int_equal(in(b, DOWN, 4), 1 << 4);
    out(b, EJECT, 4, UINT32_MAX);
    assert_int_equal(b->ejects, 1);
}

/* ---- a device's way out ---- */

static void enable_msix(struct rig *rig)
{
    rig_write(rig, RIG_ECAM + 0x42, 2, MSIX_CONTROL_ENABLE);
    for (unsigned v = 0; v <= rig->n_queues; v++) {
        bar_write(rig, TABLE + 16 * v, 8, LAYOUT_LAPIC_BASE);
        bar_write(rig, TABLE + 16 * v + 8, 4, 0x41 + v);
        bar_write(rig, TABLE + 16 * v + 12, 4, 0);
    }
    bar_write(rig, 0x10, 2, 0);
    for (unsigned q = 0; q < rig->n_queues; q++) {
        bar_write(rig, 0x16, 2, q);
        bar_write(rig, 0x1a, 2, q + 1);
    }
}

/* A device whose driver has it activated, with all its interrupts. */
static struct rig *active(uint32_t virtio_id)
{
    struct rig *rig = rig_new(virtio_id, RIG_QUEUES);
    struct virtio_due_item item;

    rig_negotiate(rig, RIG_FEATURES);
    enable_msix(rig);
    rig_go(rig);
    assert_true(virtio_pci_take(&rig->dev, &item));
    assert_int_equal(item.what, VIRTIO_DUE_ACTIVATE);
    assert_int_equal(fake_routes(&rig->hv), RIG_QUEUES);
    assert_int_equal(fake_notifies(&rig->hv), RIG_QUEUES);
    (void)fd_event_drain(rig->wake_fd);
    return rig;
}

static enum virtio_due take(struct rig *rig)
{
    struct virtio_due_item item;

    return virtio_pci_take(&rig->dev, &item) ? item.what : VIRTIO_DUE_NOTHING;
}

static void expect_empty(struct rig *rig)
{
    assert_int_equal(rig_read(rig, RIG_ECAM, 4), UINT32_MAX);
    rig_write(rig, RIG_ECAM + PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    rig_out(rig, 0xcf8, 4, 0x80000000u | RIG_SLOT << 11);
    assert_int_equal(rig_in(rig, 0xcfc, 4), UINT32_MAX);
    for (uint64_t off = 0; off < VIRTIO_BAR_BYTES; off += 0xffc)
        assert_int_equal(bar_read(rig, off, 4), UINT32_MAX);
    assert_int_equal(fake_notifies(&rig->hv), 0);
}

static void expect_gone(struct rig *rig)
{
    assert_int_equal(take(rig), VIRTIO_DUE_GONE);
    assert_int_equal(take(rig), VIRTIO_DUE_NOTHING);
    assert_int_equal(fake_routes(&rig->hv), 0);
    for (unsigned q = 0; q < rig->n_queues; q++) {
        assert_false(rig->hv.gsi[RIG_GSI + q].attached);
        assert_int_equal(fcntl(rig->kick[q], F_GETFD), -1);
        assert_int_equal(fcntl(rig->call[q], F_GETFD), -1);
    }
    assert_int_equal(rig->hv.mistakes, 0);
}

/* The registers go at once, the rest when the worker is off the rings: until then it may interrupt. */
static void test_eject_waits_for_the_worker(void **state)
{
    struct rig *rig = active(RNG);

    (void)state;
    assert_true(virtio_plug_ask(&rig->dev));
    assert_int_equal(rig_read(rig, RIG_ECAM, 4),
                     0x10441af4); /* it is the guest's until it ejects */
    assert_int_equal(take(rig), VIRTIO_DUE_NOTHING);
    assert_false(virtio_plug_eject(&rig->dev));
    expect_empty(rig);
    assert_true(fd_event_drain(rig->wake_fd) > 0);
    bar_write(rig, NOTIFY, 2, 0);
    assert_int_equal(fd_event_drain(rig->kick[0]), 0);
    assert_int_equal(take(rig), VIRTIO_DUE_RESET);
    assert_int_equal(take(rig), VIRTIO_DUE_NOTHING);
    assert_true(rig->hv.gsi[RIG_GSI].attached);
    assert_int_equal(rig_plug(rig, BLK, 1), -EEXIST);
    close(rig->kick[0]);
    close(rig->call[0]);
    rig->kick[0] = rig->dev.queues[0].kick_fd;
    rig->call[0] = rig->dev.queues[0].call_fd;
    rig->n_queues = RIG_QUEUES;
    virtio_pci_needs_reset(&rig->dev);
    assert_true(virtio_pci_config_changed(&rig->dev, 0, "x", 1));
    assert_int_equal(rig->hv.msis, 0);
    assert_false(virtio_plug_eject(&rig->dev));
    assert_false(virtio_plug_ask(&rig->dev));
    assert_false(virtio_plug_out(&rig->dev));
    virtio_pci_reset_done(&rig->dev);
    expect_gone(rig);
    assert_false(virtio_plug_ask(&rig->dev));
    assert_false(virtio_plug_out(&rig->dev));
    assert_false(virtio_plug_eject(&rig->dev));
    rig_free(rig);
}

/* At each point of the driver's life: what the worker must hear, if anything. */
static void test_eject_at_any_time(void **state)
{
    struct rig *rig = rig_new(RNG, RIG_QUEUES);

    (void)state;
    assert_false(virtio_plug_eject(&rig->dev)); /* no driver */
    expect_empty(rig);
    expect_gone(rig);

    rig = rig_new(BLK, RIG_QUEUES);
    rig_negotiate(rig, RIG_FEATURES);
    enable_msix(rig);
    rig_go(rig); /* the worker has not heard of it */
    assert_false(virtio_plug_eject(&rig->dev));
    expect_gone(rig);

    rig = active(BLK);
    bar_write(rig, STATUS, 1, 0); /* a reset that is under way */
    assert_int_equal(take(rig), VIRTIO_DUE_RESET);
    assert_false(virtio_plug_eject(&rig->dev));
    assert_int_equal(take(rig), VIRTIO_DUE_NOTHING);
    virtio_pci_reset_done(&rig->dev);
    expect_gone(rig);

    rig = active(BLK);
    bar_write(rig, STATUS, 1, 0); /* one that is over, as drivers do before */
    assert_int_equal(take(rig), VIRTIO_DUE_RESET);
    virtio_pci_reset_done(&rig->dev);
    assert_false(virtio_plug_eject(&rig->dev));
    expect_gone(rig);

    rig = rig_new(5, RIG_QUEUES); /* what a balloon's driver wrote last is for nobody */
    rig_negotiate(rig, RIG_FEATURES);
    bar_write(rig, VIRTIO_BAR_DEVICE + 4, 4, 7);
    assert_false(virtio_plug_eject(&rig->dev));
    expect_gone(rig);
    rig_free(rig);
}

/* Nothing of the device before, be it of another kind. */
static void test_the_next_device_is_new(void **state)
{
    struct rig *rig = active(BLK);

    (void)state;
    bar_write(rig, 0x10, 2, 0);
    rig_write(rig, RIG_ECAM + PCI_BAR0, 4, LAYOUT_MMIO32_BASE + 0x100000);
    rig_write(rig, RIG_ECAM + PCI_INTERRUPT_LINE, 1, 11);
    assert_false(virtio_plug_eject(&rig->dev));
    assert_int_equal(rig_read(rig, LAYOUT_MMIO32_BASE + 0x100000, 4), UINT32_MAX);
    assert_int_equal(take(rig), VIRTIO_DUE_RESET);
    virtio_pci_reset_done(&rig->dev);
    expect_gone(rig);
    assert_int_equal(rig_plug(rig, NET, RIG_QUEUES + 4), 0);
    assert_int_equal(rig_read(rig, RIG_ECAM, 4), 0x10411af4);
    assert_int_equal(rig_read(rig, RIG_ECAM + PCI_COMMAND, 2), 0);
    assert_int_equal(rig_read(rig, RIG_ECAM + PCI_INTERRUPT_LINE, 1), 0);
    assert_int_equal(rig_read(rig, RIG_ECAM + PCI_BAR0, 4), RIG_BAR);
    assert_int_equal(rig_read(rig, RIG_ECAM + 0x42, 2),
                     RIG_QUEUES + 4);                  /* MSI-X off, vectors - 1 */
    assert_int_equal(bar_read(rig, 0, 4), UINT32_MAX); /* not decoded yet */
    rig_write(rig, RIG_ECAM + PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    assert_int_equal(fake_notifies(&rig->hv), RIG_QUEUES + 4);
    assert_int_equal(bar_read(rig, STATUS, 1), 0);
    assert_int_equal(bar_read(rig, 0x10, 4), (RIG_QUEUES + 4) << 16 | MSIX_NO_VECTOR);
    for (unsigned v = 0; v <= RIG_QUEUES + 4; v++) {
        assert_int_equal(bar_read(rig, TABLE + 16 * v, 8), 0);
        assert_int_equal(bar_read(rig, TABLE + 16 * v + 12, 4), 1);
    }
    bar_write(rig, 0x16, 2, 0);
    assert_int_equal(bar_read(rig, 0x18, 2), RIG_QUEUE_MAX);
    assert_int_equal(bar_read(rig, 0x1a, 4), MSIX_NO_VECTOR); /* and not enabled */
    assert_int_equal(bar_read(rig, 0x20, 8), 0);
    bar_write(rig, NOTIFY + 4, 2, 0);
    assert_int_equal(fake_notify_at(&rig->hv, RIG_BAR + NOTIFY + 4), rig->kick[1]);
    assert_int_equal(rig->hv.mistakes, 0);
    rig_free(rig);
}

/* ---- without the guest's consent ---- */

static void expect_remains(struct rig *rig)
{
    assert_int_equal(rig_read(rig, RIG_ECAM, 4), UINT32_MAX);
    assert_int_equal(bar_read(rig, 0, 4), UINT32_MAX);
    assert_int_equal(bar_read(rig, VIRTIO_BAR_DEVICE, 8), UINT64_MAX);
    /* Linux waits for this one to be 0. */
    assert_int_equal(bar_read(rig, STATUS, 1), 0);
    assert_int_equal(bar_read(rig, STATUS, 2), 0xff00);
    assert_int_equal(bar_read(rig, STATUS - 4, 8), UINT64_C(0xffffff00ffffffff));
    assert_int_equal(bar_read(rig, STATUS + 1, 4), UINT32_MAX);
    bar_write(rig, STATUS, 1, 1);
    bar_write(rig, NOTIFY, 2, 0);
    assert_int_equal(bar_read(rig, STATUS, 1), 0);
    assert_int_equal(fake_notifies(&rig->hv), 0);
}

static void test_a_device_is_taken_away(void **state)
{
    struct rig *rig = active(BLK);

    (void)state;
    assert_true(virtio_plug_ask(&rig->dev));
    assert_true(virtio_plug_out(&rig->dev));
    assert_false(virtio_plug_out(&rig->dev));
    expect_remains(rig);
    assert_int_equal(take(rig), VIRTIO_DUE_RESET);
    virtio_pci_reset_done(&rig->dev);
    expect_gone(rig);
    expect_remains(rig);
    assert_false(virtio_plug_eject(&rig->dev));
    expect_empty(rig);
    assert_int_equal(take(rig), VIRTIO_DUE_NOTHING);
    assert_int_equal(rig_plug(rig, RNG, 1), 0);
    assert_int_equal(rig_read(rig, RIG_ECAM, 4), 0x10441af4);
    rig_free(rig);
}

/* The guest would take the new device for the one that it still has. */
static void test_the_next_device_waits_for_the_eject(void **state)
{
    struct rig *rig = active(BLK);

    (void)state;
    assert_true(virtio_plug_out(&rig->dev));
    assert_int_equal(take(rig), VIRTIO_DUE_RESET);
    virtio_pci_reset_done(&rig->dev);
    expect_gone(rig);
    assert_int_equal(rig_plug(rig, RNG, 1), VIRTIO_PLUG_WAITS);
    expect_remains(rig);
    assert_true(virtio_pci_config_changed(&rig->dev, 0, "y", 1));
    assert_true(virtio_plug_eject(&rig->dev)); /* it is there */
    assert_int_equal(rig_read(rig, RIG_ECAM, 4), 0x10441af4);
    assert_int_equal(bar_read(rig, STATUS, 1), 0xff);
    rig_write(rig, RIG_ECAM + PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    assert_int_equal(bar_read(rig, STATUS, 1), 0);
    assert_int_equal(bar_read(rig, VIRTIO_BAR_DEVICE, 1), 'y');
    /* One that nobody has seen needs nobody's consent. */
    assert_true(virtio_plug_out(&rig->dev));
    expect_gone(rig);
    assert_int_equal(rig_plug(rig, BLK, 2), VIRTIO_PLUG_WAITS);
    assert_false(virtio_plug_ask(&rig->dev));
    expect_gone(rig);
    assert_int_equal(rig_plug(rig, BLK, 2), VIRTIO_PLUG_WAITS);
    assert_false(virtio_plug_out(&rig->dev));
    expect_gone(rig);
    assert_false(virtio_plug_eject(&rig->dev));
    rig_free(rig);
}

/* ---- together ---- */

enum { ROUNDS = 100, GUESTS = 3, ACCESSES = 300 };
static _Atomic bool over;
static _Atomic unsigned accesses; /* of all guests */

/* A guest that writes and reads whatever is there, or not. */
static void *guest_main(void *arg)
{
    struct rig *rig = arg;
    uint32_t n = 1;

    while (!over) {
        accesses++;
        n = n * 1664525 + 1013904223;
        switch (n >> 28) {
        case 0:
            rig_write(rig, RIG_ECAM + PCI_COMMAND, 2, n >> 20 & 2);
            break;
        case 1:
            rig_write(rig, RIG_ECAM + PCI_BAR0, 4, RIG_BAR + (n & 0x10000));
            break;
        case 2:
            rig_write(rig, RIG_ECAM + 0x42, 2, MSIX_CONTROL_ENABLE);
            break;
        case 3:
            (void)rig_read(rig, RIG_ECAM + (n >> 8 & 0xffc), 4);
            break;
        case 4:
            bar_write(rig, STATUS, 1, n >> 8 & 15);
            break;
        case 5:
            bar_write(rig, TABLE + (n >> 8 & 0x7c), 4, n & 0x0fff);
            break;
        case 6:
            bar_write(rig, NOTIFY + (n >> 8 & 0xc), 2, 0);
            break;
        case 7:
            if ((n & 0x30000) == 0)
                (void)virtio_plug_eject(&rig->dev);
            break;
        case 8: /* what a driver does */
            rig_write(rig, RIG_ECAM + PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
            rig_write(rig, RIG_ECAM + PCI_BAR0, 4, RIG_BAR);
            rig_negotiate(rig, RIG_FEATURES);
            rig_go(rig);
            break;
        default:
            (void)bar_read(rig, n >> 8 & 0x7ffc, 4);
            break;
        }
    }
    return NULL;
}

/* The control thread plugs in and out while vCPU threads are anywhere in the function. */
static void test_with_vcpus_in_it(void **state)
{
    struct rig *rig = rig_new(RNG, RIG_QUEUES);
    pthread_t guests[GUESTS];
    struct virtio_due_item item;
    unsigned gone = 0, before = 0;

    (void)state;
    over = false;
    for (unsigned i = 0; i < GUESTS; i++)
        assert_int_equal(pthread_create(&guests[i], NULL, guest_main, rig), 0);
    accesses = 0;
    while (gone < ROUNDS) {
        unsigned kind = gone % 3;

        if (!virtio_pci_take(&rig->dev, &item)) {
            if (kind == 1)
                virtio_pci_needs_reset(&rig->dev);
            /* The guests have the device for a while. */
            if (accesses - before >= ACCESSES)
                (void)(kind == 0 ? virtio_plug_out(&rig->dev) : virtio_plug_ask(&rig->dev));
            (void)sched_yield(); /* the mutex is not fair */
            continue;
        }
        if (item.what == VIRTIO_DUE_RESET)
            virtio_pci_reset_done(&rig->dev);
        if (item.what != VIRTIO_DUE_GONE)
            continue;
        gone++;
        before = accesses;
        assert_true(rig_plug(rig, gone % 2 ? BLK : NET, 1 + gone % 5) >= 0);
    }
    over = true;
    for (unsigned i = 0; i < GUESTS; i++)
        pthread_join(guests[i], NULL);
    assert_int_equal(rig->hv.mistakes, 0);
    assert_true(fake_routes(&rig->hv) <= rig->n_queues);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events_wait_for_the_guest),
        cmocka_unit_test(test_an_eject_counts_if_it_was_asked_for),
        cmocka_unit_test(test_eject_waits_for_the_worker),
        cmocka_unit_test(test_eject_at_any_time),
        cmocka_unit_test(test_the_next_device_is_new),
        cmocka_unit_test(test_a_device_is_taken_away),
        cmocka_unit_test(test_the_next_device_waits_for_the_eject),
        cmocka_unit_test(test_with_vcpus_in_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
