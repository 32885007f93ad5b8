/* SPDX-License-Identifier: Apache-2.0 */
/* test_vsock_turn.c - how many packets are taken and given before the loop looks at its other events; by a clock of the
 * test's own. The guest hands each buffer back at once. */
#include <string.h>
#include "vq_fixture.h"
#include "vsock_ask.h"
#include "vsock_conn.h"
#include "vsock_device.h"
#include "vsock_rx.h"
#include "vsock_tx.h"
#include "vsock_watch.h"

enum { PACKET_NS = 5000000, PER_TURN = TURN_NS / PACKET_NS + 1, ENDLESS = 1000 };

static struct fixture *guest;
static struct vsock vsock;
static struct stats_page stats;
static struct turn turn;
static uint64_t clock_ns, cost_ns;
static unsigned n_packets, n_reruns;

/* ---- clock, skeleton, sockets ---- */

uint64_t __wrap_now_ns(void);
void __real_vq_push(struct vq *vq, uint16_t head, uint32_t written_bytes);
void __wrap_vq_push(struct vq *vq, uint16_t head, uint32_t written_bytes);

uint64_t __wrap_now_ns(void)
{
    return clock_ns;
}

void __wrap_vq_push(struct vq *vq, uint16_t head, uint32_t written_bytes)
{
    clock_ns += cost_ns;
    if (++n_packets > ENDLESS)
        fail_msg("a turn without end");
    __real_vq_push(vq, head, written_bytes);
    publish(guest, head);
}

struct vq *worker_vq(struct worker *w, unsigned q)
{
    (void)w;
    (void)q;
    return guest->vq;
}

struct gmem *worker_mem(struct worker *w)
{
    (void)w;
    return &guest->mem;
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
    n_reruns++;
}

bool vsock_ask_may(const struct vsock *v)
{
    (void)v;
    return false;
}

void vsock_ask(struct vsock_conn *conn)
{
    (void)conn;
}

void vsock_watch_deadline(struct vsock_conn *conn, uint64_t ms)
{
    (void)conn;
    (void)ms;
}

struct vsock_conn *vsock_conn_new(struct vsock *v)
{
    (void)v;
    return NULL;
}

#define OF_A_CONNECTION(name)                                                                      \
    void name(struct vsock_conn *conn)                                                             \
    {                                                                                              \
        fail_msg("there is no connection %p", (void *)conn);                                       \
    }
OF_A_CONNECTION(vsock_conn_reset)
OF_A_CONNECTION(vsock_conn_guest_ended)
OF_A_CONNECTION(vsock_conn_host_ended)
OF_A_CONNECTION(vsock_conn_opened)

void vsock_conn_want(struct vsock_conn *conn, unsigned wants)
{
    (void)conn;
    (void)wants;
}

void vsock_conn_deliver(struct vsock_conn *conn, const struct vq_chain *chain, uint32_t len)
{
    (void)conn;
    (void)chain;
    (void)len;
}

void vsock_conn_guest_shutdown(struct vsock_conn *conn, uint32_t flags)
{
    (void)conn;
    (void)flags;
}

void vsock_conn_read_watch(struct vsock_conn *conn, bool on)
{
    (void)conn;
    (void)on;
}

/* ---- the guest ---- */

static int setup(void **state)
{
    int r = vq_setup(state);

    guest = *state;
    memset(&vsock, 0, sizeof vsock);
    stats = (struct stats_page){ 0 };
    vsock.stats = &stats;
    activate(guest, SIZE, 0, false);
    for (unsigned i = 0; i < SIZE; i++) {
        put_desc(guest, DESC, i, DATA, 8, 0,
                 0); /* too short for a header, and nothing fits in it */
        publish(guest, (uint16_t)i);
    }
    clock_ns = 1;
    cost_ns = PACKET_NS;
    n_packets = n_reruns = 0;
    turn_begin(&turn);
    return r;
}

#define V(f) cmocka_unit_test_setup_teardown(f, setup, vq_teardown)

static void taken_in_turns(unsigned at_most)
{
    assert_int_equal(vsock_tx(&vsock), 0);
    assert_true(n_packets >= 1 && n_packets <= at_most);
    assert_int_equal(stats.dropped, n_packets);
    assert_int_equal(n_reruns, 1);
}

static void given_in_turns(unsigned at_most)
{
    vsock.n_resets = 1; /* this is to be said, and never can be */
    assert_int_equal(vsock_rx(&vsock), 0);
    assert_true(n_packets >= 1 && n_packets <= at_most);
    assert_int_equal(stats.errors, n_packets);
    assert_int_equal(n_reruns, 1);
}

static void slow_packets_out(void **state)
{
    (void)state;
    taken_in_turns(PER_TURN);
}

static void packets_without_end(void **state)
{
    (void)state;
    cost_ns = 0;
    taken_in_turns(VSOCK_BATCH);
}

static void slow_buffers_in(void **state)
{
    (void)state;
    given_in_turns(PER_TURN);
}

static void buffers_without_end(void **state)
{
    (void)state;
    cost_ns = 0;
    given_in_turns(VSOCK_BATCH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        V(slow_packets_out),
        V(packets_without_end),
        V(slow_buffers_in),
        V(buffers_without_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
