/* SPDX-License-Identifier: Apache-2.0 */
/* net_tap_test.c - the network worker in its sandbox, between a ring and taps in a network
 * namespace of the test's own. */
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "net_driver.h"
#include <cmocka.h>

static void tap_both_ways(void **state)
{
    struct nic *n = netd_new_tap(1);
    uint8_t frame[1514], got[2000];
    uint16_t head;
    uint32_t len;

    (void)state;
    wh_start(n->wh);
    assert_true(n->wh->features & BIT(VIRTIO_NET_F_HOST_TSO4));
    assert_true(n->wh->features & BIT(VIRTIO_NET_F_GUEST_CSUM));
    wh_activate(n->wh, n->wh->features, false);
    for (unsigned i = 0; i < 20; i++)
        netd_give_buffer(n, i, BUF);
    for (unsigned i = 0; i < 200; i++) {
        struct pollfd p = { .fd = n->peer, .events = POLLIN };

        netd_send_frame(n, 0, &netd_plain, 1514, (uint8_t)i);
        netd_sent(n);
        assert_int_equal(poll(&p, 1, WH_PATIENCE_MS), 1);
        assert_int_equal(recv(n->peer, got, sizeof(got), 0), 1514);
        assert_int_equal(got[14], (uint8_t)i);
    }
    for (unsigned i = 0; i < 20; i++) {
        const uint8_t *data;

        netd_fill_frame(frame, sizeof(frame), (uint8_t)i);
        assert_int_equal(send(n->peer, frame, sizeof(frame), 0), sizeof(frame));
        do { /* the kernel sends some of its own (IPv6) */
            wh_wait_used(n->wh, RX, &head, &len);
            data = wh_mem(n->wh, n->wh->queues[RX].vring.desc[head].addr, len);
            netd_give_buffer(n, 30 + i, BUF); /* takes that descriptor again */
        } while (data[HDR + 12] != 0x88 || data[HDR + 13] != 0xb5);
        assert_int_equal(len, HDR + sizeof(frame));
        assert_int_equal(data[HDR + 14], i);
    }
    netd_free(n);
}

/* A large segment goes out with its header; the kernel cuts it or passes it on whole. */
static void tap_segmentation(void **state)
{
    static const uint8_t ip[] = { 0x45, 0, 0x0f, 0xa0, 0, 0, 0x40, 0, 64, 6,
                                  0,    0, 10,   0,    0, 1, 10,   0, 0,  2 };
    struct virtio_net_hdr_v1 hdr = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                     .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
                                     .hdr_len = 54,
                                     .gso_size = 1460,
                                     .csum_start = 34,
                                     .csum_offset = 16 };
    struct nic *n = netd_new_tap(1);
    uint64_t at = netd_tx_at(n, 0);
    struct wh_buf buf = { at, HDR + 4014, false };
    uint8_t *frame;

    (void)state;
    wh_start(n->wh);
    wh_activate(n->wh, n->wh->features, false);
    memcpy(wh_mem(n->wh, at, HDR), &hdr, HDR);
    frame = wh_mem(n->wh, at + HDR, 4014);
    netd_fill_frame(frame, 4014, 0);
    frame[12] = 0x08;
    frame[13] = 0x00;
    memcpy(frame + 14, ip, sizeof(ip));
    frame[46] = 0x50; /* TCP header of 20 bytes */
    assert_true(wh_add(n->wh, TX, &buf, 1, false) >= 0);
    wh_kick(n->wh, TX);
    netd_sent(n);
    assert_int_equal(n->wh->stats->dropped, 0);
    assert_int_equal(n->wh->stats->write_ops, 1);
    hdr.csum_start = 4010; /* its checksum would lie behind it */
    memcpy(wh_mem(n->wh, at, HDR), &hdr, HDR);
    assert_true(wh_add(n->wh, TX, &buf, 1, false) >= 0);
    wh_kick(n->wh, TX);
    netd_sent(n);
    assert_int_equal(n->wh->stats->dropped, 1);
    netd_free(n);
}

/* What comes to the host's stack as IPv4 over the tap made last. */
static int hear_ipv4(const struct nic *n)
{
    struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(0x0800) };
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(0x0800));
    socklen_t len = sizeof(at);
    struct sockaddr_ll peer;

    assert_int_equal(getsockname(n->peer, (struct sockaddr *)&peer, &len), 0);
    at.sll_ifindex = peer.sll_ifindex;
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    return fd;
}

/* Options count: each segment has them. One that keeps to the MTU arrives as it was, though its headers are
 * the worker's copy. */
static void segments_with_options(void **state)
{
    enum { BYTES = 4014, HEADERS = 14 + 20 + 60 };
    static const uint8_t ip[] = { 0x45, 0, 0x0f, 0xa0, 0, 0, 0x40, 0, 64, 6,
                                  0,    0, 10,   0,    0, 1, 10,   0, 0,  2 };
    struct virtio_net_hdr_v1 hdr = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                     .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
                                     .hdr_len = HEADERS,
                                     .csum_start = 34,
                                     .csum_offset = 16 };
    static const uint16_t sizes[] = { 1460, 1421, 1420 }; /* 1420 is the most beside 80 bytes */
    struct nic *n = netd_new_tap(1);
    uint64_t at = netd_tx_at(n, 0);
    struct wh_buf bufs[] = { { at, HDR, false }, /* the headers in pieces */
                             { at + HDR, 40, false },
                             { at + HDR + 40, BYTES - 40, false } };
    uint8_t *frame, got[BYTES + 1];
    int fd = hear_ipv4(n);

    (void)state;
    n->config.mtu = 1500;
    wh_start(n->wh);
    wh_activate(n->wh, n->wh->features, false);
    frame = wh_mem(n->wh, at + HDR, BYTES);
    netd_fill_frame(frame, BYTES, 0);
    frame[12] = 0x08;
    frame[13] = 0x00;
    memcpy(frame + 14, ip, sizeof(ip));
    frame[46] = 0xf0; /* TCP header of 60 bytes */
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        hdr.gso_size = sizes[i];
        memcpy(wh_mem(n->wh, at, HDR), &hdr, HDR);
        assert_true(wh_add(n->wh, TX, bufs, ARRAY_SIZE(bufs), false) >= 0);
        wh_kick(n->wh, TX);
        netd_sent(n);
    }
    assert_int_equal(n->wh->stats->dropped, 2);
    assert_int_equal(n->wh->stats->write_ops, 1);
    assert_int_equal(recv(fd, got, sizeof(got), 0), BYTES);
    assert_memory_equal(got, frame, BYTES);
    close(fd);
    netd_free(n);
}

static void tap_queue_pairs(void **state)
{
    static const uint16_t two = 2, three = 3, zero;
    struct nic *n = netd_new_tap(2);
    struct ifreq req = { .ifr_flags = IFF_DETACH_QUEUE };
    unsigned ctrl = 4;

    (void)state;
    wh_start(n->wh);
    assert_true(n->wh->features & BIT(VIRTIO_NET_F_MQ));
    wh_activate(n->wh, n->wh->features, false);
    /* The second queue gets no frames before the driver wants it. */
    assert_int_equal(ioctl(n->wh->config.own_fds[1], TUNSETQUEUE, &req), -1);
    assert_int_equal(
        netd_control(n, ctrl, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &three, 2),
        VIRTIO_NET_ERR);
    assert_int_equal(
        netd_control(n, ctrl, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &zero, 2),
        VIRTIO_NET_ERR);
    assert_int_equal(
        netd_control(n, ctrl, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &two, 2),
        VIRTIO_NET_OK);
    wh_restart(n->wh, n->wh->features);
    /* A replacement finds it attached and leaves it so. */
    assert_int_equal(ioctl(n->wh->config.own_fds[1], TUNSETQUEUE, &req), 0);
    netd_free(n);
}

/* Whether this kernel's taps have it; the headers may not. */
static bool offer_uso(struct nic *n)
{
    const unsigned uso = TUN_F_CSUM | 0x60; /* TUN_F_USO4 and TUN_F_USO6 */

    if (ioctl(n->wh->config.own_fds[0], TUNSETOFFLOAD, uso) < 0)
        return false;
    n->config.tap_offloads |= uso;
    return true;
}

/* Of what is offered a driver takes what it likes, also what a tap has in company alone. */
static void any_choice_of_offloads(void **state)
{
    enum { USO4 = 54, USO6 = 55 };
    static const unsigned bits[] = { VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_TSO6,
                                     VIRTIO_NET_F_GUEST_ECN, USO4, USO6 };
    struct nic *n = netd_new_tap(1);
    unsigned n_bits = offer_uso(n) ? ARRAY_SIZE(bits) : ARRAY_SIZE(bits) - 2;

    (void)state;
    wh_start(n->wh);
    for (unsigned choice = 0; choice < 1u << n_bits; choice++) {
        uint64_t features = BASE | BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_GUEST_CSUM);

        for (unsigned i = 0; i < n_bits; i++)
            if (choice & 1u << i)
                features |= BIT(bits[i]);
        assert_int_equal(features & ~n->wh->features, 0);
        wh_activate(n->wh, features, false);
        wh_reset(n->wh);
    }
    netd_free(n);
}

static void send_on(struct nic *n, unsigned q, unsigned slot)
{
    uint64_t at = netd_tx_at(n, slot);
    struct wh_buf bufs[] = { { at, HDR, false }, { at + HDR, 1000, false } };

    memcpy(wh_mem(n->wh, at, HDR), &netd_plain, HDR);
    netd_fill_frame(wh_mem(n->wh, at + HDR, 1000), 1000, 3);
    assert_true(wh_add(n->wh, q, bufs, ARRAY_SIZE(bufs), true) >= 0);
    wh_kick(n->wh, q);
}

/* What waits for tokens in a pair that the driver takes away is given back to it, and costs none. */
static void a_pair_taken_away_keeps_nothing(void **state)
{
    enum { BURST = 10, FRAMES = 30, SECOND_TX = 3, CONTROL = 4 };
    static const uint16_t two = 2, one = 1;
    Bulkhead__TokenBucket bytes = BULKHEAD__TOKEN_BUCKET__INIT;
    Bulkhead__RateLimit limit = BULKHEAD__RATE_LIMIT__INIT;
    struct nic *n = netd_new_tap(2);

    (void)state;
    bytes.size = BURST * 1000;
    bytes.refill_time_ms = 3600 * 1000; /* no further frame in this test */
    limit.bandwidth = &bytes;
    n->config.rate_limit = &limit;
    wh_start(n->wh);
    wh_activate(n->wh, n->wh->features, false);
    assert_int_equal(
        netd_control(n, CONTROL, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &two, 2),
        VIRTIO_NET_OK);
    for (unsigned i = 0; i < FRAMES; i++)
        send_on(n, SECOND_TX, i);
    for (unsigned i = 0; i < BURST; i++)
        netd_sent_by(n, SECOND_TX);
    assert_int_equal(
        netd_control(n, CONTROL, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &one, 2),
        VIRTIO_NET_OK);
    for (unsigned i = BURST; i < FRAMES; i++)
        netd_sent_by(n, SECOND_TX);
    send_on(n, SECOND_TX, FRAMES); /* nor does it wait for its turn now */
    netd_sent_by(n, SECOND_TX);
    assert_int_equal(n->wh->stats->write_ops, BURST);
    assert_int_equal(n->wh->stats->dropped, FRAMES - BURST + 1);
    netd_free(n);
}

/* An address, and room for so many frames on the way to the guest. */
static void give_address(const char *address, int room)
{
    struct sockaddr_in in = { .sin_family = AF_INET };
    struct ifreq req = { 0 };

    assert_int_equal(inet_pton(AF_INET, address, &in.sin_addr), 1);
    memcpy(&req.ifr_addr, &in, sizeof(in));
    netd_set_interface(SIOCSIFADDR, req);
    netd_set_interface(SIOCSIFTXQLEN, (struct ifreq){ .ifr_qlen = room });
}

/* The host answers within the write. Of a guest with more to send than the tap has room for answers,
 * none is lost: they are fetched in between. */
static void answers_while_sending(void **state)
{
    static const uint8_t arp[] = { 0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1, 0x52, 0x54, 0, 0x11, 0x22,
                                   0x33, 10,   9, 8, 2, 0, 0, 0, 0, 0, 0,    10,   9, 8,    1 };
    enum { REQUESTS = 192, ROOM = 100, ARP_FRAME = 60 };
    struct nic *n = netd_new_tap(1);
    uint64_t at = netd_tx_at(n, 0);
    struct wh_buf request = { at, HDR + ARP_FRAME, false };
    uint16_t head;
    uint32_t len;

    (void)state;
    wh_start(n->wh);
    wh_activate(n->wh, n->wh->features, false);
    for (unsigned i = 0; i < 250; i++)
        netd_give_buffer(n, i, BUF);
    give_address("10.9.8.1", ROOM);
    memcpy(wh_mem(n->wh, at, HDR), &netd_plain, HDR);
    netd_fill_frame(wh_mem(n->wh, at + HDR, ARP_FRAME), ARP_FRAME, 0);
    memcpy(wh_mem(n->wh, at + HDR + 12, sizeof(arp)), arp, sizeof(arp));
    assert_int_equal(kill(n->wh->pid, SIGSTOP), 0);
    for (unsigned i = 0; i < REQUESTS; i++)
        assert_true(wh_add(n->wh, TX, &request, 1, false) >= 0);
    wh_kick(n->wh, TX);
    assert_int_equal(kill(n->wh->pid, SIGCONT), 0);
    for (unsigned i = 0; i < REQUESTS; i++)
        netd_sent(n);
    for (unsigned answers = 0; answers < REQUESTS;) {
        const uint8_t *frame;

        wh_wait_used(n->wh, RX, &head, &len);
        frame = wh_mem(n->wh, n->wh->queues[RX].vring.desc[head].addr + HDR, len - HDR);
        answers += frame[12] == 0x08 && frame[13] == 0x06 && frame[21] == 2;
    }
    netd_free(n);
}

/* What a frame of that length has there. */
static uint8_t byte_at(size_t i, size_t len)
{
    return (uint8_t)(i * 7 + (i >> 8) + len);
}

static void send_to_guest(struct nic *n, size_t len)
{
    uint8_t frame[9100];

    netd_fill_frame(frame, len, 0);
    for (size_t i = 14; i < len; i++)
        frame[i] = byte_at(i, len);
    assert_int_equal(send(n->peer, frame, len, 0), len);
}

/* The next frame out of the ring, its buffers of so many bytes given back: its length. */
static size_t gather(struct nic *n, uint8_t *dst, size_t size, uint32_t buf_bytes)
{
    size_t done = 0;
    unsigned left = 1;

    for (bool first = true; left > 0; left--, first = false) {
        struct virtio_net_hdr_v1 hdr;
        uint64_t addr;
        uint16_t head;
        uint32_t len;

        wh_wait_used(n->wh, RX, &head, &len);
        addr = n->wh->queues[RX].vring.desc[head].addr;
        if (first) {
            memcpy(&hdr, wh_mem(n->wh, addr, HDR), HDR);
            left = hdr.num_buffers;
        }
        assert_true(len > 0 && len <= buf_bytes && done + len <= size);
        if (left > 1)
            assert_int_equal(len, buf_bytes); /* only the last is not full */
        memcpy(dst + done, wh_mem(n->wh, addr, len), len);
        done += len;
        netd_give_buffer(n, (unsigned)((addr - n->at) / BUF), buf_bytes);
    }
    return done - HDR;
}

static void expect_frame(struct nic *n, size_t len, uint32_t buf_bytes)
{
    uint8_t got[HDR + 9100];
    size_t n_got;

    do /* the kernel sends some of its own (IPv6) */
        n_got = gather(n, got, sizeof(got), buf_bytes);
    while (got[HDR + 12] != 0x88 || got[HDR + 13] != 0xb5);
    assert_int_equal(n_got, len);
    for (size_t i = 14; i < len; i++)
        assert_int_equal(got[HDR + i], byte_at(i, len));
}

/* Frames that need more buffers than the one before, fewer, as many, and more than are left. */
static void any_size_in_small_buffers(void **state)
{
    static const size_t sizes[] = { 60, 1514, 9014, 9014, 60, 61, 9014, 187, 188, 189, 1000, 388 };
    enum { SMALL = 200, BUFFERS = 250, ROUNDS = 40 };
    struct nic *n = netd_new_tap(1);

    (void)state;
    netd_set_interface(SIOCSIFMTU, (struct ifreq){ .ifr_mtu = 9000 });
    wh_start(n->wh);
    wh_activate(n->wh, n->wh->features, false);
    for (unsigned i = 0; i < BUFFERS; i++)
        netd_give_buffer(n, i, SMALL);
    for (unsigned r = 0; r < ROUNDS; r++) {
        for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++)
            send_to_guest(n, sizes[(i * (r + 1)) % ARRAY_SIZE(sizes)]);
        for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++)
            expect_frame(n, sizes[(i * (r + 1)) % ARRAY_SIZE(sizes)], SMALL);
    }
    assert_int_equal(n->wh->stats->dropped, 0);
    netd_free(n);
}

/* One buffer for each frame: who doesn't fit is dropped, and takes no buffer with it. */
static void too_long_for_one_buffer(void **state)
{
    enum { BUFFERS = 100, ROUNDS = 150, ONE = 1000 };
    struct nic *n = netd_new_tap(1);

    (void)state;
    wh_start(n->wh);
    wh_activate(n->wh, BASE, false);
    for (unsigned i = 0; i < BUFFERS; i++)
        netd_give_buffer(n, i, ONE);
    for (unsigned r = 0; r < ROUNDS; r++) {
        send_to_guest(n, 1514);
        send_to_guest(n, 60 + r);
        expect_frame(n, 60 + r, ONE);
    }
    assert_int_equal(n->wh->stats->dropped, ROUNDS);
    netd_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tap_both_ways),
        cmocka_unit_test(tap_segmentation),
        cmocka_unit_test(segments_with_options),
        cmocka_unit_test(tap_queue_pairs),
        cmocka_unit_test(any_choice_of_offloads),
        cmocka_unit_test(a_pair_taken_away_keeps_nothing),
        cmocka_unit_test(answers_while_sending),
        cmocka_unit_test(any_size_in_small_buffers),
        cmocka_unit_test(too_long_for_one_buffer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
