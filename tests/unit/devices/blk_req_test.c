/* SPDX-License-Identifier: Apache-2.0 */
/* blk_req_test.c - decoding of disk requests: a table of what is answered how. */
#include <linux/virtio_blk.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "blk_req.h"
#include <cmocka.h>

enum { SECTORS = 1000000 };

struct guest {
    uint8_t readable[8192], writable[8192];
    struct gslice slices[8];
    struct vq_chain chain;
};

/* The readable part in pieces of 7 bytes and a rest, so that headers cross slices. */
static void build(struct guest *g, size_t n_read, size_t n_write)
{
    memset(&g->chain, 0, sizeof g->chain);
    g->chain.slices = g->slices;
    g->chain.read_bytes = n_read;
    g->chain.write_bytes = n_write;
    if (n_read > 7)
        g->slices[g->chain.n_read++] = gslice_for_test(g->readable, 7);
    if (n_read > 0)
        g->slices[g->chain.n_read++] =
            gslice_for_test(g->readable + (n_read > 7 ? 7 : 0), n_read > 7 ? n_read - 7 : n_read);
    if (n_write > 0)
        g->slices[g->chain.n_read + g->chain.n_write++] = gslice_for_test(g->writable, n_write);
}

static void put_header(struct guest *g, uint32_t type, uint64_t sector)
{
    struct virtio_blk_outhdr header = { .type = type, .sector = sector };

    memcpy(g->readable, &header, sizeof header);
}

static void requests(void **state)
{
    static const struct {
        uint32_t type;
        uint64_t sector;
        size_t n_read, n_write; /* of data */
        enum blk_op want;
        uint8_t status;
    } cases[] = {
        { VIRTIO_BLK_T_IN, 0, 0, 4096, BLK_OP_READ, 0 },
        { VIRTIO_BLK_T_IN, SECTORS - 8, 0, 4096, BLK_OP_READ, 0 },
        { VIRTIO_BLK_T_IN, SECTORS - 7, 0, 4096, BLK_OP_NONE, BLK_STATUS_IOERR },
        { VIRTIO_BLK_T_IN, 0, 512, 4096, BLK_OP_READ,
          0 }, /* what it reads beside is nothing to us */
        { VIRTIO_BLK_T_IN, 0, 0, 100, BLK_OP_NONE, BLK_STATUS_IOERR },
        { VIRTIO_BLK_T_OUT, 0, 4096, 0, BLK_OP_WRITE, 0 },
        { VIRTIO_BLK_T_OUT, 1, 512, 512, BLK_OP_WRITE, 0 },
        { VIRTIO_BLK_T_OUT, 0, 0, 0, BLK_OP_NONE, BLK_STATUS_OK },
        { VIRTIO_BLK_T_OUT, UINT64_MAX, 512, 0, BLK_OP_NONE, BLK_STATUS_IOERR },
        { VIRTIO_BLK_T_FLUSH, 0, 0, 0, BLK_OP_FLUSH, 0 },
        { VIRTIO_BLK_T_FLUSH, UINT64_MAX, 0, 0, BLK_OP_FLUSH, 0 },
        { VIRTIO_BLK_T_GET_ID, 0, 0, 20, BLK_OP_GET_ID, 0 },
        { VIRTIO_BLK_T_GET_ID, 0, 0, 0, BLK_OP_GET_ID, 0 },
        { VIRTIO_BLK_T_GET_ID, 0, 0, 4000, BLK_OP_GET_ID, 0 },
        { VIRTIO_BLK_T_SECURE_ERASE, 0, 16, 0, BLK_OP_NONE, BLK_STATUS_UNSUPP },
        { 99, 0, 0, 0, BLK_OP_NONE, BLK_STATUS_UNSUPP },
    };
    struct blk_limits limits = { .sectors = SECTORS, .discard = true, .write_zeroes = true };
    struct guest g;

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct blk_order order;

        put_header(&g, cases[i].type, cases[i].sector);
        build(&g, BLK_HEADER_BYTES + cases[i].n_read, cases[i].n_write + 1);
        assert_int_equal(blk_req_parse(&g.chain, &limits, &order), 0);
        if (order.op != cases[i].want ||
            (order.op == BLK_OP_NONE && order.status != cases[i].status))
            fail_msg("case %u: op %d status %u", i, (int)order.op, order.status);
    }
}

static void no_answer_is_possible(void **state)
{
    struct blk_limits limits = { .sectors = SECTORS };
    struct blk_order order;
    struct guest g;

    (void)state;
    put_header(&g, VIRTIO_BLK_T_FLUSH, 0);
    for (size_t n = 0; n < BLK_HEADER_BYTES; n++) {
        build(&g, n, 1);
        assert_int_equal(blk_req_parse(&g.chain, &limits, &order), VQ_E_GUEST);
    }
    build(&g, BLK_HEADER_BYTES, 0);
    assert_int_equal(blk_req_parse(&g.chain, &limits, &order), VQ_E_GUEST);
}

static void ranges(void **state)
{
    static const struct {
        uint32_t type;
        struct virtio_blk_discard_write_zeroes seg;
        enum blk_op want;
        uint8_t status;
    } cases[] = {
        { VIRTIO_BLK_T_DISCARD, { 8, 8, 0 }, BLK_OP_DISCARD, 0 },
        { VIRTIO_BLK_T_DISCARD, { 8, 8, 1 }, BLK_OP_NONE, BLK_STATUS_UNSUPP },
        { VIRTIO_BLK_T_DISCARD, { SECTORS - 8, 8, 0 }, BLK_OP_DISCARD, 0 },
        { VIRTIO_BLK_T_DISCARD, { SECTORS - 8, 9, 0 }, BLK_OP_NONE, BLK_STATUS_IOERR },
        { VIRTIO_BLK_T_DISCARD, { UINT64_MAX, 1, 0 }, BLK_OP_NONE, BLK_STATUS_IOERR },
        { VIRTIO_BLK_T_DISCARD, { 0, 0, 0 }, BLK_OP_NONE, BLK_STATUS_OK },
        { VIRTIO_BLK_T_DISCARD, { 0, BLK_MAX_RANGE_SECTORS, 0 }, BLK_OP_DISCARD, 0 },
        { VIRTIO_BLK_T_DISCARD,
          { 0, BLK_MAX_RANGE_SECTORS + 1, 0 },
          BLK_OP_NONE,
          BLK_STATUS_IOERR },
        { VIRTIO_BLK_T_WRITE_ZEROES, { 8, 8, 0 }, BLK_OP_ZEROES, 0 },
        { VIRTIO_BLK_T_WRITE_ZEROES, { 8, 8, 1 }, BLK_OP_ZEROES, 0 },
        { VIRTIO_BLK_T_WRITE_ZEROES, { 8, 8, 2 }, BLK_OP_NONE, BLK_STATUS_UNSUPP },
        { VIRTIO_BLK_T_WRITE_ZEROES, { 0, UINT32_MAX, 0 }, BLK_OP_NONE, BLK_STATUS_IOERR },
    };
    struct blk_limits limits = { .sectors = SECTORS, .discard = true, .write_zeroes = true };
    struct blk_order order;
    struct guest g;

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        put_header(&g, cases[i].type, 0);
        memcpy(g.readable + BLK_HEADER_BYTES, &cases[i].seg, sizeof cases[i].seg);
        build(&g, BLK_HEADER_BYTES + 16, 1);
        assert_int_equal(blk_req_parse(&g.chain, &limits, &order), 0);
        if (order.op != cases[i].want ||
            (order.op == BLK_OP_NONE && order.status != cases[i].status))
            fail_msg("case %u: op %d status %u", i, (int)order.op, order.status);
        if (order.op == BLK_OP_ZEROES)
            assert_int_equal(order.unmap, cases[i].seg.flags & 1);
    }
    build(&g, BLK_HEADER_BYTES + 32, 1); /* two ranges: one was announced */
    assert_int_equal(blk_req_parse(&g.chain, &limits, &order), 0);
    assert_int_equal(order.status, BLK_STATUS_IOERR);
    build(&g, BLK_HEADER_BYTES + 15, 1);
    assert_int_equal(blk_req_parse(&g.chain, &limits, &order), 0);
    assert_int_equal(order.status, BLK_STATUS_IOERR);
    limits.discard = false; /* each was negotiated by itself */
    build(&g, BLK_HEADER_BYTES + 16, 1);
    for (unsigned i = 0; i < 2; i++) {
        put_header(&g, i == 0 ? VIRTIO_BLK_T_DISCARD : VIRTIO_BLK_T_WRITE_ZEROES, 0);
        memset(g.readable + BLK_HEADER_BYTES, 0, 16);
        g.readable[BLK_HEADER_BYTES + 8] = 1; /* sector */
        assert_int_equal(blk_req_parse(&g.chain, &limits, &order), 0);
        assert_int_equal(order.status, i == 0 ? BLK_STATUS_UNSUPP : BLK_STATUS_OK);
    }
    limits.write_zeroes = false;
    assert_int_equal(blk_req_parse(&g.chain, &limits, &order), 0);
    assert_int_equal(order.status, BLK_STATUS_UNSUPP);
}

static void the_status_is_the_last_byte(void **state)
{
    struct blk_limits limits = { .sectors = SECTORS };
    struct blk_order order;
    struct guest g;

    (void)state;
    put_header(&g, VIRTIO_BLK_T_IN, 0);
    build(&g, BLK_HEADER_BYTES, 513);
    memset(g.writable, 0xee, sizeof g.writable);
    assert_int_equal(blk_req_parse(&g.chain, &limits, &order), 0);
    assert_int_equal(blk_req_finish(&g.chain, &order, BLK_STATUS_OK), 513);
    assert_int_equal(g.writable[511], 0xee);
    assert_int_equal(g.writable[512], 0);
    assert_int_equal(g.writable[513], 0xee);
    assert_int_equal(blk_req_finish(&g.chain, &order, BLK_STATUS_IOERR), 0); /* none before it */
    assert_int_equal(g.writable[512], BLK_STATUS_IOERR);
    put_header(&g, VIRTIO_BLK_T_GET_ID, 0);
    build(&g, BLK_HEADER_BYTES, 31); /* more room than an id has */
    assert_int_equal(blk_req_parse(&g.chain, &limits, &order), 0);
    assert_int_equal(blk_req_finish(&g.chain, &order, BLK_STATUS_OK), BLK_ID_BYTES);
    put_header(&g, VIRTIO_BLK_T_OUT, 0);
    build(&g, BLK_HEADER_BYTES + 512, 1); /* the status alone */
    assert_int_equal(blk_req_parse(&g.chain, &limits, &order), 0);
    assert_int_equal(blk_req_finish(&g.chain, &order, BLK_STATUS_IOERR), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests),
        cmocka_unit_test(no_answer_is_possible),
        cmocka_unit_test(ranges),
        cmocka_unit_test(the_status_is_the_last_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
