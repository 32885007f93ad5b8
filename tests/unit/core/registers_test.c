/* SPDX-License-Identifier: Apache-2.0 */
/* registers_test.c - every common-configuration register, in every state of the device, with every
 * access size and alignment, against model.c. */
#include "test.h"

#include <stdio.h>
#include <string.h>
#include "model.h"
#include "rig.h"

_Static_assert((int)MODEL_QUEUES == (int)RIG_QUEUES, "the model has as many queues");

enum device_state {
    AT_POWER_ON,
    AT_ACKNOWLEDGE,
    AT_DRIVER,
    AT_BAD_FEATURES, /* some chosen that were not offered */
    AT_FEATURES_OK,
    AT_QUEUE_SET, /* addresses written, not enabled */
    AT_QUEUE_ODD, /* the same, misaligned */
    AT_QUEUE_ENABLED,
    AT_NO_QUEUE, /* queue_select beyond the last */
    AT_DRIVER_OK,
    AT_ACTIVE, /* the worker was told */
    AT_NEEDS_RESET,
    AT_RESET_DUE, /* status 0 written, the worker not told yet */
    AT_RESETTING,
    AT_RESET_DONE,
    AT_FAILED,
    AT__MAX,
};

struct pair {
    struct rig *rig;
    struct model m;
};

static void both(struct pair *p, unsigned off, unsigned size, uint64_t v)
{
    bar_write(p->rig, off, size, v);
    model_write(&p->m, off, size, v);
}

static void both_features(struct pair *p, uint64_t features)
{
    for (unsigned i = 0; i < 2; i++) {
        both(p, 8, 4, i);
        both(p, 12, 4, (uint32_t)(features >> (32 * i)));
    }
}

static void both_queue(struct pair *p, uint64_t desc)
{
    both(p, 22, 2, 1);
    both(p, 24, 2, 64);
    both(p, 26, 2, 2);
    both(p, 32, 4, (uint32_t)desc);
    both(p, 36, 4, 1);
    both(p, 40, 8, 0x2222000022220000);
    both(p, 48, 8, 0x3333000033330000);
}

static void take(struct pair *p, enum virtio_due what)
{
    static struct virtio_due_item item;

    assert_true(virtio_pci_take(&p->rig->dev, &item));
    assert_int_equal(item.what, what);
    p->m.told = true;
}

/* Brings device and model to the state, step by step as a driver would. */
static void reach(struct pair *p, enum device_state at)
{
    p->rig = rig_new(4, RIG_QUEUES);
    p->m = (struct model){ .offered = RIG_FEATURES,
                           .queue_max = RIG_QUEUE_MAX,
                           .vectors = RIG_QUEUES + 1 };
    model_reset(&p->m);
    if (at >= AT_ACKNOWLEDGE)
        both(p, 20, 1, 1);
    if (at >= AT_DRIVER)
        both(p, 20, 1, 3);
    if (at == AT_BAD_FEATURES)
        both_features(p, RIG_FEATURES | 2);
    if (at < AT_FEATURES_OK)
        return;
    both_features(p, RIG_FEATURES);
    both(p, 20, 1, 11);
    if (at >= AT_QUEUE_SET)
        both_queue(p, at == AT_QUEUE_ODD ? 0x11110008 : 0x11110000);
    if (at >= AT_QUEUE_ENABLED)
        both(p, 28, 2, 1);
    if (at == AT_NO_QUEUE)
        both(p, 22, 2, RIG_QUEUES);
    if (at >= AT_DRIVER_OK)
        both(p, 20, 1, 15);
    if (at >= AT_ACTIVE)
        take(p, VIRTIO_DUE_ACTIVATE);
    if (at == AT_NEEDS_RESET) {
        virtio_pci_needs_reset(&p->rig->dev);
        p->m.status |= 0x40;
    }
    if (at == AT_RESET_DUE || at == AT_RESETTING || at == AT_RESET_DONE)
        both(p, 20, 1, 0);
    if (at == AT_RESETTING || at == AT_RESET_DONE)
        take(p, VIRTIO_DUE_RESET);
    if (at == AT_RESET_DONE) {
        virtio_pci_reset_done(&p->rig->dev);
        model_reset(&p->m);
    }
    if (at == AT_FAILED)
        both(p, 20, 1, 0x80);
}

static void compare_image(struct pair *p, const char *when, int at, unsigned off, unsigned size)
{
    for (unsigned i = 0; i < MODEL_BYTES + 8; i++) {
        uint8_t got = (uint8_t)bar_read(p->rig, i, 1), want = model_byte(&p->m, i);

        if (got != want)
            fail_msg("%s state %d, access 0x%x/%u: byte 0x%x is 0x%02x, the model says 0x%02x",
                     when, at, off, size, i, got, want);
    }
}

/* All registers, seen through each queue and feature word, unless selects are frozen. */
static void compare_all(struct pair *p, int at, unsigned off, unsigned size)
{
    compare_image(p, "directly,", at, off, size);
    for (unsigned sel = 0; sel <= RIG_QUEUES; sel++) {
        both(p, 22, 2, sel);
        both(p, 0, 4, sel);
        both(p, 8, 4, sel);
        compare_image(p, "selected,", at, off, size);
    }
}

static void test_reads(void **state)
{
    (void)state;
    for (int at = 0; at < AT__MAX; at++) {
        struct pair p;

        reach(&p, at);
        for (unsigned size = 1; size <= 8; size *= 2)
            for (unsigned off = 0; off < MODEL_BYTES + 16; off++) {
                uint64_t got = bar_read(p.rig, off, size), want = 0;

                for (unsigned i = 0; i < size; i++)
                    want |= (uint64_t)model_byte(&p.m, off + i) << (8 * i);
                if (got != want)
                    fail_msg("state %d, read 0x%x/%u: 0x%llx, the model says 0x%llx", at, off, size,
                             (unsigned long long)got, (unsigned long long)want);
            }
        compare_all(&p, at, 0, 0); /* reads changed nothing */
        assert_int_equal(p.rig->hv.mistakes, 0);
        rig_free(p.rig);
    }
}

static void test_writes(void **state)
{
    static const uint64_t values[] = { 0,
                                       1,
                                       2,
                                       4,
                                       8,
                                       0xf,
                                       0x40,
                                       0x80,
                                       0x100,
                                       0xff,
                                       RIG_QUEUE_MAX,
                                       RIG_QUEUE_MAX * 2,
                                       0xffff,
                                       0x12345670,
                                       0xffffffff,
                                       0xa5a5a5a5a5a5a5a0,
                                       UINT64_MAX };

    (void)state;
    for (int at = 0; at < AT__MAX; at++)
        for (unsigned size = 1; size <= 8; size *= 2)
            for (unsigned off = 0; off < MODEL_BYTES + 8; off++)
                for (size_t v = 0; v < ARRAY_SIZE(values); v++) {
                    struct pair p;

                    reach(&p, at);
                    bar_write(p.rig, off, size, values[v]);
                    model_write(&p.m, off, size, values[v] & bus_ones(size));
                    compare_all(&p, at, off, size);
                    assert_int_equal(p.rig->hv.mistakes, 0);
                    rig_free(p.rig);
                }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads),
        cmocka_unit_test(test_writes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
