/* SPDX-License-Identifier: Apache-2.0 */
/* vq_test.c - the virtqueue against a guest that is right, wrong, and hostile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "vq.h"

/* Two regions of RAM, each between guard pages: LOW at 0 and HIGH at 4 GiB, as on a real guest. */
#define LOW_BYTES 0x20000ull
#define HIGH_BASE 0x100000000ull
#define HIGH_BYTES 0x10000ull
#define DESC 0x0ull
#define AVAIL 0x2000ull
#define USED 0x4000ull
#define DATA 0x8000ull
#define MMIO 0xc0000000ull
enum { SIZE = 16 };
#define EVENT_IDX (1ull << VIRTIO_RING_F_EVENT_IDX)
#define INDIRECT (1ull << VIRTIO_RING_F_INDIRECT_DESC)

struct fixture {
    struct gmem mem;
    uint8_t *low, *high;
    struct vq *vq;
    int call_fd;
    void *journal;
    uint64_t interrupts;
    unsigned n_descs; /* used up by chain() */
    uint16_t avail_idx;
};

static uint8_t *guarded(size_t bytes)
{
    uint8_t *p = mmap(NULL, bytes + 8192, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_true(p != MAP_FAILED);
    assert_int_equal(mprotect(p + 4096, bytes, PROT_READ | PROT_WRITE), 0);
    return p + 4096;
}

static void clear(struct fixture *f)
{
    memset(f->low, 0, LOW_BYTES);
    f->n_descs = 0;
    f->avail_idx = 0;
}

static void activate(struct fixture *f, unsigned size, uint64_t features, bool resume)
{
    struct vq_addresses a = { .size = (uint16_t)size, .desc = DESC, .avail = AVAIL, .used = USED };

    vq_deactivate(f->vq);
    assert_int_equal(vq_activate(f->vq, &a, features, resume), 0);
}

static struct vq *new_vq(struct fixture *f)
{
    struct vq_config config = { .mem = &f->mem, .max_size = 256, .kick_fd = -1,
                                .call_fd = f->call_fd, .inflight_region = f->journal,
                                .interrupts = &f->interrupts };
    struct vq *vq = NULL;

    assert_int_equal(vq_new(&vq, &config), 0);
    return vq;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    f->low = guarded(LOW_BYTES);
    f->high = guarded(HIGH_BYTES);
    gmem_init_for_test(&f->mem, 0, f->low, LOW_BYTES);
    gmem_add_for_test(&f->mem, HIGH_BASE, f->high, HIGH_BYTES);
    f->call_fd = eventfd(0, EFD_CLOEXEC);
    f->journal = calloc(1, inflight_region_bytes(256));
    f->vq = new_vq(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    vq_free(f->vq);
    close(f->call_fd);
    munmap(f->low - 4096, LOW_BYTES + 8192);
    munmap(f->high - 4096, HIGH_BYTES + 8192);
    free(f->journal);
    free(f);
    return 0;
}

/* ---- the guest ---- */

static void put_desc(struct fixture *f, uint64_t table, unsigned i, uint64_t addr, uint32_t len,
                     uint16_t flags, uint16_t next)
{
    struct vring_desc d = { .addr = addr, .len = len, .flags = flags, .next = next };

    memcpy(f->low + table + i * sizeof d, &d, sizeof d);
}

static void put16(struct fixture *f, uint64_t at, uint16_t v)
{
    memcpy(f->low + at, &v, 2);
}

static uint16_t get16(struct fixture *f, uint64_t at)
{
    uint16_t v;

    memcpy(&v, f->low + at, 2);
    return v;
}

static void publish(struct fixture *f, uint16_t head)
{
    put16(f, AVAIL + 4 + 2 * (f->avail_idx % SIZE), head);
    f->avail_idx++;
    put16(f, AVAIL + 2, f->avail_idx);
}

/* One readable and one writable buffer. */
static void publish_pair(struct fixture *f, unsigned head)
{
    put_desc(f, DESC, head, DATA, 16, VRING_DESC_F_NEXT, (uint16_t)(head + 1));
    put_desc(f, DESC, head + 1, DATA + 0x1000, 512, VRING_DESC_F_WRITE, 0);
    publish(f, (uint16_t)head);
}

/* ---- tables of edges ---- */

enum { N = VRING_DESC_F_NEXT, W = VRING_DESC_F_WRITE, I = VRING_DESC_F_INDIRECT };

static void single_descriptors(void **state)
{
    static const struct {
        uint64_t addr;
        uint32_t len;
        int want;
    } cases[] = {
        { DATA, 1, 0 },
        { 0, (uint32_t)LOW_BYTES, 0 },                   /* the whole region             */
        { LOW_BYTES - 1, 1, 0 },                         /* its last byte                */
        { LOW_BYTES - 1, 2, VQ_E_GUEST },                /* one past it                  */
        { LOW_BYTES, 1, VQ_E_GUEST },                    /* the first that isn't there   */
        { LOW_BYTES, 0, VQ_E_GUEST },
        { DATA, 0, VQ_E_GUEST },                         /* no length                    */
        { DATA, UINT32_MAX, VQ_E_GUEST },                /* 2^32-1                       */
        { HIGH_BASE, (uint32_t)HIGH_BYTES, 0 },
        { HIGH_BASE + HIGH_BYTES - 1, 1, 0 },
        { HIGH_BASE + HIGH_BYTES - 1, 2, VQ_E_GUEST },
        { HIGH_BASE - 1, 2, VQ_E_GUEST },                /* begins before the region     */
        { MMIO, 4096, VQ_E_GUEST },                      /* a device's registers         */
        { 0xfee00000, 4, VQ_E_GUEST },                   /* the local APIC               */
        { UINT64_MAX, 1, VQ_E_GUEST },                   /* the last address             */
        { UINT64_MAX, 2, VQ_E_GUEST },                   /* address + length wraps       */
        { UINT64_MAX - 511, 512, VQ_E_GUEST },
    };
    struct fixture *f = *state;

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct vq_chain chain;
        int r;

        clear(f);
        activate(f, SIZE, 0, false);
        put_desc(f, DESC, 0, cases[i].addr, cases[i].len, i & 1 ? W : 0, 0);
        publish(f, 0);
        r = vq_pop(f->vq, &chain);
        if (r != cases[i].want)
            fail_msg("case %u: %d instead of %d", i, r, cases[i].want);
        if (r == 0)
            assert_int_equal(chain.read_bytes + chain.write_bytes, cases[i].len);
    }
}

static void chains(void **state)
{
    static const struct {
        const char *name;
        struct vring_desc d[4];
        uint16_t head;
        int want;
    } cases[] = {
        { "read then write", { { DATA, 8, N, 1 }, { DATA, 8, W, 0 } }, 0, 0 },
        { "backwards in the table", { { DATA, 8, W, 0 }, { DATA, 8, N, 0 } }, 1, 0 },
        { "write then read", { { DATA, 8, W | N, 1 }, { DATA, 8, 0, 0 } }, 0, VQ_E_GUEST },
        { "loop of one", { { DATA, 8, N, 0 } }, 0, VQ_E_GUEST },
        { "loop of three", { { DATA, 8, N, 1 }, { DATA, 8, N, 2 }, { DATA, 8, N, 0 } }, 0, VQ_E_GUEST },
        { "next is out of the table", { { DATA, 8, N, SIZE } }, 0, VQ_E_GUEST },
        { "next is 65535", { { DATA, 8, N, 65535 } }, 0, VQ_E_GUEST },
        { "next of the last is not looked at", { { DATA, 8, 0, 65535 } }, 0, 0 },
        { "head is out of the table", { { DATA, 8, 0, 0 } }, SIZE, VQ_E_GUEST },
        { "head is 65535", { { DATA, 8, 0, 0 } }, 65535, VQ_E_GUEST },
        { "indirect was not agreed on", { { DATA, 16, I, 0 } }, 0, VQ_E_GUEST },
    };
    struct fixture *f = *state;

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct vq_chain chain;
        int r;

        clear(f);
        activate(f, SIZE, 0, false);
        for (unsigned d = 0; d < 4; d++)
            put_desc(f, DESC, d, cases[i].d[d].addr, cases[i].d[d].len, cases[i].d[d].flags,
                     cases[i].d[d].next);
        publish(f, cases[i].head);
        r = vq_pop(f->vq, &chain);
        if (r != cases[i].want)
            fail_msg("%s: %d instead of %d", cases[i].name, r, cases[i].want);
        if (r == VQ_E_GUEST)
            assert_int_equal(vq_pop(f->vq, &chain), VQ_E_GUEST); /* dead until deactivated */
    }
}

static void a_chain_as_long_as_the_queue_is_legal(void **state)
{
    struct fixture *f = *state;
    struct vq_chain chain;

    activate(f, SIZE, 0, false);
    for (unsigned i = 0; i < SIZE; i++)
        put_desc(f, DESC, i, DATA + i, 1, i + 1 < SIZE ? N : 0, (uint16_t)(i + 1));
    publish(f, 0);
    assert_int_equal(vq_pop(f->vq, &chain), 0);
    assert_int_equal(chain.n_read, SIZE);
    assert_int_equal(chain.read_bytes, SIZE);
}

static int pop_indirect(struct fixture *f, uint64_t table, uint32_t len, uint16_t flags,
                        struct vq_chain *ret_chain)
{
    vq_deactivate(f->vq);
    activate(f, SIZE, INDIRECT, false);
    f->avail_idx = 0;
    put_desc(f, DESC, 0, table, len, (uint16_t)(I | flags), 1);
    publish(f, 0);
    return vq_pop(f->vq, ret_chain);
}

static void indirect_tables(void **state)
{
    struct fixture *f = *state;
    uint64_t table = 0x6000;
    struct vq_chain chain;

    for (unsigned i = 0; i < 64; i++)
        put_desc(f, table, i, DATA + i, 1, N, (uint16_t)(i + 1));
    put_desc(f, table, 3, DATA + 3, 1, W, 0);
    assert_int_equal(pop_indirect(f, table, 64, 0, &chain), 0);
    assert_int_equal(chain.n_read, 3);
    assert_int_equal(chain.n_write, 1);
    assert_int_equal(pop_indirect(f, table, 64, W, &chain), 0); /* ignored, virtio 1.2, 2.7.5.3.2 */
    assert_int_equal(pop_indirect(f, table, 48, 0, &chain), VQ_E_GUEST); /* next leaves the table */
    assert_int_equal(pop_indirect(f, table, 0, 0, &chain), VQ_E_GUEST);
    assert_int_equal(pop_indirect(f, table, 63, 0, &chain), VQ_E_GUEST);
    assert_int_equal(pop_indirect(f, table, UINT32_MAX & ~15u, 0, &chain), VQ_E_GUEST);
    assert_int_equal(pop_indirect(f, table, 64, N, &chain), VQ_E_GUEST);
    assert_int_equal(pop_indirect(f, LOW_BYTES - 63, 64, 0, &chain), VQ_E_GUEST);
    assert_int_equal(pop_indirect(f, MMIO, 64, 0, &chain), VQ_E_GUEST);
    assert_int_equal(pop_indirect(f, UINT64_MAX - 15, 64, 0, &chain), VQ_E_GUEST);

    put_desc(f, table, 3, table, 64, I, 0); /* a table in a table */
    assert_int_equal(pop_indirect(f, table, 64, 0, &chain), VQ_E_GUEST);
    put_desc(f, table, 3, DATA, 1, N, 0); /* a loop */
    assert_int_equal(pop_indirect(f, table, 64, 0, &chain), VQ_E_GUEST);
    put_desc(f, table, 3, DATA, 1, N, 4); /* longer than the queue, though the table is longer yet */
    put_desc(f, table, SIZE - 1, DATA, 1, 0, 0);
    assert_int_equal(pop_indirect(f, table, 64 * 16, 0, &chain), 0);
    put_desc(f, table, SIZE - 1, DATA, 1, N, SIZE);
    put_desc(f, table, SIZE, DATA, 1, 0, 0);
    assert_int_equal(pop_indirect(f, table, 64 * 16, 0, &chain), VQ_E_GUEST);

    put_desc(f, table, 0, DATA + 1, 1, W, 0); /* at the very end of a region */
    memcpy(f->low + LOW_BYTES - 16, f->low + table, 16);
    assert_int_equal(pop_indirect(f, LOW_BYTES - 16, 16, 0, &chain), 0);
}

static void direct_ones_may_come_before_the_table(void **state)
{
    struct fixture *f = *state;
    struct vq_chain chain;

    activate(f, SIZE, INDIRECT, false);
    put_desc(f, DESC, 0, DATA, 16, N, 1);
    put_desc(f, DESC, 1, 0x6000, 32, I, 0);
    put_desc(f, 0x6000, 0, DATA + 16, 16, N, 1);
    put_desc(f, 0x6000, 1, DATA + 32, 16, W, 0);
    publish(f, 0);
    assert_int_equal(vq_pop(f->vq, &chain), 0);
    assert_int_equal(chain.n_read, 2);
    assert_int_equal(chain.n_write, 1);
}

static void more_segments_than_we_take(void **state)
{
    struct fixture *f = *state;
    struct vq_chain chain;

    activate(f, 256, INDIRECT, false);
    put_desc(f, DESC, 0, 0x6000, 16 * VQ_MAX_SEGMENTS, I, 0);
    for (unsigned i = 0; i < 200; i++)
        put_desc(f, 0x6000, i, DATA, 1, i == VQ_MAX_SEGMENTS - 1 ? 0 : N, (uint16_t)(i + 1));
    publish(f, 0);
    assert_int_equal(vq_pop(f->vq, &chain), 0);
    assert_int_equal(chain.n_read, VQ_MAX_SEGMENTS);
    put_desc(f, DESC, 1, 0x6000, 16 * 200, I, 0);
    put_desc(f, 0x6000, VQ_MAX_SEGMENTS - 1, DATA, 1, N, VQ_MAX_SEGMENTS);
    put_desc(f, 0x6000, VQ_MAX_SEGMENTS, DATA, 1, 0, 0);
    put16(f, AVAIL + 4 + 2, 1);
    put16(f, AVAIL + 2, 2);
    assert_int_equal(vq_pop(f->vq, &chain), VQ_E_GUEST);
}

static void ring_addresses(void **state)
{
    static const struct {
        struct vq_addresses a;
        int want;
    } cases[] = {
        { { 16, DESC, AVAIL, USED }, 0 },
        { { 0, DESC, AVAIL, USED }, VQ_E_GUEST },
        { { 15, DESC, AVAIL, USED }, VQ_E_GUEST },
        { { 512, DESC, AVAIL, USED }, VQ_E_GUEST },                /* more than was offered */
        { { 256, DESC, AVAIL, USED }, 0 },
        { { 1, DESC, AVAIL, USED }, 0 },
        { { 16, DESC + 8, AVAIL, USED }, VQ_E_GUEST },             /* alignment             */
        { { 16, DESC, AVAIL + 1, USED }, VQ_E_GUEST },
        { { 16, DESC, AVAIL, USED + 2 }, VQ_E_GUEST },
        { { 16, LOW_BYTES - 256, AVAIL, USED }, 0 },               /* fits to the byte      */
        { { 16, LOW_BYTES - 240, AVAIL, USED }, VQ_E_GUEST },
        { { 16, DESC, LOW_BYTES - 38, USED }, 0 },
        { { 16, DESC, LOW_BYTES - 36, USED }, VQ_E_GUEST },
        { { 16, DESC, AVAIL, LOW_BYTES - 136 }, 0 },
        { { 16, DESC, AVAIL, LOW_BYTES - 132 }, VQ_E_GUEST },
        { { 16, MMIO, AVAIL, USED }, VQ_E_GUEST },
        { { 16, DESC, UINT64_MAX - 1, USED }, VQ_E_GUEST },
        { { 16, HIGH_BASE, HIGH_BASE + 0x1000, HIGH_BASE + 0x2000 }, 0 },
    };
    struct fixture *f = *state;

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        int r = vq_activate(f->vq, &cases[i].a, 0, false);

        if (r != cases[i].want)
            fail_msg("case %u: %d instead of %d", i, r, cases[i].want);
        vq_deactivate(f->vq);
    }
}

/* ---- indices ---- */

static void avail_index_lies(void **state)
{
    struct fixture *f = *state;
    struct vq_chain chain;

    activate(f, SIZE, 0, false);
    put16(f, AVAIL + 2, SIZE + 1);
    assert_int_equal(vq_pop(f->vq, &chain), VQ_E_GUEST);

    activate(f, SIZE, 0, false);
    put16(f, AVAIL + 2, 65535); /* one behind */
    assert_int_equal(vq_pop(f->vq, &chain), VQ_E_GUEST);

    clear(f);
    activate(f, SIZE, 0, false);
    assert_int_equal(vq_pop(f->vq, &chain), VQ_EMPTY);
}

static void one_head_twice(void **state)
{
    struct fixture *f = *state;
    struct vq_chain chain;

    activate(f, SIZE, 0, false);
    publish_pair(f, 0);
    publish(f, 0);
    assert_int_equal(vq_pop(f->vq, &chain), 0);
    assert_int_equal(vq_pop(f->vq, &chain), VQ_E_GUEST); /* still in flight */
}

static void indices_wrap(void **state)
{
    struct fixture *f = *state;

    activate(f, SIZE, EVENT_IDX, false);
    for (unsigned i = 0; i < 200000; i++) {
        struct vq_chain chain;
        struct vring_used_elem elem;

        publish_pair(f, 2 * (i % 8));
        assert_int_equal(vq_pop(f->vq, &chain), 0);
        assert_int_equal(vq_inflight(f->vq), 1);
        vq_push(f->vq, chain.head, i);
        memcpy(&elem, f->low + USED + 4 + 8 * (i % SIZE), sizeof elem);
        assert_int_equal(elem.id, 2 * (i % 8));
        assert_int_equal(elem.len, i);
        assert_int_equal(get16(f, USED + 2), (uint16_t)(i + 1));
    }
    assert_int_equal(vq_inflight(f->vq), 0);
}

static void unpop_gives_back(void **state)
{
    struct fixture *f = *state;
    struct vq_chain first, again, second;

    activate(f, SIZE, 0, false);
    publish_pair(f, 0);
    publish_pair(f, 2);
    assert_int_equal(vq_pop(f->vq, &first), 0);
    vq_unpop(f->vq, &first);
    assert_int_equal(vq_inflight(f->vq), 0);
    assert_int_equal(vq_pop(f->vq, &again), 0);
    assert_int_equal(again.head, 0);
    assert_int_equal(vq_pop(f->vq, &second), 0);
    assert_int_equal(second.head, 2);
    assert_int_equal(vq_pop(f->vq, &again), VQ_EMPTY);
}

/* ---- interrupts and kicks ---- */

static unsigned interrupts(struct fixture *f)
{
    unsigned n = (unsigned)f->interrupts;

    fd_event_drain(f->call_fd);
    f->interrupts = 0;
    return n;
}

static void complete_one(struct fixture *f)
{
    struct vq_chain chain;

    publish_pair(f, 2 * (f->avail_idx % 8));
    assert_int_equal(vq_pop(f->vq, &chain), 0);
    vq_push(f->vq, chain.head, 0);
}

static void interrupts_by_flag(void **state)
{
    struct fixture *f = *state;

    activate(f, SIZE, 0, false);
    vq_notify(f->vq);
    assert_int_equal(interrupts(f), 0); /* nothing to tell */
    complete_one(f);
    complete_one(f);
    vq_notify(f->vq);
    assert_int_equal(interrupts(f), 1); /* one for the batch */
    vq_notify(f->vq);
    assert_int_equal(interrupts(f), 0);
    put16(f, AVAIL, VRING_AVAIL_F_NO_INTERRUPT);
    complete_one(f);
    vq_notify(f->vq);
    assert_int_equal(interrupts(f), 0);
}

static void interrupts_by_event_index(void **state)
{
    struct fixture *f = *state;

    activate(f, SIZE, EVENT_IDX, false);
    put16(f, AVAIL, VRING_AVAIL_F_NO_INTERRUPT); /* not looked at */
    put16(f, AVAIL + 4 + 2 * SIZE, 1);           /* wants to know of the second */
    complete_one(f);
    vq_notify(f->vq);
    assert_int_equal(interrupts(f), 0);
    complete_one(f);
    vq_notify(f->vq);
    assert_int_equal(interrupts(f), 1);
    complete_one(f);
    complete_one(f);
    vq_notify(f->vq);
    assert_int_equal(interrupts(f), 0);
    put16(f, AVAIL + 4 + 2 * SIZE, 5);
    for (unsigned i = 0; i < 4; i++)
        complete_one(f); /* passes over it within a batch */
    vq_notify(f->vq);
    assert_int_equal(interrupts(f), 1);
}

static void kicks_by_flag(void **state)
{
    struct fixture *f = *state;
    struct vq_chain chain;

    activate(f, SIZE, 0, false);
    vq_disable_kicks(f->vq);
    assert_int_equal(get16(f, USED), VRING_USED_F_NO_NOTIFY);
    assert_false(vq_enable_kicks(f->vq));
    assert_int_equal(get16(f, USED), 0);
    publish_pair(f, 0);
    assert_true(vq_enable_kicks(f->vq)); /* came between */
    assert_int_equal(vq_pop(f->vq, &chain), 0);
    assert_false(vq_rearm(f->vq)); /* wasn't found empty */
    assert_int_equal(vq_pop(f->vq, &chain), VQ_EMPTY);
    publish_pair(f, 2);
    assert_true(vq_rearm(f->vq));
    assert_false(vq_rearm(f->vq));
}

static void kicks_by_event_index(void **state)
{
    struct fixture *f = *state;
    struct vq_chain chain;

    activate(f, SIZE, EVENT_IDX, false);
    for (unsigned i = 0; i < 5; i++) {
        publish_pair(f, 2 * i);
        assert_int_equal(vq_pop(f->vq, &chain), 0);
    }
    assert_false(vq_enable_kicks(f->vq));
    assert_int_equal(get16(f, USED + 4 + 8 * SIZE), 5);
    assert_int_equal(get16(f, USED), 0);
}

/* ---- chains ---- */

static void copies_cross_slices(void **state)
{
    struct fixture *f = *state;
    struct vq_chain chain;
    struct iovec iov[4];
    char got[16] = { 0 };

    activate(f, SIZE, 0, false);
    memcpy(f->low + DATA, "abc", 3);
    memcpy(f->high, "defgh", 5);
    put_desc(f, DESC, 0, DATA, 3, N, 1);
    put_desc(f, DESC, 1, HIGH_BASE, 5, N, 2);
    put_desc(f, DESC, 2, DATA + 16, 2, N | W, 3);
    put_desc(f, DESC, 3, DATA + 32, 3, W, 0);
    publish(f, 0);
    assert_int_equal(vq_pop(f->vq, &chain), 0);
    assert_int_equal(vq_chain_read(&chain, 0, got, sizeof got), 8);
    assert_string_equal(got, "abcdefgh");
    assert_int_equal(vq_chain_read(&chain, 2, got, 3), 3);
    assert_memory_equal(got, "cde", 3);
    assert_int_equal(vq_chain_read(&chain, 8, got, 1), 0);
    assert_int_equal(vq_chain_read(&chain, SIZE_MAX, got, 1), 0);
    assert_int_equal(vq_chain_write(&chain, 1, "XYZ", 3), 3);
    assert_memory_equal(f->low + DATA + 16, "\0X", 2);
    assert_memory_equal(f->low + DATA + 32, "YZ\0", 3);
    assert_int_equal(vq_chain_write(&chain, 4, "PQ", 2), 1);
    assert_int_equal(f->low[DATA + 35], 0);
    assert_int_equal(vq_chain_iovec(&chain, false, 1, 4, iov, 4), 2);
    assert_ptr_equal(iov[0].iov_base, f->low + DATA + 1);
    assert_int_equal(iov[0].iov_len, 2);
    assert_int_equal(iov[1].iov_len, 2);
    assert_int_equal(vq_chain_iovec(&chain, false, 0, 8, iov, 1), -1);
    assert_int_equal(vq_chain_iovec(&chain, false, 1, 8, iov, 4), -1);
    assert_int_equal(vq_chain_iovec(&chain, true, 5, 0, iov, 4), 0);
}

/* ---- restart ---- */

static void a_new_worker_takes_up_the_journal(void **state)
{
    struct fixture *f = *state;
    struct vq_chain chain;

    activate(f, SIZE, EVENT_IDX, false);
    for (unsigned i = 0; i < 6; i++)
        publish_pair(f, 2 * i);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(vq_pop(f->vq, &chain), 0);
    vq_push(f->vq, 4, 0); /* heads 0 2 6 8 are in flight, 10 was not fetched */
    vq_free(f->vq);
    f->vq = new_vq(f);
    activate(f, SIZE, EVENT_IDX, true);
    vq_notify(f->vq);
    assert_int_equal(interrupts(f), 1); /* the dead one's may never have left */
    for (unsigned i = 0; i < 4; i++) {
        static const uint16_t want[] = { 0, 2, 6, 8 };

        assert_int_equal(vq_pop(f->vq, &chain), 0);
        assert_int_equal(chain.head, want[i]);
        assert_true(chain.replayed);
        if (i == 1) {
            vq_unpop(f->vq, &chain);
            assert_true(vq_enable_kicks(f->vq));
            assert_int_equal(vq_pop(f->vq, &chain), 0);
            assert_int_equal(chain.head, 2);
        }
    }
    assert_int_equal(vq_pop(f->vq, &chain), 0);
    assert_int_equal(chain.head, 10);
    assert_false(chain.replayed);
    assert_int_equal(vq_pop(f->vq, &chain), VQ_EMPTY);
    vq_push(f->vq, 10, 0);
    assert_int_equal(get16(f, USED + 2), 2);
}

/* The worker died between used.idx and the journal: that head is not done twice. */
static void the_step_between_index_and_journal(void **state)
{
    struct fixture *f = *state;
    struct inflight_region *region = f->journal;
    struct vq_chain chain;

    activate(f, SIZE, 0, false);
    publish_pair(f, 0);
    publish_pair(f, 2);
    assert_int_equal(vq_pop(f->vq, &chain), 0);
    assert_int_equal(vq_pop(f->vq, &chain), 0);
    vq_push(f->vq, 2, 0);
    region->desc[2].inflight = 1; /* as it was just after used.idx was stored */
    region->used_idx = 0;
    vq_free(f->vq);
    f->vq = new_vq(f);
    activate(f, SIZE, 0, true);
    assert_int_equal(vq_pop(f->vq, &chain), 0);
    assert_int_equal(chain.head, 0);
    assert_int_equal(vq_pop(f->vq, &chain), VQ_EMPTY);
}

static void a_used_index_of_the_guests_is_not_believed(void **state)
{
    struct fixture *f = *state;
    struct vq_chain chain;

    activate(f, SIZE, 0, false);
    publish_pair(f, 0);
    assert_int_equal(vq_pop(f->vq, &chain), 0);
    put16(f, USED + 2, 1234);
    activate(f, SIZE, 0, true);
    assert_int_equal(vq_pop(f->vq, &chain), 0);
    assert_int_equal(chain.head, 0);
    vq_push(f->vq, 0, 0);
    assert_int_equal(get16(f, USED + 2), 1);
}

static void a_journal_of_rubbish_does_no_harm(void **state)
{
    struct fixture *f = *state;
    struct vq_chain chain;

    for (unsigned seed = 0; seed < 200; seed++) {
        uint8_t *bytes = f->journal;
        struct inflight_region *region = f->journal;

        clear(f);
        srand(seed);
        for (size_t i = 0; i < inflight_region_bytes(SIZE); i++)
            bytes[i] = (uint8_t)rand();
        region->version = 1;
        region->desc_num = SIZE;
        activate(f, SIZE, 0, true);
        for (unsigned i = 0; i < 2 * SIZE && vq_pop(f->vq, &chain) == 0; i++)
            vq_push(f->vq, chain.head, 0);
    }
}

/* ---- a guest that rewrites the ring while it is read ---- */

static void rewrite_forever(struct fixture *f)
{
    static const uint64_t addresses[] = { DATA, LOW_BYTES - 1, HIGH_BASE, MMIO, UINT64_MAX, 0x6000 };
    unsigned x = 1;

    for (;;) {
        unsigned i;

        x = x * 1103515245 + 12345;
        i = x >> 16;
        put_desc(f, i & 1 ? DESC : 0x6000, i / 2 % SIZE, addresses[i % 6], i % 7 ? i % 64 : UINT32_MAX,
                 (uint16_t)(i % 8), (uint16_t)(i % 20));
        put16(f, AVAIL + 2, (uint16_t)(get16(f, AVAIL + 2) + i % 3));
        put16(f, AVAIL + 4 + 2 * (i % SIZE), (uint16_t)(i % 18));
    }
}

static void touch(const struct vq_chain *chain)
{
    uint8_t buf[64];

    for (unsigned i = 0; i < chain->n_read; i++)
        (void)vq_chain_read(chain, 0, buf, sizeof buf);
    (void)vq_chain_write(chain, 0, buf, sizeof buf);
}

static void concurrent_rewrites_stay_inside(void **state)
{
    struct fixture *f = *state;
    unsigned popped = 0, refused = 0;
    pid_t guest = fork();

    assert_true(guest >= 0);
    if (guest == 0)
        rewrite_forever(f);
    activate(f, SIZE, EVENT_IDX | INDIRECT, false);
    for (unsigned i = 0; i < 300000; i++) {
        struct vq_chain chain;
        int r = vq_pop(f->vq, &chain);

        if (r == 0) {
            touch(&chain);
            vq_push(f->vq, chain.head, 1);
            popped++;
        } else if (r == VQ_E_GUEST) {
            refused++;
            put16(f, AVAIL + 2, 0);
            activate(f, SIZE, EVENT_IDX | INDIRECT, false);
        }
        if (vq_enable_kicks(f->vq))
            vq_notify(f->vq);
        fd_event_drain(f->call_fd);
    }
    kill(guest, SIGKILL);
    waitpid(guest, NULL, 0);
    assert_true(refused > 0);
    (void)popped; /* depends on who runs when */
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(single_descriptors),
        T(chains),
        T(a_chain_as_long_as_the_queue_is_legal),
        T(indirect_tables),
        T(direct_ones_may_come_before_the_table),
        T(more_segments_than_we_take),
        T(ring_addresses),
        T(avail_index_lies),
        T(one_head_twice),
        T(indices_wrap),
        T(unpop_gives_back),
        T(interrupts_by_flag),
        T(interrupts_by_event_index),
        T(kicks_by_flag),
        T(kicks_by_event_index),
        T(copies_cross_slices),
        T(a_new_worker_takes_up_the_journal),
        T(the_step_between_index_and_journal),
        T(a_used_index_of_the_guests_is_not_believed),
        T(a_journal_of_rubbish_does_no_harm),
        T(concurrent_rewrites_stay_inside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
