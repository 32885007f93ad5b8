/* SPDX-License-Identifier: Apache-2.0 */
/* vsock.h - the socket device's parts: vsock.c (worker, listener, broker's answers), vsock_conn.c
 * (one connection's socket), vsock_rx.c (packets to the guest), vsock_tx.c (packets from it). */
#pragma once

#include "common/worker.h"
#include "vsock_pkt.h"
#include "vsock_table.h"

enum { VSOCK_RXQ, VSOCK_TXQ, VSOCK_EVENTQ, VSOCK_QUEUES };
enum {
    VSOCK_BATCH = 64,
    VSOCK_MAX_RESETS = 128, /* answers to packets of no connection, waiting for buffers */
    VSOCK_MAX_ASKED = 64,   /* questions to the broker without an answer */
    VSOCK_HANDSHAKE_MS = 10000,
    VSOCK_SWEEP_MS = 500,
};

struct vsock_reset {
    uint32_t host_port, guest_port;
};

struct vsock {
    struct worker *worker;
    struct stats_page *stats;
    struct virtio_vsock_config config;
    uint64_t cid;
    int listen_fd;
    struct loop_event *listen_event, *sweep;
    bool listen_paused, sweep_armed;
    bool parting;     /* the worker leaves when what the guest sent has gone out */
    bool tx_stalled;  /* no room for another reset: waits for the guest's buffers */
    bool tell_reset;  /* the guest must hear that its connections are gone */
    unsigned n_asked; /* without an answer yet, whether or not the connection is still there */
    struct vsock_reset resets[VSOCK_MAX_RESETS];
    unsigned resets_at, n_resets;
    struct vsock_table table;
};

/* ---- vsock_conn.c ---- */

/* NULL: full. Who lingers longest makes room. */
struct vsock_conn *vsock_conn_new(struct vsock *v);
/* The socket is the connection's from here on, also when it fails. */
int vsock_conn_attach(struct vsock_conn *conn, int fd) must_check;
void vsock_conn_close(struct vsock_conn *conn); /* frees it, tells nobody */
void vsock_conn_reset(struct vsock_conn *conn); /* closes the socket, tells the guest */
/* The same for a connection that ends as it should: what the guest sent before still goes out. */
void vsock_conn_finish(struct vsock_conn *conn);
/* The guest's end is gone. The socket is closed when all that the guest sent has gone out. */
void vsock_conn_guest_ended(struct vsock_conn *conn);
void vsock_conn_want(struct vsock_conn *conn, unsigned wants); /* VSOCK_SEND_* */
/* Bytes from the guest: sent now or kept, in order. */
void vsock_conn_deliver(struct vsock_conn *conn, const struct vq_chain *chain, uint32_t len);
/* What the guest will not do any more: VIRTIO_VSOCK_SHUTDOWN_*. */
void vsock_conn_guest_shutdown(struct vsock_conn *conn, uint32_t flags);
void vsock_conn_read_watch(struct vsock_conn *conn, bool on);
/* End of file from the host's side. */
void vsock_conn_host_ended(struct vsock_conn *conn);
void vsock_conn_opened(struct vsock_conn *conn); /* the guest accepted */

/* ---- vsock_rx.c, vsock_tx.c ---- */

int vsock_rx(struct vsock *v);
int vsock_tx(struct vsock *v);
/* What the guest has sent already, before a reset, a pause, the end: in full, up to a question for a
 * new connection. */
void vsock_tx_rest(struct vsock *v);
int vsock_event(struct vsock *v);
/* Runs vsock_rx() outside of a kick and handles what it says. */
void vsock_pump(struct vsock *v);

/* ---- vsock.c ---- */

void vsock_slot_freed(struct vsock *v); /* the listener may go on */
void vsock_part(void *v);               /* leaves if nothing is owed to the host any more */
void vsock_deadline(struct vsock_conn *conn, uint64_t ms);
int vsock_ask_broker(struct vsock_conn *conn) must_check;
