/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_pkt.c - packets of virtio-vsock, credit, the host program's first line. */
#include "vsock_pkt.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static_assert(sizeof(struct virtio_vsock_hdr) == VSOCK_HDR_BYTES, "virtio 1.2, 5.10.6");

int vsock_pkt_check(const struct virtio_vsock_hdr *hdr, uint64_t guest_cid, uint64_t payload_bytes)
{
    if (hdr->src_cid != guest_cid || hdr->dst_cid != VSOCK_HOST_CID)
        return VSOCK_DROP;
    if (hdr->type != VIRTIO_VSOCK_TYPE_STREAM)
        return VSOCK_REFUSE;
    if (hdr->len > payload_bytes) /* claims bytes that it did not bring */
        return VSOCK_REFUSE;
    if (hdr->op == VIRTIO_VSOCK_OP_INVALID || hdr->op > VIRTIO_VSOCK_OP_CREDIT_REQUEST)
        return VSOCK_REFUSE;
    return 0;
}

uint32_t vsock_credit_out(const struct vsock_credit *c)
{
    uint32_t in_flight = c->out_sent - c->peer_forwarded;

    return in_flight > c->peer_alloc ? 0 : c->peer_alloc - in_flight;
}

bool vsock_credit_in_ok(const struct vsock_credit *c, uint32_t len)
{
    uint32_t held = c->in_received - c->in_forwarded; /* ours: never more than the buffer */

    return len <= VSOCK_BUFFER_BYTES - held;
}

bool vsock_credit_worth_telling(const struct vsock_credit *c)
{
    uint32_t as_the_guest_sees = c->in_received - c->in_advertised;

    return c->in_forwarded != c->in_advertised && as_the_guest_sees >= VSOCK_BUFFER_BYTES / 2;
}

int vsock_line_parse(const char *line, size_t len, uint32_t *ret_port)
{
    static const char word[] = "CONNECT ";
    const size_t word_len = sizeof(word) - 1;
    uint64_t port = 0;
    size_t i;

    if (memcmp(line, word, MIN(len, word_len)) != 0)
        return -EPROTO;
    for (i = word_len; i < len && line[i] >= '0' && line[i] <= '9'; i++) {
        port = port * 10 + (uint64_t)(line[i] - '0');
        if (port > UINT32_MAX)
            return -ERANGE;
    }
    if (i >= len)
        return len >= VSOCK_LINE_BYTES ? -EPROTO : 1;
    if (i > word_len && line[i] == '\r' && i + 1 == len)
        return len >= VSOCK_LINE_BYTES ? -EPROTO : 1;
    if (i > word_len && line[i] == '\r')
        i++;
    if (i == word_len || line[i] != '\n' || port == UINT32_MAX)
        return -EPROTO; /* UINT32_MAX is VMADDR_PORT_ANY */
    *ret_port = (uint32_t)port;
    return 0;
}
