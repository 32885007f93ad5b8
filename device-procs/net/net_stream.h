/* SPDX-License-Identifier: Apache-2.0 */
/* net_stream.h - frames over a byte stream, each behind its length in 4 bytes, big-endian: the
 * protocol of passt and of QEMU's socket back ends. Pure: no descriptor here. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "net_hdr.h"

enum { NET_STREAM_PREFIX_BYTES = 4 };
enum { NET_STREAM_EMPTY = 1, NET_STREAM_LIES = 2 }; /* positive: caller must handle */

struct net_stream_in {
    uint8_t *data;     /* caller's */
    size_t size_bytes; /* at least prefix + NET_MAX_FRAME_BYTES */
    size_t start, end;
};

void net_stream_in_init(struct net_stream_in *in, void *data, size_t size_bytes);
/* Where the next bytes of the stream go; returns room, which is never 0 after net_stream_next()
 * said NET_STREAM_EMPTY. */
size_t net_stream_room(struct net_stream_in *in, uint8_t **ret_dst);
void net_stream_received(struct net_stream_in *in, size_t len);
/* 0 with one whole frame, valid until the next call of net_stream_room(); NET_STREAM_EMPTY;
 * NET_STREAM_LIES: a length no frame can have, the stream is of no more use. */
int net_stream_next(struct net_stream_in *in, const uint8_t **ret_frame,
                    size_t *ret_len) must_check;
void net_stream_prefix(uint8_t prefix[NET_STREAM_PREFIX_BYTES], uint32_t frame_bytes);
