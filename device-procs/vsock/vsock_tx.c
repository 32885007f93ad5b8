/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_tx.c - packets from the guest. */
#include "vsock_tx.h"

#include "common/worker.h"
#include "vsock_ask.h"
#include "vsock_conn.h"
#include "vsock_watch.h"

static void refuse(struct vsock *v, const struct virtio_vsock_hdr *hdr)
{
    struct vsock_reset *reset;

    if (hdr->op == VIRTIO_VSOCK_OP_RST) /* never answer a reset with one */
        return;
    reset = &v->resets[(v->resets_at + v->n_resets) % VSOCK_MAX_RESETS];
    *reset = (struct vsock_reset){ .host_port = hdr->dst_port, .guest_port = hdr->src_port };
    v->n_resets++; /* room was checked before the packet was taken */
}

static void take_credit(struct vsock_conn *conn, const struct virtio_vsock_hdr *hdr)
{
    conn->credit.peer_alloc = hdr->buf_alloc;
    conn->credit.peer_forwarded = hdr->fwd_cnt;
    conn->asked_credit = false;
    if (conn->state == VSOCK_OPEN && !conn->host_ended && conn->read_paused &&
        !(conn->guest_shutdown & VIRTIO_VSOCK_SHUTDOWN_RCV) && vsock_credit_out(&conn->credit) > 0)
        vsock_conn_want(conn, VSOCK_SEND_DATA);
}

/* A guest's program connects: the broker opens the host's side. */
static void on_request(struct vsock *v, const struct virtio_vsock_hdr *hdr)
{
    struct vsock_conn *conn;

    if (!vsock_ask_may(v) || !(conn = vsock_conn_new(v))) {
        v->stats->dropped++;
        refuse(v, hdr);
        return;
    }
    conn->state = VSOCK_OPENING;
    vsock_table_enter(&v->table, conn, hdr->dst_port, hdr->src_port);
    take_credit(conn, hdr);
    vsock_watch_deadline(conn, VSOCK_HANDSHAKE_MS);
    vsock_ask(conn);
}

static void on_data(struct vsock_conn *conn, const struct virtio_vsock_hdr *hdr,
                    const struct vq_chain *chain)
{
    /* More than it was allowed, or after it said that nothing would come. */
    if ((conn->guest_shutdown & VIRTIO_VSOCK_SHUTDOWN_SEND) ||
        !vsock_credit_in_ok(&conn->credit, hdr->len)) {
        conn->vsock->stats->dropped++;
        vsock_conn_reset(conn);
        return;
    }
    conn->vsock->stats->write_ops++;
    turn_spend(worker_turn(conn->vsock->worker), hdr->len);
    vsock_conn_deliver(conn, chain, hdr->len);
}

static void on_open(struct vsock_conn *conn, const struct virtio_vsock_hdr *hdr,
                    const struct vq_chain *chain)
{
    switch (hdr->op) {
    case VIRTIO_VSOCK_OP_RW:
        on_data(conn, hdr, chain);
        break;
    case VIRTIO_VSOCK_OP_SHUTDOWN:
        vsock_conn_guest_shutdown(conn, hdr->flags);
        break;
    case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
        vsock_conn_want(conn, VSOCK_SEND_CREDIT);
        break;
    case VIRTIO_VSOCK_OP_CREDIT_UPDATE: /* the header has it */
        break;
    default:
        vsock_conn_reset(conn);
        break;
    }
}

static void on_packet(struct vsock *v, const struct virtio_vsock_hdr *hdr,
                      const struct vq_chain *chain)
{
    struct vsock_conn *conn = vsock_table_find(&v->table, hdr->dst_port, hdr->src_port);

    if (!conn) {
        if (hdr->op == VIRTIO_VSOCK_OP_REQUEST)
            on_request(v, hdr);
        else
            refuse(v, hdr);
        return;
    }
    if (hdr->op == VIRTIO_VSOCK_OP_RST) {
        vsock_conn_guest_ended(conn);
        return;
    }
    take_credit(conn, hdr);
    switch (conn->state) {
    case VSOCK_OPEN:
        on_open(conn, hdr, chain);
        break;
    case VSOCK_REQUESTED:
        if (hdr->op == VIRTIO_VSOCK_OP_RESPONSE)
            vsock_conn_opened(conn);
        else
            vsock_conn_reset(conn);
        break;
    case VSOCK_OPENING: /* nothing but giving up is legal before our answer */
        if (hdr->op == VIRTIO_VSOCK_OP_SHUTDOWN || hdr->op == VIRTIO_VSOCK_OP_REQUEST)
            vsock_conn_reset(conn);
        break;
    case VSOCK_FREE:
    case VSOCK_GREETING:
    case VSOCK_LINGERING: /* neither is found by its ports */
    case VSOCK_ENDING:    /* its reset is on the way */
    default:
        break;
    }
}

static void one_chain(struct vsock *v, const struct vq_chain *chain)
{
    struct virtio_vsock_hdr hdr;
    int r;

    if (vq_chain_read(chain, 0, &hdr, sizeof(hdr)) != sizeof(hdr)) {
        v->stats->dropped++;
        return;
    }
    r = vsock_pkt_check(&hdr, v->cid, chain->read_bytes - VSOCK_HDR_BYTES);
    if (r != 0)
        v->stats->dropped++;
    if (r == VSOCK_REFUSE) {
        struct vsock_conn *conn = vsock_table_find(&v->table, hdr.dst_port, hdr.src_port);

        if (conn && hdr.type == VIRTIO_VSOCK_TYPE_STREAM)
            vsock_conn_reset(conn);
        else
            refuse(v, &hdr);
    } else if (r == 0) {
        on_packet(v, &hdr, chain);
    }
}

static bool is_request(const struct vq_chain *chain)
{
    struct virtio_vsock_hdr hdr;

    return vq_chain_read(chain, 0, &hdr, sizeof(hdr)) == sizeof(hdr) &&
           hdr.op == VIRTIO_VSOCK_OP_REQUEST;
}

void vsock_tx_rest(struct vsock *v)
{
    struct vq *vq = worker_vq(v->worker, VSOCK_TXQ);
    struct vq_chain chain;

    /* The ring's size: a driver that goes on sending must not keep us. */
    for (unsigned i = 0; i < vq_size(vq) && v->n_resets < VSOCK_MAX_RESETS; i++) {
        if (vq_pop(vq, &chain) != 0)
            break;
        if (is_request(&chain)) { /* the broker must not be asked now */
            vq_unpop(vq, &chain);
            break;
        }
        one_chain(v, &chain);
        vq_push(vq, chain.head, 0);
    }
    vq_notify(vq);
}

int vsock_tx(struct vsock *v)
{
    struct vq *vq = worker_vq(v->worker, VSOCK_TXQ);
    struct vq_chain chain;
    uint64_t since = now_ns();
    int r = 0;

    for (unsigned i = 0; i < VSOCK_BATCH; i++) {
        uint64_t now;

        /* A guest that doesn't take its resets sends no more until it does. */
        if (v->n_resets == VSOCK_MAX_RESETS || turn_over(worker_turn(v->worker)))
            break;
        r = vq_pop(vq, &chain);
        if (r != 0)
            break;
        one_chain(v, &chain);
        now = now_ns();
        stats_count_latency(v->stats, now - since, 1);
        since = now;
        vq_push(vq, chain.head, 0);
    }
    vq_notify(vq);
    v->tx_stalled = v->n_resets == VSOCK_MAX_RESETS;
    if (r == 0 && !v->tx_stalled)
        worker_rerun(v->worker, VSOCK_TXQ);
    return r == VQ_E_GUEST ? r : 0;
}
