/* SPDX-License-Identifier: Apache-2.0 */
/* net_device.h - what the network device's parts share, types only: net_hdr, net_ctrl (what a guest
 * says), net_stream, net_limit <- net_tap, net_passt (the host's side) <- net_pair (one queue pair),
 * net_link (what the guest sees of the port) <- net_rx, net_burst <- net_tx <- net (events) <-
 * net_main (start).
 *
 * A queue pair p has queues 2p (receive) and 2p + 1 (transmit) and one port to the host. */
#pragma once

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>
#include "common/worker.h"
#include "net_hdr.h"
#include "net_limit.h"
#include "net_passt.h"
#include "net_tap.h"

enum {
    NET_MAX_PAIRS = 16,
    NET_BATCH = RING_FRAMES_ENTRIES, /* frames at once, then the others get theirs, or when the turn
                                        is over */
    NET_FRAMES_PER_CLOCK = 4,
    NET_MAX_RX_BUFFERS = 64, /* merged for one frame */
    NET_SHORT_MS = 2000,     /* a frame waits so long for the rest of its buffers */
};

enum net_port_word { NET_PORT_IS_WELL, NET_PORT_IS_DOWN, NET_PORT_IS_GONE };

/* What a queue waits for after its turn. net.c sees to it: it alone has watches and timers. */
enum net_waits {
    NET_WAITS_AGAIN,   /* for its next turn: there may be more */
    NET_WAITS_BUFFERS, /* for the guest, or for until_ns, whichever comes first */
    NET_WAITS_PORT,    /* for the port: frames, or room for them */
    NET_WAITS_UNTIL,   /* for until_ns alone */
    NET_WAITS_LOST,    /* the port was lost; it is looked at again at until_ns */
};
struct net_wait {
    enum net_waits what;
    bool gone;         /* with NET_WAITS_LOST: NET_PORT_GONE, else NET_PORT_DOWN */
    uint64_t until_ns; /* by now_ns(); 0: never */
};

struct net;

struct net_pair {
    struct net *net;
    unsigned index;
    struct net_tap tap;          /* with a stream unused */
    int fd;                      /* of the port, to be watched */
    bool enabled;                /* by the driver; pair 0 always */
    bool rx_broken;              /* the port gave an error: looked at again by the timer */
    bool rx_warned;              /* of that, once */
    unsigned rx_errors;          /* in a row: each makes the pause longer */
    bool rx_stopped, tx_stopped; /* as the watches are */
    unsigned answers_missing;    /* batches sent without an answer in the tap after them */
    unsigned sent_unasked;       /* batches after which the tap was not asked */
    struct loop_event *rx_event, *tx_event;
    /* The one frame that was taken from the host and waits for the guest's buffers. */
    uint8_t *frame;     /* NET_HDR_BYTES + NET_MAX_FRAME_BYTES of room */
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
    bool mac_filter;
    bool link_wanted; /* by the user */
    bool link_up;     /* for the guest */
    bool port_gone;   /* the tap was deleted, the stream has ended: only the broker can help */
    bool port_down;   /* the tap's interface: looked at again when it takes frames */
    enum net_port_word port_said; /* what the broker was told last of the two */
    uint32_t mtu;
    struct loop_event *retry; /* broken ports, empty buckets */
    uint64_t retry_due_ns;    /* 0: not armed */
    struct net_limit *limit;
    struct net_burst *burst; /* NULL: a system call for each frame */
    struct net_passt *passt; /* NULL: taps */
    unsigned n_looks;
    bool draining;           /* the rest of a frame keeps it from being drained */
    uint64_t drain_until_ns; /* what is left of a frame by then stays */
    struct net_pair pairs[NET_MAX_PAIRS];
};
