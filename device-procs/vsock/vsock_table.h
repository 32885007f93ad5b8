/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_table.h - the connections: a fixed number, found by their two ports. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "base/compiler.h"
#include "base/loop.h"
#include "common/fifo.h"
#include "vsock_pkt.h"

enum { VSOCK_MAX_CONNECTIONS = 1280, VSOCK_HASH_SLOTS = 2048 };

enum vsock_state {
    VSOCK_FREE = 0,
    VSOCK_GREETING,  /* a host program is there, its line is not */
    VSOCK_REQUESTED, /* the guest was asked */
    VSOCK_OPENING,   /* the broker was asked */
    VSOCK_OPEN,
    VSOCK_ENDING,    /* only a reset is left to be sent, and perhaps bytes to the host */
    VSOCK_LINGERING, /* over for the guest; what it sent still goes to the host's program */
};

/* What a connection wants to tell the guest, as bits; sent in this order. */
enum {
    VSOCK_SEND_REQUEST = 1 << 0,
    VSOCK_SEND_RESPONSE = 1 << 1,
    VSOCK_SEND_DATA = 1 << 2,
    VSOCK_SEND_SHUTDOWN = 1 << 3,
    VSOCK_SEND_CREDIT = 1 << 4,
    VSOCK_SEND_CREDIT_REQUEST = 1 << 5,
    VSOCK_SEND_RESET = 1 << 6,
};

struct vsock;

struct vsock_conn {
    struct vsock *vsock;
    enum vsock_state state;
    uint32_t host_port, guest_port;
    uint32_t generation; /* grows with each use of the slot: tells old answers from new */
    int fd;
    struct loop_event *read_event, *write_event;
    bool read_paused, write_paused;
    bool ask_due;            /* opening: the broker is yet to be asked */
    bool host_ended;         /* end of file from the socket */
    bool asked_credit;       /* and no answer came yet */
    uint32_t guest_shutdown; /* VIRTIO_VSOCK_SHUTDOWN_* as the guest said */
    uint32_t host_shutdown;  /* as we said, or will */
    unsigned wants;          /* VSOCK_SEND_* */
    uint64_t deadline_ns;    /* 0: none */
    uint64_t lingers_since;  /* counts up; only while lingering */
    struct vsock_credit credit;
    struct fifo to_host; /* what the socket has not taken yet */
    char line[VSOCK_LINE_BYTES];
    unsigned line_len;
    struct vsock_conn *hash_next;
    struct vsock_conn *free_next;
    struct vsock_conn *wait_prev, *wait_next; /* in the line of those who want to send */
    bool waiting;
};

struct vsock_table {
    struct vsock_conn conns[VSOCK_MAX_CONNECTIONS];
    struct vsock_conn *hash[VSOCK_HASH_SLOTS];
    struct vsock_conn *free;
    struct vsock_conn *wait_first, *wait_last;
    unsigned n_used;
    uint64_t n_lingered; /* so far */
    uint32_t next_host_port;
    uint8_t *buffers; /* VSOCK_MAX_CONNECTIONS x VSOCK_BUFFER_BYTES, touched only when used */
};

int vsock_table_init(struct vsock_table *table) must_check;
/* NULL: full. With a guest port: entered in the hash, the pair must be new. */
struct vsock_conn *vsock_table_new(struct vsock_table *table);
void vsock_table_enter(struct vsock_table *table, struct vsock_conn *conn, uint32_t host_port,
                       uint32_t guest_port);
void vsock_table_free(struct vsock_table *table, struct vsock_conn *conn);
/* The guest knows it no more: its ports may be used anew. Its slot stays taken. */
void vsock_table_linger(struct vsock_table *table, struct vsock_conn *conn);
/* Who lingers longest, or NULL. */
struct vsock_conn *vsock_table_oldest_lingering(struct vsock_table *table);
struct vsock_conn *vsock_table_find(struct vsock_table *table, uint32_t host_port,
                                    uint32_t guest_port);
/* A host port for a program that connects to guest_port; never one in use with it. */
uint32_t vsock_table_port(struct vsock_table *table, uint32_t guest_port);
/* What the broker echoes. */
uint32_t vsock_table_token(const struct vsock_table *table, const struct vsock_conn *conn);
struct vsock_conn *vsock_table_by_token(struct vsock_table *table, uint32_t token);
/* The line of those who want to send: first in, first out, each at most once. */
void vsock_table_wait(struct vsock_table *table, struct vsock_conn *conn);
void vsock_table_unwait(struct vsock_table *table, struct vsock_conn *conn);
