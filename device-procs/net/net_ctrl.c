/* SPDX-License-Identifier: Apache-2.0 */
/* net_ctrl.c - the control queue's requests: queue pairs, MAC, receive modes. */
#include "net_ctrl.h"

#include <string.h>

enum { HDR_BYTES = 2 };

static const struct net_command bad = { .kind = NET_COMMAND_BAD };
static const struct net_command nothing = { .kind = NET_COMMAND_NOTHING };

static struct net_command set_pairs(const uint8_t *data, size_t len, uint64_t features)
{
    uint16_t pairs;

    if (!(features & NET_BIT(VIRTIO_NET_F_MQ)) || len < sizeof(pairs))
        return bad;
    memcpy(&pairs, data, sizeof(pairs));
    return (struct net_command){ .kind = NET_COMMAND_PAIRS, .n_pairs = pairs };
}

static struct net_command set_mac(const uint8_t *data, size_t len, uint64_t features)
{
    struct net_command command = { .kind = NET_COMMAND_MAC };

    if (!(features & NET_BIT(VIRTIO_NET_F_CTRL_MAC_ADDR)) || len < NET_MAC_BYTES ||
        !net_mac_is_unicast(data))
        return bad;
    memcpy(command.mac, data, NET_MAC_BYTES);
    return command;
}

struct net_command net_ctrl_parse(const uint8_t *req, size_t len, uint64_t features)
{
    const uint8_t *data = req + HDR_BYTES;

    if (len < HDR_BYTES)
        return bad;
    len -= HDR_BYTES;
    switch (req[0]) {
    case VIRTIO_NET_CTRL_RX:
        /* The tap already delivers what this port is sent, a superset of every mode. */
        return req[1] <= VIRTIO_NET_CTRL_RX_NOBCAST && len >= 1 ? nothing : bad;
    case VIRTIO_NET_CTRL_MAC:
        if (req[1] == VIRTIO_NET_CTRL_MAC_TABLE_SET)
            return nothing;
        return req[1] == VIRTIO_NET_CTRL_MAC_ADDR_SET ? set_mac(data, len, features) : bad;
    case VIRTIO_NET_CTRL_MQ:
        return req[1] == VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET ? set_pairs(data, len, features) : bad;
    default:
        return bad;
    }
}
