/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_pkt.c - any packet header, any first line, any order of opening and closing connections. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "vsock/vsock_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int ok)
{
    if (!ok)
        abort();
}

static void packet(const uint8_t *data, size_t size)
{
    struct virtio_vsock_hdr hdr;
    struct vsock_credit credit = { 0 };
    uint64_t payload;

    memcpy(&hdr, data, sizeof(hdr));
    payload = size - sizeof(hdr);
    if (vsock_pkt_check(&hdr, 3, payload) == 0)
        check(hdr.src_cid == 3 && hdr.dst_cid == VSOCK_HOST_CID && hdr.len <= payload &&
              hdr.op >= 1 && hdr.op <= 7);
    credit.peer_alloc = hdr.buf_alloc;
    credit.peer_forwarded = hdr.fwd_cnt;
    credit.out_sent = hdr.len;
    check(vsock_credit_out(&credit) <= hdr.buf_alloc);
}

static void line(const uint8_t *data, size_t size)
{
    uint32_t port;
    size_t len = MIN(size, (size_t)VSOCK_LINE_BYTES);
    char text[VSOCK_LINE_BYTES];
    int r;

    memcpy(text, data, len);
    r = vsock_line_parse(text, len, &port);
    check(r <= 1);
    check(r != 1 || len < VSOCK_LINE_BYTES); /* a full line is never "more" */
}

static void table(const uint8_t *data, size_t size)
{
    static struct vsock_table *t;

    if (!t) {
        t = calloc(1, sizeof(*t));
        check(t && vsock_table_init(t) == 0);
    }
    for (size_t at = 0; at + 3 <= size; at += 3) {
        uint32_t host = data[at + 1] % 8, guest = data[at + 2] % 8;
        struct vsock_conn *c = vsock_table_find(t, host, guest);

        check(!c || (c->host_port == host && c->guest_port == guest && c->state != VSOCK_FREE));
        if (data[at] % 4 == 0 && !c && (c = vsock_table_new(t))) {
            c->state = VSOCK_OPEN;
            vsock_table_enter(t, c, host, guest);
            check(vsock_table_by_token(t, vsock_table_token(t, c)) == c);
        } else if (data[at] % 4 == 1 && c) {
            vsock_table_free(t, c);
        } else if (data[at] % 4 == 2 && c) {
            vsock_table_wait(t, c);
        } else if (data[at] % 4 == 3 && t->wait_first) {
            vsock_table_unwait(t, t->wait_first);
        }
    }
    for (uint32_t i = 0; i < 64; i++) {
        struct vsock_conn *c = vsock_table_find(t, i / 8, i % 8);

        if (c)
            vsock_table_free(t, c);
    }
    check(t->n_used == 0 && !t->wait_first && !t->wait_last);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size >= sizeof(struct virtio_vsock_hdr))
        packet(data, size);
    line(data, size);
    table(data, size);
    return 0;
}
