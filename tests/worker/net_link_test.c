/* SPDX-License-Identifier: Apache-2.0 */
/* net_link_test.c - a tap that goes down, or is deleted, under a guest: it sees its cable pulled, the
 * broker hears of it once, and the worker rests until there is something to carry frames again. */
#include <linux/if_tun.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "harness_away.h"
#include "net_driver.h"
#include <cmocka.h>

enum { FRAME = 100, FRAMES = 10, BUFFERS = 40 };

static struct nic *started(unsigned pairs, bool use_io_uring)
{
    struct nic *n = netd_new_tap(pairs);

    n->config.use_io_uring = use_io_uring;
    n->wh->config.away = true;
    wh_start(n->wh);
    wh_activate(n->wh, n->wh->features, false);
    for (unsigned i = 0; i < BUFFERS; i++)
        netd_give_buffer(n, i, BUF);
    return n;
}

/* All are there when the worker looks. */
static void send_some(struct nic *n, uint8_t tag)
{
    assert_int_equal(kill(n->wh->pid, SIGSTOP), 0);
    for (unsigned i = 0; i < FRAMES; i++)
        netd_send_frame(n, i, &netd_plain, FRAME, tag);
    assert_int_equal(kill(n->wh->pid, SIGCONT), 0);
    for (unsigned i = 0; i < FRAMES; i++)
        netd_sent(n);
}

static void expect_lost(struct nic *n, bool returns)
{
    assert_int_equal(netd_link_status(n), 0);
    assert_int_equal(wh_expect(n->wh, BULKHEAD__ENVELOPE__BODY_LINK_LOST)->link_lost->returns,
                     returns);
}

static void expect_found(struct nic *n)
{
    assert_int_equal(netd_link_status(n), VIRTIO_NET_S_LINK_UP);
    wh_expect(n->wh, BULKHEAD__ENVELOPE__BODY_LINK_FOUND);
}

static void out(struct nic *n, uint8_t tag)
{
    struct pollfd p = { .fd = n->peer, .events = POLLIN };
    uint8_t got[2000];

    netd_send_frame(n, 0, &netd_plain, FRAME, tag);
    netd_sent(n);
    assert_int_equal(poll(&p, 1, WH_PATIENCE_MS), 1);
    assert_int_equal(recv(n->peer, got, sizeof(got), 0), FRAME);
    assert_int_equal(got[14], tag);
}

static void in(struct nic *n, uint8_t tag)
{
    uint8_t frame[FRAME];
    const uint8_t *got;
    uint16_t head;
    uint32_t len;

    netd_fill_frame(frame, sizeof(frame), tag);
    assert_int_equal(send(n->peer, frame, sizeof(frame), 0), sizeof(frame));
    do { /* the kernel sends some of its own (IPv6) */
        wh_wait_used(n->wh, RX, &head, &len);
        got = wh_mem(n->wh, n->wh->queues[RX].vring.desc[head].addr, len);
        netd_give_buffer(n, BUFFERS, BUF);
    } while (got[HDR + 12] != 0x88 || got[HDR + 13] != 0xb5);
    assert_int_equal(got[HDR + 14], tag);
}

/* So many beats, and it has nothing to say and tries nothing. */
static void expect_rest(struct nic *n)
{
    enum { BEATS = 3 };
    uint64_t errors = n->wh->stats->errors;
    uint64_t end = __atomic_load_n(&n->wh->stats->heartbeat, __ATOMIC_RELAXED) + BEATS;

    while (__atomic_load_n(&n->wh->stats->heartbeat, __ATOMIC_RELAXED) < end)
        poll(NULL, 0, 10);
    assert_false(wh_has_message(n->wh, 0));
    assert_int_equal(n->wh->stats->errors, errors);
}

static void down_and_up(bool use_io_uring)
{
    struct nic *n = started(1, use_io_uring);
    int error;
    socklen_t len = sizeof(error);

    out(n, 1);
    for (unsigned round = 0; round < 3; round++) {
        netd_set_up(false);
        send_some(n, 2);
        expect_lost(n, true);
        send_some(n, 3);
        expect_rest(n);
        netd_set_up(true);
        expect_found(n);
        assert_int_equal(getsockopt(n->peer, SOL_SOCKET, SO_ERROR, &error, &len), 0); /* was down */
        out(n, 4);
        in(n, 5);
    }
    assert_int_equal(n->wh->stats->dropped, 6 * FRAMES);
    netd_free(n);
}

static void an_interface_goes_down_and_up(void **state)
{
    (void)state;
    down_and_up(true);
    down_and_up(false);
}

/* With its guest idle, and again in the middle of what it sends. */
static void an_interface_is_deleted(void **state)
{
    (void)state;
    for (unsigned idle = 0; idle < 3; idle++) {
        struct nic *n = started(1, idle == 1);

        if (idle == 0) {
            netd_delete_tap();
        } else {
            assert_int_equal(kill(n->wh->pid, SIGSTOP), 0);
            netd_delete_tap();
            send_some(n, 1);
        }
        expect_lost(n, false);
        send_some(n, 2);
        expect_rest(n);
        netd_free(n);
    }
}

static void deleted_while_down(void **state)
{
    struct nic *n = started(1, true);

    (void)state;
    netd_set_up(false);
    send_some(n, 1);
    expect_lost(n, true);
    netd_delete_tap();
    assert_false(wh_expect(n->wh, BULKHEAD__ENVELOPE__BODY_LINK_LOST)->link_lost->returns);
    expect_rest(n);
    netd_free(n);
}

static void look_again(struct nic *n)
{
    Bulkhead__LinkState m = BULKHEAD__LINK_STATE__INIT;
    ENVELOPE(e, LINK_STATE, link_state, &m);

    m.up = true;
    wh_send(n->wh, &e);
}

static bool detach(struct nic *n, unsigned queue)
{
    struct ifreq req = { .ifr_flags = IFF_DETACH_QUEUE };

    return ioctl(n->wh->config.own_fds[queue], TUNSETQUEUE, &req) == 0;
}

/* The same worker goes on with it, and with what the driver set up: offloads, pairs. */
static void made_again(void **state)
{
    static const uint16_t two = 2;
    struct nic *n = started(3, true);
    struct ifreq req = { 0 };

    (void)state;
    assert_int_equal(
        netd_control(n, 6, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &two, 2),
        VIRTIO_NET_OK);
    netd_delete_tap();
    expect_lost(n, false);
    look_again(n);
    expect_rest(n); /* it looked, and there was none */
    netd_make_tap_again(n);
    look_again(n);
    expect_found(n);
    out(n, 1);
    assert_int_equal(ioctl(n->wh->config.own_fds[0], TUNGETIFF, &req), 0);
    assert_true(detach(n, 1));
    assert_false(detach(n, 2)); /* it is so already */
    netd_free(n);
}

/* A replacement has the descriptor of a tap that is no more. */
static void a_replacement_without_a_tap(void **state)
{
    struct nic *n = started(1, true);

    (void)state;
    wh_kill(n->wh);
    netd_delete_tap();
    wh_start(n->wh);
    wh_send_activate(n->wh, n->wh->features, true);
    expect_lost(n, false);
    wh_expect(n->wh, BULKHEAD__ENVELOPE__BODY_ACTIVATED);
    send_some(n, 1);
    expect_rest(n);
    netd_make_tap_again(n);
    look_again(n);
    expect_found(n);
    out(n, 2);
    in(n, 3);
    netd_free(n);
}

/* Down, up and down again: the broker hears what it came to, or nothing. */
static void nobody_hears_of_it(void **state)
{
    struct nic *n = started(1, true);
    const Bulkhead__Snapshot *s;

    (void)state;
    wh_go_away(n->wh);
    for (unsigned round = 0; round < 2; round++) {
        netd_set_up(false);
        send_some(n, 1);
        wh_let_it_turn(n->wh);
        netd_set_up(true);
        wh_let_it_turn(n->wh);
    }
    wh_come_back(n->wh);
    assert_int_equal(netd_link_status(n), VIRTIO_NET_S_LINK_UP);
    wh_expect_silence(n->wh);
    wh_go_away(n->wh);
    netd_set_up(false);
    send_some(n, 2);
    wh_let_it_turn(n->wh);
    wh_come_back(n->wh);
    expect_lost(n, true);
    s = wh_resync(n->wh, 2);
    assert_true(s->link_lost && s->link_returns);
    assert_int_equal(netd_link_status(n), 0);
    wh_go_away(n->wh);
    netd_set_up(true);
    wh_let_it_turn(n->wh);
    wh_send_resync(n->wh, 3);
    wh_let_it_turn(n->wh);
    wh_come_back(n->wh);
    assert_false(wh_expect(n->wh, BULKHEAD__ENVELOPE__BODY_SNAPSHOT)->snapshot->link_lost);
    assert_int_equal(netd_link_status(n), VIRTIO_NET_S_LINK_UP);
    wh_expect_silence(n->wh);
    netd_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_interface_goes_down_and_up),
        cmocka_unit_test(an_interface_is_deleted),
        cmocka_unit_test(deleted_while_down),
        cmocka_unit_test(made_again),
        cmocka_unit_test(a_replacement_without_a_tap),
        cmocka_unit_test(nobody_hears_of_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
