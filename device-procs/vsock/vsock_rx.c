/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_rx.c - packets to the guest: whoever waits first is served first, one packet a turn. */
#include "vsock_rx.h"

#include <errno.h>
#include <sys/uio.h>
#include "common/worker.h"
#include "vsock_conn.h"

static struct virtio_vsock_hdr header(const struct vsock *v, uint32_t host_port,
                                      uint32_t guest_port, uint16_t op)
{
    return (struct virtio_vsock_hdr){
        .src_cid = VSOCK_HOST_CID,
        .dst_cid = v->cid,
        .src_port = host_port,
        .dst_port = guest_port,
        .type = VIRTIO_VSOCK_TYPE_STREAM,
        .op = op,
    };
}

static void push(struct vsock *v, const struct vq_chain *chain, const struct virtio_vsock_hdr *hdr)
{
    (void)vq_chain_write(chain, 0, hdr, sizeof(*hdr));
    vq_push(worker_vq(v->worker, VSOCK_RXQ), chain->head, VSOCK_HDR_BYTES + hdr->len);
    v->stats->read_ops++;
    v->stats->read_bytes += hdr->len;
}

/* Every packet carries our side of the credit. */
static void push_for(struct vsock_conn *conn, const struct vq_chain *chain,
                     struct virtio_vsock_hdr *hdr)
{
    hdr->buf_alloc = VSOCK_BUFFER_BYTES;
    hdr->fwd_cnt = conn->credit.in_forwarded;
    conn->credit.in_advertised = conn->credit.in_forwarded;
    conn->wants &= ~(unsigned)VSOCK_SEND_CREDIT;
    push(conn->vsock, chain, hdr);
}

/* Data from the socket straight into the guest's buffer. True when the chain was used. */
static bool send_data(struct vsock_conn *conn, const struct vq_chain *chain)
{
    struct vsock *v = conn->vsock;
    struct virtio_vsock_hdr hdr = header(v, conn->host_port, conn->guest_port, VIRTIO_VSOCK_OP_RW);
    /* A program that writes as fast as it is read would fill whatever the guest gives. */
    uint64_t room = MIN(MIN(chain->write_bytes - VSOCK_HDR_BYTES, (uint64_t)VSOCK_BUFFER_BYTES),
                        vsock_credit_out(&conn->credit));
    struct iovec iov[VQ_MAX_SEGMENTS];
    ssize_t n;
    int n_iov;

    conn->wants &= ~(unsigned)VSOCK_SEND_DATA;
    if (room == 0) { /* the guest's reader is slow: its next credit update goes on */
        vsock_conn_read_watch(conn, false);
        if (!conn->asked_credit)
            conn->wants |= VSOCK_SEND_CREDIT_REQUEST;
        return false;
    }
    n_iov = vq_chain_iovec(chain, true, VSOCK_HDR_BYTES, room, iov, VQ_MAX_SEGMENTS);
    n = n_iov > 0 ? readv(conn->fd, iov, n_iov) : -1;
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        vsock_conn_read_watch(conn, true);
        return false;
    }
    if (n <= 0) {
        /* ECONNRESET: it left without reading all it was sent. What it sent was read before. */
        if (n < 0 && errno != ECONNRESET)
            vsock_conn_reset(conn);
        else
            vsock_conn_host_ended(conn);
        return false;
    }
    gmem_mark_written(worker_mem(v->worker), iov, (size_t)n_iov, (size_t)n);
    conn->credit.out_sent += (uint32_t)n;
    turn_spend(worker_turn(v->worker), (uint64_t)n);
    hdr.len = (uint32_t)n;
    push_for(conn, chain, &hdr);
    if ((uint64_t)n == room)
        conn->wants |= VSOCK_SEND_DATA; /* there may be more */
    else
        vsock_conn_read_watch(conn, true);
    return true;
}

static uint16_t next_control(struct vsock_conn *conn)
{
    static const struct {
        unsigned want;
        uint16_t op;
    } order[] = {
        { VSOCK_SEND_RESET, VIRTIO_VSOCK_OP_RST },
        { VSOCK_SEND_REQUEST, VIRTIO_VSOCK_OP_REQUEST },
        { VSOCK_SEND_RESPONSE, VIRTIO_VSOCK_OP_RESPONSE },
        { VSOCK_SEND_CREDIT, VIRTIO_VSOCK_OP_CREDIT_UPDATE },
        { VSOCK_SEND_CREDIT_REQUEST, VIRTIO_VSOCK_OP_CREDIT_REQUEST },
        { VSOCK_SEND_SHUTDOWN, VIRTIO_VSOCK_OP_SHUTDOWN },
    };

    for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
        if (conn->wants & order[i].want) {
            conn->wants &= ~order[i].want;
            return order[i].op;
        }
    }
    return VIRTIO_VSOCK_OP_INVALID;
}

/* One packet of one connection. True when the chain was used; the connection may be gone then. */
static bool send_one(struct vsock_conn *conn, const struct vq_chain *chain)
{
    struct vsock *v = conn->vsock;
    struct virtio_vsock_hdr hdr;
    uint16_t op = next_control(conn);

    if (op == VIRTIO_VSOCK_OP_INVALID)
        return (conn->wants & VSOCK_SEND_DATA) && send_data(conn, chain);
    hdr = header(v, conn->host_port, conn->guest_port, op);
    if (op == VIRTIO_VSOCK_OP_SHUTDOWN)
        hdr.flags = conn->host_shutdown;
    if (op == VIRTIO_VSOCK_OP_CREDIT_REQUEST)
        conn->asked_credit = true;
    if (op == VIRTIO_VSOCK_OP_RESPONSE)
        vsock_conn_read_watch(conn, true);
    push_for(conn, chain, &hdr);
    if (op == VIRTIO_VSOCK_OP_RST)
        vsock_conn_guest_ended(conn);
    return true;
}

static bool send_next(struct vsock *v, const struct vq_chain *chain)
{
    struct vsock_conn *conn;

    if (v->n_resets > 0) {
        struct vsock_reset reset = v->resets[v->resets_at];
        struct virtio_vsock_hdr hdr =
            header(v, reset.host_port, reset.guest_port, VIRTIO_VSOCK_OP_RST);

        v->resets_at = (v->resets_at + 1) % VSOCK_MAX_RESETS;
        v->n_resets--;
        push(v, chain, &hdr);
        return true;
    }
    while ((conn = v->table.wait_first)) {
        uint32_t generation = conn->generation;
        bool used;

        vsock_table_unwait(&v->table, conn);
        used = send_one(conn, chain);
        if (conn->generation == generation && conn->state != VSOCK_FREE && conn->wants)
            vsock_table_wait(&v->table, conn); /* to the end of the line */
        if (used)
            return true;
    }
    return false;
}

int vsock_rx(struct vsock *v)
{
    struct vq *vq = worker_vq(v->worker, VSOCK_RXQ);
    struct vq_chain chain;
    int r = 0;

    if (!worker_running(v->worker))
        return 0;
    for (unsigned i = 0; v->n_resets > 0 || v->table.wait_first; i++) {
        if (i == VSOCK_BATCH || turn_over(worker_turn(v->worker))) {
            worker_rerun(v->worker, VSOCK_RXQ);
            break;
        }
        r = vq_pop(vq, &chain);
        if (r == VQ_EMPTY && vq_rearm(vq))
            continue;
        if (r != 0)
            break;
        if (chain.write_bytes < VSOCK_HDR_BYTES + 1) { /* nothing fits in it */
            vq_push(vq, chain.head, 0);
            v->stats->errors++;
            continue;
        }
        if (!send_next(v, &chain)) {
            vq_unpop(vq, &chain);
            break;
        }
    }
    vq_notify(vq);
    if (v->tx_stalled && v->n_resets < VSOCK_MAX_RESETS) {
        v->tx_stalled = false;
        worker_rerun(v->worker, VSOCK_TXQ);
    }
    return r == VQ_EMPTY ? 0 : r;
}
