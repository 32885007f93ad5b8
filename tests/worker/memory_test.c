/* SPDX-License-Identifier: Apache-2.0 */
/* memory_test.c - regions of guest RAM that are added to workers and taken from them while they serve
 * their guest. */
#include <errno.h>
#include <linux/virtio_blk.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "blk_driver.h"
#include "harness_away.h"
#include "memory.h"
#include "net_driver.h"
#include <cmocka.h>

#define MIB (1ull << 20)
#define RAM (64 * MIB)
#define RNG_FEATURES                                                                               \
    (BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_RING_F_INDIRECT_DESC))
#define B(name) BULKHEAD__ENVELOPE__BODY_##name

static const struct wh_config rng_config = {
    .program = "bulkhead-dev-rng", .n_queues = 1, .queue_size = 64, .address_end = 256 * MIB
};

static struct wh *new_rng(void)
{
    struct wh *wh = wh_new(&rng_config);

    wh_start(wh);
    wh_activate(wh, RNG_FEATURES, false);
    return wh;
}

/* The worker fills [at, at + len): whether it did, and not that it needs a reset. */
static bool fills(const struct wm_region *r, uint64_t at, uint32_t len)
{
    struct wh_buf buf = { at, len, true };
    uint8_t *bytes = calloc(1, len);
    unsigned zeroes = 0;
    uint16_t head;
    uint32_t used;

    assert_true(wh_add(r->wh, 0, &buf, 1, false) >= 0);
    wh_kick(r->wh, 0);
    for (;;) {
        if (wh_has_message(r->wh, 1)) {
            wh_expect(r->wh, B(NEEDS_RESET));
            free(bytes);
            return false;
        }
        if (wh_try_used(r->wh, 0, &head, &used))
            break;
    }
    assert_int_equal(used, len);
    wm_get(r, at, bytes, len);
    for (uint32_t i = 0; i < len; i++)
        zeroes += bytes[i] == 0;
    assert_true(zeroes < 20 + len / 64);
    free(bytes);
    return true;
}

static void start_again(struct wh *wh)
{
    wh_reset(wh);
    wh_activate(wh, RNG_FEATURES, false);
}

static void buffers_come_and_go_with_their_region(void **state)
{
    struct wh *wh = new_rng();
    struct wm_region r;

    (void)state;
    wm_make(&r, wh, 1, RAM, 4 * MIB);
    assert_false(fills(&r, RAM, 64)); /* not there yet */
    start_again(wh);
    assert_int_equal(wm_add(&r), 0);
    assert_true(fills(&r, RAM, 64));
    assert_true(fills(&r, RAM + 4 * MIB - 4096, 4096));
    assert_true(fills(&r, RAM - 1000, 3000)); /* into it from the one before */
    assert_int_equal(wm_remove(&r), 0);
    assert_true(fills(&r, RAM - 64, 64));
    assert_false(fills(&r, RAM, 64));
    start_again(wh);
    assert_false(fills(&r, RAM - 1000, 3000));
    start_again(wh);
    assert_int_equal(wm_add(&r), 0);
    assert_true(fills(&r, RAM - 1000, 3000));
    assert_int_equal(WEXITSTATUS(wh_stop(wh)), 0);
    wm_unmake(&r);
    wh_free(wh);
}

static void what_can_not_be_changes_nothing(void **state)
{
    struct wh *wh = new_rng();
    struct wm_region r, high;

    (void)state;
    wm_make(&r, wh, 1, RAM, 4 * MIB);
    assert_int_equal(wm_remove(&r), EINVAL); /* there is none */
    wm_make(&high, wh, 2, 256 * MIB, MIB);
    assert_int_equal(wm_add(&high), ENOSPC);
    assert_int_equal(wm_add(&r), 0);
    assert_int_equal(wm_add(&r), EINVAL); /* twice */
    assert_true(fills(&r, RAM - 64, 128));
    wm_unmake(&r);
    wm_unmake(&high);
    wh_free(wh);
}

/* Legal without a driver, and while the worker stands still. */
static void in_every_state(void **state)
{
    struct wh *wh = wh_new(&rng_config);
    struct wm_region r;

    (void)state;
    wh_start(wh);
    wm_make(&r, wh, 3, RAM, 4 * MIB);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(wm_add(&r), 0);
        assert_int_equal(wm_remove(&r), 0);
    }
    wh_activate(wh, RNG_FEATURES, false);
    wh_quiesce(wh);
    assert_int_equal(wm_add(&r), 0);
    assert_int_equal(wm_remove(&r), 0);
    assert_int_equal(wm_add(&r), 0);
    wh_add(wh, 0, &(struct wh_buf){ RAM, 64, true }, 1, false);
    wh_kick_always(wh, 0);
    assert_false(wh_wait_interrupt(wh, 0, 50)); /* it does stand still */
    wh_unquiesce(wh);
    wm_await_used(wh, 0, 1);
    assert_int_equal(wm_remove(&r), 0);
    wm_unmake(&r);
    wh_free(wh);
}

static uint64_t of_process(struct wh *wh, const char *what)
{
    char path[64], line[256];
    unsigned long long kib = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/status", (int)wh->pid);
    f = fopen(path, "re");
    assert_non_null(f);
    while (kib == 0 && fgets(line, sizeof line, f))
        if (strncmp(line, what, strlen(what)) == 0)
            kib = strtoull(line + strlen(what), NULL, 10);
    fclose(f);
    return kib << 10;
}

/* Neither addresses nor mappings nor descriptors are used up by it; beyond what was reserved nothing
 * can be mapped. */
static void many_rounds_leave_nothing_behind(void **state)
{
    struct wh *wh = new_rng();
    struct rlimit limit, files;
    struct wm_region r;
    uint64_t before = 0;

    (void)state;
    wm_make(&r, wh, 1, RAM, 4 * MIB);
    for (unsigned round = 0; round < 300; round++) {
        r.number = 1 + round % 31;
        r.address = RAM + round % 40 * 4 * MIB;
        assert_int_equal(wm_add(&r), 0);
        assert_true(fills(&r, r.address + 4 * MIB - 64, 64));
        assert_int_equal(wm_remove(&r), 0);
        if (round == 0)
            before = of_process(wh, "VmSize:");
        assert_int_equal(of_process(wh, "VmSize:"), before);
    }
    assert_int_equal(prlimit(wh->pid, RLIMIT_NOFILE, NULL, &files), 0);
    assert_true(files.rlim_max < 40); /* 300 rounds would not have fitted */
    assert_int_equal(prlimit(wh->pid, RLIMIT_AS, NULL, &limit), 0);
#ifndef BH_SANITIZED
    assert_true(limit.rlim_max >= before && limit.rlim_max - before <= 4 * MIB);
#endif
    wm_unmake(&r);
    wh_free(wh);
}

static void move_rings(struct wm_region *r, uint64_t address)
{
    struct wh_queue *queue = &r->wh->queues[0];

    queue->used = address;
    queue->vring.used = (vring_used_t *)(void *)(r->host + (address - r->address));
}

static void rings_in_a_region_that_goes_need_a_reset(void **state)
{
    struct wh *wh = new_rng();
    struct wm_region r;

    (void)state;
    wm_make(&r, wh, 1, RAM, 4 * MIB);
    assert_int_equal(wm_add(&r), 0);
    for (unsigned round = 0; round < 3; round++) {
        Bulkhead__QueueState state_of = BULKHEAD__QUEUE_STATE__INIT, *list[] = { &state_of };
        Bulkhead__Activate m = BULKHEAD__ACTIVATE__INIT;
        ENVELOPE(e, ACTIVATE, activate, &m);

        wh_reset(wh);
        wh_fresh_rings(wh);
        memset(r.host, 0, r.bytes);
        move_rings(&r, RAM + MIB);
        wh->queues[0].event_idx = false;
        state_of.size = wh->queues[0].size;
        state_of.desc = wh->queues[0].desc;
        state_of.avail = wh->queues[0].avail;
        state_of.used = wh->queues[0].used;
        m.features = BIT(VIRTIO_F_VERSION_1);
        m.n_queues = 1;
        m.queues = list;
        wh_send(wh, &e);
        wh_expect(wh, B(ACTIVATED));
        assert_true(fills(&r, RAM, 64));
        if (round == 1)
            wh_quiesce(wh);
        wm_send_remove(&r);
        wh_expect(wh, B(NEEDS_RESET));
        assert_int_equal(wm_answer(wh), 0);
        wh_kick_always(wh, 0);
        if (round == 1)
            wh_unquiesce(wh);
        assert_int_equal(wm_add(&r), 0); /* with the old rings in it, which are nobody's now */
    }
    start_again(wh);
    assert_true(fills(&r, RAM, 64));
    wm_unmake(&r);
    wh_free(wh);
}

/* ---- a disk ---- */

enum { SLOTS = 64 };

static void write_disk(struct blkd *d, uint8_t *bytes, uint64_t len)
{
    blkd_pattern(bytes, len, 0x1234);
    assert_int_equal(pwrite(d->fd, bytes, len, 0), len);
}

static void a_disk_reads_and_writes_there(void **state)
{
    const struct blkd_options options = { .bytes = 8 * MIB, .address_end = 256 * MIB };
    struct blkd *d = blkd_new(&options);
    uint8_t *want = malloc(MIB), *got = malloc(MIB);
    struct wm_region r;

    (void)state;
    write_disk(d, want, MIB);
    wm_make(&r, d->wh, 1, RAM, 4 * MIB);
    assert_int_equal(wm_add(&r), 0);
    /* One buffer that begins in the RAM before it. */
    assert_int_equal(blkd_read(d, 0, RAM - 4096 - 512, MIB), VIRTIO_BLK_S_OK);
    wm_get(&r, RAM - 4096 - 512, got, MIB);
    assert_memory_equal(want, got, MIB);
    blkd_pattern(want, MIB, 0x99);
    wm_put(&r, RAM - 512, want, MIB);
    assert_int_equal(blkd_write(d, 4096, RAM - 512, MIB), VIRTIO_BLK_S_OK);
    assert_int_equal(pread(d->fd, got, MIB, 2 * MIB), MIB);
    assert_memory_equal(want, got, MIB);
    assert_int_equal(wm_remove(&r), 0);
    assert_int_equal(blkd_read(d, 0, RAM - MIB, MIB), VIRTIO_BLK_S_OK);
    wm_unmake(&r);
    blkd_free(d);
    free(want);
    free(got);
}

/* A new broker asks in the middle of it: the answer follows, or the region is gone. Whether it did follow;
 * *ret_broken: NeedsReset is said. */
static bool answer_follows(struct wh *wh, uint32_t epoch, bool *ret_broken)
{
    struct message msg = { 0 };
    const Bulkhead__Snapshot *s;
    bool follows;

    wh_send_resync(wh, epoch);
    for (*ret_broken = false;; *ret_broken |= msg.envelope->body_case == B(NEEDS_RESET)) {
        assert_int_equal(wh_try_receive(wh, &msg), 0);
        if (msg.envelope->body_case == B(SNAPSHOT))
            break;
    }
    s = msg.envelope->snapshot;
    *ret_broken |= s->needs_reset;
    follows = s->owes_ram_changed;
    assert_int_equal(s->regions, follows ? 3 : 1);
    if (follows)
        assert_int_equal(wm_answer(wh), 0);
    return follows;
}

/* What was taken before is done, into the region; what was not is the guest's fault. Whether a new broker
 * (epoch, or 0: there is none) heard that something was in flight. */
static bool remove_in_the_middle(struct blkd *d, struct wm_region *r, const uint8_t *want,
                                 uint32_t epoch)
{
    bool broken = false, follows = false;
    unsigned done = 0;
    uint8_t status;
    uint32_t len;
    int slot;

    memset(r->host, 0, r->bytes);
    for (unsigned i = 0; i < SLOTS; i++)
        blkd_add(d, 0, i,
                 &(struct blkd_request){ .type = VIRTIO_BLK_T_IN,
                                         .sector = i * 128,
                                         .addr = r->address + i * 65536,
                                         .len = 65536 });
    wh_kick_always(d->wh, 0);
    while (__atomic_load_n(&d->wh->queues[0].vring.used->idx, __ATOMIC_RELAXED) == 0 &&
           __atomic_load_n(&d->wh->stats->inflight, __ATOMIC_RELAXED) == 0)
        ;
    wm_send_remove(r);
    if (epoch != 0)
        follows = answer_follows(d->wh, epoch, &broken);
    else
        assert_int_equal(wm_answer(d->wh), 0);
    while ((slot = blkd_try(d, 0, &status, &len)) >= 0) {
        assert_int_equal(status, VIRTIO_BLK_S_OK);
        assert_memory_equal(r->host + slot * 65536, want + slot * 65536, 65536);
        done++;
    }
    if (done < SLOTS && !broken)
        wh_expect(d->wh, B(NEEDS_RESET));
    assert_int_equal(wm_add(r), 0);
    wh_reset(d->wh);
    wh_activate(d->wh, d->features, false);
    return follows;
}

static void a_region_goes_in_the_middle_of_io(void **state)
{
    const struct blkd_options options = { .bytes = 8 * MIB,
                                          .address_end = 256 * MIB,
                                          .direct = true };
    struct blkd *d = blkd_new(&options);
    uint8_t *want = malloc(4 * MIB);
    struct wm_region r;
    unsigned heard = 0;

    (void)state;
    write_disk(d, want, 4 * MIB);
    assert_int_equal(fsync(d->fd), 0);
    wm_make(&r, d->wh, 1, RAM, 4 * MIB);
    assert_int_equal(wm_add(&r), 0);
    for (unsigned round = 0; round < 40; round++)
        heard += remove_in_the_middle(d, &r, want, round % 2 * round);
    print_message("%u of 20 with requests in flight\n", heard);
    assert_true(heard > 0);
    wm_unmake(&r);
    blkd_free(d);
    free(want);
}

/* ---- a network ---- */

static void frames_go_through_it(void **state)
{
    struct nic *n = netd_new_stream();
    uint8_t frame[1514], got[2048];
    struct wm_region r;
    struct wh_buf tx[2];

    (void)state;
    n->wh->config.address_end = 256 * MIB;
    wh_start(n->wh);
    wh_activate(n->wh, BASE, false);
    wm_make(&r, n->wh, 1, RAM, 4 * MIB);
    assert_int_equal(wm_add(&r), 0);

    /* From the guest: the header, then the frame, cross into it. */
    netd_fill_frame(frame, sizeof frame, 0x77);
    wm_put(&r, RAM - 6, &netd_plain, HDR);
    wm_put(&r, RAM + 6, frame, 700);
    wm_put(&r, RAM + 8192, frame + 700, sizeof frame - 700);
    tx[0] = (struct wh_buf){ RAM - 6, HDR + 700, false };
    tx[1] = (struct wh_buf){ RAM + 8192, sizeof frame - 700, false };
    assert_true(wh_add(n->wh, TX, tx, 2, false) >= 0);
    wh_kick(n->wh, TX);
    assert_int_equal(netd_read_stream_frame(n->peer, got, sizeof got), sizeof frame);
    assert_memory_equal(got, frame, sizeof frame);

    /* To the guest. */
    assert_true(wh_add(n->wh, RX, &(struct wh_buf){ RAM - 700, 2048, true }, 1, false) >= 0);
    wh_kick(n->wh, RX);
    netd_write_stream_frame(n->peer, 1514, 0x55);
    wm_await_used(n->wh, RX, 1);
    wm_get(&r, RAM - 700 + HDR, got, 1514);
    for (unsigned i = 14; i < 1514; i++)
        assert_int_equal(got[i], 0x55);

    /* A buffer that waits there for a frame when it goes. */
    assert_true(wh_add(n->wh, RX, &(struct wh_buf){ RAM, 2048, true }, 1, false) >= 0);
    wh_kick(n->wh, RX);
    assert_int_equal(wm_remove(&r), 0);
    netd_write_stream_frame(n->peer, 1514, 0x44);
    wh_expect(n->wh, B(NEEDS_RESET));
    wh_reset(n->wh);
    wh_activate(n->wh, BASE, false);
    netd_give_buffer(n, 0, BUF);
    wh_kick(n->wh, RX);
    netd_write_stream_frame(n->peer, 1514, 0x33);
    wm_await_used(n->wh, RX, 1);
    wm_unmake(&r);
    netd_free(n);
}

/* ---- a balloon: each region has a file of its own ---- */

static uint64_t held(int fd)
{
    struct stat st;

    assert_int_equal(fstat(fd, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

static void holes_are_punched_where_they_belong(void **state)
{
    struct wh *wh = wm_new_balloon(256 * MIB);
    uint64_t ram_before, region_before;
    struct wm_region r;
    struct wh_buf ask;

    (void)state;
    wm_make(&r, wh, 1, RAM, 4 * MIB);
    memset(r.host, 0x5a, r.bytes);
    ram_before = held(wh->ram_fd);
    region_before = held(r.fd);
    assert_int_equal(wm_add(&r), 0);
    /* 32 pages at the end of the first RAM, 32 at the beginning of the other: one range for the guest. */
    wm_inflate(wh, RAM - 32 * 4096, 64 * 4096);
    wh_kick(wh, 0);
    wm_await_used(wh, 0, 1);
    assert_int_equal(held(wh->ram_fd), ram_before - 32 * 4096);
    assert_int_equal(held(r.fd), region_before - 32 * 4096);
    assert_int_equal(r.host[32 * 4096 - 1], 0);
    assert_int_equal(r.host[32 * 4096], 0x5a);
    /* A report of free pages that crosses too. */
    ask = (struct wh_buf){ RAM - MIB, 2 * MIB, true };
    wh_add(wh, 2, &ask, 1, false);
    wh_kick_always(wh, 2);
    wm_await_used(wh, 2, 1);
    assert_int_equal(held(wh->ram_fd), ram_before - MIB);
    assert_int_equal(held(r.fd), region_before - MIB);
    assert_int_equal(wh->stats->errors, 0);
    wm_unmake(&r);
    wh_free(wh);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffers_come_and_go_with_their_region),
        cmocka_unit_test(what_can_not_be_changes_nothing),
        cmocka_unit_test(in_every_state),
        cmocka_unit_test(many_rounds_leave_nothing_behind),
        cmocka_unit_test(rings_in_a_region_that_goes_need_a_reset),
        cmocka_unit_test(a_disk_reads_and_writes_there),
        cmocka_unit_test(a_region_goes_in_the_middle_of_io),
        cmocka_unit_test(frames_go_through_it),
        cmocka_unit_test(holes_are_punched_where_they_belong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
