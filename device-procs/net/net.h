/* SPDX-License-Identifier: Apache-2.0 */
/* net.h - the network device's parts: net.c (worker, configuration), net_port.c (tap or stream),
 * net_link.c (what the guest sees of it), net_rx.c, net_tx.c (one queue pair each way), net_ctrl.c
 * (control queue).
 *
 * A queue pair p has queues 2p (receive) and 2p + 1 (transmit) and one port to the host. */
#pragma once

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>
#include "common/worker.h"
#include "net_hdr.h"
#include "net_stream.h"

enum {
    NET_MAX_PAIRS = 16,
    NET_BATCH = RING_FRAMES_ENTRIES, /* frames at once, then the others get theirs, or when the turn
                                        is over */
    NET_FRAMES_PER_CLOCK = 4,
    NET_MAX_RX_BUFFERS = 64, /* merged for one frame */
    NET_SHORT_MS = 2000,     /* a frame waits so long for the rest of its buffers */
};
#define NET_BIT(f) (1ull << (f))

struct net;

struct net_pair {
    struct net *net;
    unsigned index;
    int fd;
    bool enabled;                /* by the driver; pair 0 always */
    bool rx_broken;              /* the port gave an error: looked at again by the timer */
    bool rx_warned;              /* of that, once */
    unsigned rx_errors;          /* in a row: each makes the pause longer */
    bool rx_stopped, tx_stopped; /* as the watches are */
    unsigned answers_missing;    /* batches sent without an answer in the tap after them */
    unsigned sent_unasked;       /* batches after which the tap was not asked */
    struct loop_event *rx_event, *tx_event;
    /* The one frame that was taken from the host and waits for the guest's buffers. */
    uint8_t *frame;
    size_t frame_bytes; /* with its header, 0: none */
    uint64_t
        short_until_ns; /* the guest's buffers are too few for it; 0: no buffers, or no frame */
};

struct net_burst;

struct net {
    struct worker *worker;
    struct stats_page *stats;
    const struct worker_ops *ops;
    struct virtio_net_config config;
    uint8_t mac[NET_MAC_BYTES]; /* what the host gave it; the driver may set another in config */
    bool mac_inherited;         /* what config has may not be what the guest sees */
    uint64_t features;          /* negotiated; 0: no driver */
    uint64_t offered;
    unsigned n_pairs;
    unsigned n_enabled;
    unsigned ctrl_queue;
    bool stream, mac_filter;
    bool link_wanted; /* by the user */
    bool link_up;     /* for the guest */
    bool port_gone;   /* the tap was deleted, the stream has ended: only the broker can help */
    bool port_down;   /* the tap's interface: looked at again when it takes frames */
    uint32_t mtu;
    struct loop_event *retry; /* broken ports, empty buckets */
    uint64_t retry_due_ns;    /* 0: not armed */
    struct net_limit *limit;
    struct net_burst *burst; /* NULL: a system call for each frame */
    unsigned n_looks;
    bool draining; /* the rest of a frame keeps it from being drained */
    struct net_stream_in stream_in;
    size_t stream_peeked; /* bytes at its end that the socket still has */
    uint8_t *stream_out;  /* rest of a frame that the socket took only in part */
    size_t stream_out_at, stream_out_end;
    uint64_t stream_id;      /* its inode */
    bool stream_takes_whole; /* frames are not cut once it is writable */
    uint64_t drain_until_ns; /* what is left of a frame by then stays */
    struct net_pair pairs[NET_MAX_PAIRS];
};

/* ---- net_port.c: the host's side ---- */

/* Positive: caller must handle. Other numbers than VQ_EMPTY and VQ_E_GUEST, which meet them. */
enum { PORT_EMPTY = 10, PORT_FULL, PORT_BROKEN };

/* Before the sandbox: type checks. */
int net_port_setup(struct net *net, unsigned pair, int fd) must_check;
/* The driver agreed to these: frames come as it can take them. Also finds out which pairs are
 * attached when a predecessor of this process had enabled them. */
int net_port_activate(struct net *net, bool resume) must_check;
int net_port_enable(struct net *net, unsigned n_pairs) must_check;
/* One frame with its 12-byte header into pair->frame. 0, PORT_EMPTY or PORT_BROKEN. */
int net_port_read(struct net_pair *pair);
/* One frame: iov[0] is the 12-byte header. 0, PORT_FULL (not taken) or PORT_BROKEN (dropped). */
int net_port_write(struct net_pair *pair, struct iovec *iov, int n_iov, size_t frame_bytes);
/* A read or write failed with this errno: the link is lost if the tap is down or gone. */
void net_port_failed(struct net_pair *pair, int error);
/* A port that was lost: whether it carries frames again, set up as the driver wants it. */
bool net_port_look_again(struct net *net);
/* What was handed to the guest leaves the stream for good. */
void net_port_commit(struct net *net);
/* Sends what is left over of a frame that the stream took only in part. */
int net_port_flush(struct net *net);
static inline bool net_port_has_rest(const struct net *net)
{
    return net->stream_out_at < net->stream_out_end;
}

/* ---- net_link.c: the link that the guest sees ---- */

void net_link_want(struct net *net, bool up);
/* The port carries nothing any more. gone: not by itself again. Told to the broker once. */
void net_link_lost(struct net *net, bool gone);
void net_link_found(struct net *net);

/* ---- net_rx.c, net_tx.c ---- */

int net_rx(struct net_pair *pair);
int net_tx(struct net_pair *pair);
void net_rx_watch(struct net_pair *pair, bool on);
void net_tx_watch(struct net_pair *pair, bool on);
void net_tx_count(struct net *net, bool sent, size_t frame_bytes); /* not sent: an error, dropped */
/* Counts their latency; when the next ones' begins. */
uint64_t net_tx_took(struct net *net, uint64_t sent_before, uint64_t since_ns);
void net_on_rx_ready(int fd, unsigned what, void *arg);
void net_on_tx_ready(int fd, unsigned what, void *arg);

/* What is copied of a frame before it is checked. */
struct net_tx_head {
    struct virtio_net_hdr_v1 hdr;
    uint8_t eth[NET_ETH_BYTES];
};
enum { NET_TX_HEAD_BYTES = NET_HDR_BYTES + NET_ETH_BYTES };
_Static_assert(sizeof(struct net_tx_head) == NET_TX_HEAD_BYTES, "goes out as it lies");

/* ---- net_burst.c: many frames to a tap at once ---- */

/* Before the sandbox; net->burst stays NULL where frames go one by one. */
int net_burst_new(struct net *net) must_check;
/* Whether any frame still fits; always true after net_burst_send(). */
bool net_burst_has_room(const struct net_burst *burst);
/* Takes a chain that was popped. head: the frame was checked; NULL: it was dropped, and is only to
 * be completed in its place. */
void net_burst_add(struct net_burst *burst, const struct vq_chain *chain,
                   const struct net_tx_head *head);
/* Sends all to the pair's tap and completes their chains at once. */
void net_burst_send(struct net_pair *pair);

/* ---- net_ctrl.c ---- */

int net_ctrl(struct net *net);

/* ---- net_limit.c ---- */

int net_limit_new(struct net *net, const Bulkhead__RateLimit *limit) must_check;
void net_limit_set(struct net *net, const Bulkhead__RateLimit *limit);
/* Whether a frame may pass now; if not, the retry timer is armed. A frame is charged when its size
 * is known, so a bucket may go below zero by one frame and makes up for it. */
bool net_limit_ready(struct net *net, bool rx);
void net_limit_charge(struct net *net, bool rx, size_t bytes);

/* ---- net.c ---- */

/* Whether the i-th frame of a batch may be begun. The clock is read with every few. */
static inline bool net_turn_goes_on(const struct net *net, unsigned i)
{
    struct turn *turn = worker_turn(net->worker);

    if (i >= NET_BATCH)
        return false;
    return i % NET_FRAMES_PER_CLOCK == 0 ? !turn_over(turn) : !turn_is_spent(turn);
}

void net_retry_after(struct net *net, uint64_t ms);
void net_drained(struct net *net); /* if it was asked to drain */
static inline struct vq *net_rxq(const struct net_pair *pair)
{
    return worker_vq(pair->net->worker, 2 * pair->index);
}
static inline struct vq *net_txq(const struct net_pair *pair)
{
    return worker_vq(pair->net->worker, 2 * pair->index + 1);
}
