/* SPDX-License-Identifier: Apache-2.0 */
/* rng_test.c - the entropy worker, driven through its ring. */
#include <linux/virtio_config.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "harness.h"
#include <cmocka.h>

#define FEATURES                                                                                   \
    (1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX |                                \
     1ull << VIRTIO_RING_F_INDIRECT_DESC)

static const struct wh_config config = { .program = "bulkhead-dev-rng",
                                         .n_queues = 1,
                                         .queue_size = 64 };

static unsigned zeroes(const uint8_t *p, unsigned n)
{
    unsigned count = 0;

    while (n-- > 0)
        count += *p++ == 0;
    return count;
}

static void fills_buffers(void **state)
{
    struct wh *wh = wh_new(&config);
    uint64_t at = wh_data_base(wh);
    struct wh_buf bufs[] = { { at, 100, true }, { at + 8192, 1000, true } };
    uint16_t head;
    uint32_t len;

    (void)state;
    wh_start(wh);
    assert_int_equal(wh->virtio_id, 4);
    assert_int_equal(wh->features, FEATURES);
    wh_activate(wh, FEATURES, false);
    for (unsigned round = 0; round < 200; round++) {
        memset(wh_mem(wh, at, 100), 0, 100);
        memset(wh_mem(wh, at + 8192, 1001), 0, 1001);
        assert_true(wh_add(wh, 0, bufs, 2, round & 1) >= 0);
        wh_kick(wh, 0);
        wh_wait_used(wh, 0, &head, &len);
        assert_int_equal(len, 1100);
        /* 1,100 random bytes hold about 4 zeroes; 40 have a probability below 1e-20 */
        assert_true(zeroes(wh_mem(wh, at, 100), 100) < 20);
        assert_true(zeroes(wh_mem(wh, at + 8192, 1000), 1000) < 40);
        assert_int_equal(*(uint8_t *)wh_mem(wh, at + 8192 + 1000, 1), 0);
    }
    assert_int_equal(wh->stats->read_bytes, 200 * 1100);
    assert_int_equal(wh_latencies(wh), 200);
    assert_int_equal(WEXITSTATUS(wh_stop(wh)), 0);
    wh_free(wh);
}

/* However much is asked for, a request is a piece of work, and 16 of them a turn. */
static void a_buffer_of_any_size(void **state)
{
    struct wh *wh = wh_new(&config);
    uint64_t at = wh_data_base(wh);
    struct wh_buf big = { at, 1 << 20, true }, bufs[] = { big, big, big, big, big, big, big, big };
    uint16_t head;
    uint32_t len;

    (void)state;
    wh_start(wh);
    wh_activate(wh, FEATURES, false);
    for (unsigned i = 0; i < 60; i++)
        assert_true(wh_add(wh, 0, bufs, ARRAY_SIZE(bufs), true) >= 0);
    wh_kick(wh, 0);
    for (unsigned i = 0; i < 60; i++) {
        wh_wait_used(wh, 0, &head, &len);
        assert_int_equal(len, 4096);
    }
    assert_int_equal(wh->stats->read_bytes, 60 * 4096);
    assert_int_equal(WEXITSTATUS(wh_stop(wh)), 0);
    wh_free(wh);
}

static void a_readable_buffer_needs_a_reset(void **state)
{
    struct wh *wh = wh_new(&config);
    uint64_t at = wh_data_base(wh);
    struct wh_buf bad = { at, 64, false }, good = { at, 64, true };
    uint16_t head;
    uint32_t len;

    (void)state;
    wh_start(wh);
    wh_activate(wh, FEATURES, false);
    wh_add(wh, 0, &bad, 1, false);
    wh_kick(wh, 0);
    wh_expect(wh, BULKHEAD__ENVELOPE__BODY_NEEDS_RESET);
    wh_reset(wh);
    wh_activate(wh, FEATURES, false);
    wh_add(wh, 0, &good, 1, false);
    wh_kick(wh, 0);
    wh_wait_used(wh, 0, &head, &len);
    assert_int_equal(len, 64);
    assert_int_equal(wh->stats->guest_faults, 1);
    wh_free(wh);
}

/* A buffer that was filled before the ring broke is told of. */
static void a_good_buffer_before_a_bad_one(void **state)
{
    struct wh *wh = wh_new(&config);
    uint64_t at = wh_data_base(wh);
    uint16_t head;
    uint32_t len;

    (void)state;
    wh_start(wh);
    wh_activate(wh, FEATURES, false);
    wh_want_interrupt(wh, 0);
    assert_true(wh_add(wh, 0, &(struct wh_buf){ at, 64, true }, 1, false) >= 0);
    assert_true(wh_add(wh, 0, &(struct wh_buf){ at, 64, false }, 1, false) >= 0);
    wh_kick(wh, 0);
    wh_expect(wh, BULKHEAD__ENVELOPE__BODY_NEEDS_RESET);
    assert_true(wh_wait_interrupt(wh, 0, 0));
    assert_true(wh_try_used(wh, 0, &head, &len));
    assert_int_equal(len, 64);
    wh_free(wh);
}

static void a_replacement_finishes_what_was_begun(void **state)
{
    struct wh *wh = wh_new(&config);
    struct wh_buf buf = { wh_data_base(wh), 32, true };
    uint16_t head;
    uint32_t len;

    (void)state;
    wh_start(wh);
    wh_activate(wh, FEATURES, false);
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 10; i++)
            assert_true(wh_add(wh, 0, &buf, 1, false) >= 0);
        wh_kick(wh, 0);
        wh_restart(wh, FEATURES);
        for (unsigned i = 0; i < 10; i++)
            wh_wait_used(wh, 0, &head, &len);
        assert_false(wh_try_used(wh, 0, &head, &len));
    }
    wh_free(wh);
}

static void ends_with_the_core(void **state)
{
    struct wh *wh = wh_new(&config);
    int status;

    (void)state;
    wh_start(wh);
    wh_drop_control(wh); /* not with the broker */
    close(wh->life_read_fd);
    wh->life_read_fd = -1;
    close(wh->life_write_fd);
    wh->life_write_fd = -1;
    status = wh_wait_exit(wh);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    wh_free(wh);
}

static void serves_on_without_the_broker(void **state)
{
    struct wh *wh = wh_new(&config);
    struct wh_buf buf = { wh_data_base(wh), 32, true };
    uint16_t head;
    uint32_t len;

    (void)state;
    wh_start(wh);
    wh_activate(wh, FEATURES, false);
    wh_drop_control(wh);
    for (unsigned i = 0; i < 100; i++) {
        wh_add(wh, 0, &buf, 1, false);
        wh_kick(wh, 0);
        wh_wait_used(wh, 0, &head, &len);
    }
    wh_free(wh);
}

static void the_heart_beats(void **state)
{
    struct wh *wh = wh_new(&config);
    uint64_t first, end;

    (void)state;
    wh_start(wh);
    first = __atomic_load_n(&wh->stats->heartbeat, __ATOMIC_RELAXED);
    end = wh_now_ns() + 20ull * 1000000000;
    while (__atomic_load_n(&wh->stats->heartbeat, __ATOMIC_RELAXED) < first + 2 &&
           wh_now_ns() < end)
        wh_has_message(wh, 10);
    assert_true(__atomic_load_n(&wh->stats->heartbeat, __ATOMIC_RELAXED) >= first + 2);
    wh_free(wh);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fills_buffers),
        cmocka_unit_test(a_buffer_of_any_size),
        cmocka_unit_test(a_readable_buffer_needs_a_reset),
        cmocka_unit_test(a_good_buffer_before_a_bad_one),
        cmocka_unit_test(a_replacement_finishes_what_was_begun),
        cmocka_unit_test(ends_with_the_core),
        cmocka_unit_test(serves_on_without_the_broker),
        cmocka_unit_test(the_heart_beats),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
