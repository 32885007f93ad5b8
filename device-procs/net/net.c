/* SPDX-License-Identifier: Apache-2.0 */
/* net.c - bulkhead-dev-net: the network device (virtio 1.2 section 5.1) between a guest and taps,
 * or passt's stream. */
#include "net.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "sandbox/gen/filter_net.h"

#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

enum { DRAIN_MS = 300, LOOKS_PER_READ = 16 };

/* What is left of a frame goes out first, or its time runs out: stats->cut_stream tells whoever comes
 * after this worker. The timer may also have been armed for something else. */
static void drain_later(struct net *net)
{
    uint64_t now = now_ns();

    if (!net_port_has_rest(net) || now >= net->drain_until_ns)
        net_drained(net);
    else
        net_retry_after(net, (net->drain_until_ns - now) / 1000000 + 1);
}

static void on_retry(int fd, unsigned what, void *arg)
{
    struct net *net = arg;

    (void)fd;
    (void)what;
    net->retry_due_ns = 0;
    if (net->draining)
        drain_later(net);
    for (unsigned p = 0; p < net->n_enabled; p++) {
        net->pairs[p].rx_broken = false;
        worker_rerun(net->worker, 2 * p);
        worker_rerun(net->worker, 2 * p + 1);
    }
}

void net_retry_after(struct net *net, uint64_t ms)
{
    uint64_t due = now_ns() + ms * 1000000;

    if (net->retry_due_ns != 0 && net->retry_due_ns <= due)
        return;
    net->retry_due_ns = due;
    (void)loop_timer_arm(net->retry, ms, false);
}

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
    if (!net->stream)
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
    net->stream = config->stream;
    net->mac_filter = config->mac_filter;
    net->link_wanted = net->link_up = !config->link_down;
    net->mtu = config->mtu;
    r = loop_add_timer(worker_loop(w), on_retry, net, &net->retry);
    for (unsigned p = 0; r == 0 && p < net->n_pairs; p++)
        r = net_port_setup(net, p, fd_take(&fds[p]));
    if (r == 0)
        r = net_limit_new(net, config->rate_limit);
    if (r == 0 && !net->stream && config->use_io_uring)
        r = net_burst_new(net);
    if (r < 0)
        return err_trace(r);
    fill_announce(net, config, announce);
    *ret_device = net;
    return 0;
}

/* Whether the tap has frames only the kernel can tell: it is asked with every few looks. */
static enum worker_found net_poll(void *device)
{
    struct net *net = device;
    uint64_t before = net->stats->read_ops + net->stats->dropped;

    if (net->stream || ++net->n_looks % LOOKS_PER_READ != 0)
        return WORKER_FOUND_NOTHING;
    for (unsigned p = 0; p < net->n_enabled; p++)
        if (!net->pairs[p].rx_stopped)
            net_on_rx_ready(-1, 0, &net->pairs[p]);
    return net->stats->read_ops + net->stats->dropped != before ? WORKER_FOUND_SOME
                                                                : WORKER_FOUND_NOTHING;
}

static int net_activate(void *device, uint64_t features, bool resume)
{
    struct net *net = device;
    int r;

    net->features = features;
    net->mac_inherited = resume; /* its driver may have set one while a predecessor ran */
    net->ctrl_queue = features & NET_BIT(VIRTIO_NET_F_MQ) ? 2 * net->n_pairs : 2;
    r = net_port_activate(net, resume);
    return r < 0 ? err_trace(r) : 0;
}

static int net_on_queue(void *device, unsigned q)
{
    struct net *net = device;

    if (q == net->ctrl_queue)
        return net_ctrl(net);
    if (q / 2 >= net->n_pairs)
        return 0;
    return q % 2 == 0 ? net_rx(&net->pairs[q / 2]) : net_tx(&net->pairs[q / 2]);
}

static void net_drain(void *device)
{
    struct net *net = device;

    for (unsigned p = 0; p < net->n_pairs; p++) {
        net_rx_watch(&net->pairs[p], false);
        net_tx_watch(&net->pairs[p], net_port_has_rest(net));
    }
    net->draining = true;
    net->drain_until_ns = now_ns() + DRAIN_MS * 1000000ull;
    drain_later(net);
}

void net_drained(struct net *net)
{
    if (!net->draining)
        return;
    net->draining = false;
    worker_drained(net->worker); /* frames are moved at once, none is in flight */
}

/* The address that a driver set goes with it: the next one begins with the host's. */
static void restore_mac(struct net *net)
{
    if (!net->mac_inherited && memcmp(net->config.mac, net->mac, NET_MAC_BYTES) == 0)
        return;
    net->mac_inherited = false;
    memcpy(net->config.mac, net->mac, NET_MAC_BYTES);
    if (worker_config_update(net->worker, offsetof(struct virtio_net_config, mac), net->config.mac,
                             NET_MAC_BYTES) < 0)
        log_warn("MAC: %s", err_text());
}

static void net_reset(void *device)
{
    struct net *net = device;

    net->features = 0;
    for (unsigned p = 0; p < net->n_pairs; p++)
        net->pairs[p].frame_bytes = net->pairs[p].short_until_ns = 0;
    restore_mac(net);
    if (!net->stream && net_port_enable(net, 1) < 0)
        log_warn("%s", err_text());
}

static int net_on_message(void *device, const Bulkhead__Envelope *e, int *fds, unsigned n_fds)
{
    struct net *net = device;

    (void)fds;
    (void)n_fds;
    switch ((int)e->body_case) {
    case BULKHEAD__ENVELOPE__BODY_LINK_STATE:
        net_link_want(net, e->link_state->up);
        return 0;
    case BULKHEAD__ENVELOPE__BODY_SET_RATE_LIMIT:
        net_limit_set(net, e->set_rate_limit->limit);
        net_retry_after(net, 0); /* what waits for the old buckets */
        return 0;
    case BULKHEAD__ENVELOPE__BODY_CONFIG_UPDATE:
        return 0; /* nothing in this configuration space is the driver's to write */
    default:
        return err_origin(-EPROTO, "message %d is nothing for net", (int)e->body_case);
    }
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
};

int main(int argc, char **argv)
{
    return worker_main(&net_ops, argc, argv);
}
