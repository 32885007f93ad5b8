/* SPDX-License-Identifier: Apache-2.0 */
/* test_vsock_pkt.c - packet headers, credit at the wrap of its counters, the CONNECT line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "vsock/vsock_pkt.h"
#include <cmocka.h>

enum { CID = 3, STREAM = VIRTIO_VSOCK_TYPE_STREAM, RW = VIRTIO_VSOCK_OP_RW };

static const struct {
    uint64_t src, dst;
    uint32_t len;
    uint16_t type, op;
    uint64_t payload;
    int want;
} packets[] = {
    { CID, 2, 10, STREAM, RW, 10, 0 },
    { CID, 2, 10, STREAM, RW, 4096, 0 },          /* a larger buffer is fine */
    { CID, 2, 11, STREAM, RW, 10, VSOCK_REFUSE }, /* bytes that aren't there */
    { CID, 2, UINT32_MAX, STREAM, RW, 10, VSOCK_REFUSE },
    { CID + 1, 2, 0, STREAM, RW, 0, VSOCK_DROP }, /* somebody else's name */
    { CID, 1, 0, STREAM, RW, 0, VSOCK_DROP },     /* to nobody that we are */
    { CID, 4, 0, STREAM, RW, 0, VSOCK_DROP },
    { CID, 2, 0, 2, RW, 0, VSOCK_REFUSE }, /* SEQPACKET was not offered */
    { CID, 2, 0, STREAM, 0, 0, VSOCK_REFUSE },
    { CID, 2, 0, STREAM, 8, 0, VSOCK_REFUSE },
    { CID, 2, 0, STREAM, VIRTIO_VSOCK_OP_CREDIT_REQUEST, 0, 0 },
};

static void test_packets(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(packets); i++) {
        struct virtio_vsock_hdr h = { .src_cid = packets[i].src,
                                      .dst_cid = packets[i].dst,
                                      .len = packets[i].len,
                                      .type = packets[i].type,
                                      .op = packets[i].op };

        if (vsock_pkt_check(&h, CID, packets[i].payload) != packets[i].want)
            fail_msg("packet %zu", i);
    }
}

static void test_credit_out(void **state)
{
    static const struct {
        uint32_t sent, forwarded, alloc, want;
    } cases[] = {
        { 0, 0, 1000, 1000 },     { 1000, 0, 1000, 0 },
        { 1000, 400, 1000, 400 }, { 10, 4294967290u, 1000, 984 }, /* over the wrap */
        { 100, 200, 1000, 0 }, /* the guest forwarded what we never sent */
        { 500, 0, 100, 0 },    /* it shrank its buffer */
        { 0, 0, 0, 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct vsock_credit c = { .out_sent = cases[i].sent,
                                  .peer_forwarded = cases[i].forwarded,
                                  .peer_alloc = cases[i].alloc };

        assert_int_equal(vsock_credit_out(&c), cases[i].want);
    }
}

static void test_credit_in(void **state)
{
    struct vsock_credit c = { .in_received = 5, .in_forwarded = 5, .in_advertised = 5 };

    (void)state;
    assert_true(vsock_credit_in_ok(&c, VSOCK_BUFFER_BYTES));
    assert_false(vsock_credit_in_ok(&c, VSOCK_BUFFER_BYTES + 1));
    c.in_received += 100;
    assert_true(vsock_credit_in_ok(&c, VSOCK_BUFFER_BYTES - 100));
    assert_false(vsock_credit_in_ok(&c, VSOCK_BUFFER_BYTES - 99));
    assert_false(vsock_credit_in_ok(&c, UINT32_MAX));
    assert_false(vsock_credit_worth_telling(&c));
    c.in_received = 5 + VSOCK_BUFFER_BYTES / 2;
    assert_false(vsock_credit_worth_telling(&c)); /* nothing has become free */
    c.in_forwarded += 1;
    assert_true(vsock_credit_worth_telling(&c));
}

static void test_line(void **state)
{
    static const struct {
        const char *line;
        int want; /* 0, 1, -1: any error */
        uint32_t port;
    } lines[] = {
        { "CONNECT 52\n", 0, 52 },
        { "CONNECT 52\r\n", 0, 52 },
        { "CONNECT 0\n", 0, 0 },
        { "CONNECT 4294967294\n", 0, 4294967294u },
        { "CONNECT 4294967295\n", -1, 0 }, /* any port */
        { "CONNECT 4294967296\n", -1, 0 },
        { "CONNECT 99999999999999999999\n", -1, 0 },
        { "CONNECT \n", -1, 0 },
        { "CONNECT \r\n", -1, 0 },
        { "CONNECT -1\n", -1, 0 },
        { "CONNECT 1 \n", -1, 0 },
        { "CONNECT 1x", -1, 0 },
        { "connect 1\n", -1, 0 },
        { "GET / HTTP/1.1\r\n", -1, 0 },
        { "", 1, 0 },
        { "CONN", 1, 0 },
        { "CONNECT ", 1, 0 },
        { "CONNECT 5", 1, 0 },
        { "CONNECT 5\r", 1, 0 },
        { "CONNECT 000000000000000000000001", -1, 0 }, /* the line is full */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        uint32_t port = 0;
        int r = vsock_line_parse(lines[i].line, strlen(lines[i].line), &port);

        if (lines[i].want < 0 ? r >= 0 : r != lines[i].want)
            fail_msg("line %zu: %d", i, r);
        if (r == 0)
            assert_int_equal(port, lines[i].port);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packets),
        cmocka_unit_test(test_credit_out),
        cmocka_unit_test(test_credit_in),
        cmocka_unit_test(test_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
