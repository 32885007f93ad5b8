/* SPDX-License-Identifier: Apache-2.0 */
/* net_hdr.c - what a guest may say in front of a frame. */
#include "net_hdr.h"

#include <endian.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <string.h>

enum { /* headers, at least, and places in them */
       IPV4_BYTES = 20,
       IPV6_BYTES = 40,
       IPV6_NEXT = 6,
       IPV6_FRAGMENT_BYTES = 8,
       TCP_BYTES = 20,
       TCP_LENGTH = 12,
       UDP_BYTES = 8
};

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

static uint16_t type_at(const uint8_t *frame, size_t off)
{
    uint16_t type;

    memcpy(&type, frame + off, sizeof(type));
    return be16toh(type);
}

static bool is_tagged(const uint8_t *frame)
{
    uint16_t type = type_at(frame, NET_ETH_BYTES - 2);

    return type == ETH_P_8021Q || type == ETH_P_8021AD;
}

static bool is_ipv6(const uint8_t *frame, uint64_t frame_bytes)
{
    size_t off = NET_ETH_BYTES - 2u;

    if (is_tagged(frame) && frame_bytes >= NET_ETH_BYTES + NET_VLAN_BYTES)
        off += NET_VLAN_BYTES;
    return type_at(frame, off) == ETH_P_IPV6;
}

static bool guest_agreed(uint8_t gso_type, uint64_t features, const uint8_t *frame,
                         uint64_t frame_bytes)
{
    bool ecn = gso_type & VIRTIO_NET_HDR_GSO_ECN;

    switch (gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN) {
    case VIRTIO_NET_HDR_GSO_NONE:
        return !ecn;
    case VIRTIO_NET_HDR_GSO_TCPV4:
        return has(features, VIRTIO_NET_F_GUEST_TSO4) &&
               (!ecn || has(features, VIRTIO_NET_F_GUEST_ECN));
    case VIRTIO_NET_HDR_GSO_TCPV6:
        return has(features, VIRTIO_NET_F_GUEST_TSO6) &&
               (!ecn || has(features, VIRTIO_NET_F_GUEST_ECN));
    case VIRTIO_NET_HDR_GSO_UDP:
        return !ecn && has(features, VIRTIO_NET_F_GUEST_UFO);
    case VIRTIO_NET_HDR_GSO_UDP_L4:
        return !ecn && has(features, is_ipv6(frame, frame_bytes) ? VIRTIO_NET_F_GUEST_USO6
                                                                 : VIRTIO_NET_F_GUEST_USO4);
    default:
        return false;
    }
}

int net_hdr_check_rx(struct virtio_net_hdr_v1 *hdr, uint64_t features, const uint8_t *frame,
                     uint64_t frame_bytes)
{
    if (frame_bytes < NET_ETH_BYTES || !guest_agreed(hdr->gso_type, features, frame, frame_bytes))
        return NET_E_LIES;
    hdr->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID;
    if ((hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) &&
        (!has(features, VIRTIO_NET_F_GUEST_CSUM) || check_csum(hdr, frame_bytes) != 0))
        return NET_E_LIES;
    if (!has(features, VIRTIO_NET_F_GUEST_CSUM))
        hdr->flags = 0; /* its checksum is there, and right */
    if (hdr->gso_type != VIRTIO_NET_HDR_GSO_NONE && check_gso(hdr, frame_bytes) != 0)
        return NET_E_LIES;
    return 0;
}

bool net_fits_mtu(const uint8_t *frame, uint64_t frame_bytes, uint32_t mtu)
{
    return mtu == 0 ||
           frame_bytes <= (uint64_t)mtu + NET_ETH_BYTES + (is_tagged(frame) ? NET_VLAN_BYTES : 0);
}

/* Behind an IPv6 header and what extends it; 0: beyond the bytes. */
static size_t behind_ipv6(const uint8_t *head, size_t bytes, size_t off)
{
    uint8_t next;

    if (bytes < off + IPV6_BYTES)
        return 0;
    next = head[off + IPV6_NEXT];
    off += IPV6_BYTES;
    while (next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS) {
        if (bytes < off + 2)
            return 0;
        next = head[off];
        off += 8 * (1 + (size_t)head[off + 1]);
    }
    return off;
}

/* Where TCP's or UDP's header begins, 0: not to be seen. Whoever cuts the frame goes by this and not by
 * csum_start. */
static size_t transport_at(const uint8_t *head, size_t bytes)
{
    size_t off = NET_ETH_BYTES + (is_tagged(head) ? NET_VLAN_BYTES : 0u), header;

    if (bytes <= off)
        return 0;
    switch (type_at(head, off - 2)) {
    case ETH_P_IP:
        header = 4 * (size_t)(head[off] & 0xf);
        return header >= IPV4_BYTES ? off + header : 0;
    case ETH_P_IPV6:
        return behind_ipv6(head, bytes, off);
    default:
        return 0;
    }
}

/* What each segment but the last has, as the frame's own headers say; of one that nobody could cut, more than
 * any MTU. */
static uint64_t segment_bytes(const struct virtio_net_hdr_v1 *hdr, const uint8_t *head,
                              size_t bytes)
{
    size_t at = transport_at(head, bytes), tcp;

    if (at == 0 || at != hdr->csum_start)
        return UINT64_MAX;
    switch (hdr->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN) {
    case VIRTIO_NET_HDR_GSO_UDP: /* fragments: UDP's header is in the first one's payload */
        return at + (is_ipv6(head, bytes) ? IPV6_FRAGMENT_BYTES : 0u) + hdr->gso_size;
    case VIRTIO_NET_HDR_GSO_UDP_L4:
        return at + UDP_BYTES + hdr->gso_size;
    default:
        if (bytes <= at + TCP_LENGTH)
            return UINT64_MAX;
        tcp = 4 * (size_t)(head[at + TCP_LENGTH] >> 4);
        return at + MAX(tcp, (size_t)TCP_BYTES) + hdr->gso_size;
    }
}

bool net_hdr_fits_mtu(const struct virtio_net_hdr_v1 *hdr, const uint8_t *head, size_t head_bytes,
                      uint64_t frame_bytes, uint32_t mtu)
{
    if (net_fits_mtu(head, frame_bytes, mtu))
        return true; /* one segment, whatever it says */
    return hdr->gso_type != VIRTIO_NET_HDR_GSO_NONE &&
           net_fits_mtu(head, segment_bytes(hdr, head, head_bytes), mtu);
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
