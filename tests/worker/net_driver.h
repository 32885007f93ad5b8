/* SPDX-License-Identifier: Apache-2.0 */
/* net_driver.h - a network worker with a driver and the host's end of its wire, for tests. */
#pragma once

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include "harness.h"

#define BIT(f) (1ull << (f))
#define BASE                                                                                       \
    (BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_RING_F_INDIRECT_DESC) |   \
     BIT(VIRTIO_NET_F_MAC) | BIT(VIRTIO_NET_F_STATUS) | BIT(VIRTIO_NET_F_CTRL_VQ) |                \
     BIT(VIRTIO_NET_F_CTRL_MAC_ADDR))
#define MERGE BIT(VIRTIO_NET_F_MRG_RXBUF)

enum { RX, TX, CTRL, HDR = 12, BUF = 4096 };

struct nic {
    struct wh *wh;
    Bulkhead__NetWorkerConfig config;
    int peer; /* stream: the other end; tap: a packet socket on it */
    uint64_t at;
};

extern uint8_t netd_mac[6];
static const struct virtio_net_hdr_v1 netd_plain; /* no offload */

struct nic *netd_new(bool stream, const int *fds, unsigned n_fds, int peer);
struct nic *netd_new_stream(void);
/* A tap of its own in a network namespace of the test's, which needs root: else the test is skipped.
 * Frames of the type 0x88b5 come out at peer. */
struct nic *netd_new_tap(unsigned pairs);
/* An ioctl of interfaces, on the tap made last. */
void netd_set_interface(unsigned long what, struct ifreq req);
void netd_set_up(bool up);
/* The tap made last: as with `ip link delete`. */
void netd_delete_tap(void);
/* It is made again, and the worker's descriptors are its queues, as the broker does it: up. */
void netd_make_tap_again(struct nic *n);
void netd_free(struct nic *n);
void netd_send_frame(struct nic *n, unsigned slot, const struct virtio_net_hdr_v1 *hdr, size_t len,
                     uint8_t tag);
void netd_sent(struct nic *n); /* waits for one completion of the first pair */
void netd_sent_by(struct nic *n, unsigned q);
void netd_give_buffer(struct nic *n, unsigned slot, uint32_t len);
/* The next message: the link's state as the guest now sees it. */
uint16_t netd_link_status(struct nic *n);
size_t netd_read_stream_frame(int fd, uint8_t *dst, size_t size);
void netd_write_stream_frame(int fd, uint32_t len, uint8_t tag);
void netd_fill_frame(uint8_t *frame, size_t len, uint8_t tag);
uint64_t netd_tx_at(struct nic *n, unsigned slot);
uint8_t netd_control(struct nic *n, unsigned q, uint8_t class, uint8_t cmd, const void *data,
                     uint32_t len);
