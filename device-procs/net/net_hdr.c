/* SPDX-License-Identifier: Apache-2.0 */
/* net_hdr.c - what a guest may say in front of a frame. */
#include "net_hdr.h"

#include <string.h>

static bool has(uint64_t features, unsigned bit)
{
    return features & (1ull << bit);
}

/* The checksum field itself must lie in the frame. */
static int check_csum(const struct virtio_net_hdr_v1 *hdr, uint64_t frame_bytes)
{
    uint32_t end = (uint32_t)hdr->csum_start + hdr->csum_offset + 2u;

    return hdr->csum_start < NET_ETH_BYTES || end > frame_bytes ? NET_E_LIES : 0;
}

static bool gso_agreed(uint8_t type, bool ecn, uint64_t features)
{
    switch (type) {
    case VIRTIO_NET_HDR_GSO_TCPV4:
        return has(features, VIRTIO_NET_F_HOST_TSO4) &&
               (!ecn || has(features, VIRTIO_NET_F_HOST_ECN));
    case VIRTIO_NET_HDR_GSO_TCPV6:
        return has(features, VIRTIO_NET_F_HOST_TSO6) &&
               (!ecn || has(features, VIRTIO_NET_F_HOST_ECN));
    case VIRTIO_NET_HDR_GSO_UDP:
        return !ecn && has(features, VIRTIO_NET_F_HOST_UFO);
    case VIRTIO_NET_HDR_GSO_UDP_L4:
        return !ecn && has(features, VIRTIO_NET_F_HOST_USO);
    default:
        return false;
    }
}

static int check_gso(const struct virtio_net_hdr_v1 *hdr, uint64_t frame_bytes)
{
    if (hdr->gso_size == 0)
        return NET_E_LIES;
    /* hdr_len is a hint; one beyond the frame is not. The kernel works with csum_start. */
    return hdr->hdr_len > frame_bytes ? NET_E_LIES : 0;
}

int net_hdr_check_tx(struct virtio_net_hdr_v1 *hdr, uint64_t features, uint64_t frame_bytes)
{
    bool needs_csum = hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;
    bool ecn = hdr->gso_type & VIRTIO_NET_HDR_GSO_ECN;
    uint8_t type = hdr->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;

    if (frame_bytes < NET_ETH_BYTES || frame_bytes > NET_MAX_FRAME_BYTES)
        return NET_E_LIES;
    /* A driver sets no other flag, but a device ignores the others (5.1.6.2.1). */
    hdr->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
    hdr->num_buffers = 0;
    if (needs_csum && (!has(features, VIRTIO_NET_F_CSUM) || check_csum(hdr, frame_bytes) != 0))
        return NET_E_LIES;
    if (type == VIRTIO_NET_HDR_GSO_NONE) {
        if (ecn)
            return NET_E_LIES;
        hdr->gso_size = 0;
        hdr->hdr_len = 0;
    } else if (!needs_csum || !gso_agreed(type, ecn, features) ||
               check_gso(hdr, frame_bytes) != 0) {
        return NET_E_LIES;
    }
    if (!needs_csum)
        hdr->csum_start = hdr->csum_offset = 0;
    return 0;
}

int net_hdr_check_rx(struct virtio_net_hdr_v1 *hdr, uint64_t frame_bytes)
{
    uint8_t type = hdr->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;

    if (frame_bytes < NET_ETH_BYTES)
        return NET_E_LIES;
    hdr->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID;
    if ((hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) && check_csum(hdr, frame_bytes) != 0)
        return NET_E_LIES;
    if (type != VIRTIO_NET_HDR_GSO_NONE && check_gso(hdr, frame_bytes) != 0)
        return NET_E_LIES;
    return 0;
}

uint32_t net_max_plain_frame(uint32_t mtu)
{
    return mtu == 0 ? NET_MAX_FRAME_BYTES : MIN(mtu + 18u, (uint32_t)NET_MAX_FRAME_BYTES);
}

bool net_source_is(const uint8_t eth[NET_ETH_BYTES], const uint8_t mac[NET_MAC_BYTES])
{
    return memcmp(eth + NET_MAC_BYTES, mac, NET_MAC_BYTES) == 0;
}

bool net_mac_is_unicast(const uint8_t mac[NET_MAC_BYTES])
{
    static const uint8_t zero[NET_MAC_BYTES];

    return !(mac[0] & 1) && memcmp(mac, zero, NET_MAC_BYTES) != 0;
}
