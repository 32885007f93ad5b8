/* SPDX-License-Identifier: Apache-2.0 */
/* net_hdr.h - what a guest may say in front of a frame (virtio 1.2 section 5.1.6.2).
 * Pure: works on private copies, knows no queue and no descriptor. */
#pragma once

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/compiler.h"

#ifndef VIRTIO_NET_F_GUEST_USO4
#define VIRTIO_NET_F_GUEST_USO4 54
#define VIRTIO_NET_F_GUEST_USO6 55
#define VIRTIO_NET_F_HOST_USO 56
#endif
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

#define NET_BIT(f) (1ull << (f))

enum {
    NET_HDR_BYTES = 12,
    NET_ETH_BYTES = 14,
    NET_VLAN_BYTES = 4,
    NET_MAC_BYTES = 6,
    NET_MAX_FRAME_BYTES = 65535 + 18, /* an IP packet, Ethernet header, a VLAN tag */
    /* The beginning of a frame, with all that says how long its segments are: a tag, an IP header of any
     * length (IPv6: with some extensions), TCP's up to its own length. */
    NET_HEAD_MAX_BYTES = 128,
};

enum { NET_E_LIES = 1 }; /* positive: drop the frame and count it */

/* Checks a header against the negotiated features and the frame's real length, and clears what
 * the device sets itself. 0 or NET_E_LIES. */
int net_hdr_check_tx(struct virtio_net_hdr_v1 *hdr, uint64_t features,
                     uint64_t frame_bytes) must_check;
/* The same for a frame that the host's side brings, before the guest gets it: its driver gets nothing
 * that it didn't agree to. A frame may have been queued for the driver before this one. */
int net_hdr_check_rx(struct virtio_net_hdr_v1 *hdr, uint64_t features, const uint8_t *frame,
                     uint64_t frame_bytes) must_check;
/* Whether a frame that goes as it is keeps to an MTU (0: any does), which counts what follows the
 * Ethernet header and a VLAN tag. frame: NET_ETH_BYTES at least. */
bool net_fits_mtu(const uint8_t *frame, uint64_t frame_bytes, uint32_t mtu);
/* The same for a frame of the guest's that passed the check, cut into its segments if it is to be. head:
 * its first head_bytes, NET_ETH_BYTES at least; NET_HEAD_MAX_BYTES, or the frame, if it is to be cut. */
bool net_hdr_fits_mtu(const struct virtio_net_hdr_v1 *hdr, const uint8_t *head, size_t head_bytes,
                      uint64_t frame_bytes, uint32_t mtu);
/* Whether the frame's source is this address. */
bool net_source_is(const uint8_t eth[NET_ETH_BYTES], const uint8_t mac[NET_MAC_BYTES]);
bool net_mac_is_unicast(const uint8_t mac[NET_MAC_BYTES]);
