/* SPDX-License-Identifier: Apache-2.0 */
/* test_net_hdr.c - headers that lie about the frame behind them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "net/net_hdr.h"
#include <cmocka.h>

#define BIT(f) (1ull << (f))

enum {
    CSUM = VIRTIO_NET_HDR_F_NEEDS_CSUM,
    TCP4 = VIRTIO_NET_HDR_GSO_TCPV4,
    TCP6 = VIRTIO_NET_HDR_GSO_TCPV6,
    UDP = VIRTIO_NET_HDR_GSO_UDP,
    USO = VIRTIO_NET_HDR_GSO_UDP_L4,
    ECN = VIRTIO_NET_HDR_GSO_ECN
};

static const uint64_t all = BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_HOST_TSO4) |
                            BIT(VIRTIO_NET_F_HOST_TSO6) | BIT(VIRTIO_NET_F_HOST_UFO) |
                            BIT(VIRTIO_NET_F_HOST_USO) | BIT(VIRTIO_NET_F_HOST_ECN);
static const uint64_t csum_only = BIT(VIRTIO_NET_F_CSUM);
static const uint64_t no_ecn = BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_HOST_TSO4);

static const struct {
    uint8_t flags, gso;
    uint16_t hdr_len, gso_size, start, offset;
    uint64_t bytes;
    const uint64_t *features;
    int want;
} cases[] = {
    { 0, 0, 0, 0, 0, 0, 60, &all, 0 },
    { 0, 0, 0, 0, 0, 0, NET_ETH_BYTES, &all, 0 },
    { 0, 0, 0, 0, 0, 0, NET_ETH_BYTES - 1, &all, NET_E_LIES }, /* no Ethernet header */
    { 0, 0, 0, 0, 0, 0, NET_MAX_FRAME_BYTES, &all, 0 },
    { 0, 0, 0, 0, 0, 0, NET_MAX_FRAME_BYTES + 1, &all, NET_E_LIES },
    { CSUM, 0, 0, 0, 34, 16, 60, &all, 0 },
    { CSUM, 0, 0, 0, 34, 16, 60, &csum_only, 0 },
    { CSUM, 0, 0, 0, 34, 16, 52, &all, 0 },                /* ends with the field */
    { CSUM, 0, 0, 0, 34, 16, 51, &all, NET_E_LIES },       /* one byte short */
    { CSUM, 0, 0, 0, 65535, 65535, 60, &all, NET_E_LIES }, /* the sum must not wrap */
    { CSUM, 0, 0, 0, 13, 2, 60, &all, NET_E_LIES },        /* in the Ethernet header */
    { CSUM, TCP4, 54, 1460, 34, 16, 4000, &all, 0 },
    { CSUM, TCP4 | ECN, 54, 1460, 34, 16, 4000, &all, 0 },
    { CSUM, TCP4 | ECN, 54, 1460, 34, 16, 4000, &no_ecn, NET_E_LIES },
    { CSUM, TCP4, 54, 0, 34, 16, 4000, &all, NET_E_LIES },          /* segments of no size */
    { 0, TCP4, 54, 1460, 34, 16, 4000, &all, NET_E_LIES },          /* without a checksum */
    { CSUM, TCP4, 4001, 1460, 34, 16, 4000, &all, NET_E_LIES },     /* header beyond the frame */
    { CSUM, TCP4, 54, 1460, 34, 16, 4000, &csum_only, NET_E_LIES }, /* not agreed on */
    { CSUM, TCP6, 74, 1440, 54, 16, 4000, &all, 0 },
    { CSUM, UDP, 42, 1480, 34, 6, 4000, &all, 0 },
    { CSUM, UDP | ECN, 42, 1480, 34, 6, 4000, &all, NET_E_LIES }, /* no such thing */
    { CSUM, USO, 42, 1472, 34, 6, 4000, &all, 0 },
    { CSUM, USO, 42, 1472, 34, 6, 4000, &no_ecn, NET_E_LIES },
    { CSUM, 7, 42, 1472, 34, 6, 4000, &all, NET_E_LIES }, /* unknown type */
    { 0, ECN, 0, 0, 0, 0, 60, &all, NET_E_LIES },
};

static void test_tx(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct virtio_net_hdr_v1 h = { .flags = cases[i].flags,
                                       .gso_type = cases[i].gso,
                                       .hdr_len = cases[i].hdr_len,
                                       .gso_size = cases[i].gso_size,
                                       .csum_start = cases[i].start,
                                       .csum_offset = cases[i].offset,
                                       .num_buffers = 77 };
        int r = net_hdr_check_tx(&h, *cases[i].features, cases[i].bytes);

        if (r != cases[i].want)
            fail_msg("case %zu: %d", i, r);
        if (r == 0)
            assert_int_equal(h.num_buffers, 0);
    }
}

/* Without features every offload is a lie, and a plain frame's leftovers are cleared. */
static void test_tx_no_features(void **state)
{
    struct virtio_net_hdr_v1 h = { .flags = VIRTIO_NET_HDR_F_DATA_VALID,
                                   .hdr_len = 9,
                                   .gso_size = 9,
                                   .csum_start = 9,
                                   .csum_offset = 9 };
    static const struct virtio_net_hdr_v1 zero;

    (void)state;
    assert_int_equal(net_hdr_check_tx(&h, 0, 60), 0);
    assert_memory_equal(&h, &zero, sizeof(h));
    h.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    assert_int_equal(net_hdr_check_tx(&h, 0, 60), NET_E_LIES);
}

static const uint8_t ipv4[100] = { [12] = 0x08 }, ipv6[100] = { [12] = 0x86, [13] = 0xdd },
                     tagged_ipv6[100] = { [12] = 0x81, [16] = 0x86, [17] = 0xdd };

static void test_rx(void **state)
{
    struct virtio_net_hdr_v1 h = { .flags = CSUM, .csum_start = 34, .csum_offset = 16 };
    uint64_t csum = BIT(VIRTIO_NET_F_GUEST_CSUM);

    (void)state;
    assert_int_equal(net_hdr_check_rx(&h, csum, ipv4, 60), 0);
    assert_int_equal(net_hdr_check_rx(&h, csum, ipv4, 13), NET_E_LIES);
    assert_int_equal(net_hdr_check_rx(&h, csum, ipv4, 51), NET_E_LIES);
    h.flags = 0xff;
    assert_int_equal(net_hdr_check_rx(&h, csum, ipv4, 60), 0);
    assert_int_equal(h.flags, CSUM | VIRTIO_NET_HDR_F_DATA_VALID);
}

/* What a frame needs of its driver, which may be another than the one it was queued for. */
static void test_rx_features(void **state)
{
    static const struct {
        uint8_t gso, needs, ecn; /* feature bits */
        const uint8_t *frame;
    } offloads[] = {
        { TCP4, VIRTIO_NET_F_GUEST_TSO4, 0, ipv4 },
        { TCP6, VIRTIO_NET_F_GUEST_TSO6, 0, ipv6 },
        { TCP4 | ECN, VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_ECN, ipv4 },
        { TCP6 | ECN, VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_GUEST_ECN, ipv6 },
        { UDP, VIRTIO_NET_F_GUEST_UFO, 0, ipv4 },
        { USO, VIRTIO_NET_F_GUEST_USO4, 0, ipv4 },
        { USO, VIRTIO_NET_F_GUEST_USO6, 0, ipv6 },
        { USO, VIRTIO_NET_F_GUEST_USO6, 0, tagged_ipv6 },
    };
    struct virtio_net_hdr_v1 h = { .flags = VIRTIO_NET_HDR_F_DATA_VALID };

    (void)state;
    assert_int_equal(net_hdr_check_rx(&h, 0, ipv4, 60), 0);
    assert_int_equal(h.flags, 0);
    h = (struct virtio_net_hdr_v1){ .flags = CSUM, .csum_start = 34, .csum_offset = 16 };
    assert_int_equal(net_hdr_check_rx(&h, ~BIT(VIRTIO_NET_F_GUEST_CSUM), ipv4, 60), NET_E_LIES);
    for (size_t i = 0; i < ARRAY_SIZE(offloads); i++) {
        uint64_t needs = BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(offloads[i].needs);

        if (offloads[i].ecn)
            needs |= BIT(offloads[i].ecn);
        h = (struct virtio_net_hdr_v1){ .flags = CSUM,
                                        .csum_start = 34,
                                        .csum_offset = 16,
                                        .gso_type = offloads[i].gso,
                                        .gso_size = 1000 };
        assert_int_equal(net_hdr_check_rx(&h, needs, offloads[i].frame, 100), 0);
        assert_int_equal(net_hdr_check_rx(&h, ~BIT(offloads[i].needs), offloads[i].frame, 100),
                         NET_E_LIES);
        if (offloads[i].ecn)
            assert_int_equal(net_hdr_check_rx(&h, ~BIT(offloads[i].ecn), offloads[i].frame, 100),
                             NET_E_LIES);
        h.gso_size = 0;
        assert_int_equal(net_hdr_check_rx(&h, needs, offloads[i].frame, 100), NET_E_LIES);
    }
    h = (struct virtio_net_hdr_v1){ .gso_type = 7, .gso_size = 1000 };
    assert_int_equal(net_hdr_check_rx(&h, ~0ull, ipv4, 100), NET_E_LIES);
    h.gso_type = ECN;
    assert_int_equal(net_hdr_check_rx(&h, ~0ull, ipv4, 100), NET_E_LIES);
}

static void test_mtu(void **state)
{
    static const struct {
        uint64_t bytes;
        const uint8_t *frame;
        bool fits;
    } frames[] = {
        { 1514, ipv4, true },
        { 1515, ipv4, false },
        { 1518, tagged_ipv6, true },
        { 1519, tagged_ipv6, false },
    };
    static const struct virtio_net_hdr_v1 plain;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(frames); i++) {
        if (net_hdr_fits_mtu(&plain, frames[i].frame, NET_ETH_BYTES, frames[i].bytes, 1500) !=
            frames[i].fits)
            fail_msg("frame %zu", i);
        assert_true(net_hdr_fits_mtu(&plain, frames[i].frame, NET_ETH_BYTES, frames[i].bytes, 0));
    }
}

/* A large frame's headers: tag, IP of so many bytes (of IPv6, those of one extension are among them), and
 * TCP's length. */
struct large {
    uint8_t gso;
    bool tagged, v6;
    uint8_t ip_bytes, tcp_bytes;
    uint16_t start, gso_size;
    uint64_t bytes;
    bool fits;
};

static void build(const struct large *f, uint8_t head[NET_HEAD_MAX_BYTES])
{
    size_t at = 12;

    memset(head, 0, NET_HEAD_MAX_BYTES);
    if (f->tagged) {
        head[at] = 0x81;
        at += 4;
    }
    head[at] = f->v6 ? 0x86 : 0x08;
    head[at + 1] = f->v6 ? 0xdd : 0;
    at += 2;
    head[at] = f->v6 ? 0x60 : (uint8_t)(0x40 | f->ip_bytes / 4);
    if (f->v6 && f->ip_bytes > 40) {
        head[at + 6] = 60; /* destination options */
        head[at + 40] = 6; /* then TCP */
        head[at + 41] = (uint8_t)((f->ip_bytes - 40) / 8 - 1);
    } else if (f->v6) {
        head[at + 6] = 6;
    }
    at += f->ip_bytes;
    if (at + 12 < NET_HEAD_MAX_BYTES)
        head[at + 12] = (uint8_t)(f->tcp_bytes / 4 << 4);
}

/* Each segment has all headers, with their options: what csum_start and a TCP header of 20 bytes would make
 * of it is not what comes out of the host's port. */
static void test_mtu_of_segments(void **state)
{
    static const struct large frames[] = {
        { TCP4, false, false, 20, 20, 34, 1460, 60000, true },
        { TCP4, false, false, 20, 20, 34, 1461, 60000, false },
        { TCP4, false, false, 20, 20, 34, 9000, 1514, true }, /* one segment, whatever it says */
        { TCP4, false, false, 20, 32, 34, 1448, 60000, true },
        { TCP4, false, false, 20, 32, 34, 1449, 60000, false },
        { TCP4, false, false, 20, 60, 34, 1420, 60000, true },
        { TCP4, false, false, 20, 60, 34, 1460, 60000, false },
        { TCP4, false, false, 60, 20, 74, 1420, 60000, true },
        { TCP4, false, false, 60, 60, 74, 1380, 60000, true },
        { TCP4, false, false, 60, 60, 74, 1381, 60000, false },
        { TCP4, false, false, 60, 20, 34, 1400, 60000,
          false }, /* nor does csum_start hide options */
        { TCP4, false, false, 16, 20, 30, 100, 60000, false }, /* no IP header at all */
        { TCP4, false, false, 20, 0, 34, 1460, 60000, true },  /* the kernel drops that one */
        { TCP4, false, false, 20, 0, 34, 1461, 60000, false },
        { TCP4, true, false, 20, 20, 38, 1460, 60000, true },
        { TCP4, true, false, 20, 20, 38, 1461, 60000, false },
        { TCP6 | ECN, false, true, 40, 20, 54, 1440, 60000, true },
        { TCP6 | ECN, false, true, 40, 20, 54, 1441, 60000, false },
        { TCP6, true, true, 56, 32, 74, 1412, 60000, true },
        { TCP6, true, true, 56, 32, 74, 1413, 60000, false },
        { TCP6, false, true, 200, 20, 214, 100, 60000,
          false }, /* what isn't copied isn't believed */
        { USO, false, false, 20, 0, 34, 1472, 60000, true },
        { USO, false, false, 20, 0, 34, 1473, 60000, false },
        { USO, false, false, 40, 0, 54, 1453, 60000, false },
        { UDP, false, false, 20, 0, 34, 1480, 60000, true },
        { UDP, false, false, 20, 0, 34, 1481, 60000, false },
        { UDP, false, false, 60, 0, 74, 1441, 60000, false },
        { UDP, false, true, 40, 0, 54, 1452, 60000, true },
        { UDP, false, true, 40, 0, 54, 1453, 60000, false },
        { TCP4, false, false, 20, 20, 65535, 65535, 65553, false },
    };
    uint8_t head[NET_HEAD_MAX_BYTES];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(frames); i++) {
        const struct virtio_net_hdr_v1 h = { .gso_type = frames[i].gso,
                                             .gso_size = frames[i].gso_size,
                                             .csum_start = frames[i].start };

        build(&frames[i], head);
        if (net_hdr_fits_mtu(&h, head, sizeof(head), frames[i].bytes, 1500) != frames[i].fits)
            fail_msg("frame %zu", i);
        assert_true(net_hdr_fits_mtu(&h, head, sizeof(head), frames[i].bytes, 0));
        assert_false(net_hdr_fits_mtu(&h, head, NET_ETH_BYTES, frames[i].bytes, 70) &&
                     frames[i].bytes > 90); /* too little to see */
    }
}

static void test_addresses(void **state)
{
    static const uint8_t mac[6] = { 0x52, 0x54, 0, 1, 2, 3 }, multicast[6] = { 1 }, zero[6];
    uint8_t eth[NET_ETH_BYTES] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0, 1, 2, 3 };

    (void)state;
    assert_true(net_source_is(eth, mac));
    eth[11] ^= 1;
    assert_false(net_source_is(eth, mac));
    assert_true(net_mac_is_unicast(mac));
    assert_false(net_mac_is_unicast(multicast));
    assert_false(net_mac_is_unicast(zero));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tx),        cmocka_unit_test(test_tx_no_features),
        cmocka_unit_test(test_rx),        cmocka_unit_test(test_rx_features),
        cmocka_unit_test(test_mtu),       cmocka_unit_test(test_mtu_of_segments),
        cmocka_unit_test(test_addresses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
