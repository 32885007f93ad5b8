/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_device.h - what the socket device's parts share, types only: vsock_pkt <- vsock_table <-
 * vsock_watch (listener and deadlines), vsock_ask (questions to the broker) <- vsock_conn (one
 * connection's socket) <- vsock_rx (packets to the guest), vsock_tx (packets from it) <- vsock (worker, events, broker's answers). */
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
    bool ask_due;     /* of some connection the broker is yet to be asked */
    struct vsock_reset resets[VSOCK_MAX_RESETS];
    unsigned resets_at, n_resets;
    struct vsock_table table;
};
