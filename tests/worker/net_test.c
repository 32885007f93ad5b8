/* SPDX-License-Identifier: Apache-2.0 */
/* net_test.c - the network worker in its sandbox, between a ring and passt's stream. */
#include <endian.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include "net_driver.h"
#include <cmocka.h>

static void stream_both_ways(void **state)
{
    static uint8_t got[70000];
    struct nic *n = netd_new_stream();
    struct virtio_net_hdr_v1 *hdr;
    uint16_t head;
    uint32_t len;

    (void)state;
    wh_start(n->wh);
    assert_int_equal(n->wh->virtio_id, 1);
    assert_int_equal(n->wh->features & (BASE | MERGE), BASE | MERGE);
    /* No header travels with the frame, so nothing may be left to the other side. */
    assert_int_equal(n->wh->features & (BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_HOST_TSO4) |
                                        BIT(VIRTIO_NET_F_GUEST_CSUM)),
                     0);
    assert_memory_equal(n->wh->device_config, netd_mac, 6);
    wh_activate(n->wh, BASE, false);
    for (unsigned i = 0; i < 500; i++) {
        size_t size = 60 + i * 3;

        netd_send_frame(n, 0, &netd_plain, size, (uint8_t)i);
        netd_sent(n);
        assert_int_equal(netd_read_stream_frame(n->peer, got, sizeof(got)), size);
        assert_int_equal(got[14], (uint8_t)i);
        assert_int_equal(got[size - 1], (uint8_t)i);
        netd_give_buffer(n, 0, BUF);
        netd_write_stream_frame(n->peer, (uint32_t)size, (uint8_t)(i + 1));
        wh_wait_used(n->wh, RX, &head, &len);
        assert_int_equal(len, HDR + size);
        hdr = wh_mem(n->wh, n->at, len);
        assert_int_equal(hdr->num_buffers, 1);
        assert_int_equal(hdr->flags | hdr->gso_type, 0);
        assert_int_equal(((uint8_t *)hdr)[len - 1], (uint8_t)(i + 1));
    }
    assert_int_equal(n->wh->stats->read_ops, 500);
    assert_int_equal(n->wh->stats->write_ops, 500);
    assert_int_equal(wh_latencies(n->wh), 500);
    assert_int_equal(n->wh->stats->dropped, 0);
    netd_free(n);
}

static void a_large_frame_is_merged(void **state)
{
    struct nic *n = netd_new_stream();
    unsigned used = 0;
    size_t total = 0;
    uint16_t head, num_buffers;
    uint32_t len;

    (void)state;
    wh_start(n->wh);
    wh_activate(n->wh, BASE | MERGE, false);
    netd_write_stream_frame(n->peer, 9000, 7);
    netd_give_buffer(n, 0, BUF); /* not enough yet: nothing may be used up */
    netd_give_buffer(n, 1, BUF);
    wh_kick_always(n->wh, RX);
    assert_false(wh_wait_interrupt(n->wh, RX, 100));
    wh_quiesce(n->wh); /* it waits for the third asleep, not looking again and again */
    wh_unquiesce(n->wh);
    assert_false(wh_wait_interrupt(n->wh, RX, 20));
    netd_give_buffer(n, 2, 2000); /* kicks only if the worker asked for a kick here */
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
    netd_free(n);
}

/* A driver that finds fewer buffers than a frame's header says takes the frame for broken. */
static void a_merged_frame_comes_at_once(void **state)
{
    enum { FRAMES = 1000, BYTES = 65000, BUFFERS = 16 };
    struct nic *n = netd_new_stream();
    struct wh_queue *q = &n->wh->queues[RX];
    unsigned used = BUFFERS;
    pid_t writer;

    (void)state;
    wh_start(n->wh);
    wh_activate(n->wh, BASE | MERGE, false);
    writer = fork();
    assert_true(writer >= 0);
    for (unsigned frame = 0; writer == 0 && frame < FRAMES; frame++)
        netd_write_stream_frame(n->peer, BYTES, (uint8_t)frame);
    if (writer == 0)
        _exit(0);
    for (unsigned frame = 0; frame < FRAMES && used == BUFFERS; frame++) {
        uint64_t end = wh_now_ns() + WH_PATIENCE_MS * 1000000ull;
        uint16_t head, idx;
        uint32_t len;

        for (unsigned i = 0; i < BUFFERS; i++)
            netd_give_buffer(n, i, BUF);
        do
            idx = __atomic_load_n(&q->vring.used->idx, __ATOMIC_ACQUIRE);
        while (idx == q->last_used && wh_now_ns() < end);
        used = (uint16_t)(idx - q->last_used);
        while (wh_try_used(n->wh, RX, &head, &len))
            ;
    }
    kill(writer, SIGKILL); /* it may wait for a reader */
    assert_int_equal(waitpid(writer, NULL, 0), writer);
    assert_int_equal(used, BUFFERS);
    netd_free(n);
}

static void a_frame_that_never_fits_is_dropped(void **state)
{
    struct nic *n = netd_new_stream();
    uint16_t head;
    uint32_t len;

    (void)state;
    wh_start(n->wh);
    wh_activate(n->wh, BASE, false); /* no merging: one buffer has to do */
    netd_give_buffer(n, 0, 1000);
    netd_write_stream_frame(n->peer, 1500, 1);
    netd_write_stream_frame(n->peer, 100, 2);
    wh_wait_used(n->wh, RX, &head, &len);
    assert_int_equal(len, HDR + 100);
    assert_int_equal(n->wh->stats->dropped, 1);
    netd_free(n);
}

static void lies_are_dropped(void **state)
{
    static const struct virtio_net_hdr_v1 lies[] = {
        { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 16 },
        { .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1000 },
        { .gso_type = 99 },
    };
    struct nic *n = netd_new_stream();
    uint64_t at = netd_tx_at(n, 0);
    uint8_t got[2000];

    (void)state;
    n->config.mac_filter = true;
    n->config.mtu = 1500;
    wh_start(n->wh);
    wh_activate(n->wh, BASE, false);
    for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
        netd_send_frame(n, 0, &lies[i], 100, 1);
        netd_sent(n);
    }
    netd_send_frame(n, 0, &netd_plain, 13, 1); /* shorter than its own addresses */
    netd_sent(n);
    netd_send_frame(n, 0, &netd_plain, 0, 1);
    netd_sent(n);
    netd_send_frame(n, 0, &netd_plain, 1515, 1); /* over the MTU */
    netd_sent(n);
    assert_true(wh_add(n->wh, TX, &(struct wh_buf){ at, 5, false }, 1, false) >= 0);
    wh_kick(n->wh, TX); /* not even a header */
    netd_sent(n);
    netd_mac[5] ^= 1; /* somebody else's address */
    netd_send_frame(n, 0, &netd_plain, 100, 1);
    netd_sent(n);
    netd_mac[5] ^= 1;
    netd_send_frame(n, 0, &netd_plain, 1514, 77);
    netd_sent(n);
    assert_int_equal(netd_read_stream_frame(n->peer, got, sizeof(got)),
                     1514); /* only this one left */
    assert_int_equal(got[14], 77);
    assert_int_equal(n->wh->stats->dropped, 8);
    assert_false(wh_has_message(n->wh, 0));
    netd_free(n);
}

static void a_slow_stream_holds_the_guest_back(void **state)
{
    enum { FRAMES = 200, LEN = 60000 };
    static uint8_t got[70000];
    struct nic *n = netd_new_stream();
    unsigned queued = 0, received = 0;
    uint64_t beat;
    uint16_t head;
    uint32_t len;

    (void)state;
    wh_start(n->wh);
    wh_activate(n->wh, BASE, false);
    for (; queued < 30; queued++)
        netd_send_frame(n, queued, &netd_plain, LEN, (uint8_t)queued);
    beat = n->wh->stats->heartbeat; /* waits, and lives */
    while (__atomic_load_n(&n->wh->stats->heartbeat, __ATOMIC_RELAXED) < beat + 2)
        poll(NULL, 0, 10);
    assert_true(n->wh->queues[TX].vring.used->idx < 30);
    while (received < FRAMES) {
        assert_int_equal(netd_read_stream_frame(n->peer, got, sizeof(got)), LEN);
        assert_int_equal(got[LEN - 1], (uint8_t)received);
        received++;
        while (queued < FRAMES && wh_try_used(n->wh, TX, &head, &len)) {
            netd_send_frame(n, queued % 30, &netd_plain, LEN, (uint8_t)queued);
            queued++;
        }
        if (received == queued && queued < FRAMES) {
            wh_wait_used(n->wh, TX, &head, &len);
            netd_send_frame(n, queued % 30, &netd_plain, LEN, (uint8_t)queued);
            queued++;
        }
    }
    assert_int_equal(n->wh->stats->dropped, 0);
    netd_free(n);
}

static void link_state(void **state)
{
    Bulkhead__LinkState m = BULKHEAD__LINK_STATE__INIT;
    ENVELOPE(e, LINK_STATE, link_state, &m);
    struct nic *n = netd_new_stream();
    uint8_t got[200];
    uint32_t lie = htobe32(0x7fffffff);

    (void)state;
    wh_start(n->wh);
    wh_activate(n->wh, BASE, false);
    wh_send(n->wh, &e);
    assert_int_equal(netd_link_status(n), 0);
    netd_send_frame(n, 0, &netd_plain, 100, 1); /* into the void */
    netd_sent(n);
    m.up = true;
    wh_send(n->wh, &e);
    assert_int_equal(netd_link_status(n), VIRTIO_NET_S_LINK_UP);
    netd_send_frame(n, 0, &netd_plain, 100, 2);
    netd_sent(n);
    assert_int_equal(netd_read_stream_frame(n->peer, got, sizeof(got)), 100);
    assert_int_equal(got[14], 2);
    /* A stream that lies about a frame's length is of no more use; the guest sees the cable out. */
    assert_int_equal(send(n->peer, &lie, sizeof(lie), 0), sizeof(lie));
    netd_give_buffer(n, 0, BUF);
    assert_int_equal(netd_link_status(n), 0);
    wh_expect(n->wh, BULKHEAD__ENVELOPE__BODY_LINK_LOST); /* the broker can help */
    netd_send_frame(n, 0, &netd_plain, 100, 3);
    netd_sent(n);
    netd_free(n);
}

/* A replacement of a worker whose link was down begins so. */
static void link_down_from_the_start(void **state)
{
    Bulkhead__LinkState m = BULKHEAD__LINK_STATE__INIT;
    ENVELOPE(e, LINK_STATE, link_state, &m);
    struct nic *n = netd_new_stream();
    uint8_t got[200];

    (void)state;
    n->config.link_down = true;
    wh_start(n->wh);
    assert_int_equal(n->wh->device_config[6], 0);
    wh_activate(n->wh, BASE, false);
    netd_send_frame(n, 0, &netd_plain, 100, 1); /* into the void */
    netd_sent(n);
    assert_int_equal(n->wh->stats->dropped, 1);
    m.up = true;
    wh_send(n->wh, &e);
    assert_int_equal(netd_link_status(n), VIRTIO_NET_S_LINK_UP);
    netd_send_frame(n, 0, &netd_plain, 100, 2);
    netd_sent(n);
    assert_int_equal(netd_read_stream_frame(n->peer, got, sizeof(got)), 100);
    assert_int_equal(got[14], 2);
    netd_free(n);
}

static void control_queue(void **state)
{
    static const uint8_t other[6] = { 0x52, 0x54, 0, 9, 9, 9 }, multicast[6] = { 1, 2, 3, 4, 5, 6 };
    static const uint16_t pairs = 2;
    struct nic *n = netd_new_stream();

    (void)state;
    wh_start(n->wh);
    wh_activate(n->wh, BASE, false);
    assert_int_equal(netd_control(n, CTRL, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, "\1", 1),
                     VIRTIO_NET_OK);
    assert_int_equal(
        netd_control(n, CTRL, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &pairs, 2),
        VIRTIO_NET_ERR); /* not agreed on */
    assert_int_equal(netd_control(n, CTRL, 77, 1, "x", 1), VIRTIO_NET_ERR);
    assert_int_equal(
        netd_control(n, CTRL, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, multicast, 6),
        VIRTIO_NET_ERR);
    assert_int_equal(
        netd_control(n, CTRL, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, other, 6),
        VIRTIO_NET_OK);
    wh_expect(n->wh, BULKHEAD__ENVELOPE__BODY_CONFIG_UPDATE);
    netd_free(n);

    n = netd_new_stream();
    n->config.mac_filter = true;
    wh_start(n->wh);
    wh_activate(n->wh, BASE, false);
    assert_int_equal(
        netd_control(n, CTRL, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, other, 6),
        VIRTIO_NET_ERR); /* the filter would be for nothing */
    netd_free(n);
}

static void expect_mac(struct nic *n, const uint8_t mac[6])
{
    const Bulkhead__ConfigUpdate *u =
        wh_expect(n->wh, BULKHEAD__ENVELOPE__BODY_CONFIG_UPDATE)->config_update;

    assert_int_equal(u->offset, 0);
    assert_int_equal(u->data.len, 6);
    assert_memory_equal(u->data.data, mac, 6);
}

/* The next driver finds the host's address: after a reset, and by a replacement that doesn't know
 * what the guest did before it came. */
static void a_mac_goes_with_its_driver(void **state)
{
    static const uint8_t other[6] = { 0x52, 0x54, 0, 9, 9, 9 };
    struct nic *n = netd_new_stream();

    (void)state;
    wh_start(n->wh);
    for (unsigned replaced = 0; replaced < 2; replaced++) {
        wh_activate(n->wh, BASE, false);
        assert_int_equal(
            netd_control(n, CTRL, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, other, 6),
            VIRTIO_NET_OK);
        expect_mac(n, other);
        if (replaced)
            wh_restart(n->wh, BASE);
        wh_send_reset(n->wh);
        expect_mac(n, netd_mac);
        wh_expect(n->wh, BULKHEAD__ENVELOPE__BODY_RESET_DONE);
    }
    wh_activate(n->wh, BASE, false);
    wh_reset(n->wh); /* nothing to say */
    netd_free(n);
}

static void rate_limit(void **state)
{
    Bulkhead__TokenBucket ops = BULKHEAD__TOKEN_BUCKET__INIT;
    Bulkhead__RateLimit limit = BULKHEAD__RATE_LIMIT__INIT;
    struct nic *n = netd_new_stream();
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
        netd_send_frame(n, 0, &netd_plain, 100, (uint8_t)i);
        netd_sent(n);
        netd_read_stream_frame(n->peer, got, sizeof(got));
    }
    ns = wh_now_ns() - start;
    assert_true(ns > 400000000ull); /* 50 of them had to wait for a token */
    assert_true(n->wh->stats->throttled > 0);
    netd_free(n);
}

static void restart(void **state)
{
    struct nic *n = netd_new_stream();
    uint8_t got[2000];
    uint16_t head;
    uint32_t len;

    (void)state;
    wh_start(n->wh);
    wh_activate(n->wh, BASE, false);
    for (unsigned i = 0; i < 20; i++)
        netd_give_buffer(n, i, BUF);
    for (unsigned round = 0; round < 10; round++) {
        netd_send_frame(n, 0, &netd_plain, 100, (uint8_t)round);
        netd_sent(n);
        netd_read_stream_frame(n->peer, got, sizeof(got));
        wh_restart(n->wh, BASE);
        netd_write_stream_frame(n->peer, 200, (uint8_t)round);
        wh_wait_used(n->wh, RX, &head, &len);
        assert_int_equal(len, HDR + 200);
    }
    netd_free(n);
}

/* A frame that came: some come twice, as on a wire; what comes is whole and in order. */
static void came(struct nic *n, uint16_t head, uint32_t len, unsigned *seen)
{
    const uint8_t *data = wh_mem(n->wh, n->wh->queues[RX].vring.desc[head].addr, len);
    unsigned i = len - HDR - 60;

    assert_true(len >= HDR + 60 && i <= *seen);
    assert_int_equal(data[HDR + 14], (uint8_t)i);
    assert_int_equal(data[len - 1], (uint8_t)i);
    if (i == *seen)
        ++*seen;
}

/* Frames wait for buffers at each death: a replacement finds the beginning of a frame, and the
 * first one that the guest has not got. */
static void the_stream_survives_restarts(void **state)
{
#ifdef BH_SANITIZED /* an instrumented worker takes long to start */
    enum { FRAMES = 80 };
#else
    enum { FRAMES = 400 };
#endif
    struct nic *n = netd_new_stream();
    unsigned seen = 0, sent = 0, waiting = 0;
    uint16_t head;
    uint32_t len;

    (void)state;
    wh_start(n->wh);
    wh_activate(n->wh, BASE, false);
    while (seen < FRAMES) {
        for (; sent < FRAMES && sent < seen + 20; sent++)
            netd_write_stream_frame(n->peer, 60 + sent, (uint8_t)sent);
        for (; waiting < 10; waiting++)
            netd_give_buffer(n, (seen + waiting) % 64, BUF);
        for (unsigned i = 0; i < 7 && seen < FRAMES; i++, waiting--) {
            wh_wait_used(n->wh, RX, &head, &len);
            came(n, head, len, &seen);
        }
        wh_kill(n->wh);
        for (; wh_try_used(n->wh, RX, &head, &len); waiting--)
            came(n, head, len, &seen);
        wh_restart(n->wh, BASE);
    }
    assert_false(wh_has_message(n->wh, 0)); /* the link never went down */
    netd_free(n);
}

/* Waits until the worker takes no more: it has looked twice. */
static void let_it_fill(struct nic *n)
{
    uint64_t beat = __atomic_load_n(&n->wh->stats->heartbeat, __ATOMIC_RELAXED);

    while (__atomic_load_n(&n->wh->stats->heartbeat, __ATOMIC_RELAXED) < beat + 2)
        poll(NULL, 0, 10);
}

/* The stream is full at each death: no frame was begun that can't be finished, so its far end sees
 * whole ones, in order, some of them twice. */
static void large_frames_survive_restarts(void **state)
{
    enum { ROUNDS = 8, LEN = 60000, AT_ONCE = 6 };
    static uint8_t got[70000];
    struct nic *n = netd_new_stream();
    unsigned sent = 0, seen = 0;
    uint16_t head;
    uint32_t len;

    (void)state;
    wh_start(n->wh);
    wh_activate(n->wh, BASE, false);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (; sent < seen + AT_ONCE; sent++)
            netd_send_frame(n, sent % 30, &netd_plain, LEN, (uint8_t)sent);
        let_it_fill(n);
        if (round % 2 == 0) {
            wh_kill(n->wh);
            wh_restart(n->wh, BASE);
        } else {
            wh_quiesce(n->wh);
            wh_restart(n->wh, BASE);
        }
        while (seen < sent) {
            assert_int_equal(netd_read_stream_frame(n->peer, got, sizeof(got)), LEN);
            assert_true(got[14] == (uint8_t)seen || got[14] == (uint8_t)(seen - 1));
            assert_int_equal(got[14], got[LEN - 1]);
            seen += got[14] == (uint8_t)seen;
        }
        while (wh_try_used(n->wh, TX, &head, &len))
            ;
    }
    assert_false(wh_has_message(n->wh, 0)); /* the link never went down */
    netd_free(n);
}

enum leaving { BY_KILL, BY_STOP, BY_UPGRADE };

static void leave(struct nic *n, enum leaving how)
{
    struct wh old;

    if (how == BY_UPGRADE) {
        wh_start_beside(n->wh, &old);
        wh_quiesce(&old);
        wh_activate(n->wh, BASE, true);
        assert_true(wh_stop(&old) == 0);
        return;
    }
    if (how == BY_KILL)
        wh_kill(n->wh);
    else
        assert_true(wh_stop(n->wh) == 0);
    wh_start(n->wh);
    wh_activate(n->wh, BASE, true);
}

/* A socket of little room cuts frames after all. Nothing follows a cut one but the stream's end. */
static void cut_stream(enum leaving how)
{
    enum { LEN = 60000 };
    static uint8_t got[2 * LEN];
    int pair[2], room = 8192;
    size_t n_got = 0;
    struct nic *n;
    ssize_t r;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
    n = netd_new(true, pair, 1, pair[1]);
    wh_start(n->wh);
    wh_activate(n->wh, BASE, false);
    netd_send_frame(n, 0, &netd_plain, LEN, 1);
    netd_sent(n); /* the rest is the worker's */
    leave(n, how);
    netd_send_frame(n, 1, &netd_plain, LEN, 2);
    assert_int_equal(netd_link_status(n), 0);
    wh_expect(n->wh, BULKHEAD__ENVELOPE__BODY_LINK_LOST);
    netd_sent(n);
    while ((r = recv(n->peer, got + n_got, sizeof(got) - n_got, MSG_DONTWAIT)) > 0)
        n_got += (size_t)r;
    assert_true(n_got > 4 + 14 && n_got < 4 + LEN);
    for (size_t i = 4 + 14; i < n_got; i++)
        assert_int_equal(got[i], 1);
    netd_free(n);
}

static void a_cut_frame_is_the_last_after_a_kill(void **state)
{
    (void)state;
    cut_stream(BY_KILL);
}

static void a_cut_frame_is_the_last_after_a_stop(void **state)
{
    (void)state;
    cut_stream(BY_STOP);
}

static void a_cut_frame_is_the_last_after_an_upgrade(void **state)
{
    (void)state;
    cut_stream(BY_UPGRADE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stream_both_ways),
        cmocka_unit_test(a_large_frame_is_merged),
        cmocka_unit_test(a_merged_frame_comes_at_once),
        cmocka_unit_test(a_frame_that_never_fits_is_dropped),
        cmocka_unit_test(lies_are_dropped),
        cmocka_unit_test(a_slow_stream_holds_the_guest_back),
        cmocka_unit_test(link_state),
        cmocka_unit_test(link_down_from_the_start),
        cmocka_unit_test(control_queue),
        cmocka_unit_test(a_mac_goes_with_its_driver),
        cmocka_unit_test(rate_limit),
        cmocka_unit_test(restart),
        cmocka_unit_test(the_stream_survives_restarts),
        cmocka_unit_test(large_frames_survive_restarts),
        cmocka_unit_test(a_cut_frame_is_the_last_after_a_kill),
        cmocka_unit_test(a_cut_frame_is_the_last_after_a_stop),
        cmocka_unit_test(a_cut_frame_is_the_last_after_an_upgrade),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
