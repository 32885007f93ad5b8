/* SPDX-License-Identifier: Apache-2.0 */
/* net_stream.c - frames over a byte stream. */
#include "net_stream.h"

#include <endian.h>
#include <string.h>

void net_stream_in_init(struct net_stream_in *in, void *data, size_t size_bytes)
{
    *in = (struct net_stream_in){ .data = data, .size_bytes = size_bytes };
}

size_t net_stream_room(struct net_stream_in *in, uint8_t **ret_dst)
{
    if (in->start > 0) {
        memmove(in->data, in->data + in->start, in->end - in->start);
        in->end -= in->start;
        in->start = 0;
    }
    *ret_dst = in->data + in->end;
    return in->size_bytes - in->end;
}

void net_stream_received(struct net_stream_in *in, size_t len)
{
    in->end += MIN(len, in->size_bytes - in->end);
}

int net_stream_next(struct net_stream_in *in, const uint8_t **ret_frame, size_t *ret_len)
{
    size_t have = in->end - in->start;
    uint32_t len;

    if (have < NET_STREAM_PREFIX_BYTES)
        return NET_STREAM_EMPTY;
    memcpy(&len, in->data + in->start, sizeof(len));
    len = be32toh(len);
    if (len < NET_ETH_BYTES || len > NET_MAX_FRAME_BYTES)
        return NET_STREAM_LIES;
    if (have - NET_STREAM_PREFIX_BYTES < len)
        return NET_STREAM_EMPTY;
    *ret_frame = in->data + in->start + NET_STREAM_PREFIX_BYTES;
    *ret_len = len;
    in->start += NET_STREAM_PREFIX_BYTES + len;
    return 0;
}

void net_stream_prefix(uint8_t prefix[NET_STREAM_PREFIX_BYTES], uint32_t frame_bytes)
{
    uint32_t be = htobe32(frame_bytes);

    memcpy(prefix, &be, sizeof(be));
}
