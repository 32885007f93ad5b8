/* SPDX-License-Identifier: Apache-2.0 */
/* vsock.c - bulkhead-dev-vsock: virtio-vsock (virtio 1.2 section 5.10) with the host's side on unix
 * sockets, as Firecracker and Cloud Hypervisor have it. A host program connects to the listening
 * socket and writes "CONNECT <port>\n"; a guest's program that connects to host port N arrives at
 * the socket <path>_N, which the broker connects to on our behalf. */
#include "vsock.h"

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
#include "ipc/channel.h"
#include "sandbox/gen/filter_vsock.h"

static void listen_watch(struct vsock *v, bool on)
{
    on = on && !v->parting;
    if (v->listen_paused == !on)
        return;
    v->listen_paused = !on;
    if (on)
        (void)loop_event_resume(v->listen_event);
    else
        (void)loop_event_pause(v->listen_event);
}

void vsock_slot_freed(struct vsock *v)
{
    listen_watch(v, true);
}

static void arm_sweep(struct vsock *v)
{
    if (v->sweep_armed)
        return;
    v->sweep_armed = true;
    (void)loop_timer_arm(v->sweep, VSOCK_SWEEP_MS, true);
}

void vsock_deadline(struct vsock_conn *conn, uint64_t ms)
{
    struct vsock *v = conn->vsock;

    conn->deadline_ns = now_ns() + ms * 1000000;
    arm_sweep(v);
}

/* Deadlines, and host programs that closed one half first and the other unseen. */
static void on_sweep(int fd, unsigned what, void *arg)
{
    struct vsock *v = arg;
    uint64_t now = now_ns();

    (void)fd;
    (void)what;
    listen_watch(v, true);
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
    vsock_pump(v);
}

static void on_program(int fd, unsigned what, void *arg)
{
    struct vsock *v = arg;
    struct vsock_conn *conn;
    int client;

    (void)what;
    if (!v->table.free && !vsock_table_oldest_lingering(&v->table)) {
        listen_watch(v, false);
        return;
    }
    client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0) {
        /* The host has no more: the next slot that is freed goes on, or the next sweep. */
        if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR) {
            listen_watch(v, false);
            arm_sweep(v);
        }
        return;
    }
    conn = vsock_conn_new(v);
    conn->state = VSOCK_GREETING;
    vsock_deadline(conn, VSOCK_HANDSHAKE_MS);
    if (vsock_conn_attach(conn, client) < 0) {
        log_warn("%s", err_text());
        vsock_conn_close(conn);
    }
}

int vsock_ask_broker(struct vsock_conn *conn)
{
    Bulkhead__VsockConnect connect = BULKHEAD__VSOCK_CONNECT__INIT;
    ENVELOPE(e, VSOCK_CONNECT, vsock_connect, &connect);

    connect.port = conn->host_port;
    connect.token = vsock_table_token(&conn->vsock->table, conn);
    return worker_send(conn->vsock->worker, &e);
}

static void on_connected(struct vsock *v, const Bulkhead__VsockConnected *m, int *fds,
                         unsigned n_fds)
{
    struct vsock_conn *conn = vsock_table_by_token(&v->table, m->token);

    v->n_asked -= v->n_asked > 0; /* an answer is an answer, also to one that is gone */
    if (!conn || conn->state != VSOCK_OPENING)
        return; /* the guest gave up; the skeleton closes the descriptor */
    if (m->error != 0 || n_fds != 1 || fd_set_nonblock(fds[0]) < 0) {
        vsock_conn_reset(conn);
    } else if (vsock_conn_attach(conn, fd_take(&fds[0])) < 0) {
        log_warn("%s", err_text());
        vsock_conn_reset(conn);
    } else {
        conn->state = VSOCK_OPEN;
        conn->deadline_ns = 0;
        v->stats->connections++;
        vsock_conn_read_watch(conn, false); /* until the guest has our answer */
        vsock_conn_want(conn, VSOCK_SEND_RESPONSE);
    }
    vsock_pump(v);
}

int vsock_event(struct vsock *v)
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

    if (q == VSOCK_EVENTQ)
        return vsock_event(v);
    return q == VSOCK_TXQ ? vsock_tx(v) : vsock_rx(v);
}

static void vsock_drain(void *device)
{
    struct vsock *v = device;

    if (vq_active(worker_vq(v->worker, VSOCK_TXQ)))
        vsock_tx_rest(v);
    worker_drained(v->worker); /* packets are moved at once, none is in flight */
}

void vsock_part(void *device)
{
    struct vsock *v = device;

    if (!v->parting && vq_active(worker_vq(v->worker, VSOCK_TXQ)))
        vsock_tx_rest(v); /* of a core that ended: nobody had us drained */
    v->parting = true;
    listen_watch(v, false);
    for (unsigned i = 0; i < VSOCK_MAX_CONNECTIONS; i++) {
        const struct vsock_conn *conn = &v->table.conns[i];

        if (conn->state != VSOCK_FREE && conn->fd >= 0 && conn->to_host.len_bytes > 0)
            return;
    }
    worker_leave(v->worker);
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
};

int main(int argc, char **argv)
{
    return worker_main(&vsock_ops, argc, argv);
}
