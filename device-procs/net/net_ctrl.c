/* SPDX-License-Identifier: Apache-2.0 */
/* net_ctrl.c - the control queue (virtio 1.2 section 5.1.6.5): queue pairs, MAC, receive modes. */
#include <string.h>
#include "base/err.h"
#include "base/log.h"
#include "net.h"

enum { CTRL_MAX_BYTES = 64, HDR_BYTES = 2 };

static uint8_t set_pairs(struct net *net, const uint8_t *data, size_t len)
{
    uint16_t pairs;

    if (!(net->features & NET_BIT(VIRTIO_NET_F_MQ)) || len < sizeof(pairs))
        return VIRTIO_NET_ERR;
    memcpy(&pairs, data, sizeof(pairs));
    if (pairs < 1 || pairs > net->n_pairs)
        return VIRTIO_NET_ERR;
    for (unsigned p = 0; p < pairs; p++)
        if (!vq_active(worker_vq(net->worker, 2 * p)) ||
            !vq_active(worker_vq(net->worker, 2 * p + 1)))
            return VIRTIO_NET_ERR;
    if (net_port_enable(net, pairs) < 0) {
        log_warn("%s", err_text());
        return VIRTIO_NET_ERR;
    }
    for (unsigned p = 0; p < pairs; p++) {
        worker_rerun(net->worker, 2 * p);
        worker_rerun(net->worker, 2 * p + 1);
    }
    return VIRTIO_NET_OK;
}

static uint8_t set_mac(struct net *net, const uint8_t *data, size_t len)
{
    /* With the filter the address is the tenant's identity: it stays what the host said. */
    if (!(net->features & NET_BIT(VIRTIO_NET_F_CTRL_MAC_ADDR)) || len < NET_MAC_BYTES ||
        !net_mac_is_unicast(data))
        return VIRTIO_NET_ERR;
    if (net->mac_filter && memcmp(data, net->config.mac, NET_MAC_BYTES) != 0)
        return VIRTIO_NET_ERR;
    memcpy(net->config.mac, data, NET_MAC_BYTES);
    if (worker_config_update(net->worker, 0, net->config.mac, NET_MAC_BYTES) < 0)
        return VIRTIO_NET_ERR;
    return VIRTIO_NET_OK;
}

static uint8_t command(struct net *net, const uint8_t *req, size_t len)
{
    const uint8_t *data = req + HDR_BYTES;
    size_t data_len = len - HDR_BYTES;

    switch (req[0]) {
    case VIRTIO_NET_CTRL_RX:
        /* The tap already delivers what this port is sent, a superset of every mode. */
        return req[1] <= VIRTIO_NET_CTRL_RX_NOBCAST && data_len >= 1 ? VIRTIO_NET_OK
                                                                     : VIRTIO_NET_ERR;
    case VIRTIO_NET_CTRL_MAC:
        if (req[1] == VIRTIO_NET_CTRL_MAC_TABLE_SET)
            return VIRTIO_NET_OK;
        return req[1] == VIRTIO_NET_CTRL_MAC_ADDR_SET ? set_mac(net, data, data_len)
                                                      : VIRTIO_NET_ERR;
    case VIRTIO_NET_CTRL_MQ:
        return req[1] == VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET ? set_pairs(net, data, data_len)
                                                         : VIRTIO_NET_ERR;
    default:
        return VIRTIO_NET_ERR;
    }
}

int net_ctrl(struct net *net)
{
    struct vq *vq = worker_vq(net->worker, net->ctrl_queue);
    struct vq_chain chain;
    uint8_t req[CTRL_MAX_BYTES];
    int r = 0;

    /* The clock is read with each: a change of the pairs waits for all of the host's interfaces. */
    for (unsigned i = 0; i < NET_BATCH && !turn_over(worker_turn(net->worker)); i++) {
        uint8_t ack = VIRTIO_NET_ERR;
        size_t len;

        r = vq_pop(vq, &chain);
        if (r != 0)
            break;
        len = vq_chain_read(&chain, 0, req, sizeof(req));
        if (len >= HDR_BYTES)
            ack = command(net, req, len);
        vq_push(vq, chain.head, (uint32_t)vq_chain_write(&chain, 0, &ack, sizeof(ack)));
    }
    if (r == 0)
        worker_rerun(net->worker, net->ctrl_queue);
    vq_notify(vq);
    return r == VQ_EMPTY ? 0 : r;
}
