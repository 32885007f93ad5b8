/* SPDX-License-Identifier: Apache-2.0 */
/* net_burst.h - many frames to a tap at once. */
#pragma once

#include "net_device.h"

/* What is copied of a frame before it is checked: its header and its first `bytes`. */
struct net_tx_head {
    struct virtio_net_hdr_v1 hdr;
    uint8_t frame[NET_HEAD_MAX_BYTES];
    size_t bytes;
};
_Static_assert(offsetof(struct net_tx_head, frame) == NET_HDR_BYTES, "goes out as it lies");

/* Before the sandbox, when all taps are set; net->burst stays NULL where frames go one by one. 0 or
 * negative errno. */
int net_burst_new(struct net *net) must_check;
/* Whether any frame still fits; always true after net_burst_send(). */
bool net_burst_has_room(const struct net_burst *burst);
/* Takes a chain that was popped. head: the frame was checked; NULL: it was dropped, and is only to
 * be completed in its place. */
void net_burst_add(struct net_burst *burst, const struct vq_chain *chain,
                   const struct net_tx_head *head);
/* Sends all to the pair's tap and completes their chains at once. 0, or what the last frame that failed
 * failed of: NET_PORT_BROKEN, _DOWN, _GONE. */
int net_burst_send(struct net_pair *pair);
