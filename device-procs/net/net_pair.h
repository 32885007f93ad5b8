/* SPDX-License-Identifier: Apache-2.0 */
/* net_pair.h - one queue pair: its port, and what both of its queues need. */
#pragma once

#include "common/turn.h"
#include "common/worker.h"
#include "net_device.h"

/* One frame with its 12-byte header into pair->frame. 0, NET_PORT_EMPTY, NET_PORT_GONE; NET_PORT_BROKEN or
 * NET_PORT_DOWN: counted, and pair->rx_broken is set. */
int net_pair_read(struct net_pair *pair);
/* One frame of frame_bytes: iov[0] is the 12-byte header, and may be written to. 0, NET_PORT_FULL (not
 * taken), or NET_PORT_BROKEN, _DOWN, _GONE (dropped). */
int net_pair_write(struct net_pair *pair, struct iovec *iov, int n_iov, size_t frame_bytes);
/* A write to the pair's tap failed with this errno (positive): NET_PORT_BROKEN, or _DOWN, _GONE if the
 * interface is why. */
int net_pair_failed(const struct net_pair *pair, int error);
/* Counts a frame to the host; not sent: an error, dropped. */
void net_pair_count(struct net_pair *pair, bool sent, size_t frame_bytes);
/* Before frames are given back to the guest: counts the latency of those that were sent since stats had
 * sent_before. Returns when the next ones' begins; since_ns as such, by now_ns(). */
uint64_t net_pair_took(struct net_pair *pair, uint64_t sent_before, uint64_t since_ns);

/* Whether the i-th frame of a batch may be begun. The clock is read with every few. */
static inline bool net_turn_goes_on(const struct net *net, unsigned i)
{
    struct turn *turn = worker_turn(net->worker);

    if (i >= NET_BATCH)
        return false;
    return i % NET_FRAMES_PER_CLOCK == 0 ? !turn_over(turn) : !turn_is_spent(turn);
}

static inline struct vq *net_rxq(const struct net_pair *pair)
{
    return worker_vq(pair->net->worker, 2 * pair->index);
}
static inline struct vq *net_txq(const struct net_pair *pair)
{
    return worker_vq(pair->net->worker, 2 * pair->index + 1);
}
