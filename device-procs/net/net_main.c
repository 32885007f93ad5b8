/* SPDX-License-Identifier: Apache-2.0 */
/* net_main.c - bulkhead-dev-net: the network device (virtio 1.2 section 5.1) between a guest and taps,
 * or passt's stream. Its start: what it is given, what it offers. */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/fd.h"
#include "common/worker.h"
#include "common/worker_main.h"
#include "net.h"
#include "net_burst.h"
#include "net_link.h"
#include "sandbox/gen/filter_net.h"

/* What the guest may use, given what the user allows and the tap can do. It is not tried here: another
 * worker may be using the tap. */
static uint64_t offloads(const Bulkhead__NetWorkerConfig *config, unsigned tap)
{
    uint64_t f = 0;

    if (!config->offload_csum || !(tap & TUN_F_CSUM))
        return 0;
    f |= NET_BIT(VIRTIO_NET_F_CSUM) | NET_BIT(VIRTIO_NET_F_GUEST_CSUM);
    if (config->offload_tso && (tap & TUN_F_TSO4))
        f |= NET_BIT(VIRTIO_NET_F_HOST_TSO4) | NET_BIT(VIRTIO_NET_F_HOST_TSO6) |
             NET_BIT(VIRTIO_NET_F_HOST_ECN) | NET_BIT(VIRTIO_NET_F_GUEST_TSO4) |
             NET_BIT(VIRTIO_NET_F_GUEST_TSO6) | NET_BIT(VIRTIO_NET_F_GUEST_ECN);
    if (config->offload_ufo && (tap & TUN_F_UFO))
        f |= NET_BIT(VIRTIO_NET_F_HOST_UFO) | NET_BIT(VIRTIO_NET_F_GUEST_UFO);
    if (config->offload_ufo && (tap & TUN_F_USO4) && (tap & TUN_F_USO6))
        f |= NET_BIT(VIRTIO_NET_F_HOST_USO) | NET_BIT(VIRTIO_NET_F_GUEST_USO4) |
             NET_BIT(VIRTIO_NET_F_GUEST_USO6);
    return f;
}

static void fill_announce(struct net *net, const Bulkhead__NetWorkerConfig *config,
                          Bulkhead__Announce *announce)
{
    uint64_t f = NET_BIT(VIRTIO_F_VERSION_1) | NET_BIT(VIRTIO_RING_F_EVENT_IDX) |
                 NET_BIT(VIRTIO_RING_F_INDIRECT_DESC) | NET_BIT(VIRTIO_NET_F_MAC) |
                 NET_BIT(VIRTIO_NET_F_STATUS) | NET_BIT(VIRTIO_NET_F_MRG_RXBUF) |
                 NET_BIT(VIRTIO_NET_F_CTRL_VQ) | NET_BIT(VIRTIO_NET_F_CTRL_RX) |
                 NET_BIT(VIRTIO_NET_F_CTRL_MAC_ADDR);

    memcpy(net->mac, config->mac.data, NET_MAC_BYTES);
    memcpy(net->config.mac, net->mac, NET_MAC_BYTES);
    net->config.status = net->link_up ? VIRTIO_NET_S_LINK_UP : 0;
    net->config.max_virtqueue_pairs = (uint16_t)net->n_pairs;
    net->config.mtu = (uint16_t)net->mtu;
    if (net->mtu)
        f |= NET_BIT(VIRTIO_NET_F_MTU);
    if (net->n_pairs > 1)
        f |= NET_BIT(VIRTIO_NET_F_MQ);
    if (!net->passt)
        f |= offloads(config, config->tap_offloads);
    net->offered = f;
    announce->virtio_id = VIRTIO_ID_NET;
    announce->features = f;
    announce->config.data = (uint8_t *)&net->config;
    announce->config.len = sizeof(net->config);
}

static int check_config(const struct worker *w, const Bulkhead__NetWorkerConfig *c, unsigned n_fds)
{
    if (c->mac.len != NET_MAC_BYTES || !net_mac_is_unicast(c->mac.data))
        return err_origin(-EINVAL, "mac: 6 bytes of a unicast address are needed");
    if (c->mtu != 0 && (c->mtu < 68 || c->mtu > 65535))
        return err_origin(-EINVAL, "mtu %u: 68 to 65535", c->mtu);
    if (c->queue_pairs < 1 || c->queue_pairs > NET_MAX_PAIRS || (c->stream && c->queue_pairs != 1))
        return err_origin(-EINVAL, "%u queue pairs", c->queue_pairs);
    if (worker_num_queues(w) != 2 * c->queue_pairs + 1 || n_fds != c->queue_pairs)
        return err_origin(-EPROTO, "%u queues, %u descriptors for %u queue pairs",
                          worker_num_queues(w), n_fds, c->queue_pairs);
    return 0;
}

static int setup_pair(struct net *net, unsigned p, bool stream, int fd)
{
    struct net_pair *pair = &net->pairs[p];
    int r;

    *pair = (struct net_pair){ .net = net, .index = p, .enabled = p == 0 };
    worker_keep_fd(net->worker, fd);
    pair->frame = malloc(NET_HDR_BYTES + NET_MAX_FRAME_BYTES);
    if (!pair->frame)
        return err_origin(-ENOMEM, "net frame");
    pair->fd = fd;
    r = stream ? net_passt_new(&net->passt, fd, net->stats) : net_tap_init(&pair->tap, p, fd);
    return r < 0 ? err_trace(r) : 0;
}

static int net_setup(struct worker *w, const Bulkhead__Configure *cfg, int *fds, unsigned n_fds,
                     Bulkhead__Announce *announce, void **ret_device)
{
    const Bulkhead__NetWorkerConfig *config = cfg->net;
    struct net *net;
    int r = check_config(w, config, n_fds);

    if (r < 0)
        return err_trace(r);
    net = calloc(1, sizeof(*net));
    if (!net)
        return err_origin(-ENOMEM, "net");
    net->worker = w;
    net->stats = worker_stats(w);
    net->n_pairs = config->queue_pairs;
    net->n_enabled = 1;
    net->mac_filter = config->mac_filter;
    net->link_wanted = net->link_up = !config->link_down;
    net->mtu = config->mtu;
    r = net_limit_new(&net->limit, config->rate_limit);
    for (unsigned p = 0; r == 0 && p < net->n_pairs; p++)
        r = setup_pair(net, p, config->stream, fd_take(&fds[p]));
    if (r == 0)
        r = net_watch(net);
    if (r == 0 && !net->passt && config->use_io_uring)
        r = net_burst_new(net);
    if (r < 0)
        return err_trace(r);
    fill_announce(net, config, announce);
    *ret_device = net;
    return 0;
}

static const struct worker_ops net_ops = {
    .role = BULKHEAD__ROLE__ROLE_NET,
    .filter = &sandbox_filter_net,
    .setup = net_setup,
    .activate = net_activate,
    .on_queue = net_on_queue,
    .poll = net_poll,
    .drain = net_drain,
    .reset = net_reset,
    .on_message = net_on_message,
    .say = net_link_say,
    .snapshot = net_link_snapshot,
};

int main(int argc, char **argv)
{
    return worker_main(&net_ops, argc, argv);
}
