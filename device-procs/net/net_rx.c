/* SPDX-License-Identifier: Apache-2.0 */
/* net_rx.c - frames from the host to the guest.
 *
 * At most one frame is taken before there are buffers for it; while it waits the port is not
 * watched, so a guest without buffers costs nothing and the host's queue drops, as a wire would.
 */
#include "net_rx.h"

#include <stddef.h>
#include <string.h>
#include "net_pair.h"
#include "net_port.h"

enum { RETRY_MAX_MS = 1024 }; /* after a read that failed; the first time at once */

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
    return now >= pair->short_until_ns;
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

/* 0: gone (or dropped), or the turn is over; VQ_EMPTY: waits, VQ_E_GUEST. */
static int deliver(struct net_pair *pair)
{
    struct vq_chain chains[NET_MAX_RX_BUFFERS];
    unsigned n = 0;
    int r;

    for (;;) {
        r = take_buffers(pair, chains, &n);
        if (r != VQ_EMPTY || !vq_rearm(net_rxq(pair)))
            break;
        if (turn_over(worker_turn(pair->net->worker)))
            return 0; /* the guest gives one small buffer with each look */
    }
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

/* The next frame from the port, checked: 0, or what net_pair_read() says. */
static int fetch(struct net_pair *pair)
{
    struct virtio_net_hdr_v1 hdr;
    int r = net_pair_read(pair);

    if (r != 0)
        return r;
    memcpy(&hdr, pair->frame, sizeof(hdr));
    if (check(pair, &hdr) != 0)
        drop_frame(pair);
    else
        memcpy(pair->frame, &hdr, sizeof(hdr));
    return 0;
}

/* A batch ends, and not for want of buffers; beside VQ_EMPTY and VQ_E_GUEST. */
enum { STOP = 100 };

/* The port has given no frame. */
static int stop_at_port(struct net_pair *pair, int says, struct net_wait *ret_wait)
{
    uint64_t pause_ms;

    if (says == NET_PORT_EMPTY) {
        *ret_wait = (struct net_wait){ .what = NET_WAITS_PORT };
    } else if (says == NET_PORT_GONE) {
        *ret_wait = (struct net_wait){ .what = NET_WAITS_LOST, .gone = true };
    } else { /* each error in a row makes the pause longer */
        pause_ms = MIN(1u << MIN(pair->rx_errors, 10u), (unsigned)RETRY_MAX_MS);
        pair->rx_errors++;
        *ret_wait =
            (struct net_wait){ .what = says == NET_PORT_DOWN ? NET_WAITS_LOST : NET_WAITS_UNTIL,
                               .until_ns = now_ns() + pause_ms * 1000000 };
    }
    return STOP;
}

/* 0 when there may be another; VQ_EMPTY: waits for buffers; VQ_E_GUEST; STOP with *ret_wait. */
static int one_frame(struct net_pair *pair, struct net_wait *ret_wait)
{
    struct net *net = pair->net;
    uint64_t limited_until_ns;
    int r;

    if (net->port_down) { /* read on: that it is deleted is told to readers alone */
        if (pair->frame_bytes > 0)
            drop_frame(pair);
        r = net_pair_read(pair);
        return r != 0 ? stop_at_port(pair, r, ret_wait) : 0;
    }
    if (pair->frame_bytes == 0) {
        limited_until_ns = net_limit_until_ns(net->limit, true);
        if (limited_until_ns != 0) {
            net->stats->throttled++;
            *ret_wait = (struct net_wait){ .what = NET_WAITS_UNTIL, .until_ns = limited_until_ns };
            return STOP;
        }
        r = fetch(pair);
        if (r != 0)
            return stop_at_port(pair, r, ret_wait);
        if (pair->frame_bytes == 0)
            return 0;
        net_limit_charge(net->limit, true, pair->frame_bytes - NET_HDR_BYTES);
    }
    return deliver(pair);
}

int net_rx(struct net_pair *pair, struct net_wait *ret_wait)
{
    struct net *net = pair->net;
    int r = 0;

    for (unsigned i = 0; r == 0 && net_turn_goes_on(net, i); i++)
        r = one_frame(pair, ret_wait);
    if (r == 0)
        *ret_wait = (struct net_wait){ .what = NET_WAITS_AGAIN };
    else if (r != STOP)
        *ret_wait = (struct net_wait){ .what = NET_WAITS_BUFFERS,
                                       .until_ns = r == VQ_EMPTY ? pair->short_until_ns : 0 };
    if (net->passt && net_passt_commit(net->passt, pair->frame_bytes) != 0)
        *ret_wait = (struct net_wait){ .what = NET_WAITS_LOST, .gone = true };
    vq_notify(net_rxq(pair));
    return r == VQ_E_GUEST ? r : 0;
}
