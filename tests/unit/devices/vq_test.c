/* SPDX-License-Identifier: Apache-2.0 */
/* vq_test.c - the virtqueue against a guest that is wrong: tables of edges. */
#include <string.h>
#include "vq_fixture.h"

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
        { 0, (uint32_t)LOW_BYTES, 0 },    /* the whole region             */
        { LOW_BYTES - 1, 1, 0 },          /* its last byte                */
        { LOW_BYTES - 1, 2, VQ_E_GUEST }, /* one past it                  */
        { LOW_BYTES, 1, VQ_E_GUEST },     /* the first that isn't there   */
        { LOW_BYTES, 0, VQ_E_GUEST },
        { DATA, 0, VQ_E_GUEST },          /* no length                    */
        { DATA, UINT32_MAX, VQ_E_GUEST }, /* 2^32-1                       */
        { HIGH_BASE, (uint32_t)HIGH_BYTES, 0 },
        { HIGH_BASE + HIGH_BYTES - 1, 1, 0 },
        { HIGH_BASE + HIGH_BYTES - 1, 2, VQ_E_GUEST },
        { HIGH_BASE - 1, 2, VQ_E_GUEST }, /* begins before the region     */
        { MMIO, 4096, VQ_E_GUEST },       /* a device's registers         */
        { 0xfee00000, 4, VQ_E_GUEST },    /* the local APIC               */
        { UINT64_MAX, 1, VQ_E_GUEST },    /* the last address             */
        { UINT64_MAX, 2, VQ_E_GUEST },    /* address + length wraps       */
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
        { "loop of three",
          { { DATA, 8, N, 1 }, { DATA, 8, N, 2 }, { DATA, 8, N, 0 } },
          0,
          VQ_E_GUEST },
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
    assert_int_equal(chain.n_descs, SIZE);
    assert_int_equal(chain.read_bytes, SIZE);
    assert_int_equal(vq_size(f->vq), SIZE);
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
    assert_int_equal(chain.n_descs, 1);
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
    put_desc(f, table, 3, DATA, 1, N,
             4); /* longer than the queue, though the table is longer yet */
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
    assert_int_equal(chain.n_descs, 2);
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
        { { 512, DESC, AVAIL, USED }, VQ_E_GUEST }, /* more than was offered */
        { { 256, DESC, AVAIL, USED }, 0 },
        { { 1, DESC, AVAIL, USED }, 0 },
        { { 16, DESC + 8, AVAIL, USED }, VQ_E_GUEST }, /* alignment             */
        { { 16, DESC, AVAIL + 1, USED }, VQ_E_GUEST },
        { { 16, DESC, AVAIL, USED + 2 }, VQ_E_GUEST },
        { { 16, LOW_BYTES - 256, AVAIL, USED }, 0 }, /* fits to the byte      */
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

/* What was looked at and given back unread can't be taken back by the guest: it would look like more that
 * came, however often one looks. */
static void what_was_seen_is_not_taken_back(void **state)
{
    static const uint16_t taken_back_to[] = { 0, 1 };
    struct fixture *f = *state;

    for (unsigned i = 0; i < ARRAY_SIZE(taken_back_to); i++) {
        struct vq_chain chains[2], again;

        clear(f);
        activate(f, SIZE, EVENT_IDX, false);
        publish_pair(f, 0);
        publish_pair(f, 2);
        assert_int_equal(vq_pop(f->vq, &chains[0]), 0);
        assert_int_equal(vq_pop(f->vq, &chains[1]), 0);
        assert_int_equal(vq_pop(f->vq, &again), VQ_EMPTY);
        vq_unpop(f->vq, &chains[1]);
        vq_unpop(f->vq, &chains[0]);
        put16(f, AVAIL + 2, taken_back_to[i]);
        assert_int_equal(vq_pop(f->vq, &again), VQ_E_GUEST);
        assert_false(vq_rearm(f->vq));
        assert_false(vq_has_work(f->vq));
    }
}

/* The same by a worker that an older one's journal was given to: its first look is at the index. */
static void a_successor_takes_no_less_either(void **state)
{
    struct fixture *f = *state;
    struct vq_chain chain;

    activate(f, SIZE, EVENT_IDX, false);
    publish_pair(f, 0);
    assert_int_equal(vq_pop(f->vq, &chain), 0); /* in flight, and replayed */
    activate(f, SIZE, EVENT_IDX, true);
    put16(f, AVAIL + 2, 0);
    assert_int_equal(vq_pop(f->vq, &chain), 0);
    vq_unpop(f->vq, &chain);
    assert_int_equal(vq_pop(f->vq, &chain), 0);
    assert_int_equal(vq_pop(f->vq, &chain), VQ_E_GUEST);
    assert_false(vq_rearm(f->vq));
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

int main(void)
{
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
        T(what_was_seen_is_not_taken_back),
        T(a_successor_takes_no_less_either),
        T(copies_cross_slices),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
