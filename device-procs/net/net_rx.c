/* SPDX-License-Identifier: Apache-2.0 */
/* net_rx.c - frames from the host to the guest.
 *
 * At most one frame is taken before there are buffers for it; while it waits the port is not
 * watched, so a guest without buffers costs nothing and the host's queue drops, as a wire would.
 */
#include <stddef.h>
#include <string.h>
#include "net.h"

void net_rx_watch(struct net_pair *pair, bool on)
{
    if (!pair->rx_event || pair->rx_stopped == !on)
        return;
    pair->rx_stopped = !on;
    if (on)
        (void)loop_event_resume(pair->rx_event);
    else
        (void)loop_event_pause(pair->rx_event);
}

static void forget_frame(struct net_pair *pair)
{
    pair->frame_bytes = 0;
    pair->short_until_ns = 0;
}

static void drop_frame(struct net_pair *pair)
{
    pair->net->stats->dropped++;
    forget_frame(pair);
}

/* All buffers that are there are too few, and the guest may be waiting for us as we for it: it has no
 * room in the ring for more, or it never gives that many. */
static bool is_too_long(struct net_pair *pair, const struct vq_chain *chains, unsigned n)
{
    unsigned left = vq_size(net_rxq(pair));
    uint64_t now = now_ns();

    if (n == 0) {
        pair->short_until_ns = 0;
        return false;
    }
    for (unsigned i = 0; i < n; i++)
        left -= MIN(left, chains[i].n_descs);
    if (left < chains[n - 1].n_descs)
        return true;
    if (pair->short_until_ns == 0)
        pair->short_until_ns = now + NET_SHORT_MS * 1000000ull;
    if (now >= pair->short_until_ns)
        return true;
    net_retry_after(pair->net, (pair->short_until_ns - now) / 1000000 + 1);
    return false;
}

/* Takes buffers for the waiting frame: 0 with *ret_n > 0; 0 with 0: it can never fit, dropped;
 * VQ_EMPTY: not yet; VQ_E_GUEST. */
static int take_buffers(struct net_pair *pair, struct vq_chain *chains, unsigned *ret_n)
{
    struct vq *vq = net_rxq(pair);
    bool merge = pair->net->features & NET_BIT(VIRTIO_NET_F_MRG_RXBUF);
    unsigned max = merge ? NET_MAX_RX_BUFFERS : 1, n = 0;
    uint64_t room = 0;
    int r = 0;

    while (room < pair->frame_bytes && n < max) {
        r = vq_pop(vq, &chains[n]);
        if (r != 0)
            break;
        room += chains[n].write_bytes;
        n++;
    }
    *ret_n = n;
    if (r == 0 && room >= pair->frame_bytes && chains[0].write_bytes >= NET_HDR_BYTES)
        return 0;
    if (r == VQ_E_GUEST)
        return r;
    if (r == VQ_EMPTY && is_too_long(pair, chains, n))
        r = 0;
    while (n > 0)
        vq_unpop(vq, &chains[--n]);
    *ret_n = 0;
    if (r == 0)
        drop_frame(pair);
    return r;
}

static void fill_buffers(struct net_pair *pair, const struct vq_chain *chains, unsigned n)
{
    struct vq *vq = net_rxq(pair);
    uint16_t num_buffers = (uint16_t)n;
    size_t done = 0;

    memcpy(pair->frame + offsetof(struct virtio_net_hdr_v1, num_buffers), &num_buffers,
           sizeof(num_buffers));
    for (unsigned i = 0; i < n; i++) {
        size_t len = MIN(pair->frame_bytes - done, chains[i].write_bytes);

        (void)vq_chain_write(&chains[i], 0, pair->frame + done, len);
        vq_stage(vq, chains[i].head, (uint32_t)len);
        done += len;
    }
    turn_spend(worker_turn(pair->net->worker), pair->frame_bytes);
    vq_publish(vq); /* a driver that sees some of a frame's buffers only throws them away */
    pair->net->stats->read_ops++;
    pair->net->stats->read_bytes += pair->frame_bytes - NET_HDR_BYTES;
    forget_frame(pair);
}

/* 0: gone (or dropped), VQ_EMPTY: waits, VQ_E_GUEST. */
static int deliver(struct net_pair *pair)
{
    struct vq_chain chains[NET_MAX_RX_BUFFERS];
    unsigned n = 0;
    int r;

    do
        r = take_buffers(pair, chains, &n);
    while (r == VQ_EMPTY && vq_rearm(net_rxq(pair)));
    if (r == 0 && n > 0)
        fill_buffers(pair, chains, n);
    return r;
}

/* A driver that took no MTU didn't promise to have buffers for it either; virtio 1.2, 5.1.4.1. */
static int check(const struct net_pair *pair, struct virtio_net_hdr_v1 *hdr)
{
    const struct net *net = pair->net;
    const uint8_t *frame = pair->frame + NET_HDR_BYTES;
    size_t frame_bytes = pair->frame_bytes - NET_HDR_BYTES;

    if (net_hdr_check_rx(hdr, net->features, frame, frame_bytes) != 0)
        return NET_E_LIES;
    if ((net->features & NET_BIT(VIRTIO_NET_F_MTU)) && hdr->gso_type == VIRTIO_NET_HDR_GSO_NONE &&
        !net_fits_mtu(frame, frame_bytes, net->mtu))
        return NET_E_LIES;
    return 0;
}

/* The next frame from the port, checked: 0, or what net_port_read() says. */
static int fetch(struct net_pair *pair)
{
    struct virtio_net_hdr_v1 hdr;
    int r = net_port_read(pair);

    if (r != 0)
        return r;
    memcpy(&hdr, pair->frame, sizeof(hdr));
    if (check(pair, &hdr) != 0)
        drop_frame(pair);
    else
        memcpy(pair->frame, &hdr, sizeof(hdr));
    return 0;
}

/* Why a batch ends early; beside VQ_EMPTY and VQ_E_GUEST. */
enum { STOP_PORT = 100, STOP_LIMIT };

static int one_frame(struct net_pair *pair)
{
    struct net *net = pair->net;
    int r;

    if (net->port_down) { /* read on: that it is deleted is told to readers alone */
        if (pair->frame_bytes > 0)
            drop_frame(pair);
        r = net_port_read(pair);
        net_rx_watch(pair, r == PORT_EMPTY);
        return r != 0 ? STOP_PORT : 0;
    }
    if (pair->frame_bytes == 0) {
        if (!net_limit_ready(net, true))
            return STOP_LIMIT;
        r = fetch(pair);
        if (r != 0) {
            net_rx_watch(pair, r == PORT_EMPTY);
            return STOP_PORT;
        }
        if (pair->frame_bytes == 0)
            return 0;
        net_limit_charge(net, true, pair->frame_bytes - NET_HDR_BYTES);
    }
    return deliver(pair);
}

int net_rx(struct net_pair *pair)
{
    struct net *net = pair->net;
    int r = 0;

    if (!worker_running(net->worker) || !pair->enabled || pair->rx_broken ||
        (!net->link_up && !net->port_down)) {
        net_rx_watch(pair, false);
        return 0;
    }
    for (unsigned i = 0; r == 0 && net_turn_goes_on(net, i); i++)
        r = one_frame(pair);
    if (r == 0 && net->stream)
        worker_rerun(net->worker, 2 * pair->index); /* whole frames may lie in our own buffer */
    else if (r == 0)
        net_rx_watch(pair, true);
    else if (r == VQ_EMPTY || r == STOP_LIMIT)
        net_rx_watch(pair, false); /* until the guest gives buffers, or the timer runs */
    net_port_commit(net);
    vq_notify(net_rxq(pair));
    return r == VQ_E_GUEST ? r : 0;
}

void net_on_rx_ready(int fd, unsigned what, void *arg)
{
    struct net_pair *pair = arg;

    (void)fd;
    (void)what;
    worker_poll_woken(pair->net->worker);
    if (net_rx(pair) == VQ_E_GUEST)
        worker_needs_reset(pair->net->worker, 2 * pair->index, "receive queue");
}
