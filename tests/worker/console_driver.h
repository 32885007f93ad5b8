/* SPDX-License-Identifier: Apache-2.0 */
/* console_driver.h - a console worker with the core's end of a serial port, or with a virtio-console
 * that the test drives. */
#pragma once

#include <linux/virtio_config.h>
#include "harness.h"
#include "shm/byte_ring.h"

#define FEATURES                                                                                   \
    (1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX |                                \
     1ull << VIRTIO_RING_F_INDIRECT_DESC)

enum { RXQ, TXQ };

/* The core's end of a serial port, and a worker behind it. */
struct port {
    struct wh *wh;
    struct serial_shared *shared;
    struct byte_ring out, in;
    int to_worker, to_guest;
    Bulkhead__ConsoleWorkerConfig config;
};

struct port *new_port(Bulkhead__ConsoleMode mode, bool virtio, int in, int out);
struct port *new_virtio_port(Bulkhead__ConsoleMode mode, unsigned queue_size, int in, int out);
void free_port(struct port *p);
void print(struct port *p, const void *data, size_t len);
void read_all(int fd, void *dst, size_t len);
void read_guest(struct port *p, void *dst, size_t len);
void pattern(uint8_t *dst, size_t len, uint32_t from);
void wait_for(const uint64_t *counter, uint64_t at_least);
void wait_for_beats(struct wh *wh, unsigned n);
