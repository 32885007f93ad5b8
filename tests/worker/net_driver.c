/* SPDX-License-Identifier: Apache-2.0 */
/* net_driver.c - see net_driver.h. */
#include "net_driver.h"
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

uint8_t netd_mac[6] = { 0x52, 0x54, 0x00, 0x11, 0x22, 0x33 };

static void configure(Bulkhead__Configure *c, void *arg)
{
    c->role_case = BULKHEAD__CONFIGURE__ROLE_NET;
    c->net = arg;
}

struct nic *netd_new(bool stream, const int *fds, unsigned n_fds, int peer)
{
    struct nic *n = calloc(1, sizeof(*n));
    struct wh_config c = { .program = "bulkhead-dev-net",
                           .configure = configure,
                           .queue_size = 256,
                           .n_queues = 2 * n_fds + 1,
                           .n_own_fds = n_fds };

    bulkhead__net_worker_config__init(&n->config);
    n->config.mac.data = netd_mac;
    n->config.mac.len = sizeof(netd_mac);
    n->config.queue_pairs = n_fds;
    n->config.stream = stream;
    n->config.use_io_uring = true;
    n->config.offload_csum = n->config.offload_tso = n->config.offload_ufo = !stream;
    n->config.tap_offloads =
        stream ? 0 : TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN; /* all kernels' */
    memcpy(c.own_fds, fds, n_fds * sizeof(fds[0]));
    c.arg = &n->config;
    n->wh = wh_new(&c);
    n->peer = peer;
    n->at = wh_data_base(n->wh);
    return n;
}

struct nic *netd_new_stream(void)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    return netd_new(true, pair, 1, pair[1]);
}

static unsigned n_taps;

static void name_of_last(char name[IFNAMSIZ])
{
    snprintf(name, IFNAMSIZ, "bhtest%u", n_taps - 1);
}

static int packet_socket(void)
{
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    struct sockaddr_ll addr = { .sll_family = AF_PACKET, .sll_protocol = htons(0x88b5) };
    char name[IFNAMSIZ];

    name_of_last(name);
    netd_set_up(true);
    addr.sll_ifindex = (int)if_nametoindex(name);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    return fd;
}

struct nic *netd_new_tap(unsigned pairs)
{
    char name[IFNAMSIZ];
    int fds[8];

    if (n_taps == 0 && unshare(CLONE_NEWNET) < 0)
        skip(); /* the same paths are covered with the stream */
    n_taps++;
    name_of_last(name);
    for (unsigned i = 0; i < pairs; i++) {
        fds[i] = wh_try_tap(name, pairs > 1);
        if (fds[i] < 0)
            skip();
    }
    return netd_new(false, fds, pairs, packet_socket());
}

void netd_set_interface(unsigned long what, struct ifreq req)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    name_of_last(req.ifr_name);
    assert_int_equal(ioctl(fd, what, &req), 0);
    close(fd);
}

void netd_set_up(bool up)
{
    netd_set_interface(SIOCSIFFLAGS, (struct ifreq){ .ifr_flags = up ? IFF_UP : 0 });
}

void netd_delete_tap(void)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    char name[IFNAMSIZ];
    struct {
        struct nlmsghdr head;
        struct ifinfomsg info;
    } ask = { .head = { .nlmsg_len = sizeof(ask),
                        .nlmsg_type = RTM_DELLINK,
                        .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK } };
    struct {
        struct nlmsghdr head;
        struct nlmsgerr error;
        uint8_t rest[64];
    } answer;

    name_of_last(name);
    ask.info.ifi_index = (int)if_nametoindex(name);
    assert_int_equal(send(fd, &ask, sizeof(ask), 0), sizeof(ask));
    assert_true(recv(fd, &answer, sizeof(answer), 0) >=
                (ssize_t)(sizeof(answer.head) + sizeof(answer.error)));
    assert_int_equal(answer.error.error, 0);
    close(fd);
}

void netd_make_tap_again(struct nic *n)
{
    struct ifreq req = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
    int size = HDR;

    if (n->wh->config.n_own_fds > 1)
        req.ifr_flags |= IFF_MULTI_QUEUE;
    name_of_last(req.ifr_name);
    for (unsigned i = 0; i < n->wh->config.n_own_fds; i++) {
        assert_int_equal(ioctl(n->wh->config.own_fds[i], TUNSETIFF, &req), 0);
        assert_int_equal(ioctl(n->wh->config.own_fds[i], TUNSETVNETHDRSZ, &size), 0);
    }
    close(n->peer);
    n->peer = packet_socket();
}

void netd_free(struct nic *n)
{
    wh_free(n->wh);
    if (n->peer >= 0)
        close(n->peer);
    free(n);
}

/* Guest memory: receive buffers at at + slot * BUF, transmit frames behind them. */
uint64_t netd_tx_at(struct nic *n, unsigned slot)
{
    return n->at + (1024 + slot * 20ull) * BUF;
}

void netd_fill_frame(uint8_t *frame, size_t len, uint8_t tag)
{
    memset(frame, 0xff, 6);
    memcpy(frame + 6, netd_mac, 6);
    frame[12] = 0x88;
    frame[13] = 0xb5; /* local experimental: no protocol of the kernel's answers it */
    memset(frame + 14, tag, len - 14);
}

void netd_send_frame(struct nic *n, unsigned slot, const struct virtio_net_hdr_v1 *hdr, size_t len,
                     uint8_t tag)
{
    uint64_t at = netd_tx_at(n, slot);
    struct wh_buf bufs[] = { { at, HDR, false }, { at + HDR, (uint32_t)len, false } };

    memcpy(wh_mem(n->wh, at, HDR), hdr, HDR);
    if (len >= 14)
        netd_fill_frame(wh_mem(n->wh, at + HDR, len), len, tag);
    assert_true(wh_add(n->wh, TX, bufs, len ? 2 : 1, true) >= 0);
    wh_kick(n->wh, TX);
}

void netd_sent_by(struct nic *n, unsigned q)
{
    uint16_t head;
    uint32_t len;

    wh_wait_used(n->wh, q, &head, &len);
    assert_int_equal(len, 0);
}

void netd_sent(struct nic *n)
{
    netd_sent_by(n, TX);
}

void netd_give_buffer(struct nic *n, unsigned slot, uint32_t len)
{
    assert_true(wh_add(n->wh, RX, &(struct wh_buf){ n->at + slot * (uint64_t)BUF, len, true }, 1,
                       false) >= 0);
    wh_kick(n->wh, RX);
}

static void read_all(int fd, void *dst, size_t len)
{
    uint8_t *at = dst;

    while (len > 0) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        ssize_t n;

        assert_int_equal(poll(&p, 1, WH_PATIENCE_MS), 1);
        n = read(fd, at, len);
        assert_true(n > 0);
        at += n;
        len -= (size_t)n;
    }
}

size_t netd_read_stream_frame(int fd, uint8_t *dst, size_t size)
{
    uint32_t len;

    read_all(fd, &len, sizeof(len));
    len = be32toh(len);
    assert_true(len <= size);
    read_all(fd, dst, len);
    return len;
}

void netd_write_stream_frame(int fd, uint32_t len, uint8_t tag)
{
    static uint8_t frame[70000];
    uint32_t be = htobe32(len);

    memcpy(frame, &be, sizeof(be));
    netd_fill_frame(frame + 4, len, tag);
    assert_int_equal(send(fd, frame, 4 + len, MSG_NOSIGNAL), 4 + len);
}

uint16_t netd_link_status(struct nic *n)
{
    const Bulkhead__ConfigUpdate *u =
        wh_expect(n->wh, BULKHEAD__ENVELOPE__BODY_CONFIG_UPDATE)->config_update;
    uint16_t status;

    assert_int_equal(u->offset, offsetof(struct virtio_net_config, status));
    assert_int_equal(u->data.len, sizeof(status));
    memcpy(&status, u->data.data, sizeof(status));
    return status;
}

uint8_t netd_control(struct nic *n, unsigned q, uint8_t class, uint8_t cmd, const void *data,
                     uint32_t len)
{
    uint64_t at = n->at + 900ull * BUF;
    uint8_t req[] = { class, cmd };
    struct wh_buf bufs[] = { { at, 2, false }, { at + 64, len, false }, { at + 128, 1, true } };
    uint16_t head;
    uint32_t used;

    memcpy(wh_mem(n->wh, at, 2), req, 2);
    memcpy(wh_mem(n->wh, at + 64, len), data, len);
    assert_true(wh_add(n->wh, q, bufs, 3, false) >= 0);
    wh_kick(n->wh, q);
    wh_wait_used(n->wh, q, &head, &used);
    assert_int_equal(used, 1);
    return *(uint8_t *)wh_mem(n->wh, at + 128, 1);
}
