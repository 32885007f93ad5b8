/* SPDX-License-Identifier: Apache-2.0 */
/* byte_ring.h - a byte queue in shared memory, one producer, one consumer, neither trusts the
 * other: indices read from shared memory are checked on every use, a peer that lies can only lose
 * its own bytes. Free-running 32-bit indices, power-of-two size. No process ever waits here. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include "base/compiler.h"

enum { BYTE_RING_DATA_BYTES = 65536 };

struct byte_ring_shared { /* in the memfd, page aligned; two of them per serial port */
    uint32_t head;        /* written by the consumer */
    uint32_t pad0_[15];
    uint32_t tail;    /* written by the producer */
    uint32_t dropped; /* bytes that did not fit, by the producer */
    uint32_t pad1_[14];
    uint8_t data[BYTE_RING_DATA_BYTES];
};

/* The serial port's memfd: [0] guest to worker, [1] worker to guest. */
struct serial_shared {
    struct byte_ring_shared to_worker __attribute__((aligned(4096)));
    struct byte_ring_shared to_guest __attribute__((aligned(4096)));
};

struct byte_ring { /* one side's private view; its own index is kept here and only published */
    struct byte_ring_shared *shared;
    uint32_t own; /* tail for the producer, head for the consumer */
};

/* Takes up where the shared page says (a restarted worker), or at zero for a fresh memfd. */
void byte_ring_attach_producer(struct byte_ring *ring, struct byte_ring_shared *shared);
void byte_ring_attach_consumer(struct byte_ring *ring, struct byte_ring_shared *shared);
/* Returns how many bytes went in; the rest is the caller's to drop (byte_ring_drop counts it). */
size_t byte_ring_put(struct byte_ring *ring, const void *src, size_t len);
void byte_ring_drop(struct byte_ring *ring, size_t len);
/* Copies at most len bytes out without consuming; then byte_ring_consume(). A producer whose index
 * is more than the size ahead is a liar: the ring is emptied and 0 returned. */
size_t byte_ring_peek(struct byte_ring *ring, void *dst, size_t len);
void byte_ring_consume(struct byte_ring *ring, size_t len);
size_t byte_ring_room(const struct byte_ring *ring);
