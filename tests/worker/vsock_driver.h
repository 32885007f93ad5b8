/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_driver.h - a vsock worker with a guest's driver, host programs and a broker, for tests. */
#pragma once

#include <linux/virtio_config.h>
#include <linux/virtio_vsock.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "harness.h"

#define FEATURES                                                                                   \
    (1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX |                                \
     1ull << VIRTIO_RING_F_INDIRECT_DESC)

enum { RX, TX, EVENT, HDR = 44, CID = 42, BUF = 4096, RX_BUFS = 64, HOST = 2 };

typedef struct virtio_vsock_hdr pkt; /* a packet's header */

struct dev {
    struct wh *wh;
    Bulkhead__VsockWorkerConfig config;
    struct sockaddr_un addr;
    socklen_t addr_len;
    uint64_t at;
    uint8_t *payload; /* of the packet taken last */
};

void give_buffer(struct dev *d, unsigned slot);
struct dev *new_dev(bool buffers);
struct dev *new_dev_idle(void); /* its driver is not there yet */
void activate_dev(struct dev *d, bool buffers);
void free_dev(struct dev *d);
void guest_send_raw(struct dev *d, const pkt *p, const void *data, uint32_t data_len);
pkt packet(uint32_t guest_port, uint32_t host_port, uint16_t op);
void guest_send(struct dev *d, uint32_t guest_port, uint32_t host_port, uint16_t op);
void guest_data(struct dev *d, uint32_t guest_port, uint32_t host_port, const void *data,
                uint32_t len);
bool guest_try_take(struct dev *d, pkt *ret_p);
pkt guest_take(struct dev *d);
pkt guest_expect(struct dev *d, uint16_t op);
int host_connect(struct dev *d);
void host_write(int fd, const void *data, size_t len);
size_t host_read(int fd, void *dst, size_t len);
size_t host_read_line(int fd, char *line, size_t size);
int open_from_host(struct dev *d, uint32_t port, uint32_t *ret_host);
int open_from_guest(struct dev *d, uint32_t guest_port, uint32_t port);
int open_from_guest_small(struct dev *d, uint32_t guest_port, uint32_t port);
