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

static void test_rx(void **state)
{
    struct virtio_net_hdr_v1 h = { .flags = CSUM, .csum_start = 34, .csum_offset = 16 };

    (void)state;
    assert_int_equal(net_hdr_check_rx(&h, 60), 0);
    assert_int_equal(net_hdr_check_rx(&h, 13), NET_E_LIES);
    assert_int_equal(net_hdr_check_rx(&h, 51), NET_E_LIES);
    h.flags = 0xff;
    assert_int_equal(net_hdr_check_rx(&h, 60), 0);
    assert_int_equal(h.flags, CSUM | VIRTIO_NET_HDR_F_DATA_VALID);
    h.gso_type = TCP4;
    assert_int_equal(net_hdr_check_rx(&h, 60), NET_E_LIES);
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
    assert_int_equal(net_max_plain_frame(1500), 1518);
    assert_int_equal(net_max_plain_frame(0), NET_MAX_FRAME_BYTES);
    assert_int_equal(net_max_plain_frame(65535), NET_MAX_FRAME_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tx),
        cmocka_unit_test(test_tx_no_features),
        cmocka_unit_test(test_rx),
        cmocka_unit_test(test_addresses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
