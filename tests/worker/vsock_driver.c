/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_driver.c - see vsock_driver.h. */
#include "vsock_driver.h"
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static void configure(Bulkhead__Configure *c, void *arg)
{
    c->role_case = BULKHEAD__CONFIGURE__ROLE_VSOCK;
    c->vsock = arg;
}

void give_buffer(struct dev *d, unsigned slot)
{
    assert_true(wh_add(d->wh, RX, &(struct wh_buf){ d->at + slot * (uint64_t)BUF, BUF, true }, 1,
                       false) >= 0);
}

void activate_dev(struct dev *d, bool buffers)
{
    wh_activate(d->wh, FEATURES, false);
    for (unsigned i = 0; buffers && i < RX_BUFS; i++)
        give_buffer(d, i);
    wh_kick(d->wh, RX);
}

struct dev *new_dev(bool buffers)
{
    struct dev *d = new_dev_idle();

    activate_dev(d, buffers);
    return d;
}

struct dev *new_dev_idle(void)
{
    struct dev *d = calloc(1, sizeof(*d));
    struct wh_config c = { .program = "bulkhead-dev-vsock",
                           .configure = configure,
                           .n_queues = 3,
                           .queue_size = 256,
                           .n_own_fds = 1,
                           .away = true,
                           .arg = &d->config };
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sa_family_t family = AF_UNIX;

    bulkhead__vsock_worker_config__init(&d->config);
    d->config.cid = CID;
    d->addr_len = sizeof(d->addr);
    assert_int_equal(bind(listener, (struct sockaddr *)&family, sizeof(family)), 0);
    assert_int_equal(listen(listener, 4096), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&d->addr, &d->addr_len), 0);
    c.own_fds[0] = listener;
    d->wh = wh_new(&c);
    d->at = wh_data_base(d->wh);
    wh_start(d->wh);
    assert_int_equal(d->wh->virtio_id, 19);
    assert_int_equal(d->wh->device_config[0], CID);
    return d;
}

void free_dev(struct dev *d)
{
    wh_free(d->wh);
    free(d);
}

/* ---- the guest ---- */

void guest_send_raw(struct dev *d, const pkt *p, const void *data, uint32_t data_len)
{
    uint64_t at = d->at + 1000ull * BUF;
    struct wh_buf bufs[] = { { at, HDR, false }, { at + HDR, data_len, false } };
    uint16_t head;
    uint32_t len;

    memcpy(wh_mem(d->wh, at, HDR), p, HDR);
    if (data_len)
        memcpy(wh_mem(d->wh, at + HDR, data_len), data, data_len);
    assert_true(wh_add(d->wh, TX, bufs, data_len ? 2 : 1, true) >= 0);
    wh_kick(d->wh, TX);
    wh_wait_used(d->wh, TX, &head, &len);
}

pkt packet(uint32_t guest_port, uint32_t host_port, uint16_t op)
{
    return (pkt){ .src_cid = CID,
                  .dst_cid = HOST,
                  .src_port = guest_port,
                  .dst_port = host_port,
                  .type = VIRTIO_VSOCK_TYPE_STREAM,
                  .op = op,
                  .buf_alloc = 1 << 18 };
}

void guest_send(struct dev *d, uint32_t guest_port, uint32_t host_port, uint16_t op)
{
    pkt p = packet(guest_port, host_port, op);

    guest_send_raw(d, &p, NULL, 0);
}

void guest_data(struct dev *d, uint32_t guest_port, uint32_t host_port, const void *data,
                uint32_t len)
{
    pkt p = packet(guest_port, host_port, VIRTIO_VSOCK_OP_RW);

    p.len = len;
    guest_send_raw(d, &p, data, len);
}

static pkt take_used(struct dev *d, uint16_t head, uint32_t len)
{
    uint64_t at = d->wh->queues[RX].vring.desc[head].addr;
    pkt p;

    assert_true(len >= HDR);
    memcpy(&p, wh_mem(d->wh, at, HDR), HDR);
    assert_int_equal(p.src_cid, HOST);
    assert_int_equal(p.dst_cid, CID);
    assert_int_equal(len, HDR + p.len);
    d->payload = wh_mem(d->wh, at + HDR, p.len);
    assert_true(wh_add(d->wh, RX, &(struct wh_buf){ at, BUF, true }, 1, false) >= 0);
    wh_kick(d->wh, RX);
    return p;
}

bool guest_try_take(struct dev *d, pkt *ret_p)
{
    uint16_t head;
    uint32_t len;

    if (!wh_try_used(d->wh, RX, &head, &len))
        return false;
    *ret_p = take_used(d, head, len);
    return true;
}

pkt guest_take(struct dev *d)
{
    uint16_t head;
    uint32_t len;

    wh_wait_used(d->wh, RX, &head, &len);
    return take_used(d, head, len);
}

/* Skips credit updates, which come when they like. */
pkt guest_expect(struct dev *d, uint16_t op)
{
    pkt p;

    do
        p = guest_take(d);
    while (p.op == VIRTIO_VSOCK_OP_CREDIT_UPDATE && op != VIRTIO_VSOCK_OP_CREDIT_UPDATE);
    if (p.op != op)
        fail_msg("op %u came where %u was due (port %u)", p.op, op, p.dst_port);
    return p;
}

/* ---- the host ---- */

int host_connect(struct dev *d)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&d->addr, d->addr_len), 0);
    return fd;
}

void host_write(int fd, const void *data, size_t len)
{
    assert_int_equal(send(fd, data, len, MSG_NOSIGNAL), len);
}

size_t host_read(int fd, void *dst, size_t len)
{
    uint8_t *at = dst;
    size_t done = 0;

    while (done < len) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        ssize_t n;

        assert_int_equal(poll(&p, 1, WH_PATIENCE_MS), 1);
        n = read(fd, at + done, len - done);
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    return done;
}

size_t host_read_line(int fd, char *line, size_t size)
{
    size_t n = 0;

    while (n < size - 1 && host_read(fd, line + n, 1) == 1)
        if (line[n++] == '\n')
            break;
    line[n] = '\0';
    return n;
}

/* A host program reaches guest port `port`; returns its socket, *ret_host its port. */
int open_from_host(struct dev *d, uint32_t port, uint32_t *ret_host)
{
    char line[64], want[64];
    int fd = host_connect(d);
    pkt p;

    host_write(fd, line, (size_t)snprintf(line, sizeof(line), "CONNECT %u\n", port));
    p = guest_expect(d, VIRTIO_VSOCK_OP_REQUEST);
    assert_int_equal(p.dst_port, port);
    *ret_host = p.src_port;
    guest_send(d, port, p.src_port, VIRTIO_VSOCK_OP_RESPONSE);
    host_read_line(fd, line, sizeof(line));
    snprintf(want, sizeof(want), "OK %u\n", p.src_port);
    assert_string_equal(line, want);
    return fd;
}

static int open_over(struct dev *d, uint32_t guest_port, uint32_t port, int buffer_bytes)
{
    Bulkhead__VsockConnected m = BULKHEAD__VSOCK_CONNECTED__INIT;
    ENVELOPE(e, VSOCK_CONNECTED, vsock_connected, &m);
    const Bulkhead__VsockConnect *ask;
    int pair[2];

    guest_send(d, guest_port, port, VIRTIO_VSOCK_OP_REQUEST);
    ask = wh_expect(d->wh, BULKHEAD__ENVELOPE__BODY_VSOCK_CONNECT)->vsock_connect;
    assert_int_equal(ask->port, port);
    m.token = ask->token;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    if (buffer_bytes > 0)
        assert_int_equal(
            setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof(buffer_bytes)), 0);
    assert_int_equal(channel_send(d->wh->channel, &e, &pair[0], 1, true), 0);
    close(pair[0]);
    assert_int_equal(guest_expect(d, VIRTIO_VSOCK_OP_RESPONSE).dst_port, guest_port);
    return pair[1];
}

/* A guest's program reaches host port `port`; the test is the broker. */
int open_from_guest(struct dev *d, uint32_t guest_port, uint32_t port)
{
    return open_over(d, guest_port, port, 0);
}

/* The same, with a socket that holds a few KiB only. */
int open_from_guest_small(struct dev *d, uint32_t guest_port, uint32_t port)
{
    return open_over(d, guest_port, port, 4096);
}
