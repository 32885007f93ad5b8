/* SPDX-License-Identifier: Apache-2.0 */
/* net_tx.c - frames from the guest to the host.
 *
 * The virtio header and the Ethernet header are copied first, and of a frame that is to be cut its other
 * headers too: what was checked is what is sent, whatever the guest writes meanwhile. The rest goes out
 * from where it lies.
 */
#include "net_tx.h"

#include "net_burst.h"
#include "net_pair.h"
#include "net_port.h"

enum { TX_IOVECS = VQ_MAX_SEGMENTS + 2 };

static int check(const struct net *net, const struct vq_chain *chain, struct net_tx_head *head)
{
    uint64_t frame_bytes;

    if (chain->read_bytes < NET_HDR_BYTES + NET_ETH_BYTES)
        return NET_E_LIES;
    frame_bytes = chain->read_bytes - NET_HDR_BYTES;
    (void)vq_chain_read(chain, 0, &head->hdr, NET_HDR_BYTES);
    if (net_hdr_check_tx(&head->hdr, net->features, frame_bytes) != 0)
        return NET_E_LIES;
    head->bytes = head->hdr.gso_type == VIRTIO_NET_HDR_GSO_NONE
                      ? (size_t)NET_ETH_BYTES
                      : MIN((size_t)frame_bytes, sizeof(head->frame));
    (void)vq_chain_read(chain, NET_HDR_BYTES, head->frame, head->bytes);
    if (!net_hdr_fits_mtu(&head->hdr, head->frame, head->bytes, frame_bytes, net->mtu))
        return NET_E_LIES;
    if (net->mac_filter && !net_source_is(head->frame, net->config.mac))
        return NET_E_LIES;
    return 0;
}

/* A pair that the driver has not enabled has no queue of the tap's. */
static bool carries(const struct net_pair *pair)
{
    return pair->net->link_up && pair->enabled;
}

/* 0: done with it (sent or dropped); NET_PORT_DOWN, _GONE: the same, and the port was lost;
 * NET_PORT_FULL: later. */
static int send_frame(struct net_pair *pair, const struct vq_chain *chain)
{
    struct net *net = pair->net;
    struct net_tx_head head;
    struct iovec iov[TX_IOVECS];
    size_t frame_bytes;
    int n, r;

    if (!carries(pair) || check(net, chain, &head) != 0) {
        net->stats->dropped++;
        return 0;
    }
    frame_bytes = (size_t)chain->read_bytes - NET_HDR_BYTES;
    iov[0] = (struct iovec){ .iov_base = &head.hdr, .iov_len = NET_HDR_BYTES };
    iov[1] = (struct iovec){ .iov_base = head.frame, .iov_len = head.bytes };
    n = vq_chain_iovec(chain, false, NET_HDR_BYTES + head.bytes, frame_bytes - head.bytes, iov + 2,
                       TX_IOVECS - 2);
    r = n < 0 ? NET_PORT_BROKEN : net_pair_write(pair, iov, n + 2, frame_bytes);
    if (r == NET_PORT_FULL)
        return r;
    net_pair_count(pair, r == 0, frame_bytes);
    net_limit_charge(net->limit, false, frame_bytes);
    return r == NET_PORT_BROKEN ? 0 : r;
}

/* 0: a frame may pass; else when. What is dropped waits for nothing. */
static uint64_t limited_until_ns(const struct net_pair *pair)
{
    struct net *net = pair->net;
    uint64_t until_ns = carries(pair) ? net_limit_until_ns(net->limit, false) : 0;

    net->stats->throttled += until_ns != 0;
    return until_ns;
}

/* Frames one by one: 0 when there may be more, at *ret_until_ns if that is set; NET_PORT_FULL, _DOWN,
 * _GONE, VQ_EMPTY or VQ_E_GUEST. */
static int send_singly(struct net_pair *pair, uint64_t *ret_until_ns)
{
    struct net *net = pair->net;
    struct vq *vq = net_txq(pair);
    struct vq_chain chain;
    uint64_t since = 0;
    int r = 0;

    for (unsigned i = 0; r == 0 && net_turn_goes_on(net, i); i++) {
        uint64_t sent_before = net->stats->write_ops;

        *ret_until_ns = limited_until_ns(pair);
        if (*ret_until_ns != 0)
            break;
        r = vq_pop(vq, &chain);
        if (r != 0)
            break;
        if (since == 0)
            since = now_ns();
        turn_spend(worker_turn(net->worker), chain.read_bytes);
        r = send_frame(pair, &chain);
        since = net_pair_took(pair, sent_before, since);
        if (r == NET_PORT_FULL)
            vq_unpop(vq, &chain);
        else
            vq_push(vq, chain.head, 0);
    }
    return r;
}

/* The same with one system call for all. *ret_lost: NET_PORT_DOWN or NET_PORT_GONE if the port was lost
 * in it. */
static int send_burst(struct net_pair *pair, uint64_t *ret_until_ns, int *ret_lost)
{
    struct net *net = pair->net;
    struct net_tx_head head;
    struct vq_chain chain;
    int r = 0;

    for (unsigned i = 0; net_turn_goes_on(net, i) && net_burst_has_room(net->burst); i++) {
        bool good;

        *ret_until_ns = limited_until_ns(pair);
        if (*ret_until_ns != 0)
            break;
        r = vq_pop(net_txq(pair), &chain);
        if (r != 0)
            break;
        good = carries(pair) && check(net, &chain, &head) == 0;
        if (good)
            net_limit_charge(net->limit, false, (size_t)chain.read_bytes - NET_HDR_BYTES);
        else
            net->stats->dropped++;
        turn_spend(worker_turn(net->worker), chain.read_bytes);
        net_burst_add(net->burst, &chain, good ? &head : NULL);
    }
    *ret_lost = net_burst_send(pair);
    return r;
}

int net_tx(struct net_pair *pair, struct net_wait *ret_wait)
{
    struct net *net = pair->net;
    uint64_t until_ns = 0;
    int lost = 0;
    int r = net->burst ? send_burst(pair, &until_ns, &lost) : send_singly(pair, &until_ns);

    *ret_wait = (struct net_wait){ .what = NET_WAITS_BUFFERS };
    if (r == NET_PORT_DOWN || r == NET_PORT_GONE)
        lost = r;
    if (lost == NET_PORT_DOWN || lost == NET_PORT_GONE) {
        *ret_wait = (struct net_wait){ .what = NET_WAITS_LOST, .gone = lost == NET_PORT_GONE };
    } else if (r == NET_PORT_FULL) {
        ret_wait->what = NET_WAITS_PORT;
    } else if (r == 0) {
        if (until_ns == 0) /* the turn is over: is the next one to be at once? */
            until_ns = limited_until_ns(pair);
        ret_wait->what = until_ns != 0 ? NET_WAITS_UNTIL : NET_WAITS_AGAIN;
        ret_wait->until_ns = until_ns;
    }
    vq_notify(net_txq(pair));
    return r == VQ_E_GUEST ? r : 0;
}
