/* SPDX-License-Identifier: Apache-2.0 */
/* test_net_turn.c - how much of a guest's or a wire's frames, and of a driver's commands, is done
 * before the loop looks at its other events; by a clock of the test's own. The port is the test. */
#include <stdlib.h>
#include <string.h>
#include "common/worker_say.h"
#include "common/worker_stop.h"
#include "net/net.h"
#include "net/net_burst.h"
#include "net/net_link.h"
#include "vq_fixture.h"

enum { FRAME_NS = 5000000, SMALL = 100, LARGE = 60000 };
enum { RXQ, TXQ, CTRLQ = 4 };

static struct fixture *guest;
static struct net net;
static struct stats_page stats;
static struct turn turn;
static uint64_t clock_ns;
static unsigned n_moved;
static uint64_t cost_ns;
static bool rerun;
static size_t wire_frame_bytes;
static bool
    gives_while_asked; /* the guest, on another CPU, makes progress when we look at the clock */
static unsigned n_given;

/* ---- clock, skeleton and port ---- */

uint64_t __wrap_now_ns(void);

uint64_t __wrap_now_ns(void)
{
    if (gives_while_asked && n_given < SIZE) {
        put_desc(guest, DESC, n_given, DATA, SMALL, VRING_DESC_F_WRITE, 0);
        publish(guest, (uint16_t)n_given++);
        clock_ns += FRAME_NS;
    }
    return clock_ns;
}

struct vq *worker_vq(struct worker *w, unsigned q)
{
    (void)w;
    (void)q;
    return guest->vq;
}

struct turn *worker_turn(struct worker *w)
{
    (void)w;
    return &turn;
}

bool worker_running(const struct worker *w)
{
    (void)w;
    return true;
}

void worker_rerun(struct worker *w, unsigned q)
{
    (void)w;
    (void)q;
    rerun = true;
}

void worker_poll_woken(struct worker *w)
{
    (void)w;
}

void worker_needs_reset(struct worker *w, unsigned q, const char *why)
{
    (void)w;
    (void)q;
    fail_msg("%s", why);
}

void worker_config_changed(struct worker *w, unsigned offset, unsigned len)
{
    (void)w;
    (void)offset;
    (void)len;
}

struct loop *worker_loop(struct worker *w)
{
    (void)w;
    return NULL;
}

void worker_drained(struct worker *w)
{
    (void)w;
}

void net_link_want(struct net *n, bool up)
{
    (void)n;
    (void)up;
}

void net_link_lost(struct net *n, bool gone)
{
    (void)n;
    fail_msg("gone: %d", gone);
}

void net_link_found(struct net *n)
{
    (void)n;
}

int net_passt_read(struct net_passt *passt, uint8_t *frame, size_t *ret_bytes)
{
    (void)passt;
    (void)frame;
    (void)ret_bytes;
    return 0;
}

int net_passt_commit(struct net_passt *passt, size_t pending_bytes)
{
    (void)passt;
    (void)pending_bytes;
    return 0;
}

int net_passt_write(struct net_passt *passt, struct iovec *iov, int n_iov, size_t frame_bytes)
{
    (void)passt;
    (void)iov;
    (void)n_iov;
    (void)frame_bytes;
    return 0;
}

int net_passt_flush(struct net_passt *passt)
{
    (void)passt;
    return 0;
}

bool net_passt_has_rest(const struct net_passt *passt)
{
    (void)passt;
    return false;
}

bool net_burst_has_room(const struct net_burst *burst)
{
    (void)burst;
    return false;
}

void net_burst_add(struct net_burst *burst, const struct vq_chain *chain,
                   const struct net_tx_head *head)
{
    (void)burst;
    (void)chain;
    (void)head;
}

int net_burst_send(struct net_pair *pair)
{
    (void)pair;
    return 0;
}

static void work(void)
{
    n_moved++;
    clock_ns += cost_ns;
}

int net_tap_set_offloads(const struct net_tap *tap, uint64_t features)
{
    (void)tap;
    (void)features;
    return 0;
}

bool net_tap_find_attached(const struct net_tap *tap)
{
    (void)tap;
    return false;
}

int net_tap_attach(const struct net_tap *tap, bool on)
{
    (void)tap;
    (void)on;
    work();
    return 0;
}

bool net_tap_is_gone(int error)
{
    (void)error;
    return false;
}

enum net_tap_state net_tap_look(const struct net_tap *first)
{
    (void)first;
    return NET_TAP_UP;
}

int net_tap_lost(const struct net_tap *first, int error)
{
    (void)first;
    (void)error;
    return 0;
}

int net_tap_write(const struct net_tap *tap, const struct iovec *iov, int n_iov)
{
    (void)tap;
    (void)iov;
    (void)n_iov;
    work();
    return 0;
}

int net_tap_read(const struct net_tap *tap, uint8_t *frame, size_t *ret_bytes)
{
    (void)tap;
    memset(frame, 0, NET_HDR_BYTES + wire_frame_bytes);
    *ret_bytes = NET_HDR_BYTES + wire_frame_bytes;
    work();
    return 0;
}

/* ---- the guest ---- */

static int setup(void **state)
{
    static uint8_t frame[NET_HDR_BYTES + NET_MAX_FRAME_BYTES];
    int r = vq_setup(state);

    guest = *state;
    net = (struct net){
        .stats = &stats, .link_up = true, .n_pairs = 2, .n_enabled = 1, .ctrl_queue = CTRLQ
    };
    net.pairs[0] = (struct net_pair){ .net = &net, .enabled = true, .frame = frame };
    net.pairs[1] = (struct net_pair){ .net = &net, .index = 1 };
    stats = (struct stats_page){ 0 };
    assert_int_equal(net_limit_new(&net.limit, NULL), 0);
    n_moved = n_given = 0;
    cost_ns = FRAME_NS;
    clock_ns = 1;
    activate(guest, SIZE, 0, false);
    turn_begin(&turn);
    return r;
}

static int teardown(void **state)
{
    free(net.limit);
    gives_while_asked = false;
    return vq_teardown(state);
}

#define N(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* A full ring of frames, of buffers, or of commands. */
static void fill_ring(uint16_t flags, uint32_t bytes)
{
    for (unsigned i = 0; i < SIZE; i++) {
        put_desc(guest, DESC, i, DATA, bytes, flags, 0);
        publish(guest, (uint16_t)i);
    }
}

/* Turn after turn, each with no more than its time has room for and one frame over, but for the few
 * between two looks at the clock. */
static void expect_turns(unsigned q, unsigned n_all)
{
    enum { PER_TURN = TURN_NS / FRAME_NS + NET_FRAMES_PER_CLOCK };
    unsigned turns = 0;

    while (n_moved < n_all) {
        unsigned before = n_moved;

        turn_begin(&turn);
        rerun = false;
        assert_int_equal(net_on_queue(&net, q), 0);
        assert_true(n_moved > before && n_moved - before <= PER_TURN);
        if (q != RXQ) /* the port is asked again anyway */
            assert_true(n_moved == n_all || rerun);
        turns++;
    }
    assert_true(turns >= n_all / PER_TURN);
}

static void slow_frames_out(void **state)
{
    (void)state;
    fill_ring(0, NET_HDR_BYTES + SMALL);
    expect_turns(TXQ, SIZE);
    assert_int_equal(stats.write_ops, SIZE);
}

static void slow_frames_in(void **state)
{
    (void)state;
    wire_frame_bytes = SMALL;
    fill_ring(VRING_DESC_F_WRITE, NET_HDR_BYTES + SMALL);
    expect_turns(RXQ, SIZE);
    assert_int_equal(stats.read_ops, SIZE);
}

/* Each command that sets the pairs takes and gives back queues of the tap. */
static void slow_commands(void **state)
{
    static const uint8_t set_pairs[] = { VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 1,
                                         0 };

    (void)state;
    net.features = NET_BIT(VIRTIO_NET_F_MQ);
    memcpy(guest->low + DATA, set_pairs, sizeof(set_pairs));
    fill_ring(0, sizeof(set_pairs));
    expect_turns(CTRLQ, SIZE);
}

/* All queues together: who comes when the bytes are spent moves nothing. */
static void large_frames_in(void **state)
{
    (void)state;
    cost_ns = 0;
    wire_frame_bytes = LARGE;
    while (!turn_is_spent(&turn)) {
        unsigned before = n_moved;

        clear(guest);
        activate(guest, SIZE, 0, false);
        fill_ring(VRING_DESC_F_WRITE, NET_HDR_BYTES + LARGE);
        assert_int_equal(net_on_queue(&net, RXQ), 0);
        assert_true(n_moved > before);
    }
    assert_true((uint64_t)n_moved * LARGE <= TURN_BYTES + LARGE);
    n_moved = 0;
    assert_int_equal(net_on_queue(&net, RXQ), 0);
    assert_int_equal(n_moved, 0);
    turn_begin(&turn);
    clear(guest);
    activate(guest, SIZE, 0, false);
    fill_ring(VRING_DESC_F_WRITE, NET_HDR_BYTES + LARGE);
    assert_int_equal(net_on_queue(&net, RXQ), 0);
    assert_true(n_moved > 0);
}

/* One frame, and a guest that gives another buffer whenever it is found that there are too few: that ends
 * with the turn, and goes on with the next. */
static void a_buffer_with_each_look(void **state)
{
    (void)state;
    net.features = NET_BIT(VIRTIO_NET_F_MRG_RXBUF);
    wire_frame_bytes = LARGE;
    cost_ns = 0;
    gives_while_asked = true;
    rerun = false;
    assert_int_equal(net_on_queue(&net, RXQ), 0);
    assert_true(clock_ns <= TURN_NS + 2 * FRAME_NS);
    assert_true(n_given < SIZE);
    assert_true(rerun); /* the port need not have another frame that wakes us */
}

/* Its port was to be asked again later, but not while the driver doesn't want the pair. */
static void a_broken_pair_comes_back(void **state)
{
    static const uint8_t one[] = { VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 1, 0 };

    (void)state;
    net.features = NET_BIT(VIRTIO_NET_F_MQ);
    net.n_enabled = 2;
    net.pairs[1].enabled = net.pairs[1].rx_broken = true;
    memcpy(guest->low + DATA, one, sizeof(one));
    put_desc(guest, DESC, 0, DATA, sizeof(one), 0, 0);
    publish(guest, 0);
    assert_int_equal(net_on_queue(&net, CTRLQ), 0);
    assert_int_equal(net.n_enabled, 1);
    assert_false(net.pairs[1].rx_broken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        N(slow_frames_out), N(slow_frames_in),          N(slow_commands),
        N(large_frames_in), N(a_buffer_with_each_look), N(a_broken_pair_comes_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
