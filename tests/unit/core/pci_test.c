/* SPDX-License-Identifier: Apache-2.0 */
/* pci_test.c - configuration space by ECAM and by ports, BARs, capabilities, the memory window. */
#include "test.h"

#include <errno.h>
#include "base/compiler.h"
#include "base/fd.h"
#include "rig.h"

static uint64_t cfg(struct rig *rig, unsigned off, unsigned size)
{
    return rig_read(rig, RIG_ECAM + off, size);
}

static void set_cfg(struct rig *rig, unsigned off, unsigned size, uint64_t v)
{
    rig_write(rig, RIG_ECAM + off, size, v);
}

static uint32_t address(unsigned devfn, unsigned reg)
{
    return 0x80000000u | devfn << 8 | reg;
}

static void test_headers(void **state)
{
    static const struct {
        struct pci_address at;
        int want;
    } taken[] = {
        { { .device = RIG_SLOT }, -EEXIST },
        { { .device = 0 }, -EINVAL }, /* the bridge's */
        { { .device = LAYOUT_PCI_SLOTS }, -EINVAL },
        { { .device = RIG_SLOT + 1, .function = 1 }, -EINVAL },
        { { .bus = 1, .device = RIG_SLOT + 1 }, -EINVAL },
        { { .segment = 1, .device = RIG_SLOT + 1 }, -EINVAL },
    };
    struct rig *rig = rig_new(2, RIG_QUEUES);

    (void)state;
    assert_int_equal(rig_read(rig, LAYOUT_ECAM_BASE, 4), 0x00081b36);
    assert_int_equal(rig_read(rig, LAYOUT_ECAM_BASE + 8, 4), 0x06000000);
    assert_int_equal(cfg(rig, 0, 4), 0x10421af4);
    assert_int_equal(cfg(rig, 8, 4), 0x01800001);
    assert_int_equal(cfg(rig, 0x0e, 1), 0); /* type 0, one function */
    assert_int_equal(cfg(rig, 0x3d, 1), 0); /* no INTx */
    for (unsigned slot = 1; slot < LAYOUT_PCI_SLOTS; slot++)
        for (unsigned fn = 0; fn < 8; fn++)
            if (slot != RIG_SLOT || fn != 0)
                assert_int_equal(rig_read(rig, LAYOUT_ECAM_BASE + (slot * 8 + fn) * 4096ull, 4),
                                 0xffffffff);
    rig_write(rig, LAYOUT_ECAM_BASE, 4, 0x12345678); /* read-only */
    assert_int_equal(rig_read(rig, LAYOUT_ECAM_BASE, 4), 0x00081b36);
    for (size_t i = 0; i < ARRAY_SIZE(taken); i++)
        assert_int_equal(pci_host_plug(&rig->host, taken[i].at, &rig->dev.fn), taken[i].want);
    rig_free(rig);
}

static void test_ports(void **state)
{
    struct rig *rig = rig_new(2, RIG_QUEUES);

    (void)state;
    rig_out(rig, 0xcf8, 4, address(RIG_SLOT * 8, 0));
    assert_int_equal(rig_in(rig, 0xcf8, 4), address(RIG_SLOT * 8, 0));
    assert_int_equal(rig_in(rig, 0xcfc, 4), 0x10421af4);
    assert_int_equal(rig_in(rig, 0xcfc, 2), 0x1af4);
    assert_int_equal(rig_in(rig, 0xcfe, 2), 0x1042);
    assert_int_equal(rig_in(rig, 0xcff, 1), 0x10);
    assert_int_equal(rig_in(rig, 0xcff, 2), 0xff10); /* half of it is outside the ports */
    rig_out(rig, 0xcf8, 1, 0x10);                    /* not a dword: no address */
    rig_out(rig, 0xcfa, 2, 0);
    assert_int_equal(rig_in(rig, 0xcf8, 4), address(RIG_SLOT * 8, 0));
    rig_out(rig, 0xcf8, 4, address(RIG_SLOT * 8, 0) & 0x7fffffff);
    assert_int_equal(rig_in(rig, 0xcfc, 4), 0xffffffff);
    rig_out(rig, 0xcf8, 4, address(RIG_SLOT * 8, 0) | 1 << 16); /* bus 1 */
    assert_int_equal(rig_in(rig, 0xcfc, 4), 0xffffffff);
    rig_out(rig, 0xcf8, 4, address(RIG_SLOT * 8, 0x3c));
    rig_out(rig, 0xcfc, 1, 0x55);
    assert_int_equal(cfg(rig, 0x3c, 1), 0x55);
    rig_out(rig, 0xcf8, 4, address(RIG_SLOT * 8, 0xfc)); /* last register, beyond it */
    assert_int_equal(rig_in(rig, 0xcff, 1), 0);
    assert_int_equal(rig->resets, 0);
    rig_out(rig, 0xcf9, 1, 0x02);
    assert_int_equal(rig->resets, 0);
    rig_out(rig, 0xcf9, 1, 0x06);
    assert_int_equal(rig->resets, 1);
    rig_free(rig);
}

/* Every access size and alignment in configuration space gives the bytes that are there. */
static void test_any_access(void **state)
{
    struct rig *rig = rig_new(2, RIG_QUEUES);
    uint8_t bytes[320] = { 0 };

    (void)state;
    for (unsigned i = 0; i < PCI_CONFIG_BYTES; i++)
        bytes[i] = (uint8_t)cfg(rig, i, 1);
    for (unsigned size = 1; size <= 8; size *= 2)
        for (unsigned off = 0; off < 300; off++) {
            uint64_t want = 0;

            for (unsigned i = 0; i < size; i++)
                want |= (uint64_t)bytes[off + i] << (8 * i);
            assert_true(cfg(rig, off, size) == want);
        }
    assert_int_equal(cfg(rig, 4096 - 4, 8) & 0xffffffff, 0xffffffff); /* into the next function */
    rig_free(rig);
}

static void test_bar(void **state)
{
    struct rig *rig = rig_new(2, RIG_QUEUES);
    uint64_t other = LAYOUT_MMIO32_BASE + 0x1000000;

    (void)state;
    assert_int_equal(cfg(rig, 0x10, 4), RIG_BAR);
    assert_int_equal(bar_read(rig, 0x12, 2), RIG_QUEUES);
    assert_int_equal(fake_notifies(&rig->hv), RIG_QUEUES);
    /* Size it with the decoder on: it answers nowhere meanwhile. */
    set_cfg(rig, 0x10, 4, 0xffffffff);
    assert_int_equal(cfg(rig, 0x10, 4), 0xffff8000);
    assert_int_equal(bar_read(rig, 0x12, 2), 0xffff);
    assert_int_equal(fake_notifies(&rig->hv), 0);
    set_cfg(rig, 0x14, 4, 0xffffffff);
    assert_int_equal(cfg(rig, 0x14, 4), 0); /* no other BAR */
    set_cfg(rig, 0x30, 4, 0xffffffff);
    assert_int_equal(cfg(rig, 0x30, 4), 0); /* no ROM */
    set_cfg(rig, 0x10, 4, other | 0xf);
    assert_int_equal(cfg(rig, 0x10, 4), other);
    assert_int_equal(rig_read(rig, other + 0x12, 2), RIG_QUEUES);
    assert_int_equal(fake_notify_at(&rig->hv, other + VIRTIO_BAR_NOTIFY + 4), rig->kick[1]);
    assert_int_equal(bar_read(rig, 0x12, 2), 0xffff);
    set_cfg(rig, 4, 2, 0); /* decoder off */
    assert_int_equal(rig_read(rig, other + 0x12, 2), 0xffff);
    assert_int_equal(fake_notifies(&rig->hv), 0);
    /* Outside of the window, or half outside: RAM and interrupt controllers are not for BARs. */
    set_cfg(rig, 4, 2, PCI_COMMAND_MEMORY);
    for (size_t i = 0; i < 4; i++) {
        static const uint32_t bad[] = { 0, 0x100000, 0xfee00000, (uint32_t)LAYOUT_MMIO32_END };

        set_cfg(rig, 0x10, 4, bad[i]);
        assert_int_equal(fake_notifies(&rig->hv), 0);
        assert_true(rig->dev.fn.bars[0].at == PCI_BAR_NOT_DECODED);
    }
    set_cfg(rig, 0x10, 4, LAYOUT_MMIO32_END - 0x8000); /* the last place */
    assert_int_equal(rig_read(rig, LAYOUT_MMIO32_END - 0x8000 + 0x12, 2), RIG_QUEUES);
    assert_int_equal(rig->hv.mistakes, 0);
    rig_free(rig);
}

/* The list of capabilities as a driver walks it. */
static unsigned find_cap(struct rig *rig, unsigned id, unsigned type)
{
    unsigned at = (unsigned)cfg(rig, 0x34, 1);

    for (int hops = 0; at != 0; hops++) {
        assert_true(hops < 16 && at >= 0x40 && at % 4 == 0);
        if (cfg(rig, at, 1) == id && (id != 9 || cfg(rig, at + 3, 1) == type))
            return at;
        at = (unsigned)cfg(rig, at + 1, 1);
    }
    return 0;
}

static void test_capabilities(void **state)
{
    static const uint32_t offsets[] = { 0, VIRTIO_BAR_COMMON, VIRTIO_BAR_NOTIFY, VIRTIO_BAR_ISR,
                                        VIRTIO_BAR_DEVICE };
    struct rig *rig = rig_new(2, RIG_QUEUES);
    unsigned msix = find_cap(rig, 0x11, 0);

    (void)state;
    assert_true(cfg(rig, 6, 2) & 0x10);
    assert_true(msix != 0);
    assert_int_equal(cfg(rig, msix + 2, 2), RIG_QUEUES); /* vectors - 1 */
    assert_int_equal(cfg(rig, msix + 4, 4), VIRTIO_BAR_MSIX_TABLE);
    assert_int_equal(cfg(rig, msix + 8, 4), VIRTIO_BAR_MSIX_PBA);
    set_cfg(rig, msix + 2, 2, 0xffff);
    assert_int_equal(cfg(rig, msix + 2, 2), 0xc000 | RIG_QUEUES);
    for (unsigned type = 1; type <= 4; type++) {
        unsigned at = find_cap(rig, 9, type);

        assert_true(at != 0);
        assert_int_equal(cfg(rig, at + 4, 1), 0);
        assert_int_equal(cfg(rig, at + 8, 4), offsets[type]);
        assert_true(cfg(rig, at + 12, 4) >= 4);
    }
    assert_int_equal(cfg(rig, find_cap(rig, 9, 2) + 16, 4), 4); /* notify multiplier */
    assert_true(find_cap(rig, 9, 5) != 0);
    rig_free(rig);
}

static uint32_t window_read(struct rig *rig, unsigned cap, uint32_t off, uint32_t len)
{
    set_cfg(rig, cap + 4, 1, 0);
    set_cfg(rig, cap + 8, 4, off);
    set_cfg(rig, cap + 12, 4, len);
    return (uint32_t)cfg(rig, cap + 16, len <= 4 ? len : 4);
}

/* VIRTIO_PCI_CAP_PCI_CFG: the BAR through configuration space. */
static void test_window(void **state)
{
    struct rig *rig = rig_new(2, RIG_QUEUES);
    unsigned cap = find_cap(rig, 9, 5);

    (void)state;
    assert_int_equal(window_read(rig, cap, 0x12, 2), RIG_QUEUES);
    assert_int_equal(window_read(rig, cap, VIRTIO_BAR_DEVICE, 4), 0xc3c2c1c0);
    set_cfg(rig, cap + 8, 4, 0x14);
    set_cfg(rig, cap + 12, 4, 1);
    set_cfg(rig, cap + 16, 1, VIRTIO_STATUS_ACKNOWLEDGE);
    assert_int_equal(bar_read(rig, 0x14, 1), VIRTIO_STATUS_ACKNOWLEDGE);
    set_cfg(rig, cap + 8, 4, VIRTIO_BAR_NOTIFY + 8);
    set_cfg(rig, cap + 12, 4, 2);
    set_cfg(rig, cap + 16, 2, 2);
    assert_int_equal(fd_event_drain(rig->kick[2]), 1);
    /* Nonsense in the window does nothing. */
    set_cfg(rig, cap + 16, 4, 0x11223344);
    (void)fd_event_drain(rig->kick[2]);
    assert_int_equal(window_read(rig, cap, VIRTIO_BAR_BYTES, 4), 0x11223344); /* what it held */
    assert_int_equal(window_read(rig, cap, 0xfffffffc, 4), 0x11223344);
    assert_int_equal(window_read(rig, cap, 0x13, 2), 0x3344);
    (void)window_read(rig, cap, 0, 3);
    assert_int_equal(cfg(rig, cap + 16, 4), 0x11223344);
    set_cfg(rig, cap + 4, 1, 1); /* another BAR */
    set_cfg(rig, cap + 8, 4, 0x14);
    set_cfg(rig, cap + 12, 4, 1);
    set_cfg(rig, cap + 16, 1, 0);
    assert_int_equal(bar_read(rig, 0x14, 1), VIRTIO_STATUS_ACKNOWLEDGE);
    rig_free(rig);
}

/* An access over the end of the BAR reaches the bytes that exist. */
static void test_window_edges(void **state)
{
    struct rig *rig = rig_new(2, RIG_QUEUES);

    (void)state;
    assert_int_equal(rig_read(rig, RIG_BAR + VIRTIO_BAR_BYTES - 2, 4), 0xffff0000);
    assert_int_equal(rig_read(rig, RIG_BAR - 2, 4) & 0xffff, 0xffff);
    rig_write(rig, RIG_BAR + VIRTIO_BAR_BYTES - 2, 8, UINT64_MAX);
    assert_true(rig_read(rig, LAYOUT_MMIO32_END - 4, 8) == UINT64_C(0x00081b36ffffffff)); /* ECAM */
    assert_int_equal(bar_read(rig, 0x0ffe, 4), 0); /* over two regions */
    bar_write(rig, VIRTIO_BAR_NOTIFY - 2, 4, UINT32_MAX);
    assert_int_equal(fd_event_drain(rig->kick[0]), 0);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers),      cmocka_unit_test(test_ports),
        cmocka_unit_test(test_any_access),   cmocka_unit_test(test_bar),
        cmocka_unit_test(test_capabilities), cmocka_unit_test(test_window),
        cmocka_unit_test(test_window_edges),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
