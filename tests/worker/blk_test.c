/* SPDX-License-Identifier: Apache-2.0 */
/* blk_test.c - the disk worker: every request, every error, each way of doing the I/O. */
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "blk_driver.h"
#include <cmocka.h>

#define MIB (1ull << 20)
enum { OK = VIRTIO_BLK_S_OK, IOERR = VIRTIO_BLK_S_IOERR, UNSUPP = VIRTIO_BLK_S_UNSUPP };

/* Each test of data runs over all of these. */
static const struct blkd_options ways[] = {
    { .bytes = 32 * MIB, .discard = true },
    { .bytes = 32 * MIB, .discard = true, .no_uring = true },
    { .bytes = 32 * MIB, .discard = true, .direct = true, .block_size = 4096 },
    { .bytes = 32 * MIB, .discard = true, .direct = true, .no_uring = true, .block_size = 4096 },
};
enum { N_WAYS = sizeof ways / sizeof ways[0] };

static bool disk_holds(struct blkd *d, uint64_t offset, const void *want, size_t len)
{
    static uint8_t got[2 * MIB];

    assert_true(len <= sizeof got);
    assert_int_equal(pread(d->fd, got, len, (off_t)offset), len);
    return memcmp(got, want, len) == 0;
}

static void announces_itself(void **state)
{
    struct blkd *d = blkd_new(&(struct blkd_options){
        .bytes = 32 * MIB, .discard = true, .n_queues = 4, .block_size = 4096 });
    struct virtio_blk_config c;
    uint64_t want = 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX |
                    1ull << VIRTIO_RING_F_INDIRECT_DESC | 1ull << VIRTIO_BLK_F_FLUSH |
                    1ull << VIRTIO_BLK_F_BLK_SIZE | 1ull << VIRTIO_BLK_F_TOPOLOGY |
                    1ull << VIRTIO_BLK_F_SEG_MAX | 1ull << VIRTIO_BLK_F_MQ |
                    1ull << VIRTIO_BLK_F_DISCARD | 1ull << VIRTIO_BLK_F_WRITE_ZEROES;

    (void)state;
    memcpy(&c, d->wh->device_config, sizeof c);
    assert_int_equal(d->wh->virtio_id, 2);
    assert_int_equal(d->wh->n_announced_queues, 4);
    assert_int_equal(d->wh->features, want);
    assert_int_equal(c.capacity, 32 * MIB / 512);
    assert_int_equal(c.seg_max, 128);
    assert_int_equal(c.blk_size, 4096);
    assert_int_equal(c.num_queues, 4);
    assert_int_equal(c.max_discard_seg, 1);
    assert_int_equal(c.discard_sector_alignment, 8);
    blkd_free(d);
}

static uint8_t range(struct blkd *d, uint32_t type, uint64_t sector, uint32_t n, uint32_t flags)
{
    struct virtio_blk_discard_write_zeroes seg = { .sector = sector,
                                                   .num_sectors = n,
                                                   .flags = flags };

    memcpy(wh_mem(d->wh, d->data, sizeof seg), &seg, sizeof seg);
    return blkd_do(d, &(struct blkd_request){ type, 0, d->data, sizeof seg, 1, false });
}

/* A disk that can't discard can have zeroes written to it all the same. */
static void zeroes_without_discard(void **state)
{
    static const uint8_t zero[4096];
    struct blkd *d = blkd_new(&(struct blkd_options){ .bytes = MIB });
    struct virtio_blk_config c;

    (void)state;
    memcpy(&c, d->wh->device_config, sizeof c);
    assert_false(d->features & 1ull << VIRTIO_BLK_F_DISCARD);
    assert_int_equal(c.max_discard_sectors, 0);
    assert_true(d->features & 1ull << VIRTIO_BLK_F_WRITE_ZEROES);
    assert_true(c.max_write_zeroes_sectors > 0);
    assert_int_equal(c.write_zeroes_may_unmap, 0);
    memset(wh_mem(d->wh, d->data, 4096), 0xaa, 4096);
    assert_int_equal(blkd_write(d, 8, d->data, 4096), OK);
    assert_int_equal(range(d, VIRTIO_BLK_T_WRITE_ZEROES, 8, 8, 0), OK);
    assert_true(disk_holds(d, 8 * 512, zero, sizeof zero));
    assert_int_equal(range(d, VIRTIO_BLK_T_DISCARD, 8, 8, 0), UNSUPP);
    blkd_free(d);
}

static void writes_and_reads(const struct blkd_options *o, unsigned pieces, bool indirect,
                             uint64_t misalign)
{
    struct blkd *d = blkd_new(o);
    static uint8_t want[MIB];
    struct blkd_request w = { VIRTIO_BLK_T_OUT, 64, d->data + misalign, MIB, pieces, indirect };
    struct blkd_request r = { VIRTIO_BLK_T_IN, 64,      d->data + 4 * MIB + misalign, MIB,
                              pieces,          indirect };

    blkd_pattern(want, MIB, 7);
    memcpy(wh_mem(d->wh, w.addr, MIB), want, MIB);
    assert_int_equal(blkd_do(d, &w), OK);
    assert_true(disk_holds(d, 64 * 512, want, MIB));
    assert_int_equal(blkd_do(d, &r), OK);
    assert_memory_equal(wh_mem(d->wh, r.addr, MIB), want, MIB);
    assert_int_equal(d->wh->stats->write_bytes, MIB);
    assert_int_equal(d->wh->stats->read_bytes, MIB);
    assert_int_equal(d->wh->ring.fd >= 0, !o->no_uring);
    blkd_free(d);
}

static void data_goes_both_ways(void **state)
{
    (void)state;
    for (unsigned i = 0; i < N_WAYS; i++) {
        writes_and_reads(&ways[i], 1, false, 0);
        writes_and_reads(&ways[i], 128, true, 0);
        writes_and_reads(&ways[i], 100, false, 0); /* pieces that are no multiple of a block */
        writes_and_reads(&ways[i], 3, true, 1);    /* and odd addresses: bounced under O_DIRECT */
    }
}

static void used_length_is_what_was_written(void **state)
{
    struct blkd *d = blkd_new(&ways[0]);
    uint8_t status;
    uint32_t len;

    (void)state;
    blkd_add(d, 0, 0, &(struct blkd_request){ VIRTIO_BLK_T_IN, 0, d->data, 4096, 1, false });
    wh_kick(d->wh, 0);
    blkd_wait(d, 0, &status, &len);
    assert_int_equal(len, 4097);
    blkd_add(d, 0, 0, &(struct blkd_request){ VIRTIO_BLK_T_OUT, 0, d->data, 4096, 1, false });
    wh_kick(d->wh, 0);
    blkd_wait(d, 0, &status, &len);
    assert_int_equal(len, 1);
    blkd_free(d);
}

static void bounds_are_kept(void **state)
{
    static const struct {
        uint32_t type;
        uint64_t sector;
        uint32_t len;
        uint8_t want;
    } cases[] = {
        { VIRTIO_BLK_T_IN, 65535, 512, OK },                   /* the last sector           */
        { VIRTIO_BLK_T_IN, 65535, 1024, IOERR },               /* one more                  */
        { VIRTIO_BLK_T_IN, 65536, 512, IOERR },                /* the first that isn't there */
        { VIRTIO_BLK_T_IN, UINT64_MAX, 512, IOERR },           /* sector + n wraps          */
        { VIRTIO_BLK_T_IN, UINT64_MAX / 512 + 1, 512, IOERR }, /* sector * 512 wraps */
        { VIRTIO_BLK_T_IN, 0, 511, IOERR },                    /* no whole sectors          */
        { VIRTIO_BLK_T_IN, 0, 0, OK },                         /* nothing                   */
        { VIRTIO_BLK_T_IN, 65536, 0, OK },                     /* nothing, at the very end  */
        { VIRTIO_BLK_T_IN, 65537, 0, IOERR },
        { VIRTIO_BLK_T_OUT, 65535, 512, OK },
        { VIRTIO_BLK_T_OUT, 65535, 1024, IOERR },
        { VIRTIO_BLK_T_OUT, UINT64_MAX, 512, IOERR },
        { VIRTIO_BLK_T_OUT, 0, 513, IOERR },
        { 2, 0, 0, UNSUPP },   /* SCSI command              */
        { 14, 0, 16, UNSUPP }, /* secure erase              */
        { UINT32_MAX, 0, 512, UNSUPP },
    };

    (void)state;
    for (unsigned w = 0; w < 2; w++) {
        struct blkd *d = blkd_new(&ways[w]);

        for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            struct blkd_request r = { cases[i].type, cases[i].sector, d->data, cases[i].len, 1,
                                      false };
            uint8_t status = blkd_do(d, &r);

            if (status != cases[i].want)
                fail_msg("case %u: status %u instead of %u", i, status, cases[i].want);
        }
        assert_false(wh_has_message(d->wh, 0)); /* all of these are answered, none needs a reset */
        blkd_free(d);
    }
}

static void gives_its_serial(void **state)
{
    struct blkd *d =
        blkd_new(&(struct blkd_options){ .bytes = MIB, .serial = "twenty-bytes-serial!x" });
    struct blkd_request r = { VIRTIO_BLK_T_GET_ID, 0, d->data, 20, 1, false };
    uint8_t *p = wh_mem(d->wh, d->data, 32);

    (void)state;
    memset(p, 0xee, 32);
    assert_int_equal(blkd_do(d, &r), OK);
    assert_memory_equal(p, "twenty-bytes-serial!\xee", 21);
    memset(p, 0xee, 32);
    r.len = 6; /* a shorter buffer is a shorter answer */
    assert_int_equal(blkd_do(d, &r), OK);
    assert_memory_equal(p, "twenty\xee", 7);
    blkd_free(d);
}

static void ranges_are_discarded_and_zeroed(void **state)
{
    static uint8_t want[MIB], zero[MIB];

    (void)state;
    for (unsigned w = 0; w < N_WAYS; w++) {
        struct blkd *d = blkd_new(&ways[w]);
        struct stat before, after;

        blkd_pattern(want, MIB, 3);
        memcpy(wh_mem(d->wh, d->data + MIB, MIB), want, MIB);
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(blkd_write(d, i * 2048, d->data + MIB, MIB), OK);
        assert_int_equal(blkd_flush(d), OK);
        fstat(d->fd, &before);
        assert_int_equal(range(d, VIRTIO_BLK_T_WRITE_ZEROES, 8, 1024, 0), OK);
        assert_true(disk_holds(d, 8 * 512, zero, 1024 * 512));
        assert_true(disk_holds(d, 0, want, 8 * 512));
        assert_true(disk_holds(d, 1032 * 512, want + 1032 * 512, 1016 * 512));
        assert_int_equal(range(d, VIRTIO_BLK_T_WRITE_ZEROES, 2048, 2048, 1), OK);
        assert_true(disk_holds(d, MIB, zero, MIB));
        assert_int_equal(range(d, VIRTIO_BLK_T_DISCARD, 4096, 2048, 0), OK);
        fstat(d->fd, &after);
        assert_true(after.st_blocks < before.st_blocks);
        assert_int_equal(after.st_size, before.st_size);

        assert_int_equal(range(d, VIRTIO_BLK_T_DISCARD, 65535, 1, 0), OK);
        assert_int_equal(range(d, VIRTIO_BLK_T_DISCARD, 65535, 2, 0), IOERR);
        assert_int_equal(range(d, VIRTIO_BLK_T_DISCARD, UINT64_MAX, 2, 0), IOERR);
        assert_int_equal(range(d, VIRTIO_BLK_T_DISCARD, 0, 1, 1),
                         UNSUPP); /* unmap is not for discard */
        assert_int_equal(range(d, VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 2), UNSUPP);
        assert_int_equal(range(d, VIRTIO_BLK_T_DISCARD, 0, UINT32_MAX, 0), IOERR);
        blkd_free(d);
    }
}

static void read_only_is_refused(void **state)
{
    (void)state;
    for (unsigned no_uring = 0; no_uring < 2; no_uring++) {
        struct blkd *d = blkd_new(&(struct blkd_options){
            .bytes = MIB, .readonly = true, .discard = true, .no_uring = no_uring });

        assert_true(d->features & 1ull << VIRTIO_BLK_F_RO);
        assert_false(d->features & 1ull << VIRTIO_BLK_F_DISCARD);
        assert_int_equal(blkd_read(d, 0, d->data, 4096), OK);
        assert_int_equal(blkd_write(d, 0, d->data, 4096), IOERR);
        assert_int_equal(range(d, VIRTIO_BLK_T_DISCARD, 0, 8, 0), UNSUPP);
        assert_int_equal(blkd_flush(d), OK);
        blkd_free(d);
    }
}

static void a_failed_device_fails_everything(void **state)
{
    struct blkd *d = blkd_new(&(struct blkd_options){ .bytes = MIB, .fail_all = true });

    (void)state;
    assert_int_equal(blkd_read(d, 0, d->data, 4096), IOERR);
    assert_int_equal(blkd_write(d, 0, d->data, 4096), IOERR);
    assert_int_equal(blkd_flush(d), IOERR);
    blkd_free(d);
}

static void a_file_that_shrinks_is_an_error(void **state)
{
    (void)state;
    for (unsigned w = 0; w < 2; w++) {
        struct blkd *d = blkd_new(&ways[w]);

        assert_int_equal(ftruncate(d->fd, 4096), 0);
        assert_int_equal(blkd_read(d, 0, d->data, 4096), OK);
        assert_int_equal(blkd_read(d, 0, d->data, 8192), IOERR);
        assert_int_equal(d->wh->stats->errors, 1);
        blkd_free(d);
    }
}

/* All queues full at once, answers in any order, data right: with an event index and without. */
static void keeps_many_in_flight(void **state)
{
    (void)state;
    for (unsigned w = 0; w < 2 * N_WAYS; w++) {
        struct blkd_options o = ways[w % N_WAYS];
        struct blkd *d;
        uint8_t status;
        uint32_t len;

        o.n_queues = 4;
        d = blkd_new(&o);
        if (w >= N_WAYS) {
            wh_reset(d->wh);
            wh_activate(d->wh, d->features & ~(1ull << VIRTIO_RING_F_EVENT_IDX), false);
        }
        for (unsigned q = 0; q < 4; q++)
            for (unsigned i = 0; i < 80; i++) {
                unsigned slot = q * 80 + i;
                uint64_t at = d->data + slot * 4096ull;

                blkd_pattern(wh_mem(d->wh, at, 4096), 4096, slot);
                blkd_add(
                    d, q, slot,
                    &(struct blkd_request){ VIRTIO_BLK_T_OUT, slot * 8ull, at, 4096, 1, slot & 1 });
                wh_kick(d->wh, q);
            }
        for (unsigned q = 0; q < 4; q++)
            for (unsigned i = 0; i < 80; i++) {
                blkd_wait(d, q, &status, &len);
                assert_int_equal(status, OK);
            }
        for (unsigned slot = 0; slot < 320; slot++) {
            uint8_t want[4096];

            blkd_pattern(want, sizeof want, slot);
            assert_true(disk_holds(d, slot * 4096ull, want, sizeof want));
        }
        assert_int_equal(d->wh->stats->write_ops, 320);
        blkd_free(d);
    }
}

static uint64_t cpu_ns(pid_t pid)
{
    struct timespec t;
    clockid_t clock;

    assert_int_equal(clock_getcpuclockid(pid, &clock), 0);
    assert_int_equal(clock_gettime(clock, &t), 0);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Small requests one after the other teach it to look for the next one; but never for long. */
static void an_idle_disk_costs_nothing(void **state)
{
    struct blkd *d = blkd_new(&(struct blkd_options){ .bytes = 1 << 20 });
    uint64_t cpu, start;

    (void)state;
    for (unsigned i = 0; i < 2000; i++)
        assert_int_equal(blkd_read(d, i % 8, d->data, 512), VIRTIO_BLK_S_OK);
    cpu = cpu_ns(d->wh->pid);
    start = wh_now_ns();
    nanosleep(&(struct timespec){ .tv_nsec = 400000000 }, NULL);
    assert_true(cpu_ns(d->wh->pid) - cpu < (wh_now_ns() - start) / 4);
    assert_int_equal(blkd_read(d, 0, d->data, 512), VIRTIO_BLK_S_OK);
    blkd_free(d);
}

struct bad_chain {
    const char *name;
    void (*build)(struct blkd *d);
};

static void publish_first(struct blkd *d)
{
    wh_publish(d->wh, 0, 0);
}

static void chain_of(struct blkd *d, unsigned i, uint64_t addr, uint32_t len, uint16_t flags,
                     uint16_t next)
{
    d->wh->queues[0].vring.desc[i] = (struct vring_desc){ addr, len, flags, next };
}

static void no_status(struct blkd *d)
{
    chain_of(d, 0, blkd_header(d, 0), 16, 0, 0);
    publish_first(d);
}

static void short_header(struct blkd *d)
{
    chain_of(d, 0, blkd_header(d, 0), 15, VRING_DESC_F_NEXT, 1);
    chain_of(d, 1, blkd_header(d, 0) + 16, 1, VRING_DESC_F_WRITE, 0);
    publish_first(d);
}

static void loop_of_two(struct blkd *d)
{
    chain_of(d, 0, blkd_header(d, 0), 16, VRING_DESC_F_NEXT, 1);
    chain_of(d, 1, blkd_header(d, 0), 16, VRING_DESC_F_NEXT, 0);
    publish_first(d);
}

static void outside_ram(struct blkd *d)
{
    chain_of(d, 0, d->wh->ram_bytes - 15, 16, VRING_DESC_F_NEXT, 1);
    chain_of(d, 1, blkd_header(d, 0) + 16, 1, VRING_DESC_F_WRITE, 0);
    publish_first(d);
}

static void head_too_large(struct blkd *d)
{
    wh_publish(d->wh, 0, 256);
}

static void index_far_ahead(struct blkd *d)
{
    d->wh->queues[0].vring.avail->idx = 300;
}

static const struct bad_chain bad_chains[] = {
    { "no status", no_status },
    { "short header", short_header },
    { "loop", loop_of_two },
    { "outside RAM", outside_ram },
    { "head too large", head_too_large },
    { "avail index lies", index_far_ahead },
};

static void broken_rings_need_a_reset(void **state)
{
    struct blkd *d = blkd_new(&ways[0]);

    (void)state;
    for (unsigned i = 0; i < sizeof bad_chains / sizeof bad_chains[0]; i++) {
        bad_chains[i].build(d);
        wh_kick_always(d->wh, 0);
        wh_expect(d->wh, BULKHEAD__ENVELOPE__BODY_NEEDS_RESET);
        assert_int_equal(d->wh->stats->guest_faults, i + 1);
        wh_reset(d->wh);
        wh_activate(d->wh, d->features, false);
        if (blkd_write(d, 0, d->data, 4096) != OK)
            fail_msg("no recovery after: %s", bad_chains[i].name);
    }
    blkd_free(d);
}

static void rings_outside_ram_need_a_reset(void **state)
{
    struct blkd *d = blkd_new(&ways[0]);
    struct wh_queue *queue = &d->wh->queues[0];

    (void)state;
    wh_reset(d->wh);
    queue->used = d->wh->ram_bytes - 4;
    wh_activate(d->wh, d->features, true);
    wh_expect(d->wh, BULKHEAD__ENVELOPE__BODY_NEEDS_RESET);
    wh_reset(d->wh);
    wh_activate(d->wh, d->features, false);
    assert_int_equal(blkd_write(d, 0, d->data, 4096), OK);
    blkd_free(d);
}

/* ResetDone comes after the last touch of the rings, whatever was in flight. */
static void reset_waits_for_what_is_in_flight(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        struct blkd *d = blkd_new(&ways[round % N_WAYS]);
        uint16_t used;

        /* Real blocks, that O_DIRECT reads from the device: a hole would be there at once. */
        assert_int_equal(blkd_write(d, 0, d->data, 64 * 32768), OK);
        assert_int_equal(blkd_flush(d), OK);
        for (unsigned i = 0; i < 64; i++)
            blkd_add(d, 0, i,
                     &(struct blkd_request){ VIRTIO_BLK_T_IN, i * 64, d->data + i * 32768ull, 32768,
                                             1, false });
        wh_kick(d->wh, 0);
        wh_reset(d->wh);
        used = d->wh->queues[0].vring.used->idx;
        memset(wh_mem(d->wh, d->data, 64 * 32768), 0xab, 64 * 32768);
        assert_int_equal(d->wh->stats->inflight, 0);
        wh_has_message(d->wh, 5); /* a late write would need a moment */
        assert_int_equal(d->wh->queues[0].vring.used->idx, used);
        for (uint64_t i = 0; i < 64 * 32768; i += 512)
            assert_int_equal(*(uint8_t *)wh_mem(d->wh, d->data + i, 1), 0xab);
        blkd_free(d);
    }
}

static void quiesce_holds_and_goes_on(void **state)
{
    struct blkd *d = blkd_new(&ways[0]);
    uint8_t status;
    uint32_t len;

    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        wh_quiesce(d->wh);
        assert_int_equal(d->wh->stats->inflight, 0);
        blkd_add(d, 0, 0, &(struct blkd_request){ VIRTIO_BLK_T_IN, 0, d->data, 4096, 1, false });
        wh_kick(d->wh, 0);
        wh_has_message(d->wh, 5); /* time enough to take it up by mistake */
        assert_int_equal(d->wh->queues[0].vring.used->idx, d->wh->queues[0].last_used);
        wh_unquiesce(d->wh);
        blkd_wait(d, 0, &status, &len);
        assert_int_equal(status, OK);
    }
    assert_int_equal(WEXITSTATUS(wh_stop(d->wh)), 0);
    blkd_free(d);
}

static void limits_hold(void **state)
{
    Bulkhead__TokenBucket ops = BULKHEAD__TOKEN_BUCKET__INIT;
    Bulkhead__RateLimit limit = BULKHEAD__RATE_LIMIT__INIT;
    Bulkhead__SetRateLimit none = BULKHEAD__SET_RATE_LIMIT__INIT;
    ENVELOPE(e, SET_RATE_LIMIT, set_rate_limit, &none);
    struct blkd *d;
    uint64_t start;

    (void)state;
    ops.size = 10;
    ops.refill_time_ms = 100;
    limit.ops = &ops;
    d = blkd_new(&(struct blkd_options){ .bytes = MIB, .limit = &limit });
    start = wh_now_ns();
    for (unsigned i = 0; i < 60; i++)
        assert_int_equal(blkd_read(d, 0, d->data, 512), OK);
    /* 10 at once, 50 more at 100 a second; the upper end is this machine's business */
    assert_true(wh_now_ns() - start >= 480ull * 1000000);
    assert_true(d->wh->stats->throttled > 0);
    wh_send(d->wh, &e);
    start = wh_now_ns();
    for (unsigned i = 0; i < 2000; i++)
        assert_int_equal(blkd_read(d, 0, d->data, 512), OK);
    assert_true(wh_now_ns() - start < 15ull * 1000000000); /* limited it would take 20 s */
    blkd_free(d);
}

/* What one takes the other doesn't have, also after a replacement and after a change. */
static void disks_of_a_group_share_a_limit(void **state)
{
    Bulkhead__TokenBucket ops = BULKHEAD__TOKEN_BUCKET__INIT;
    Bulkhead__RateLimit limit = BULKHEAD__RATE_LIMIT__INIT;
    Bulkhead__SetRateLimit set = BULKHEAD__SET_RATE_LIMIT__INIT;
    ENVELOPE(e, SET_RATE_LIMIT, set_rate_limit, &set);
    struct blkd_options options = { .bytes = MIB, .limit = &limit };
    struct blkd *disks[2];

    (void)state;
    ops.size = 10;
    ops.refill_time_ms = 100;
    limit.ops = &ops;
    set.limit = &limit;
    options.group_fd = memfd_create("group", MFD_CLOEXEC);
    assert_true(options.group_fd > 0);
    assert_int_equal(ftruncate(options.group_fd, 4096), 0);
    for (unsigned i = 0; i < 2; i++)
        disks[i] = blkd_new(&options);
    for (unsigned round = 0; round < 3; round++) {
        uint64_t start = wh_now_ns();

        for (unsigned i = 0; i < 60; i++)
            assert_int_equal(blkd_read(disks[i % 2], 0, disks[i % 2]->data, 512), OK);
        /* 10 at once, 50 more at 100 a second; with a bucket each it would take 200 ms */
        assert_true(wh_now_ns() - start >= 480ull * 1000000);
        if (round == 0)
            wh_restart(disks[1]->wh, disks[1]->features);
        for (unsigned i = 0; i < 2 && round == 1; i++)
            wh_send(disks[i]->wh, &e);
    }
    for (unsigned i = 0; i < 2; i++)
        blkd_free(disks[i]);
    close(options.group_fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(announces_itself),
        cmocka_unit_test(zeroes_without_discard),
        cmocka_unit_test(data_goes_both_ways),
        cmocka_unit_test(used_length_is_what_was_written),
        cmocka_unit_test(bounds_are_kept),
        cmocka_unit_test(gives_its_serial),
        cmocka_unit_test(ranges_are_discarded_and_zeroed),
        cmocka_unit_test(read_only_is_refused),
        cmocka_unit_test(a_failed_device_fails_everything),
        cmocka_unit_test(a_file_that_shrinks_is_an_error),
        cmocka_unit_test(keeps_many_in_flight),
        cmocka_unit_test(an_idle_disk_costs_nothing),
        cmocka_unit_test(broken_rings_need_a_reset),
        cmocka_unit_test(rings_outside_ram_need_a_reset),
        cmocka_unit_test(reset_waits_for_what_is_in_flight),
        cmocka_unit_test(quiesce_holds_and_goes_on),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(disks_of_a_group_share_a_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
