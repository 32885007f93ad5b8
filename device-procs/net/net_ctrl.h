/* SPDX-License-Identifier: Apache-2.0 */
/* net_ctrl.h - what a driver asks for in the control queue (virtio 1.2 section 5.1.6.5). Pure: works on a
 * private copy, knows no queue. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include "net_hdr.h"

enum { NET_CTRL_MAX_BYTES = 64 }; /* of a request that are looked at */

enum net_command_kind {
    NET_COMMAND_BAD,     /* to be answered with VIRTIO_NET_ERR */
    NET_COMMAND_NOTHING, /* nothing is to be done for it: VIRTIO_NET_OK */
    NET_COMMAND_PAIRS,   /* use that many */
    NET_COMMAND_MAC,     /* a unicast address */
};

struct net_command {
    enum net_command_kind kind;
    unsigned n_pairs; /* 0 to 65535 */
    uint8_t mac[NET_MAC_BYTES];
};

/* features: as negotiated. */
struct net_command net_ctrl_parse(const uint8_t *req, size_t len, uint64_t features);
