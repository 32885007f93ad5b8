/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_pkt.h - packets of virtio-vsock (virtio 1.2 section 5.10.6), the credit of one stream, and
 * the line with which a host program asks for a guest port. Pure. */
#pragma once

#include <linux/virtio_vsock.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/compiler.h"

enum {
    VSOCK_HDR_BYTES = 44,
    VSOCK_HOST_CID = 2,
    VSOCK_BUFFER_BYTES = 65536,
    VSOCK_LINE_BYTES = 32
};

enum { VSOCK_DROP = 1, VSOCK_REFUSE = 2 }; /* positive: not to be answered; answer with a reset */

/* Checks a private copy of a header that the guest sent with payload_bytes behind it. 0,
 * VSOCK_DROP (not from this guest, not to the host: nobody to answer) or VSOCK_REFUSE. */
int vsock_pkt_check(const struct virtio_vsock_hdr *hdr, uint64_t guest_cid,
                    uint64_t payload_bytes) must_check;

/* Byte counts of one connection; 32-bit, free running as on the wire. "in": from the guest. */
struct vsock_credit {
    uint32_t in_received;   /* bytes the guest has sent */
    uint32_t in_forwarded;  /* of them: gone to the host's socket */
    uint32_t in_advertised; /* in_forwarded as the guest was last told */
    uint32_t out_sent;      /* bytes given to the guest */
    uint32_t peer_alloc, peer_forwarded;
};

/* Bytes that the guest has room for; 0 too when its figures are impossible. */
uint32_t vsock_credit_out(const struct vsock_credit *c);
/* Whether len more bytes are within what the guest was promised. */
bool vsock_credit_in_ok(const struct vsock_credit *c, uint32_t len);
/* Whether the guest should hear that there is room again. */
bool vsock_credit_worth_telling(const struct vsock_credit *c);

/* "CONNECT <port>\n": 0 with *ret_port, 1 when more bytes are needed, negative errno when it is
 * something else. len counts up to and with the newline if there is one. */
int vsock_line_parse(const char *line, size_t len, uint32_t *ret_port) must_check;
