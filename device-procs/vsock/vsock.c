/* SPDX-License-Identifier: Apache-2.0 */
/* vsock.c - bulkhead-dev-vsock: virtio-vsock (virtio 1.2 section 5.10) with the host's side on unix
 * sockets, as Firecracker and Cloud Hypervisor have it. A host program connects to the listening
 * socket and writes "CONNECT <port>\n"; a guest's program that connects to host port N arrives at
 * the socket <path>_N, which the broker connects to on our behalf. */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "common/worker.h"
#include "common/worker_main.h"
#include "common/worker_stop.h"
#include "sandbox/gen/filter_vsock.h"
#include "vsock_ask.h"
#include "vsock_conn.h"
#include "vsock_rx.h"
#include "vsock_tx.h"
#include "vsock_watch.h"

/* Runs vsock_rx() outside of a kick and handles what it says. */
static void pump(struct vsock *v)
{
    if (vsock_rx(v) == VQ_E_GUEST)
        worker_needs_reset(v->worker, VSOCK_RXQ, "receive queue");
}

static void vsock_part(void *device)
{
    struct vsock *v = device;

    if (!v->parting && vq_active(worker_vq(v->worker, VSOCK_TXQ)))
        vsock_tx_rest(v); /* of a core that ended: nobody had us drained */
    v->parting = true;
    vsock_watch_listen(v, false);
    for (unsigned i = 0; i < VSOCK_MAX_CONNECTIONS; i++) {
        const struct vsock_conn *conn = &v->table.conns[i];

        if (conn->state != VSOCK_FREE && conn->fd >= 0 && conn->to_host.len_bytes > 0)
            return;
    }
    worker_leave(v->worker);
}

static void on_readable(int fd, unsigned what, void *arg)
{
    struct vsock_conn *conn = arg;
    struct vsock *v = conn->vsock;
    uint32_t generation = conn->generation;

    (void)fd;
    (void)what;
    if (!vsock_conn_readable(conn))
        return;
    pump(v);
    /* Whatever could not be passed on is waited for on the guest's side. */
    if (conn->generation == generation && conn->state == VSOCK_OPEN &&
        (conn->wants & VSOCK_SEND_DATA))
        vsock_conn_read_watch(conn, false);
}

static void on_writable(int fd, unsigned what, void *arg)
{
    struct vsock_conn *conn = arg;
    struct vsock *v = conn->vsock;

    (void)fd;
    (void)what;
    vsock_conn_writable(conn);
    pump(v);
    if (v->parting)
        vsock_part(v);
}

/* The socket is the connection's from here on, also when it fails; then the caller ends the
 * connection. */
static int attach(struct vsock_conn *conn, int fd)
{
    struct loop *loop = worker_loop(conn->vsock->worker);
    int r;

    conn->fd = fd;
    r = loop_add_fd(loop, fd, LOOP_READ, on_readable, conn, &conn->read_event);
    if (r == 0)
        r = loop_add_fd(loop, fd, LOOP_WRITE, on_writable, conn, &conn->write_event);
    if (r < 0)
        return err_trace(r);
    vsock_conn_write_watch(conn, false);
    return 0;
}

/* Deadlines, and host programs that closed one half first and the other unseen. */
static void on_sweep(int fd, unsigned what, void *arg)
{
    struct vsock *v = arg;
    uint64_t now = now_ns();

    (void)fd;
    (void)what;
    vsock_watch_listen(v, true);
    for (unsigned i = 0; i < VSOCK_MAX_CONNECTIONS && v->table.n_used > 0; i++) {
        struct vsock_conn *conn = &v->table.conns[i];

        if (conn->state == VSOCK_FREE)
            continue;
        if (conn->deadline_ns != 0 && now > conn->deadline_ns && conn->state != VSOCK_ENDING)
            vsock_conn_finish(conn);
        else if (conn->state == VSOCK_OPEN && conn->host_ended)
            vsock_conn_host_ended(conn);
    }
    if (v->table.n_used == 0) {
        v->sweep_armed = false;
        loop_timer_disarm(v->sweep);
    }
    pump(v);
}

static void on_program(int fd, unsigned what, void *arg)
{
    struct vsock *v = arg;
    struct vsock_conn *conn;
    int client;

    (void)what;
    if (!v->table.free && !vsock_table_oldest_lingering(&v->table)) {
        vsock_watch_listen(v, false);
        return;
    }
    client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0) {
        /* The host has no more: the next slot that is freed goes on, or the next sweep. */
        if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR) {
            vsock_watch_listen(v, false);
            vsock_watch_sweep(v);
        }
        return;
    }
    conn = vsock_conn_new(v);
    conn->state = VSOCK_GREETING;
    vsock_watch_deadline(conn, VSOCK_HANDSHAKE_MS);
    if (attach(conn, client) < 0) {
        log_warn("%s", err_text());
        vsock_conn_close(conn);
    }
}

static void on_connected(struct vsock *v, const Bulkhead__VsockConnected *m, int *fds,
                         unsigned n_fds)
{
    struct vsock_conn *conn = vsock_table_by_token(&v->table, m->token);

    vsock_ask_answered(v);
    if (!conn || conn->state != VSOCK_OPENING)
        return; /* the guest gave up; the skeleton closes the descriptor */
    if (m->error != 0 || n_fds != 1 || fd_set_nonblock(fds[0]) < 0) {
        vsock_conn_reset(conn);
    } else if (attach(conn, fd_take(&fds[0])) < 0) {
        log_warn("%s", err_text());
        vsock_conn_reset(conn);
    } else {
        conn->state = VSOCK_OPEN;
        conn->deadline_ns = 0;
        v->stats->connections++;
        vsock_conn_read_watch(conn, false); /* until the guest has our answer */
        vsock_conn_want(conn, VSOCK_SEND_RESPONSE);
    }
    pump(v);
}

static int vsock_event(struct vsock *v)
{
    static const struct virtio_vsock_event event = { .id = VIRTIO_VSOCK_EVENT_TRANSPORT_RESET };
    struct vq *vq = worker_vq(v->worker, VSOCK_EVENTQ);
    struct vq_chain chain;
    int r;

    if (!v->tell_reset)
        return 0;
    r = vq_pop(vq, &chain);
    if (r != 0)
        return r == VQ_EMPTY ? 0 : r;
    vq_push(vq, chain.head, (uint32_t)vq_chain_write(&chain, 0, &event, sizeof(event)));
    vq_notify(vq);
    v->tell_reset = false;
    return 0;
}

static int vsock_setup(struct worker *w, const Bulkhead__Configure *cfg, int *fds, unsigned n_fds,
                       Bulkhead__Announce *announce, void **ret_device)
{
    struct vsock *v;
    int r;

    if (worker_num_queues(w) != VSOCK_QUEUES || n_fds != 1)
        return err_origin(-EPROTO, "vsock: %u queues, %u descriptors", worker_num_queues(w), n_fds);
    if (cfg->vsock->cid <= VSOCK_HOST_CID || cfg->vsock->cid >= UINT32_MAX)
        return err_origin(-EINVAL, "vsock: a guest's cid is 3 or more");
    r = fd_expect(fds[0], FD_TYPE_STREAM, "vsock socket");
    if (r == 0)
        r = fd_set_nonblock(fds[0]); /* made by the broker, shared with nobody */
    if (r < 0)
        return err_trace(r);
    v = calloc(1, sizeof(*v));
    if (!v)
        return err_origin(-ENOMEM, "vsock");
    v->worker = w;
    v->stats = worker_stats(w);
    v->cid = v->config.guest_cid = cfg->vsock->cid;
    v->listen_fd = fd_take(&fds[0]);
    worker_keep_fd(w, v->listen_fd);
    worker_reserve_fds(w, VSOCK_MAX_CONNECTIONS + 1);
    r = vsock_table_init(&v->table);
    if (r == 0)
        r = loop_add_fd(worker_loop(w), v->listen_fd, LOOP_READ, on_program, v, &v->listen_event);
    if (r == 0)
        r = loop_add_timer(worker_loop(w), on_sweep, v, &v->sweep);
    if (r < 0)
        return err_trace(r);
    announce->virtio_id = VIRTIO_ID_VSOCK;
    announce->features = 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX |
                         1ull << VIRTIO_RING_F_INDIRECT_DESC;
    announce->config.data = (uint8_t *)&v->config;
    announce->config.len = sizeof(v->config);
    *ret_device = v;
    return 0;
}

static int vsock_activate(void *device, uint64_t features, bool resume)
{
    struct vsock *v = device;

    (void)features;
    v->tell_reset = resume; /* this process knows none of the dead one's connections */
    return 0;
}

static int vsock_on_queue(void *device, unsigned q)
{
    struct vsock *v = device;
    int r = 0;

    if (q == VSOCK_EVENTQ)
        return vsock_event(v);
    if (q == VSOCK_TXQ)
        r = vsock_tx(v);
    return r != 0 ? r : vsock_rx(v); /* what was taken may have an answer */
}

static void vsock_drain(void *device)
{
    struct vsock *v = device;

    if (vq_active(worker_vq(v->worker, VSOCK_TXQ)))
        vsock_tx_rest(v);
    worker_drained(v->worker); /* packets are moved at once, none is in flight */
}

/* The driver left, and with it the guest's end of every connection that it knew. */
static void vsock_reset(void *device)
{
    struct vsock *v = device;

    for (unsigned i = 0; i < VSOCK_MAX_CONNECTIONS; i++) {
        struct vsock_conn *conn = &v->table.conns[i];

        if (conn->state != VSOCK_FREE && conn->state != VSOCK_GREETING &&
            conn->state != VSOCK_LINGERING)
            vsock_conn_guest_ended(conn);
    }
    v->n_resets = 0;
    v->tell_reset = false;
}

static int vsock_on_message(void *device, const Bulkhead__Envelope *e, int *fds, unsigned n_fds)
{
    switch ((int)e->body_case) {
    case BULKHEAD__ENVELOPE__BODY_VSOCK_CONNECTED:
        on_connected(device, e->vsock_connected, fds, n_fds);
        return 0;
    case BULKHEAD__ENVELOPE__BODY_CONFIG_UPDATE:
        return 0; /* nothing in this configuration space is the driver's to write */
    default:
        return err_origin(-EPROTO, "message %d is nothing for vsock", (int)e->body_case);
    }
}

static const struct worker_ops vsock_ops = {
    .role = BULKHEAD__ROLE__ROLE_VSOCK,
    .filter = &sandbox_filter_vsock,
    .setup = vsock_setup,
    .activate = vsock_activate,
    .on_queue = vsock_on_queue,
    .drain = vsock_drain,
    .part = vsock_part,
    .reset = vsock_reset,
    .on_message = vsock_on_message,
    .say = vsock_ask_say,
    .snapshot = vsock_ask_snapshot,
};

int main(int argc, char **argv)
{
    return worker_main(&vsock_ops, argc, argv);
}
