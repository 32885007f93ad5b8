/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_conn.c - one connection's socket on the host. */
#include "vsock_conn.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include "base/fd.h"
#include "vsock_watch.h"

enum { BOTH = VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND };

void vsock_conn_read_watch(struct vsock_conn *conn, bool on)
{
    if (!conn->read_event || conn->read_paused == !on)
        return;
    conn->read_paused = !on;
    if (on)
        (void)loop_event_resume(conn->read_event);
    else
        (void)loop_event_pause(conn->read_event);
}

void vsock_conn_write_watch(struct vsock_conn *conn, bool on)
{
    if (!conn->write_event || conn->write_paused == !on)
        return;
    conn->write_paused = !on;
    if (on)
        (void)loop_event_resume(conn->write_event);
    else
        (void)loop_event_pause(conn->write_event);
}

static void drop_socket(struct vsock_conn *conn)
{
    if (conn->read_event)
        loop_event_free(conn->read_event);
    if (conn->write_event)
        loop_event_free(conn->write_event);
    conn->read_event = conn->write_event = NULL;
    fd_closep(&conn->fd);
}

void vsock_conn_close(struct vsock_conn *conn)
{
    struct vsock *v = conn->vsock;

    drop_socket(conn);
    vsock_table_free(&v->table, conn);
    vsock_watch_listen(v, true);
}

/* Lingering costs a slot, so it lasts while nobody else needs that. */
struct vsock_conn *vsock_conn_new(struct vsock *v)
{
    struct vsock_conn *conn;

    if (!v->table.free && (conn = vsock_table_oldest_lingering(&v->table))) {
        v->stats->dropped += conn->to_host.len_bytes;
        vsock_conn_close(conn);
    }
    conn = vsock_table_new(&v->table);
    if (conn)
        conn->vsock = v;
    return conn;
}

void vsock_conn_want(struct vsock_conn *conn, unsigned wants)
{
    conn->wants |= wants;
    if (conn->wants)
        vsock_table_wait(&conn->vsock->table, conn);
}

void vsock_conn_reset(struct vsock_conn *conn)
{
    /* The guest never heard of it, and may have no driver that takes a reset, for as long as it
     * lives. */
    if (conn->state == VSOCK_GREETING || (conn->wants & VSOCK_SEND_REQUEST)) {
        vsock_conn_close(conn);
        return;
    }
    drop_socket(conn);
    conn->state = VSOCK_ENDING;
    conn->wants = 0;
    vsock_conn_want(conn, VSOCK_SEND_RESET);
}

void vsock_conn_finish(struct vsock_conn *conn)
{
    if (conn->to_host.len_bytes == 0) {
        vsock_conn_reset(conn);
        return;
    }
    vsock_conn_read_watch(conn, false);
    conn->state = VSOCK_ENDING;
    conn->wants = 0;
    vsock_conn_want(conn, VSOCK_SEND_RESET);
}

void vsock_conn_guest_ended(struct vsock_conn *conn)
{
    if (conn->fd < 0 || conn->to_host.len_bytes == 0) {
        vsock_conn_close(conn);
        return;
    }
    vsock_conn_read_watch(conn, false); /* that the program leaves is seen when it is written to */
    conn->wants = 0;
    conn->deadline_ns = 0;
    vsock_table_linger(&conn->vsock->table, conn);
    vsock_watch_listen(conn->vsock, true); /* as good as free */
}

/* ---- from the guest to the socket ---- */

static void forwarded(struct vsock_conn *conn, size_t len)
{
    conn->credit.in_forwarded += (uint32_t)len;
    conn->vsock->stats->write_bytes += len;
    if (conn->state == VSOCK_OPEN && vsock_credit_worth_telling(&conn->credit))
        vsock_conn_want(conn, VSOCK_SEND_CREDIT);
}

/* All is out: what waited for that happens now. */
static void drained(struct vsock_conn *conn)
{
    vsock_conn_write_watch(conn, false);
    if (conn->state == VSOCK_LINGERING)
        vsock_conn_close(conn);
    else if (conn->state == VSOCK_ENDING)
        drop_socket(conn);
    else if ((conn->guest_shutdown & BOTH) == BOTH)
        vsock_conn_reset(conn); /* the end of the orderly way, 5.10.6.5 */
    else if (conn->guest_shutdown & VIRTIO_VSOCK_SHUTDOWN_SEND)
        (void)shutdown(conn->fd, SHUT_WR);
}

static bool is_retry(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

/* It closed its end, or did so without reading all that it was sent. */
static bool is_end(int error)
{
    return error == EPIPE || error == ECONNRESET;
}

/* The host's program reads no more, but what it sent may still be on the way to the guest. */
static void write_failed(struct vsock_conn *conn, int error)
{
    conn->vsock->stats->dropped += conn->to_host.len_bytes;
    if (conn->state == VSOCK_LINGERING) {
        vsock_conn_close(conn);
        return;
    }
    if (conn->state == VSOCK_ENDING) {
        fifo_consume(&conn->to_host, conn->to_host.len_bytes);
        drop_socket(conn);
        return;
    }
    if (!is_end(error)) {
        vsock_conn_reset(conn);
        return;
    }
    conn->credit.in_forwarded += (uint32_t)conn->to_host.len_bytes;
    fifo_consume(&conn->to_host, conn->to_host.len_bytes);
    vsock_conn_write_watch(conn, false);
    if ((conn->guest_shutdown & BOTH) == BOTH) { /* nothing is left to be sent either way */
        vsock_conn_reset(conn);
        return;
    }
    conn->host_shutdown |= VIRTIO_VSOCK_SHUTDOWN_RCV;
    vsock_conn_want(conn, VSOCK_SEND_SHUTDOWN);
}

void vsock_conn_writable(struct vsock_conn *conn)
{
    const uint8_t *data;
    size_t len;

    while ((len = fifo_peek(&conn->to_host, &data)) > 0) {
        ssize_t n = write(conn->fd, data, len);

        if (n <= 0) {
            if (n < 0 && !is_retry(errno))
                write_failed(conn, errno);
            else
                vsock_conn_write_watch(conn, true);
            return;
        }
        fifo_consume(&conn->to_host, (size_t)n);
        forwarded(conn, (size_t)n);
    }
    drained(conn);
}

static void keep(struct vsock_conn *conn, const struct vq_chain *chain, size_t off, size_t len)
{
    uint8_t buf[4096];

    while (len > 0) {
        size_t n = vq_chain_read(chain, VSOCK_HDR_BYTES + off, buf, MIN(len, sizeof(buf)));

        if (n == 0)
            return;
        (void)fifo_put(&conn->to_host, buf, n); /* fits: the credit says so */
        off += n;
        len -= n;
    }
}

void vsock_conn_deliver(struct vsock_conn *conn, const struct vq_chain *chain, uint32_t len)
{
    struct iovec iov[VQ_MAX_SEGMENTS];
    ssize_t n = 0;
    int n_iov;

    if (len == 0)
        return;
    if (conn->host_shutdown & VIRTIO_VSOCK_SHUTDOWN_RCV) { /* sent before the guest knew */
        conn->credit.in_received += len;
        conn->credit.in_forwarded += len;
        conn->vsock->stats->dropped += len;
        return;
    }
    if (conn->to_host.len_bytes == 0) {
        n_iov = vq_chain_iovec(chain, false, VSOCK_HDR_BYTES, len, iov, VQ_MAX_SEGMENTS);
        n = n_iov > 0 ? writev(conn->fd, iov, n_iov) : 0;
        if (n < 0 && !is_retry(errno)) {
            conn->credit.in_received += len;
            conn->credit.in_forwarded += len;
            write_failed(conn, errno);
            return;
        }
        n = MAX(n, 0);
    }
    conn->credit.in_received += len;
    if ((size_t)n < len) {
        keep(conn, chain, (size_t)n, len - (size_t)n);
        vsock_conn_write_watch(conn, true);
    }
    if (n > 0)
        forwarded(conn, (size_t)n);
}

void vsock_conn_guest_shutdown(struct vsock_conn *conn, uint32_t flags)
{
    conn->guest_shutdown |= flags & BOTH;
    if (conn->guest_shutdown & VIRTIO_VSOCK_SHUTDOWN_RCV) {
        vsock_conn_read_watch(conn, false);
        conn->wants &= ~(unsigned)VSOCK_SEND_DATA;
    }
    if ((conn->guest_shutdown & BOTH) == BOTH)
        vsock_watch_deadline(conn, VSOCK_HANDSHAKE_MS); /* for what the socket still has to take */
    if (conn->to_host.len_bytes == 0)
        drained(conn);
}

/* ---- from the socket ---- */

static bool hung_up(const struct vsock_conn *conn)
{
    struct pollfd p = { .fd = conn->fd };

    return poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR));
}

void vsock_conn_host_ended(struct vsock_conn *conn)
{
    uint32_t flags = hung_up(conn) ? BOTH : VIRTIO_VSOCK_SHUTDOWN_SEND;

    conn->host_ended = true;
    vsock_conn_read_watch(conn, false);
    conn->wants &= ~(unsigned)VSOCK_SEND_DATA;
    if ((conn->host_shutdown | flags) == conn->host_shutdown)
        return;
    conn->host_shutdown |= flags;
    /* The guest answers with a reset, or gets one. */
    if (conn->host_shutdown == BOTH)
        vsock_watch_deadline(conn, VSOCK_HANDSHAKE_MS);
    vsock_conn_want(conn, VSOCK_SEND_SHUTDOWN);
}

/* Takes the line's bytes and none after it: those are the stream's. Whether the guest is to be
 * asked. */
static bool greet(struct vsock_conn *conn)
{
    struct vsock_table *table = &conn->vsock->table;
    size_t room = sizeof(conn->line) - conn->line_len;
    char *at = conn->line + conn->line_len;
    uint32_t port;
    const char *end;
    ssize_t n = recv(conn->fd, at, room, MSG_PEEK | MSG_DONTWAIT);
    int r;

    if (n < 0 && is_retry(errno))
        return false;
    if (n <= 0) {
        vsock_conn_close(conn);
        return false;
    }
    end = memchr(at, '\n', (size_t)n);
    n = read(conn->fd, at, end ? (size_t)(end - at) + 1 : (size_t)n);
    if (n <= 0)
        return false;
    conn->line_len += (unsigned)n;
    r = vsock_line_parse(conn->line, conn->line_len, &port);
    if (r < 0) {
        vsock_conn_close(conn);
        return false;
    }
    if (r > 0)
        return false;
    vsock_conn_read_watch(conn, false);
    vsock_table_enter(table, conn, vsock_table_port(table, port), port);
    conn->state = VSOCK_REQUESTED;
    vsock_watch_deadline(conn, VSOCK_HANDSHAKE_MS);
    vsock_conn_want(conn, VSOCK_SEND_REQUEST);
    return true;
}

bool vsock_conn_readable(struct vsock_conn *conn)
{
    if (conn->state == VSOCK_GREETING)
        return greet(conn);
    vsock_conn_want(conn, VSOCK_SEND_DATA);
    return true;
}

/* The guest accepted: the host program hears its own port, then the stream begins. */
void vsock_conn_opened(struct vsock_conn *conn)
{
    char line[VSOCK_LINE_BYTES];
    int len = snprintf(line, sizeof(line), "OK %u\n", conn->host_port);
    ssize_t n;

    conn->state = VSOCK_OPEN;
    conn->deadline_ns = 0;
    conn->vsock->stats->connections++;
    /* A program that sent all it had and left without waiting for this line is served all the same:
     * what it sent lies in the socket. A fresh socket has room for the line; one that hasn't is not
     * a program's that we can serve. */
    n = write(conn->fd, line, (size_t)len);
    if (n < 0)
        write_failed(conn, errno);
    else if (n != len)
        vsock_conn_reset(conn);
    vsock_conn_read_watch(conn, true); /* of one that was reset nothing is left to watch */
}
