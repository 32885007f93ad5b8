/* SPDX-License-Identifier: Apache-2.0 */
/* net_test.c - the network worker in its sandbox, between a ring and passt's stream or a tap in a
 * network namespace of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "harness.h"

#define BIT(f) (1ull << (f))
#define BASE (BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_EVENT_IDX) | \
              BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_NET_F_MAC) | \
              BIT(VIRTIO_NET_F_STATUS) | BIT(VIRTIO_NET_F_CTRL_VQ) | \
              BIT(VIRTIO_NET_F_CTRL_MAC_ADDR))
#define MERGE BIT(VIRTIO_NET_F_MRG_RXBUF)

enum { RX, TX, CTRL, HDR = 12, BUF = 4096 };

static uint8_t mac[6] = { 0x52, 0x54, 0x00, 0x11, 0x22, 0x33 };

struct nic {
    struct wh *wh;
    Bulkhead__NetWorkerConfig config;
    int peer; /* stream: the other end; tap: a packet socket on it */
    uint64_t at;
};

static void configure(Bulkhead__Configure *c, void *arg)
{
    c->role_case = BULKHEAD__CONFIGURE__ROLE_NET;
    c->net = arg;
}

static struct nic *new_nic(bool stream, const int *fds, unsigned n_fds, int peer)
{
    struct nic *n = calloc(1, sizeof(*n));
    struct wh_config c = { .program = "bulkhead-dev-net", .configure = configure,
                           .queue_size = 256, .n_queues = 2 * n_fds + 1, .n_own_fds = n_fds };

    bulkhead__net_worker_config__init(&n->config);
    n->config.mac.data = mac;
    n->config.mac.len = sizeof(mac);
    n->config.queue_pairs = n_fds;
    n->config.stream = stream;
    n->config.offload_csum = n->config.offload_tso = n->config.offload_ufo = !stream;
    memcpy(c.own_fds, fds, n_fds * sizeof(fds[0]));
    c.arg = &n->config;
    n->wh = wh_new(&c);
    n->peer = peer;
    n->at = wh_data_base(n->wh);
    return n;
}

static struct nic *new_stream(void)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    return new_nic(true, pair, 1, pair[1]);
}

static void free_nic(struct nic *n)
{
    wh_free(n->wh);
    if (n->peer >= 0)
        close(n->peer);
    free(n);
}

/* Guest memory: receive buffers at at + slot * BUF, transmit frames behind them. */
static uint64_t tx_at(struct nic *n, unsigned slot)
{
    return n->at + (1024 + slot * 20ull) * BUF;
}

static void fill_frame(uint8_t *frame, size_t len, uint8_t tag)
{
    memset(frame, 0xff, 6);
    memcpy(frame + 6, mac, 6);
    frame[12] = 0x88;
    frame[13] = 0xb5; /* local experimental: no protocol of the kernel's answers it */
    memset(frame + 14, tag, len - 14);
}

static void send_frame(struct nic *n, unsigned slot, const struct virtio_net_hdr_v1 *hdr, size_t len,
                       uint8_t tag)
{
    uint64_t at = tx_at(n, slot);
    struct wh_buf bufs[] = { { at, HDR, false }, { at + HDR, (uint32_t)len, false } };

    memcpy(wh_mem(n->wh, at, HDR), hdr, HDR);
    if (len >= 14)
        fill_frame(wh_mem(n->wh, at + HDR, len), len, tag);
    assert_true(wh_add(n->wh, TX, bufs, len ? 2 : 1, true) >= 0);
    wh_kick(n->wh, TX);
}

static void sent(struct nic *n)
{
    uint16_t head;
    uint32_t len;

    wh_wait_used(n->wh, TX, &head, &len);
    assert_int_equal(len, 0);
}

static void give_buffer(struct nic *n, unsigned slot, uint32_t len)
{
    assert_true(wh_add(n->wh, RX, &(struct wh_buf){ n->at + slot * (uint64_t)BUF, len, true }, 1,
                       false) >= 0);
    wh_kick(n->wh, RX);
}

static void read_all(int fd, void *dst, size_t len)
{
    uint8_t *at = dst;

    while (len > 0) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        ssize_t n;

        assert_int_equal(poll(&p, 1, WH_PATIENCE_MS), 1);
        n = read(fd, at, len);
        assert_true(n > 0);
        at += n;
        len -= (size_t)n;
    }
}

static size_t read_stream_frame(int fd, uint8_t *dst, size_t size)
{
    uint32_t len;

    read_all(fd, &len, sizeof(len));
    len = be32toh(len);
    assert_true(len <= size);
    read_all(fd, dst, len);
    return len;
}

static void write_stream_frame(int fd, uint32_t len, uint8_t tag)
{
    static uint8_t frame[70000];
    uint32_t be = htobe32(len);

    memcpy(frame, &be, sizeof(be));
    fill_frame(frame + 4, len, tag);
    assert_int_equal(send(fd, frame, 4 + len, MSG_NOSIGNAL), 4 + len);
}

static const struct virtio_net_hdr_v1 plain;

static void stream_both_ways(void **state)
{
    static uint8_t got[70000];
    struct nic *n = new_stream();
    struct virtio_net_hdr_v1 *hdr;
    uint16_t head;
    uint32_t len;

    (void)state;
    wh_start(n->wh);
    assert_int_equal(n->wh->virtio_id, 1);
    assert_int_equal(n->wh->features & (BASE | MERGE), BASE | MERGE);
    /* No header travels with the frame, so nothing may be left to the other side. */
    assert_int_equal(n->wh->features & (BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_HOST_TSO4) |
                                        BIT(VIRTIO_NET_F_GUEST_CSUM)), 0);
    assert_memory_equal(n->wh->device_config, mac, 6);
    wh_activate(n->wh, BASE, false);
    for (unsigned i = 0; i < 500; i++) {
        size_t size = 60 + i * 3;

        send_frame(n, 0, &plain, size, (uint8_t)i);
        sent(n);
        assert_int_equal(read_stream_frame(n->peer, got, sizeof(got)), size);
        assert_int_equal(got[14], (uint8_t)i);
        assert_int_equal(got[size - 1], (uint8_t)i);
        give_buffer(n, 0, BUF);
        write_stream_frame(n->peer, (uint32_t)size, (uint8_t)(i + 1));
        wh_wait_used(n->wh, RX, &head, &len);
        assert_int_equal(len, HDR + size);
        hdr = wh_mem(n->wh, n->at, len);
        assert_int_equal(hdr->num_buffers, 1);
        assert_int_equal(hdr->flags | hdr->gso_type, 0);
        assert_int_equal(((uint8_t *)hdr)[len - 1], (uint8_t)(i + 1));
    }
    assert_int_equal(n->wh->stats->read_ops, 500);
    assert_int_equal(n->wh->stats->write_ops, 500);
    assert_int_equal(n->wh->stats->dropped, 0);
    free_nic(n);
}

static void a_large_frame_is_merged(void **state)
{
    struct nic *n = new_stream();
    unsigned used = 0;
    size_t total = 0;
    uint16_t head, num_buffers;
    uint32_t len;

    (void)state;
    wh_start(n->wh);
    wh_activate(n->wh, BASE | MERGE, false);
    write_stream_frame(n->peer, 9000, 7);
    give_buffer(n, 0, BUF); /* not enough yet: nothing may be used up */
    give_buffer(n, 1, BUF);
    wh_kick_always(n->wh, RX);
    assert_false(wh_wait_interrupt(n->wh, RX, 100));
    give_buffer(n, 2, 2000);
    while (total < 9000 + HDR) {
        wh_wait_used(n->wh, RX, &head, &len);
        total += len;
        used++;
    }
    assert_int_equal(total, 9000 + HDR);
    assert_int_equal(used, 3);
    memcpy(&num_buffers, wh_mem(n->wh, n->at + 10, 2), 2);
    assert_int_equal(num_buffers, 3);
    assert_int_equal(*(uint8_t *)wh_mem(n->wh, n->at + 2ull * BUF, 1), 7);
    free_nic(n);
}

static void a_frame_that_never_fits_is_dropped(void **state)
{
    struct nic *n = new_stream();
    uint16_t head;
    uint32_t len;

    (void)state;
    wh_start(n->wh);
    wh_activate(n->wh, BASE, false); /* no merging: one buffer has to do */
    give_buffer(n, 0, 1000);
    write_stream_frame(n->peer, 1500, 1);
    write_stream_frame(n->peer, 100, 2);
    wh_wait_used(n->wh, RX, &head, &len);
    assert_int_equal(len, HDR + 100);
    assert_int_equal(n->wh->stats->dropped, 1);
    free_nic(n);
}

static void lies_are_dropped(void **state)
{
    static const struct virtio_net_hdr_v1 lies[] = {
        { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 16 },
        { .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1000 },
        { .gso_type = 99 },
    };
    struct nic *n = new_stream();
    uint64_t at = tx_at(n, 0);
    uint8_t got[2000];

    (void)state;
    n->config.mac_filter = true;
    n->config.mtu = 1500;
    wh_start(n->wh);
    wh_activate(n->wh, BASE, false);
    for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
        send_frame(n, 0, &lies[i], 100, 1);
        sent(n);
    }
    send_frame(n, 0, &plain, 13, 1); /* shorter than its own addresses */
    sent(n);
    send_frame(n, 0, &plain, 0, 1);
    sent(n);
    send_frame(n, 0, &plain, 1519, 1); /* over the MTU */
    sent(n);
    assert_true(wh_add(n->wh, TX, &(struct wh_buf){ at, 5, false }, 1, false) >= 0);
    wh_kick(n->wh, TX); /* not even a header */
    sent(n);
    mac[5] ^= 1; /* somebody else's address */
    send_frame(n, 0, &plain, 100, 1);
    sent(n);
    mac[5] ^= 1;
    send_frame(n, 0, &plain, 1518, 77);
    sent(n);
    assert_int_equal(read_stream_frame(n->peer, got, sizeof(got)), 1518); /* only this one left */
    assert_int_equal(got[14], 77);
    assert_int_equal(n->wh->stats->dropped, 8);
    assert_false(wh_has_message(n->wh, 0));
    free_nic(n);
}

static void a_slow_stream_holds_the_guest_back(void **state)
{
    enum { FRAMES = 200, LEN = 60000 };
    static uint8_t got[70000];
    struct nic *n = new_stream();
    unsigned queued = 0, received = 0;
    uint64_t beat;
    uint16_t head;
    uint32_t len;

    (void)state;
    wh_start(n->wh);
    wh_activate(n->wh, BASE, false);
    for (; queued < 30; queued++)
        send_frame(n, queued, &plain, LEN, (uint8_t)queued);
    beat = n->wh->stats->heartbeat; /* waits, and lives */
    while (__atomic_load_n(&n->wh->stats->heartbeat, __ATOMIC_RELAXED) < beat + 2)
        poll(NULL, 0, 10);
    assert_true(n->wh->queues[TX].vring.used->idx < 30);
    while (received < FRAMES) {
        assert_int_equal(read_stream_frame(n->peer, got, sizeof(got)), LEN);
        assert_int_equal(got[LEN - 1], (uint8_t)received);
        received++;
        while (queued < FRAMES && wh_try_used(n->wh, TX, &head, &len)) {
            send_frame(n, queued % 30, &plain, LEN, (uint8_t)queued);
            queued++;
        }
        if (received == queued && queued < FRAMES) {
            wh_wait_used(n->wh, TX, &head, &len);
            send_frame(n, queued % 30, &plain, LEN, (uint8_t)queued);
            queued++;
        }
    }
    assert_int_equal(n->wh->stats->dropped, 0);
    free_nic(n);
}

static uint16_t link_status(struct nic *n)
{
    const Bulkhead__ConfigUpdate *u =
        wh_expect(n->wh, BULKHEAD__ENVELOPE__BODY_CONFIG_UPDATE)->config_update;
    uint16_t status;

    assert_int_equal(u->offset, 6);
    assert_int_equal(u->data.len, 2);
    memcpy(&status, u->data.data, 2);
    return status;
}

static void link_state(void **state)
{
    Bulkhead__LinkState m = BULKHEAD__LINK_STATE__INIT;
    ENVELOPE(e, LINK_STATE, link_state, &m);
    struct nic *n = new_stream();
    uint8_t got[200];
    uint32_t lie = htobe32(0x7fffffff);

    (void)state;
    wh_start(n->wh);
    wh_activate(n->wh, BASE, false);
    wh_send(n->wh, &e);
    assert_int_equal(link_status(n), 0);
    send_frame(n, 0, &plain, 100, 1); /* into the void */
    sent(n);
    m.up = true;
    wh_send(n->wh, &e);
    assert_int_equal(link_status(n), VIRTIO_NET_S_LINK_UP);
    send_frame(n, 0, &plain, 100, 2);
    sent(n);
    assert_int_equal(read_stream_frame(n->peer, got, sizeof(got)), 100);
    assert_int_equal(got[14], 2);
    /* A stream that lies about a frame's length is of no more use; the guest sees the cable out. */
    assert_int_equal(send(n->peer, &lie, sizeof(lie), 0), sizeof(lie));
    give_buffer(n, 0, BUF);
    assert_int_equal(link_status(n), 0);
    send_frame(n, 0, &plain, 100, 3);
    sent(n);
    free_nic(n);
}

static uint8_t control(struct nic *n, unsigned q, uint8_t class, uint8_t cmd, const void *data,
                       uint32_t len)
{
    uint64_t at = n->at + 900ull * BUF;
    uint8_t req[] = { class, cmd };
    struct wh_buf bufs[] = { { at, 2, false }, { at + 64, len, false }, { at + 128, 1, true } };
    uint16_t head;
    uint32_t used;

    memcpy(wh_mem(n->wh, at, 2), req, 2);
    memcpy(wh_mem(n->wh, at + 64, len), data, len);
    assert_true(wh_add(n->wh, q, bufs, 3, false) >= 0);
    wh_kick(n->wh, q);
    wh_wait_used(n->wh, q, &head, &used);
    assert_int_equal(used, 1);
    return *(uint8_t *)wh_mem(n->wh, at + 128, 1);
}

static void control_queue(void **state)
{
    static const uint8_t other[6] = { 0x52, 0x54, 0, 9, 9, 9 }, multicast[6] = { 1, 2, 3, 4, 5, 6 };
    static const uint16_t pairs = 2;
    struct nic *n = new_stream();

    (void)state;
    wh_start(n->wh);
    wh_activate(n->wh, BASE, false);
    assert_int_equal(control(n, CTRL, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, "\1", 1),
                     VIRTIO_NET_OK);
    assert_int_equal(control(n, CTRL, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &pairs, 2),
                     VIRTIO_NET_ERR); /* not agreed on */
    assert_int_equal(control(n, CTRL, 77, 1, "x", 1), VIRTIO_NET_ERR);
    assert_int_equal(control(n, CTRL, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, multicast, 6),
                     VIRTIO_NET_ERR);
    assert_int_equal(control(n, CTRL, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, other, 6),
                     VIRTIO_NET_OK);
    wh_expect(n->wh, BULKHEAD__ENVELOPE__BODY_CONFIG_UPDATE);
    free_nic(n);

    n = new_stream();
    n->config.mac_filter = true;
    wh_start(n->wh);
    wh_activate(n->wh, BASE, false);
    assert_int_equal(control(n, CTRL, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, other, 6),
                     VIRTIO_NET_ERR); /* the filter would be for nothing */
    free_nic(n);
}

static void rate_limit(void **state)
{
    Bulkhead__TokenBucket ops = BULKHEAD__TOKEN_BUCKET__INIT;
    Bulkhead__RateLimit limit = BULKHEAD__RATE_LIMIT__INIT;
    struct nic *n = new_stream();
    uint64_t start, ns;
    uint8_t got[200];

    (void)state;
    ops.size = 10;
    ops.refill_time_ms = 100; /* 100 frames a second */
    limit.ops = &ops;
    n->config.rate_limit = &limit;
    wh_start(n->wh);
    wh_activate(n->wh, BASE, false);
    start = wh_now_ns();
    for (unsigned i = 0; i < 60; i++) {
        send_frame(n, 0, &plain, 100, (uint8_t)i);
        sent(n);
        read_stream_frame(n->peer, got, sizeof(got));
    }
    ns = wh_now_ns() - start;
    assert_true(ns > 400000000ull); /* 50 of them had to wait for a token */
    assert_true(n->wh->stats->throttled > 0);
    free_nic(n);
}

static void restart(void **state)
{
    struct nic *n = new_stream();
    uint8_t got[2000];
    uint16_t head;
    uint32_t len;

    (void)state;
    wh_start(n->wh);
    wh_activate(n->wh, BASE, false);
    for (unsigned i = 0; i < 20; i++)
        give_buffer(n, i, BUF);
    for (unsigned round = 0; round < 10; round++) {
        send_frame(n, 0, &plain, 100, (uint8_t)round);
        sent(n);
        read_stream_frame(n->peer, got, sizeof(got));
        wh_restart(n->wh, BASE);
        write_stream_frame(n->peer, 200, (uint8_t)round);
        wh_wait_used(n->wh, RX, &head, &len);
        assert_int_equal(len, HDR + 200);
    }
    free_nic(n);
}

/* ---- taps ---- */

static unsigned n_taps;

static int open_tap(const char *name, bool multi)
{
    struct ifreq req = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK), size = HDR;

    if (multi)
        req.ifr_flags |= IFF_MULTI_QUEUE;
    strcpy(req.ifr_name, name);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &req) < 0 || ioctl(fd, TUNSETVNETHDRSZ, &size) < 0)
        skip();
    return fd;
}

static int packet_socket(const char *name)
{
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
    struct sockaddr_ll addr = { .sll_family = AF_PACKET, .sll_protocol = htons(0x88b5) };
    struct ifreq req = { 0 };

    strcpy(req.ifr_name, name);
    assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &req), 0);
    req.ifr_flags |= IFF_UP;
    assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &req), 0);
    addr.sll_ifindex = (int)if_nametoindex(name);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    return fd;
}

static struct nic *new_tap(unsigned pairs)
{
    char name[IFNAMSIZ];
    int fds[8];

    if (n_taps == 0 && unshare(CLONE_NEWNET) < 0)
        skip(); /* needs root; the same paths are covered with the stream */
    snprintf(name, sizeof(name), "bhtest%u", n_taps++);
    for (unsigned i = 0; i < pairs; i++)
        fds[i] = open_tap(name, pairs > 1);
    return new_nic(false, fds, pairs, packet_socket(name));
}

static void tap_both_ways(void **state)
{
    struct nic *n = new_tap(1);
    uint8_t frame[1514], got[2000];
    uint16_t head;
    uint32_t len;

    (void)state;
    wh_start(n->wh);
    assert_true(n->wh->features & BIT(VIRTIO_NET_F_HOST_TSO4));
    assert_true(n->wh->features & BIT(VIRTIO_NET_F_GUEST_CSUM));
    wh_activate(n->wh, n->wh->features, false);
    for (unsigned i = 0; i < 20; i++)
        give_buffer(n, i, BUF);
    for (unsigned i = 0; i < 200; i++) {
        struct pollfd p = { .fd = n->peer, .events = POLLIN };

        send_frame(n, 0, &plain, 1514, (uint8_t)i);
        sent(n);
        assert_int_equal(poll(&p, 1, WH_PATIENCE_MS), 1);
        assert_int_equal(recv(n->peer, got, sizeof(got), 0), 1514);
        assert_int_equal(got[14], (uint8_t)i);
    }
    for (unsigned i = 0; i < 20; i++) {
        const uint8_t *data;

        fill_frame(frame, sizeof(frame), (uint8_t)i);
        assert_int_equal(send(n->peer, frame, sizeof(frame), 0), sizeof(frame));
        do { /* the kernel sends some of its own (IPv6) */
            wh_wait_used(n->wh, RX, &head, &len);
            data = wh_mem(n->wh, n->wh->queues[RX].vring.desc[head].addr, len);
            give_buffer(n, 30 + i, BUF); /* takes that descriptor again */
        } while (data[HDR + 12] != 0x88 || data[HDR + 13] != 0xb5);
        assert_int_equal(len, HDR + sizeof(frame));
        assert_int_equal(data[HDR + 14], i);
    }
    free_nic(n);
}

/* A large segment goes out with its header; the kernel cuts it or passes it on whole. */
static void tap_segmentation(void **state)
{
    static const uint8_t ip[] = { 0x45, 0, 0x0f, 0xa0, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1,
                                  10, 0, 0, 2 };
    struct virtio_net_hdr_v1 hdr = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                     .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .hdr_len = 54,
                                     .gso_size = 1460, .csum_start = 34, .csum_offset = 16 };
    struct nic *n = new_tap(1);
    uint64_t at = tx_at(n, 0);
    struct wh_buf buf = { at, HDR + 4014, false };
    uint8_t *frame;

    (void)state;
    wh_start(n->wh);
    wh_activate(n->wh, n->wh->features, false);
    memcpy(wh_mem(n->wh, at, HDR), &hdr, HDR);
    frame = wh_mem(n->wh, at + HDR, 4014);
    fill_frame(frame, 4014, 0);
    frame[12] = 0x08;
    frame[13] = 0x00;
    memcpy(frame + 14, ip, sizeof(ip));
    frame[46] = 0x50; /* TCP header of 20 bytes */
    assert_true(wh_add(n->wh, TX, &buf, 1, false) >= 0);
    wh_kick(n->wh, TX);
    sent(n);
    assert_int_equal(n->wh->stats->dropped, 0);
    assert_int_equal(n->wh->stats->write_ops, 1);
    hdr.csum_start = 4010; /* its checksum would lie behind it */
    memcpy(wh_mem(n->wh, at, HDR), &hdr, HDR);
    assert_true(wh_add(n->wh, TX, &buf, 1, false) >= 0);
    wh_kick(n->wh, TX);
    sent(n);
    assert_int_equal(n->wh->stats->dropped, 1);
    free_nic(n);
}

static void tap_queue_pairs(void **state)
{
    static const uint16_t two = 2, three = 3, zero;
    struct nic *n = new_tap(2);
    struct ifreq req = { .ifr_flags = IFF_DETACH_QUEUE };
    unsigned ctrl = 4;

    (void)state;
    wh_start(n->wh);
    assert_true(n->wh->features & BIT(VIRTIO_NET_F_MQ));
    wh_activate(n->wh, n->wh->features, false);
    /* The second queue gets no frames before the driver wants it. */
    assert_int_equal(ioctl(n->wh->config.own_fds[1], TUNSETQUEUE, &req), -1);
    assert_int_equal(control(n, ctrl, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &three, 2),
                     VIRTIO_NET_ERR);
    assert_int_equal(control(n, ctrl, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &zero, 2),
                     VIRTIO_NET_ERR);
    assert_int_equal(control(n, ctrl, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &two, 2),
                     VIRTIO_NET_OK);
    wh_restart(n->wh, n->wh->features);
    /* A replacement finds it attached and leaves it so. */
    assert_int_equal(ioctl(n->wh->config.own_fds[1], TUNSETQUEUE, &req), 0);
    free_nic(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stream_both_ways),
        cmocka_unit_test(a_large_frame_is_merged),
        cmocka_unit_test(a_frame_that_never_fits_is_dropped),
        cmocka_unit_test(lies_are_dropped),
        cmocka_unit_test(a_slow_stream_holds_the_guest_back),
        cmocka_unit_test(link_state),
        cmocka_unit_test(control_queue),
        cmocka_unit_test(rate_limit),
        cmocka_unit_test(restart),
        cmocka_unit_test(tap_both_ways),
        cmocka_unit_test(tap_segmentation),
        cmocka_unit_test(tap_queue_pairs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
