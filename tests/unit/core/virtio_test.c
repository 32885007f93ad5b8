/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_test.c - life of a virtio function: activation, reset, configuration, interrupts, kicks. */
#include "test.h"

#include <errno.h>
#include <string.h>
#include "base/fd.h"
#include "rig.h"

enum { STATUS = 0x14, RNG = 4, BALLOON = 5, MSIX_CONTROL_AT = 0x42 };

static struct virtio_due_item item;

static void set_msix(struct rig *rig, uint16_t control)
{
    rig_write(rig, RIG_ECAM + MSIX_CONTROL_AT, 2, control);
}

static void set_vector(struct rig *rig, unsigned v, uint32_t addr, uint32_t data, bool masked)
{
    uint64_t at = VIRTIO_BAR_MSIX_TABLE + v * 16;

    bar_write(rig, at + 12, 4, 1);
    bar_write(rig, at, 4, addr);
    bar_write(rig, at + 4, 4, 0);
    bar_write(rig, at + 8, 4, data);
    bar_write(rig, at + 12, 4, masked);
}

static void test_activate(void **state)
{
    struct rig *rig = rig_new(RNG, RIG_QUEUES);

    (void)state;
    assert_false(virtio_pci_take(&rig->dev, &item));
    rig_negotiate(rig, RIG_FEATURES & ~(UINT64_C(1) << 28));
    assert_int_equal(bar_read(rig, STATUS, 1), 11);
    assert_false(virtio_pci_take(&rig->dev, &item));
    rig_go(rig);
    assert_int_equal(bar_read(rig, STATUS, 1), 15);
    assert_int_equal(fd_event_drain(rig->wake_fd), 1);
    assert_true(virtio_pci_take(&rig->dev, &item));
    assert_int_equal(item.what, VIRTIO_DUE_ACTIVATE);
    assert_true(item.features == (RIG_FEATURES & ~(UINT64_C(1) << 28)));
    assert_int_equal(item.n_queues, 1); /* the enabled one */
    assert_int_equal(item.queues[0].index, 0);
    assert_int_equal(item.queues[0].size, 128);
    assert_int_equal(item.queues[0].desc, 0x10000);
    assert_int_equal(item.queues[0].avail, 0x20000);
    assert_int_equal(item.queues[0].used, 0x30000);
    assert_false(virtio_pci_take(&rig->dev, &item));
    bar_write(rig, STATUS, 1, 15); /* again: nothing new */
    assert_false(virtio_pci_take(&rig->dev, &item));
    rig_free(rig);
}

static void test_features(void **state)
{
    static const struct {
        uint64_t features;
        bool ok;
    } cases[] = {
        { RIG_FEATURES, true },
        { VIRTIO_FEATURE_VERSION_1, true },
        { RIG_FEATURES & ~VIRTIO_FEATURE_VERSION_1, false }, /* legacy driver */
        { 0, false },
        { RIG_FEATURES | 1, false }, /* not offered */
        { RIG_FEATURES | UINT64_C(1) << 63, false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct rig *rig = rig_new(RNG, RIG_QUEUES);

        rig_negotiate(rig, cases[i].features);
        assert_int_equal(bar_read(rig, STATUS, 1), cases[i].ok ? 11 : 3);
        rig_go(rig); /* DRIVER_OK is not for those who were refused */
        assert_int_equal(bar_read(rig, STATUS, 1), cases[i].ok ? 15 : 3);
        assert_int_equal(virtio_pci_take(&rig->dev, &item), cases[i].ok);
        rig_free(rig);
    }
}

/* What the transport can't do is not offered, whatever the worker announces. */
static void test_transport_features(void **state)
{
    struct rig *rig = rig_new(RNG, RIG_QUEUES);
    struct virtio_plug_config c = { .virtio_id = RNG, .features = UINT64_MAX, .queue_size = 64 };
    static struct virtio_pci dev, other;

    (void)state;
    virtio_pci_init(&dev, &rig->hv, 4, -1);
    virtio_pci_init(&other, &rig->hv, 5, -1);
    assert_int_equal(virtio_plug_in(&dev, &c), 0);
    assert_false(dev.offered & UINT64_C(1) << 34); /* packed ring */
    assert_false(dev.offered & UINT64_C(1) << 38); /* notification data */
    assert_false(dev.offered & UINT64_C(1) << 40); /* queue reset */
    assert_true(dev.offered & UINT64_C(1) << 29);
    c.features = 0;
    c.n_queues = LAYOUT_MAX_QUEUES + 1;
    assert_int_equal(virtio_plug_in(&other, &c), -EINVAL);
    c.n_queues = 0;
    c.queue_size = 100;
    assert_int_equal(virtio_plug_in(&other, &c), -EINVAL);
    c.queue_size = 64;
    assert_int_equal(virtio_plug_in(&other, &c), 0);
    assert_true(other.offered == VIRTIO_FEATURE_VERSION_1);
    rig_free(rig);
}

/* The driver sees the reset when the worker has let go, not before. */
static void test_reset_handshake(void **state)
{
    struct rig *rig = rig_new(RNG, RIG_QUEUES);

    (void)state;
    for (int round = 0; round < 3; round++) {
        rig_negotiate(rig, RIG_FEATURES);
        rig_go(rig);
        assert_true(virtio_pci_take(&rig->dev, &item));
        (void)fd_event_drain(rig->wake_fd);
        bar_write(rig, STATUS, 1, 0);
        assert_int_equal(bar_read(rig, STATUS, 1), 15);
        assert_int_equal(fd_event_drain(rig->wake_fd), 1);
        bar_write(rig, STATUS, 1, 0); /* an impatient driver asks once */
        bar_write(rig, STATUS, 1, 1);
        assert_true(virtio_pci_take(&rig->dev, &item));
        assert_int_equal(item.what, VIRTIO_DUE_RESET);
        assert_false(virtio_pci_take(&rig->dev, &item));
        bar_write(rig, STATUS, 1, 0);
        assert_false(virtio_pci_take(&rig->dev, &item));
        virtio_pci_needs_reset(&rig->dev); /* too late to matter */
        assert_int_equal(bar_read(rig, STATUS, 1), 15);
        fd_event_signal(rig->call[0]); /* the old life's last interrupt */
        virtio_pci_reset_done(&rig->dev);
        assert_int_equal(bar_read(rig, STATUS, 1), 0);
        assert_int_equal(fd_event_drain(rig->call[0]), 0);
        virtio_pci_reset_done(&rig->dev); /* unasked */
        assert_int_equal(bar_read(rig, STATUS, 1), 0);
    }
    /* Reset before the worker heard of DRIVER_OK: it never does. */
    rig_negotiate(rig, RIG_FEATURES);
    rig_go(rig);
    bar_write(rig, STATUS, 1, 0);
    assert_int_equal(bar_read(rig, STATUS, 1), 0);
    assert_false(virtio_pci_take(&rig->dev, &item));
    rig_free(rig);
}

static void test_device_config(void **state)
{
    struct rig *rig = rig_new(BALLOON, RIG_QUEUES);
    uint8_t fresh[] = { 0x11, 0x22, 0x33, 0x44 };

    (void)state;
    assert_true(bar_read(rig, VIRTIO_BAR_DEVICE, 8) == 0xc7c6c5c4c3c2c1c0);
    assert_int_equal(bar_read(rig, VIRTIO_BAR_DEVICE + 14, 4), 0xcfce); /* zero behind the end */
    assert_int_equal(bar_read(rig, VIRTIO_BAR_DEVICE + 255, 8), 0);
    assert_int_equal(bar_read(rig, 0x15, 1), 0);
    assert_true(virtio_pci_config_changed(&rig->dev, 0, fresh, 4));
    assert_int_equal(bar_read(rig, 0x15, 1), 1);
    assert_int_equal(bar_read(rig, VIRTIO_BAR_DEVICE, 4), 0x44332211);
    assert_false(virtio_pci_config_changed(&rig->dev, 13, fresh, 4));
    assert_false(virtio_pci_config_changed(&rig->dev, UINT32_MAX, fresh, 4));
    /* `actual` may be written, num_pages not; three writes are one message. */
    bar_write(rig, VIRTIO_BAR_DEVICE, 4, 0);
    assert_false(virtio_pci_take(&rig->dev, &item));
    bar_write(rig, VIRTIO_BAR_DEVICE + 3, 4, 0); /* over the border of the two */
    assert_false(virtio_pci_take(&rig->dev, &item));
    bar_write(rig, VIRTIO_BAR_DEVICE + 4, 4, 0x99);
    bar_write(rig, VIRTIO_BAR_DEVICE + 4, 2, 0x1234);
    bar_write(rig, VIRTIO_BAR_DEVICE + 4, 4, 0x55667788);
    assert_int_equal(bar_read(rig, VIRTIO_BAR_DEVICE, 8) >> 32, 0x55667788);
    assert_true(virtio_pci_take(&rig->dev, &item));
    assert_int_equal(item.what, VIRTIO_DUE_CONFIG);
    assert_int_equal(item.config_off, 4);
    assert_int_equal(item.config_len, 4);
    assert_memory_equal(item.config, ((uint8_t[]){ 0x88, 0x77, 0x66, 0x55 }), 4);
    assert_false(virtio_pci_take(&rig->dev, &item));
    rig_free(rig);
}

/* What a driver wrote goes with it: it is told before the reset, or never. */
static void test_device_config_and_reset(void **state)
{
    struct rig *rig = rig_new(BALLOON, RIG_QUEUES);

    (void)state;
    rig_negotiate(rig, RIG_FEATURES);
    rig_go(rig);
    assert_true(virtio_pci_take(&rig->dev, &item));
    assert_int_equal(item.what, VIRTIO_DUE_ACTIVATE);
    bar_write(rig, VIRTIO_BAR_DEVICE + 4, 4, 5);
    bar_write(rig, STATUS, 1, 0);
    bar_write(rig, VIRTIO_BAR_DEVICE + 4, 4, 6); /* the device is being reset */
    assert_true(virtio_pci_take(&rig->dev, &item));
    assert_int_equal(item.what, VIRTIO_DUE_CONFIG);
    assert_int_equal(item.config[0], 5);
    assert_true(virtio_pci_take(&rig->dev, &item));
    assert_int_equal(item.what, VIRTIO_DUE_RESET);
    bar_write(rig, VIRTIO_BAR_DEVICE + 4, 4, 7);
    virtio_pci_reset_done(&rig->dev);
    assert_false(virtio_pci_take(&rig->dev, &item));
    rig_free(rig);
}

/* A driver that is reset before the device heard of it leaves what the device had said; and the device, which
 * may have heard of the bytes, hears so. */
static void test_config_and_early_reset(void **state)
{
    static const bool drives[] = { false, true };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(drives); i++) {
        struct rig *rig = rig_new(BALLOON, RIG_QUEUES);
        uint64_t said = bar_read(rig, VIRTIO_BAR_DEVICE + 4, 4);
        uint8_t fresh = 0x31;

        rig_negotiate(rig, RIG_FEATURES);
        bar_write(rig, VIRTIO_BAR_DEVICE + 4, 4, 0x1000);
        assert_true(virtio_pci_take(&rig->dev, &item));
        assert_int_equal(item.config[1], 0x10);
        assert_true(
            virtio_pci_config_changed(&rig->dev, 4, &fresh, 1)); /* not seen by this driver, */
        assert_int_equal(bar_read(rig, VIRTIO_BAR_DEVICE + 4, 4), 0x1000);
        if (drives[i])
            rig_go(rig);
        (void)fd_event_drain(rig->wake_fd);
        bar_write(rig, STATUS, 1, 0);
        assert_int_equal(bar_read(rig, STATUS, 1), 0);
        said = (said & ~UINT64_C(0xff)) | fresh; /* but by the next */
        assert_int_equal(bar_read(rig, VIRTIO_BAR_DEVICE + 4, 4), said);
        assert_int_equal(fd_event_drain(rig->wake_fd), 1);
        assert_true(virtio_pci_take(&rig->dev, &item));
        assert_int_equal(item.what, VIRTIO_DUE_CONFIG);
        assert_int_equal(item.config_off, 4);
        assert_int_equal(item.config_len, 4);
        assert_memory_equal(item.config, &(uint32_t){ (uint32_t)said }, 4);
        assert_false(virtio_pci_take(&rig->dev, &item));
        assert_true(virtio_pci_config_changed(&rig->dev, 4, &(uint8_t){ 0x32 }, 1));
        assert_int_equal(bar_read(rig, VIRTIO_BAR_DEVICE + 4, 1), 0x32);
        rig_free(rig);
    }
}

/* A worker that says all again, to a broker that took over, says what it was told of: the next driver finds none of it. */
static void test_config_comes_back(void **state)
{
    struct rig *rig = rig_new(BALLOON, RIG_QUEUES);
    uint64_t before = bar_read(rig, VIRTIO_BAR_DEVICE + 4, 4);
    uint8_t all[] = { 1, 2, 3, 4, 0, 0x10, 0, 0 };

    (void)state;
    rig_negotiate(rig, RIG_FEATURES);
    bar_write(rig, VIRTIO_BAR_DEVICE + 4, 4, 0x1000);
    assert_true(virtio_pci_take(&rig->dev, &item));
    assert_true(virtio_pci_config_changed(&rig->dev, 0, all, sizeof(all)));
    assert_int_equal(bar_read(rig, VIRTIO_BAR_DEVICE, 4), 0x04030201);
    assert_int_equal(bar_read(rig, VIRTIO_BAR_DEVICE + 4, 4), 0x1000);
    bar_write(rig, STATUS, 1, 0);
    assert_int_equal(bar_read(rig, VIRTIO_BAR_DEVICE, 4), 0x04030201);
    assert_int_equal(bar_read(rig, VIRTIO_BAR_DEVICE + 4, 4), before);
    rig_free(rig);
}

/* Queue interrupts: the eventfd is the hypervisor's exactly while its vector may fire. */
static void test_queue_interrupts(void **state)
{
    struct rig *rig = rig_new(RNG, RIG_QUEUES);
    const unsigned gsi = RIG_GSI + 1;

    (void)state;
    bar_write(rig, 0x16, 2, 1);
    bar_write(rig, 0x1a, 2, 2);
    assert_int_equal(bar_read(rig, 0x1a, 2), 2);
    set_vector(rig, 2, 0xfee01000, 0x41, false);
    assert_false(rig->hv.gsi[gsi].attached); /* MSI-X is off */
    set_msix(rig, MSIX_CONTROL_ENABLE);
    assert_true(rig->hv.gsi[gsi].attached);
    assert_int_equal(rig->hv.gsi[gsi].event_fd, rig->call[1]);
    assert_true(rig->hv.gsi[gsi].addr == 0xfee01000);
    assert_int_equal(rig->hv.gsi[gsi].data, 0x41);
    assert_false(rig->hv.gsi[RIG_GSI].attached); /* no vector */
    assert_int_equal(rig->hv.routings, 1);
    set_msix(rig, MSIX_CONTROL_ENABLE | MSIX_CONTROL_MASK_ALL);
    assert_false(rig->hv.gsi[gsi].attached);
    set_msix(rig, MSIX_CONTROL_ENABLE);
    assert_true(rig->hv.gsi[gsi].attached);
    assert_int_equal(rig->hv.routings, 1); /* nothing new */

    bar_write(rig, VIRTIO_BAR_MSIX_TABLE + 2 * 16 + 12, 4, 1); /* mask the vector */
    assert_false(rig->hv.gsi[gsi].attached);
    assert_int_equal(bar_read(rig, VIRTIO_BAR_MSIX_PBA, 8), 0);
    fd_event_signal(rig->call[1]);
    assert_int_equal(bar_read(rig, VIRTIO_BAR_MSIX_PBA, 8), 1 << 2);
    assert_int_equal(bar_read(rig, VIRTIO_BAR_MSIX_PBA, 8), 1 << 2); /* stays */
    bar_write(rig, VIRTIO_BAR_MSIX_TABLE + 2 * 16 + 8, 4, 0x42);
    bar_write(rig, VIRTIO_BAR_MSIX_TABLE + 2 * 16 + 12, 4, 0);
    assert_true(rig->hv.gsi[gsi].attached);
    assert_int_equal(rig->hv.gsi[gsi].data, 0x42);
    assert_int_equal(fd_event_drain(rig->call[1]), 1); /* pending came back, for KVM to see */
    assert_int_equal(bar_read(rig, VIRTIO_BAR_MSIX_PBA, 8), 0);

    bar_write(rig, 0x1a, 2, RIG_QUEUES + 1); /* one vector too far */
    assert_int_equal(bar_read(rig, 0x1a, 2), 0xffff);
    assert_false(rig->hv.gsi[gsi].attached);
    assert_int_equal(rig->hv.mistakes, 0);
    rig_free(rig);
}

/* Two queues on one vector; a hypervisor that refuses is not fatal. */
static void test_shared_vector(void **state)
{
    struct rig *rig = rig_new(RNG, RIG_QUEUES);

    (void)state;
    for (unsigned q = 0; q < 2; q++) {
        bar_write(rig, 0x16, 2, q);
        bar_write(rig, 0x1a, 2, 1);
    }
    set_msix(rig, MSIX_CONTROL_ENABLE);
    rig->hv.refuse = true;
    set_vector(rig, 1, 0xfee00000, 0x30, false);
    assert_false(rig->hv.gsi[RIG_GSI].attached);
    rig->hv.refuse = false;
    set_vector(rig, 1, 0xfee00000, 0x31, false);
    assert_true(rig->hv.gsi[RIG_GSI].attached);
    assert_true(rig->hv.gsi[RIG_GSI + 1].attached);
    bar_write(rig, STATUS, 1, 0);
    assert_false(rig->hv.gsi[RIG_GSI].attached);
    assert_false(rig->hv.gsi[RIG_GSI + 1].attached);
    assert_int_equal(rig->hv.mistakes, 0);
    rig_free(rig);
}

static void test_config_interrupt(void **state)
{
    struct rig *rig = rig_new(BALLOON, RIG_QUEUES);
    uint8_t byte = 1;

    (void)state;
    set_msix(rig, MSIX_CONTROL_ENABLE);
    set_vector(rig, 0, 0xfee02000, 0x50, false);
    bar_write(rig, 0x10, 2, 0);
    rig_negotiate(rig, RIG_FEATURES);
    assert_true(virtio_pci_config_changed(&rig->dev, 0, &byte, 1));
    assert_int_equal(rig->hv.msis, 0); /* the driver is not there yet, */
    rig_go(rig);
    assert_int_equal(rig->hv.msis, 1); /* and may have read what it was */
    assert_true(virtio_pci_take(&rig->dev, &item));
    assert_true(virtio_pci_config_changed(&rig->dev, 0, &byte, 1));
    assert_int_equal(rig->hv.msis, 2);
    assert_true(rig->hv.msi_addr == 0xfee02000);
    assert_int_equal(rig->hv.msi_data, 0x50);
    assert_int_equal(bar_read(rig, VIRTIO_BAR_ISR, 1), 2);
    assert_int_equal(bar_read(rig, VIRTIO_BAR_ISR, 1), 0);
    /* Masked: pending, sent once when unmasked. */
    bar_write(rig, VIRTIO_BAR_MSIX_TABLE + 12, 4, 1);
    virtio_pci_needs_reset(&rig->dev);
    virtio_pci_needs_reset(&rig->dev);
    assert_int_equal(bar_read(rig, STATUS, 1), 15 | 0x40);
    assert_int_equal(rig->hv.msis, 2);
    assert_int_equal(bar_read(rig, VIRTIO_BAR_MSIX_PBA, 8), 1);
    bar_write(rig, VIRTIO_BAR_MSIX_TABLE + 12, 4, 0);
    assert_int_equal(rig->hv.msis, 3);
    assert_int_equal(bar_read(rig, VIRTIO_BAR_MSIX_PBA, 8), 0);
    rig_free(rig);
}

static void test_kicks(void **state)
{
    struct rig *rig = rig_new(RNG, RIG_QUEUES);

    (void)state;
    for (unsigned q = 0; q < RIG_QUEUES; q++)
        assert_int_equal(fake_notify_at(&rig->hv, RIG_BAR + VIRTIO_BAR_NOTIFY + 4 * q),
                         rig->kick[q]);
    /* When KVM can't watch, the exit kicks. */
    bar_write(rig, VIRTIO_BAR_NOTIFY + 4, 2, 1);
    assert_int_equal(fd_event_drain(rig->kick[0]), 0);
    assert_int_equal(fd_event_drain(rig->kick[1]), 1);
    bar_write(rig, VIRTIO_BAR_NOTIFY + 4 * RIG_QUEUES, 2, 1); /* no such queue */
    bar_write(rig, VIRTIO_BAR_MSIX_TABLE - 2, 2, 1);
    for (unsigned q = 0; q < RIG_QUEUES; q++)
        assert_int_equal(fd_event_drain(rig->kick[q]), 0);
    assert_int_equal(bar_read(rig, VIRTIO_BAR_NOTIFY, 4), 0);
    rig_free(rig);
}

static void test_most_queues(void **state)
{
    struct rig *rig = rig_new(RNG, LAYOUT_MAX_QUEUES);

    (void)state;
    assert_int_equal(rig_read(rig, RIG_ECAM + MSIX_CONTROL_AT, 2), LAYOUT_MAX_QUEUES);
    rig_negotiate(rig, RIG_FEATURES);
    for (unsigned q = 0; q < LAYOUT_MAX_QUEUES; q++) {
        bar_write(rig, 0x16, 2, q);
        bar_write(rig, 0x1a, 2, q + 1);
        bar_write(rig, 0x1c, 2, 1);
        set_vector(rig, q + 1, 0xfee00000, q, false);
    }
    set_msix(rig, MSIX_CONTROL_ENABLE);
    bar_write(rig, STATUS, 1, 15);
    assert_true(virtio_pci_take(&rig->dev, &item));
    assert_int_equal(item.n_queues, LAYOUT_MAX_QUEUES);
    assert_true(rig->hv.gsi[RIG_GSI + LAYOUT_MAX_QUEUES - 1].attached);
    bar_write(rig, VIRTIO_BAR_MSIX_TABLE + LAYOUT_MAX_QUEUES * 16 + 12, 4, 1);
    fd_event_signal(rig->call[LAYOUT_MAX_QUEUES - 1]);
    assert_int_equal(bar_read(rig, VIRTIO_BAR_MSIX_PBA + 8, 8), 1);
    rig_free(rig);
}

/* The table's registers, every size and alignment: only aligned dwords and qwords are written. */
static void test_table_access(void **state)
{
    struct rig *rig = rig_new(RNG, RIG_QUEUES);
    const uint64_t table = VIRTIO_BAR_MSIX_TABLE, end = (RIG_QUEUES + 1) * 16;

    (void)state;
    for (unsigned size = 1; size <= 8; size *= 2)
        for (uint64_t off = 0; off < end + 16; off++) {
            bool whole = size >= 4 && off % size == 0 && off + size <= end;
            uint64_t want = UINT64_C(0x1122334455667788) & bus_ones(size), got;

            bar_write(rig, table + (off & ~UINT64_C(7)), 8, 0);
            bar_write(rig, table + off, size, want);
            got = bar_read(rig, table + off, size);
            if (off % 16 == 12)
                want &= 1; /* control has one bit */
            if (size == 8 && off % 16 == 8)
                want &= UINT64_C(0x1ffffffff);
            if (off % 16 == 0)
                want &= ~UINT64_C(3);
            if (whole)
                assert_true(got == want);
            bar_write(rig, table + (off & ~UINT64_C(7)), 8, 0);
        }
    assert_int_equal(rig->hv.mistakes, 0);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_activate),
        cmocka_unit_test(test_features),
        cmocka_unit_test(test_transport_features),
        cmocka_unit_test(test_reset_handshake),
        cmocka_unit_test(test_device_config),
        cmocka_unit_test(test_device_config_and_reset),
        cmocka_unit_test(test_config_and_early_reset),
        cmocka_unit_test(test_config_comes_back),
        cmocka_unit_test(test_queue_interrupts),
        cmocka_unit_test(test_shared_vector),
        cmocka_unit_test(test_config_interrupt),
        cmocka_unit_test(test_kicks),
        cmocka_unit_test(test_most_queues),
        cmocka_unit_test(test_table_access),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
