/* SPDX-License-Identifier: Apache-2.0 */
/* net_rx_test.c - which frames reach the guest's driver: none that it has no room for, and none that
 * another driver, or the one before, agreed to. */
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "net_driver.h"
#include <cmocka.h>

/* All frames of a test fit into the socket at once: nobody waits but for the worker. */
enum { SMALL_RING = 32, BUFFER = 240, LARGE = 8000, MANY = 20 };

/* The driver chooses a ring of 32, as with queue_size=32. */
static struct nic *on_a_small_ring(uint64_t features)
{
    struct nic *n = netd_new_stream();

    wh_start(n->wh);
    n->wh->config.queue_size = SMALL_RING;
    wh_activate(n->wh, features, false);
    return n;
}

static void expect_only(struct nic *n, uint32_t frame_bytes, unsigned dropped)
{
    uint16_t head;
    uint32_t len;

    wh_wait_used(n->wh, RX, &head, &len);
    assert_int_equal(len, HDR + frame_bytes);
    assert_int_equal(n->wh->stats->dropped, dropped);
    assert_int_equal(n->wh->stats->read_ops, 1);
}

/* The worker has asked for a kick behind so many buffers of its ring. */
static void await_looked_at(struct nic *n, uint16_t buffers)
{
    const struct vring *vring = &n->wh->queues[RX].vring;
    uint64_t until = wh_now_ns() + WH_PATIENCE_MS * UINT64_C(1000000);

    while (__atomic_load_n(&vring_avail_event(vring), __ATOMIC_ACQUIRE) != buffers) {
        assert_true(wh_now_ns() < until);
        sched_yield();
    }
}

/* So many that a worker that waited a while for each were too late for the last. */
static void many_large_ones(struct nic *n)
{
    for (unsigned i = 0; i < MANY; i++)
        netd_write_stream_frame(n->peer, LARGE, 1);
    netd_write_stream_frame(n->peer, 100, 2);
    expect_only(n, 100, MANY);
}

static void longer_than_a_full_ring(void **state)
{
    struct nic *n = on_a_small_ring(BASE | MERGE);

    (void)state;
    for (unsigned i = 0; i < SMALL_RING; i++)
        netd_give_buffer(n, i, BUFFER);
    many_large_ones(n);
    netd_free(n);
}

/* Three descriptors for each buffer leave two over, which are no room for another. */
static void longer_than_a_ring_of_chains(void **state)
{
    struct nic *n = on_a_small_ring(BASE | MERGE);

    (void)state;
    for (unsigned i = 0; i < SMALL_RING / 3; i++) {
        uint64_t at = n->at + i * (uint64_t)BUF;
        struct wh_buf bufs[] = { { at, HDR, true },
                                 { at + HDR, 300, true },
                                 { at + 400, 300, true } };

        assert_true(wh_add(n->wh, RX, bufs, 3, false) >= 0);
    }
    wh_kick(n->wh, RX);
    many_large_ones(n);
    netd_free(n);
}

/* There is room for more buffers, but none come. */
static void longer_than_all_that_ever_come(void **state)
{
    struct nic *n = on_a_small_ring(BASE | MERGE);

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        netd_give_buffer(n, i, BUFFER);
    netd_write_stream_frame(n->peer, LARGE, 1);
    netd_write_stream_frame(n->peer, 100, 2);
    expect_only(n, 100, 1);
    netd_free(n);
}

/* Two buffers were looked at for a frame that needs more, and then the driver takes them back: the ring is
 * broken, and the worker neither looks for ever nor is taken for hung. */
static void buffers_taken_back(void **state)
{
    struct nic *n = on_a_small_ring(BASE | MERGE);

    (void)state;
    for (unsigned i = 0; i < 2; i++)
        netd_give_buffer(n, i, BUFFER);
    netd_write_stream_frame(n->peer, LARGE, 1);
    await_looked_at(n, 2);
    n->wh->queues[RX].vring.avail->idx = 0;
    netd_write_stream_frame(n->peer, LARGE, 2); /* should the first have been given up meanwhile */
    wh_kick_always(n->wh, RX);
    wh_expect(n->wh, BULKHEAD__ENVELOPE__BODY_NEEDS_RESET);
    wh_reset(n->wh);
    assert_false(wh_is_dead(n->wh));
    netd_free(n);
}

static void within_the_mtu(void **state)
{
    static const uint64_t features[] = { BASE | BIT(VIRTIO_NET_F_MTU), BASE };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(features); i++) {
        bool agreed = features[i] & BIT(VIRTIO_NET_F_MTU);
        struct nic *n = netd_new_stream();

        n->config.mtu = 1500;
        wh_start(n->wh);
        wh_activate(n->wh, features[i], false);
        netd_give_buffer(n, 0, BUF);
        netd_write_stream_frame(n->peer, 1515, 1);
        netd_write_stream_frame(n->peer, 1514, 2);
        expect_only(n, agreed ? 1514 : 1515, agreed);
        netd_free(n);
    }
}

/* As the host's own stack queues a large segment for the tap: with one header for all of it. */
static void queue_segment(struct nic *n)
{
    static const uint8_t ip[] = { 0x45, 0, 0x0f, 0xa0, 0, 0, 0x40, 0, 64, 6,
                                  0,    0, 10,   0,    0, 1, 10,   0, 0,  2 };
    struct virtio_net_hdr hdr = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                  .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
                                  .hdr_len = 54,
                                  .gso_size = 1460,
                                  .csum_start = 34,
                                  .csum_offset = 16 };
    struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_protocol = htons(0x0800) };
    uint8_t packet[sizeof(hdr) + 4014];
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), on = 1;
    socklen_t len = sizeof(to);
    struct sockaddr_ll peer;

    assert_int_equal(getsockname(n->peer, (struct sockaddr *)&peer, &len), 0);
    to.sll_ifindex = peer.sll_ifindex;
    assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0);
    memcpy(packet, &hdr, sizeof(hdr));
    netd_fill_frame(packet + sizeof(hdr), 4014, 7);
    packet[sizeof(hdr) + 12] = 0x08;
    packet[sizeof(hdr) + 13] = 0x00;
    memcpy(packet + sizeof(hdr) + 14, ip, sizeof(ip));
    packet[sizeof(hdr) + 46] = 0x50; /* TCP header of 20 bytes */
    assert_int_equal(sendto(fd, packet, sizeof(packet), 0, (struct sockaddr *)&to, sizeof(to)),
                     sizeof(packet));
    close(fd);
}

/* The next frame of ours that the guest got: whether it is a segment for the driver to cut. */
static bool next_is_segment(struct nic *n, unsigned *slot)
{
    for (;;) {
        const struct virtio_net_hdr_v1 *hdr;
        const uint8_t *frame;
        uint16_t head;
        uint32_t len;

        wh_wait_used(n->wh, RX, &head, &len);
        hdr = wh_mem(n->wh, n->wh->queues[RX].vring.desc[head].addr, len);
        frame = (const uint8_t *)hdr + HDR;
        netd_give_buffer(n, (*slot)++, BUF);
        if (frame[14] == 7 || frame[14] == 0x45)
            return hdr->gso_type != VIRTIO_NET_HDR_GSO_NONE || hdr->flags != 0;
    }
}

/* What waited for a driver that takes segments, in the worker and in the tap, is nothing for the next
 * one, which takes none. */
static void nothing_of_the_driver_before(void **state)
{
    enum { QUEUED = 5, PLAIN = 100 };
    struct nic *n = netd_new_tap(1);
    uint8_t frame[PLAIN];
    unsigned slot = 0;

    (void)state;
    wh_start(n->wh);
    wh_activate(n->wh, n->wh->features, false);
    for (; slot < 20; slot++)
        netd_give_buffer(n, slot, BUF);
    queue_segment(n);
    assert_true(next_is_segment(n, &slot)); /* it does take them */
    wh_reset(n->wh);
    wh_activate(n->wh, n->wh->features, false);
    for (unsigned i = 0; i < QUEUED; i++)
        queue_segment(n);
    wh_reset(n->wh);
    wh_activate(n->wh, BASE | MERGE, false);
    for (slot = 0; slot < 20; slot++)
        netd_give_buffer(n, slot, BUF);
    netd_fill_frame(frame, sizeof(frame), 7);
    assert_int_equal(send(n->peer, frame, sizeof(frame), 0), sizeof(frame));
    assert_false(next_is_segment(n, &slot));
    assert_true(n->wh->stats->dropped >= QUEUED - 1); /* the reset took one that the worker had */
    netd_free(n);
}

/* A candidate of an upgrade that is given up leaves the tap to the old worker as it was. */
static void a_candidate_takes_no_offloads_away(void **state)
{
    struct nic *n = netd_new_tap(1);
    unsigned slot = 0;
    struct wh old;

    (void)state;
    wh_start(n->wh);
    wh_activate(n->wh, n->wh->features, false);
    for (; slot < 20; slot++)
        netd_give_buffer(n, slot, BUF);
    queue_segment(n);
    assert_true(next_is_segment(n, &slot));
    wh_start_beside(n->wh, &old);
    wh_kill(n->wh);
    queue_segment(n);
    assert_true(next_is_segment(n, &slot));
    wh_kill(&old);
    netd_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(longer_than_a_full_ring),
        cmocka_unit_test(longer_than_a_ring_of_chains),
        cmocka_unit_test(longer_than_all_that_ever_come),
        cmocka_unit_test(buffers_taken_back),
        cmocka_unit_test(within_the_mtu),
        cmocka_unit_test(nothing_of_the_driver_before),
        cmocka_unit_test(a_candidate_takes_no_offloads_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
