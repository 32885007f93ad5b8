/* SPDX-License-Identifier: Apache-2.0 */
/* net_tx.c - frames from the guest to the host.
 *
 * The virtio header and the Ethernet header are copied first: what was checked is what is sent,
 * whatever the guest writes meanwhile. The rest goes out from where it lies.
 */
#include <string.h>
#include "net.h"

enum {
    TX_IOVECS = VQ_MAX_SEGMENTS + 2,
    ANSWERS_MISSING_MAX = 8,
};

void net_tx_watch(struct net_pair *pair, bool on)
{
    if (!pair->tx_event || pair->tx_stopped == !on)
        return;
    pair->tx_stopped = !on;
    if (on)
        (void)loop_event_resume(pair->tx_event);
    else
        (void)loop_event_pause(pair->tx_event);
}

static int check(const struct net *net, const struct vq_chain *chain, struct net_tx_head *head)
{
    uint64_t frame_bytes;

    if (chain->read_bytes < NET_TX_HEAD_BYTES)
        return NET_E_LIES;
    frame_bytes = chain->read_bytes - NET_HDR_BYTES;
    (void)vq_chain_read(chain, 0, &head->hdr, NET_HDR_BYTES);
    (void)vq_chain_read(chain, NET_HDR_BYTES, head->eth, NET_ETH_BYTES);
    if (net_hdr_check_tx(&head->hdr, net->features, frame_bytes) != 0)
        return NET_E_LIES;
    if (!net_hdr_fits_mtu(&head->hdr, head->eth, frame_bytes, net->mtu))
        return NET_E_LIES;
    if (net->mac_filter && !net_source_is(head->eth, net->config.mac))
        return NET_E_LIES;
    return 0;
}

/* A pair that the driver has not enabled has no queue of the tap's. */
static bool carries(const struct net_pair *pair)
{
    return pair->net->link_up && pair->enabled;
}

void net_tx_count(struct net *net, bool sent, size_t frame_bytes)
{
    if (sent) {
        net->stats->write_ops++;
        net->stats->write_bytes += frame_bytes;
    } else {
        net->stats->dropped++;
        net->stats->errors++;
    }
}

/* 0: done with it (sent or dropped); PORT_FULL: later. */
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
    iov[1] = (struct iovec){ .iov_base = head.eth, .iov_len = NET_ETH_BYTES };
    n = vq_chain_iovec(chain, false, NET_TX_HEAD_BYTES, frame_bytes - NET_ETH_BYTES, iov + 2,
                       TX_IOVECS - 2);
    r = n < 0 ? PORT_BROKEN : net_port_write(pair, iov, n + 2, frame_bytes);
    if (r == PORT_FULL)
        return r;
    net_tx_count(net, r == 0, frame_bytes);
    net_limit_charge(net, false, frame_bytes);
    return 0;
}

/* Before frames are given back to the guest: those that were sent since there were `sent_before`. */
uint64_t net_tx_took(struct net *net, uint64_t sent_before, uint64_t since_ns)
{
    uint64_t now, n = net->stats->write_ops - sent_before;

    if (n == 0)
        return since_ns;
    now = now_ns();
    stats_count_latency(net->stats, now - since_ns, n);
    return now;
}

/* The host's stack takes a frame and queues its answer (TCP: an acknowledgement) within our write().
 * So the tap is asked at once: a guest that sends and sends must not wait for its answers until it
 * has nothing left to send, and no sleep is needed for what is there already. Who gets no answers is
 * asked for less often. */
static void take_answers(struct net_pair *pair, uint64_t sent_before)
{
    struct net *net = pair->net;
    uint64_t read_before = net->stats->read_ops;

    if (net->stream || pair->rx_stopped || net->stats->write_ops == sent_before)
        return;
    if (pair->answers_missing >= ANSWERS_MISSING_MAX &&
        ++pair->sent_unasked % ANSWERS_MISSING_MAX != 0)
        return;
    net_on_rx_ready(-1, 0, pair);
    if (net->stats->read_ops != read_before)
        pair->answers_missing = 0;
    else if (pair->answers_missing < ANSWERS_MISSING_MAX)
        pair->answers_missing++;
}

/* Frames one by one: 0 when there may be more, PORT_FULL, VQ_EMPTY or VQ_E_GUEST. */
static int send_singly(struct net_pair *pair)
{
    struct net *net = pair->net;
    struct vq *vq = net_txq(pair);
    struct vq_chain chain;
    uint64_t since = 0;
    int r = 0;

    for (unsigned i = 0; r == 0 && net_turn_goes_on(net, i); i++) {
        uint64_t sent_before = net->stats->write_ops;

        if (!net_limit_ready(net, false))
            break;
        r = vq_pop(vq, &chain);
        if (r != 0)
            break;
        if (since == 0)
            since = now_ns();
        turn_spend(worker_turn(net->worker), chain.read_bytes);
        r = send_frame(pair, &chain);
        since = net_tx_took(net, sent_before, since);
        if (r == 0)
            vq_push(vq, chain.head, 0);
        else
            vq_unpop(vq, &chain);
    }
    return r;
}

/* The same with one system call for all: 0 when there may be more, VQ_EMPTY or VQ_E_GUEST. */
static int send_burst(struct net_pair *pair)
{
    struct net *net = pair->net;
    struct net_tx_head head;
    struct vq_chain chain;
    int r = 0;

    for (unsigned i = 0;
         net_turn_goes_on(net, i) && net_burst_has_room(net->burst) && net_limit_ready(net, false);
         i++) {
        bool good;

        r = vq_pop(net_txq(pair), &chain);
        if (r != 0)
            break;
        good = carries(pair) && check(net, &chain, &head) == 0;
        if (good)
            net_limit_charge(net, false, (size_t)chain.read_bytes - NET_HDR_BYTES);
        else
            net->stats->dropped++;
        turn_spend(worker_turn(net->worker), chain.read_bytes);
        net_burst_add(net->burst, &chain, good ? &head : NULL);
    }
    net_burst_send(pair);
    return r;
}

int net_tx(struct net_pair *pair)
{
    struct net *net = pair->net;
    uint64_t sent_before = net->stats->write_ops;
    int r;

    if (!worker_running(net->worker))
        return 0;
    r = net->burst ? send_burst(pair) : send_singly(pair);
    net_tx_watch(pair,
                 r == PORT_FULL || net_port_has_rest(net) || (net->port_down && pair->index == 0));
    if (r == 0 && net_limit_ready(net, false))
        worker_rerun(net->worker, 2 * pair->index + 1);
    vq_notify(net_txq(pair));
    take_answers(pair, sent_before);
    return r == VQ_E_GUEST ? r : 0;
}

void net_on_tx_ready(int fd, unsigned what, void *arg)
{
    struct net_pair *pair = arg;

    (void)fd;
    (void)what;
    net_tx_watch(pair, false);
    if (pair->net->port_down && net_port_look_again(pair->net))
        net_link_found(pair->net);
    if (pair->net->stream && net_port_flush(pair->net) == PORT_FULL) {
        net_tx_watch(pair, true);
        return;
    }
    net_drained(pair->net);
    if (net_tx(pair) == VQ_E_GUEST)
        worker_needs_reset(pair->net->worker, 2 * pair->index + 1, "transmit queue");
}
