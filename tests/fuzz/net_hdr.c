/* SPDX-License-Identifier: Apache-2.0 */
/* net_hdr.c - any header before a frame of any length, and any bytes as passt's stream. What the
 * checks let through must be true of the frame. */
#include "net/net_hdr.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "net/net_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int ok)
{
    if (!ok)
        abort();
}

static void headers(const uint8_t *data)
{
    static uint8_t frame[80000];
    struct virtio_net_hdr_v1 tx, rx;
    uint64_t features;
    uint32_t bytes;
    size_t head;

    memcpy(&tx, data, sizeof(tx));
    memcpy(&features, data + sizeof(tx), sizeof(features));
    memcpy(&bytes, data + sizeof(tx) + sizeof(features), sizeof(bytes));
    bytes %= 80000;
    head = MIN(bytes, (uint32_t)NET_HEAD_MAX_BYTES);
    rx = tx;
    memcpy(frame + 12, data + 2, 22); /* type, type behind a tag, headers */
    if (net_hdr_check_tx(&tx, features, bytes) == 0) {
        check(bytes >= NET_ETH_BYTES && bytes <= NET_MAX_FRAME_BYTES);
        check((tx.flags & ~VIRTIO_NET_HDR_F_NEEDS_CSUM) == 0);
        check(tx.flags == 0 || tx.csum_start + tx.csum_offset + 2u <= bytes);
        check(tx.gso_type == 0 || (tx.flags && tx.gso_size > 0 && tx.hdr_len <= bytes));
        check(net_hdr_fits_mtu(&tx, frame, head, bytes, 0));
        check(!net_fits_mtu(frame, bytes, 1500) || net_hdr_fits_mtu(&tx, frame, head, bytes, 1500));
    }
    if (net_hdr_check_rx(&rx, features, frame, bytes) == 0) {
        check(bytes >= NET_ETH_BYTES);
        check(rx.flags == 0 || (features & 1ull << VIRTIO_NET_F_GUEST_CSUM));
        check(rx.gso_type == 0 || rx.gso_size > 0);
    }
}

static void stream(const uint8_t *data, size_t size)
{
    static uint8_t mem[NET_STREAM_PREFIX_BYTES + NET_MAX_FRAME_BYTES];
    struct net_stream_in in;
    const uint8_t *frame;
    size_t len;

    net_stream_in_init(&in, mem, sizeof(mem));
    while (size > 0) {
        uint8_t *dst;
        size_t n = MIN(MIN(net_stream_room(&in, &dst), size), (size_t)data[0] * 64 + 1);
        int r;

        check(n > 0);
        memcpy(dst, data, n);
        net_stream_received(&in, n);
        data += n;
        size -= n;
        while ((r = net_stream_next(&in, &frame, &len)) == 0)
            check(frame >= mem && frame + len <= mem + sizeof(mem));
        if (r == NET_STREAM_LIES)
            return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size >= NET_HDR_BYTES + 12)
        headers(data);
    stream(data, size);
    return 0;
}
