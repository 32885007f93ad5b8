/* SPDX-License-Identifier: Apache-2.0 */
/* balloon_test.c - the balloon worker in its sandbox: what it gives back is seen in the RAM file's
 * own count of pages. */
#include <linux/virtio_balloon.h>
#include <linux/virtio_config.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "harness.h"
#include "harness_away.h"
#include <cmocka.h>

#define BIT(f) (1ull << (f))
#define BASE                                                                                       \
    (BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_RING_F_INDIRECT_DESC))
#define STATS BIT(VIRTIO_BALLOON_F_STATS_VQ)
#define REPORT BIT(VIRTIO_BALLOON_F_REPORTING)

enum { INFLATE, DEFLATE, STATSQ, REPORTQ, PAGE = 4096 };
#define MIB (1ull << 20)

struct dev {
    struct wh *wh;
    Bulkhead__BalloonWorkerConfig config;
    uint64_t at, pages_at; /* requests; the pages that are given up */
};

static void configure(Bulkhead__Configure *c, void *arg)
{
    c->role_case = BULKHEAD__CONFIGURE__ROLE_BALLOON;
    c->balloon = arg;
}

static struct dev *new_dev(uint64_t features)
{
    struct dev *d = calloc(1, sizeof(*d));
    struct wh_config c = { .program = "bulkhead-dev-balloon",
                           .configure = configure,
                           .n_queues = 4,
                           .queue_size = 64,
                           .away = true,
                           .arg = &d->config };

    bulkhead__balloon_worker_config__init(&d->config);
    d->config.size = 8 * MIB;
    d->config.deflate_on_oom = true;
    d->config.free_page_reporting = true;
    d->wh = wh_new(&c);
    d->at = wh_data_base(d->wh);
    d->pages_at = 16 * MIB;
    memset(wh_mem(d->wh, 0, d->wh->ram_bytes), 0x5a, d->wh->ram_bytes); /* all of it is there */
    wh_start(d->wh);
    wh_activate(d->wh, features, false);
    return d;
}

static void free_dev(struct dev *d)
{
    wh_free(d->wh);
    free(d);
}

static uint64_t held(struct dev *d)
{
    struct stat st;

    assert_int_equal(fstat(d->wh->ram_fd, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

static void name_pages(struct dev *d, unsigned q, const uint32_t *pfns, unsigned n)
{
    uint16_t head;
    uint32_t len, bytes = n * (uint32_t)sizeof(pfns[0]);

    memcpy(wh_mem(d->wh, d->at, bytes), pfns, bytes);
    assert_true(wh_add(d->wh, q, &(struct wh_buf){ d->at, bytes, false }, 1, false) >= 0);
    wh_kick(d->wh, q);
    wh_wait_used(d->wh, q, &head, &len);
    assert_int_equal(len, 0);
}

static void inflates_and_deflates(void **state)
{
    struct dev *d = new_dev(BASE);
    uint64_t before = held(d);
    uint32_t pfns[256], first = (uint32_t)(d->pages_at / PAGE);

    (void)state;
    assert_int_equal(d->wh->virtio_id, 5);
    assert_int_equal(d->wh->features, BASE | STATS | REPORT | BIT(VIRTIO_BALLOON_F_DEFLATE_ON_OOM));
    memcpy(pfns, d->wh->device_config, 4);
    assert_int_equal(pfns[0], 8 * MIB / PAGE);
    for (unsigned i = 0; i < 256; i++) /* every second one, then the others */
        pfns[i] = first + 511 - 2 * i;
    name_pages(d, INFLATE, pfns, 256);
    assert_int_equal(held(d), before - MIB);
    for (unsigned i = 0; i < 256; i++)
        pfns[i] = first + 2 * i;
    name_pages(d, INFLATE, pfns, 256);
    assert_int_equal(held(d), before - 2 * MIB);
    /* Exactly these, and nothing beside them. */
    assert_int_equal(*(uint8_t *)wh_mem(d->wh, d->pages_at - 1, 1), 0x5a);
    assert_int_equal(*(uint8_t *)wh_mem(d->wh, d->pages_at + 2 * MIB, 1), 0x5a);
    assert_int_equal(*(uint8_t *)wh_mem(d->wh, d->pages_at, 1), 0);
    name_pages(d, DEFLATE, pfns, 256);
    *(uint8_t *)wh_mem(d->wh, d->pages_at, 1) = 1; /* back by being touched */
    assert_int_equal(d->wh->stats->write_bytes, 2 * MIB);
    assert_int_equal(d->wh->stats->read_bytes, MIB);
    assert_int_equal(wh_latencies(d->wh), 3);
    assert_int_equal(WEXITSTATUS(wh_stop(d->wh)), 0);
    free_dev(d);
}

/* n buffers that name the same pages: each second one, so that none lies beside the one before. */
static void name_many_pages(struct dev *d, unsigned n, uint32_t bytes)
{
    uint32_t *pfns = wh_mem(d->wh, d->at, bytes), first = (uint32_t)(d->pages_at / PAGE);
    struct wh_buf bufs[60];

    for (uint32_t i = 0; i < bytes / sizeof(*pfns); i++)
        pfns[i] = first + 2 * (i % 4096);
    for (unsigned i = 0; i < n; i++)
        bufs[i] = (struct wh_buf){ d->at, bytes, false };
    assert_true(wh_add(d->wh, INFLATE, bufs, n, true) >= 0);
    wh_kick(d->wh, INFLATE);
}

/* Much more than any turn's work: the heart beats on, the other queues are served, it can be left. */
static void a_request_without_end(void **state)
{
    struct dev *d = new_dev(BASE);
    uint64_t before = held(d), beats = d->wh->stats->heartbeat;
    uint64_t end = wh_now_ns() + WH_PATIENCE_MS * 1000000ull;
    uint32_t pfn = (uint32_t)(d->pages_at / PAGE), len;
    uint16_t head;

    (void)state;
    name_many_pages(d, 60, MIB);
    while (__atomic_load_n(&d->wh->stats->heartbeat, __ATOMIC_RELAXED) < beats + 5 &&
           wh_now_ns() < end)
        poll(NULL, 0, 1);
    assert_true(d->wh->stats->heartbeat >= beats + 5);
    assert_true(held(d) < before); /* it is at it */
    name_pages(d, DEFLATE, &pfn, 1);
    wh_quiesce(d->wh);
    wh_unquiesce(d->wh);
    assert_false(wh_try_used(d->wh, INFLATE, &head, &len));
    wh_reset(d->wh);
    wh_activate(d->wh, BASE, false);
    name_pages(d, INFLATE, &pfn, 1);
    free_dev(d);
}

/* One that takes many turns, with a pause and a death among them, comes to its end, once. */
static void a_long_request(void **state)
{
    struct dev *d = new_dev(BASE);
    uint64_t before = held(d);
    uint32_t len;
    uint16_t head;

    (void)state;
    name_many_pages(d, 4, MIB / 8 + 4); /* a number more than pieces */
    wh_quiesce(d->wh);
    wh_unquiesce(d->wh);
    wh_restart(d->wh, BASE);
    wh_wait_used(d->wh, INFLATE, &head, &len);
    assert_int_equal(held(d), before - 4096 * PAGE);
    assert_int_equal(d->wh->stats->write_ops, 1);
    assert_int_equal(d->wh->stats->errors, 0);
    assert_int_equal(d->wh->stats->write_bytes, 4 * (MIB / 32 + 1) * PAGE);
    assert_false(wh_try_used(d->wh, INFLATE, &head, &len));
    free_dev(d);
}

static void pages_of_nobody(void **state)
{
    struct dev *d = new_dev(BASE);
    uint64_t before = held(d);
    uint32_t pfns[] = { 0xffffffff, (uint32_t)(d->wh->ram_bytes / PAGE), 0x100000, 0xc0000,
                        (uint32_t)(d->pages_at / PAGE) };
    uint16_t head;
    uint32_t len;

    (void)state;
    name_pages(d, INFLATE, pfns, 5);
    assert_int_equal(held(d), before - PAGE); /* the good one all the same */
    assert_int_equal(d->wh->stats->errors, 4);
    assert_true(wh_add(d->wh, INFLATE, &(struct wh_buf){ d->at, 3, false }, 1, false) >= 0);
    wh_kick(d->wh, INFLATE); /* less than one number */
    wh_wait_used(d->wh, INFLATE, &head, &len);
    assert_true(wh_add(d->wh, INFLATE, &(struct wh_buf){ d->pages_at, 4096, true }, 1, false) >= 0);
    wh_kick(d->wh, INFLATE); /* the wrong way round */
    wh_wait_used(d->wh, INFLATE, &head, &len);
    assert_int_equal(held(d), before - PAGE);
    assert_false(wh_has_message(d->wh, 0));
    free_dev(d);
}

static void free_pages_are_reported(void **state)
{
    struct dev *d = new_dev(BASE | STATS | REPORT);
    uint64_t before = held(d);
    struct wh_buf ranges[] = { { d->pages_at, 2 * MIB, true },
                               { d->pages_at + 4 * MIB, 4 * MIB, true } };
    uint16_t head;
    uint32_t len;

    (void)state;
    assert_true(wh_add(d->wh, REPORTQ, ranges, 2, true) >= 0);
    wh_kick(d->wh, REPORTQ);
    wh_wait_used(d->wh, REPORTQ, &head, &len);
    assert_int_equal(held(d), before - 6 * MIB);
    assert_int_equal(wh_latencies(d->wh), 1);
    assert_int_equal(*(uint8_t *)wh_mem(d->wh, d->pages_at + 3 * MIB, 1), 0x5a);
    free_dev(d);

    d = new_dev(BASE | STATS | REPORT); /* more than a piece, and no whole pages at its ends */
    before = held(d);
    ranges[0] = (struct wh_buf){ d->pages_at + 1, 40 * MIB, true };
    assert_true(wh_add(d->wh, REPORTQ, ranges, 1, true) >= 0);
    wh_kick(d->wh, REPORTQ);
    wh_wait_used(d->wh, REPORTQ, &head, &len);
    assert_int_equal(held(d), before - 40 * MIB + PAGE);
    assert_int_equal(*(uint8_t *)wh_mem(d->wh, d->pages_at, 1), 0x5a);
    assert_int_equal(*(uint8_t *)wh_mem(d->wh, d->pages_at + 40 * MIB, 1), 0x5a);
    free_dev(d);

    d = new_dev(BASE | REPORT); /* without statistics the queue has the number before */
    before = held(d);
    ranges[0] = (struct wh_buf){ d->pages_at, 2 * MIB, true };
    assert_true(wh_add(d->wh, STATSQ, ranges, 1, true) >= 0);
    wh_kick(d->wh, STATSQ);
    wh_wait_used(d->wh, STATSQ, &head, &len);
    assert_int_equal(held(d), before - 2 * MIB);
    free_dev(d);
}

/* So much the driver says that it has given up. */
static void inflate_to(struct dev *d, uint64_t bytes)
{
    Bulkhead__ConfigUpdate wrote = BULKHEAD__CONFIG_UPDATE__INIT;
    ENVELOPE(w, CONFIG_UPDATE, config_update, &wrote);
    uint64_t end = wh_now_ns() + WH_PATIENCE_MS * 1000000ull;
    uint32_t pages = (uint32_t)(bytes / PAGE);

    wrote.offset = 4;
    wrote.data.data = (uint8_t *)&pages;
    wrote.data.len = 4;
    wh_send(d->wh, &w);
    while (d->wh->stats->balloon_bytes != bytes && wh_now_ns() < end)
        poll(NULL, 0, 1);
    assert_int_equal(d->wh->stats->balloon_bytes, bytes);
}

static void target_and_actual(void **state)
{
    Bulkhead__BalloonTarget target = BULKHEAD__BALLOON_TARGET__INIT;
    ENVELOPE(e, BALLOON_TARGET, balloon_target, &target);
    struct dev *d = new_dev(BASE);
    const Bulkhead__ConfigUpdate *u;
    uint32_t pages;
    static const uint64_t sizes[] = { 0, 4 * MIB, 1ull << 50 };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        target.size = sizes[i];
        wh_send(d->wh, &e);
        u = wh_expect(d->wh, BULKHEAD__ENVELOPE__BODY_CONFIG_UPDATE)->config_update;
        assert_int_equal(u->offset, 0);
        assert_int_equal(u->data.len, 4);
        memcpy(&pages, u->data.data, 4);
        assert_int_equal(pages, MIN(sizes[i], d->wh->ram_bytes) / PAGE);
    }
    inflate_to(d, 2 * MIB);

    /* The next driver must not take over what the last one had given up, nor after a death. */
    wh_restart(d->wh, BASE);
    wh_send_reset(d->wh);
    u = wh_expect(d->wh, BULKHEAD__ENVELOPE__BODY_CONFIG_UPDATE)->config_update;
    assert_int_equal(u->offset, 4);
    assert_int_equal(u->data.len, 4);
    memcpy(&pages, u->data.data, 4);
    assert_int_equal(pages, 0);
    wh_expect(d->wh, BULKHEAD__ENVELOPE__BODY_RESET_DONE);
    assert_int_equal(d->wh->stats->balloon_bytes, 0);
    free_dev(d);
}

static uint32_t actual_on_offer(const struct dev *d)
{
    uint32_t pages;

    memcpy(&pages, d->wh->device_config + 4, 4);
    return pages;
}

static void put_stat(uint8_t *at, uint16_t tag, uint64_t value)
{
    memcpy(at, &tag, sizeof(tag));
    memcpy(at + 2, &value, sizeof(value));
}

static void send_report(struct dev *d, uint64_t value)
{
    put_stat(wh_mem(d->wh, d->at, 10), VIRTIO_BALLOON_S_MEMFREE, 1000 * value);
    put_stat(wh_mem(d->wh, d->at + 10, 10), VIRTIO_BALLOON_S_MEMTOT, 2000 * value);
    assert_true(wh_add(d->wh, STATSQ, &(struct wh_buf){ d->at, 20, false }, 1, false) >= 0);
    wh_kick(d->wh, STATSQ);
}

/* The buffer comes back: new figures, please. */
static void expect_report(struct dev *d, uint64_t value)
{
    uint16_t head;
    uint32_t len;

    wh_wait_used(d->wh, STATSQ, &head, &len);
    assert_int_equal(d->wh->stats->guest_stats[VIRTIO_BALLOON_S_MEMFREE], 1000 * value);
    assert_int_equal(d->wh->stats->guest_stats[VIRTIO_BALLOON_S_MEMTOT], 2000 * value);
}

/* Nothing but kicks, if the worker wants them, brings the next report. */
static void statistics(void **state)
{
    struct dev *d[] = { new_dev(BASE | STATS),
                        new_dev((BASE | STATS) & ~BIT(VIRTIO_RING_F_EVENT_IDX)) };

    (void)state;
    for (uint64_t round = 1; round <= 4; round++) {
        for (size_t i = 0; i < ARRAY_SIZE(d); i++)
            send_report(d[i], round);
        for (size_t i = 0; i < ARRAY_SIZE(d); i++)
            expect_report(d[i], round);
    }
    for (size_t i = 0; i < ARRAY_SIZE(d); i++)
        free_dev(d[i]);
}

/* The held buffer survives a pause and the worker's death. */
static void statistics_and_restarts(void **state)
{
    struct dev *d = new_dev(BASE | STATS);

    (void)state;
    send_report(d, 1);
    wh_quiesce(d->wh);
    wh_unquiesce(d->wh);
    expect_report(d, 1);
    send_report(d, 2);
    wh_restart(d->wh, BASE | STATS);
    expect_report(d, 2);
    free_dev(d);
}

/* The page of counters lives as long as the VM; what a driver had, and said of itself, no longer than it. Counters go
 * on. */
static void nothing_outlives_a_driver(void **state)
{
    struct dev *d = new_dev(BASE | STATS);
    const uint32_t pfn = (uint32_t)(d->pages_at / PAGE);

    (void)state;
    name_pages(d, INFLATE, &pfn, 1);
    for (unsigned reboot = 0; reboot < 2; reboot++) {
        inflate_to(d, 2 * MIB);
        send_report(d, 5);
        expect_report(d, 5);
        if (reboot) {
            assert_int_equal(WEXITSTATUS(wh_stop(d->wh)), 0);
            d->wh->starts = 0; /* in this boot */
            wh_start(d->wh);
            assert_int_equal(actual_on_offer(d), 0);
        } else {
            wh_send_reset(d->wh);
            wh_expect(d->wh, BULKHEAD__ENVELOPE__BODY_CONFIG_UPDATE);
            wh_expect(d->wh, BULKHEAD__ENVELOPE__BODY_RESET_DONE);
        }
        assert_int_equal(d->wh->stats->balloon_bytes, 0);
        assert_int_equal(d->wh->stats->guest_stats[VIRTIO_BALLOON_S_MEMTOT], 0);
        assert_int_equal(d->wh->stats->write_bytes, PAGE);
        wh_activate(d->wh, BASE | STATS, false);
    }
    inflate_to(d, MIB);
    wh_restart(d->wh, BASE | STATS); /* but it outlives a worker */
    assert_int_equal(actual_on_offer(d), MIB / PAGE);
    assert_int_equal(d->wh->stats->balloon_bytes, MIB);
    free_dev(d);
}

/* A driver that sends more than one: each comes back once, the last when the time has come. */
static void two_reports_at_once(void **state)
{
    struct dev *d = new_dev(BASE | STATS);
    uint16_t first, second;
    uint32_t len;

    (void)state;
    send_report(d, 1);
    send_report(d, 2);
    wh_wait_used(d->wh, STATSQ, &first, &len);
    wh_quiesce(d->wh);
    wh_unquiesce(d->wh);
    wh_restart(d->wh, BASE | STATS);
    wh_quiesce(d->wh);
    wh_unquiesce(d->wh);
    wh_wait_used(d->wh, STATSQ, &second, &len);
    assert_int_not_equal(first, second);
    send_report(d, 3);
    expect_report(d, 3);
    free_dev(d);
}

static void restart(void **state)
{
    struct dev *d = new_dev(BASE);
    uint64_t before = held(d);
    uint32_t first = (uint32_t)(d->pages_at / PAGE);

    (void)state;
    for (uint32_t round = 0; round < 20; round++) {
        uint32_t pfn = first + round;

        name_pages(d, INFLATE, &pfn, 1);
        wh_restart(d->wh, BASE);
    }
    assert_int_equal(held(d), before - 20 * PAGE);
    wh_reset(d->wh);
    wh_activate(d->wh, BASE, false);
    name_pages(d, INFLATE, &first, 1);
    free_dev(d);
}

static void expect_target(struct dev *d, uint64_t bytes)
{
    const Bulkhead__ConfigUpdate *u =
        wh_expect(d->wh, BULKHEAD__ENVELOPE__BODY_CONFIG_UPDATE)->config_update;
    uint32_t pages;

    assert_int_equal(u->offset, 0);
    assert_int_equal(u->data.len, 4);
    memcpy(&pages, u->data.data, 4);
    assert_int_equal(pages, bytes / PAGE);
}

/* Of many changes that nobody read, what they came to; and a new broker hears of it once more. */
static void changes_are_merged(void **state)
{
    Bulkhead__BalloonTarget target = BULKHEAD__BALLOON_TARGET__INIT;
    ENVELOPE(e, BALLOON_TARGET, balloon_target, &target);
    struct dev *d = new_dev(BASE);
    const Bulkhead__Snapshot *s;
    uint32_t pages;

    (void)state;
    wh_go_away(d->wh);
    for (unsigned i = 1; i <= 100; i++) {
        target.size = i * MIB / 4;
        wh_send(d->wh, &e);
        if (i % 10 == 0)
            wh_let_it_turn(d->wh);
    }
    wh_come_back(d->wh);
    expect_target(d, 25 * MIB);
    wh_expect_silence(d->wh);
    s = wh_resync(d->wh, 2);
    memcpy(&pages, s->config.data, 4);
    assert_int_equal(pages, 25 * MIB / PAGE);
    expect_target(d, 25 * MIB);
    wh_expect_silence(d->wh);
    free_dev(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inflates_and_deflates),
        cmocka_unit_test(a_request_without_end),
        cmocka_unit_test(a_long_request),
        cmocka_unit_test(pages_of_nobody),
        cmocka_unit_test(free_pages_are_reported),
        cmocka_unit_test(target_and_actual),
        cmocka_unit_test(statistics),
        cmocka_unit_test(statistics_and_restarts),
        cmocka_unit_test(nothing_outlives_a_driver),
        cmocka_unit_test(two_reports_at_once),
        cmocka_unit_test(restart),
        cmocka_unit_test(changes_are_merged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
