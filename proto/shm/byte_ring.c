/* SPDX-License-Identifier: Apache-2.0 */
/* byte_ring.c - see byte_ring.h. */
#include "shm/byte_ring.h"

#include <string.h>

void byte_ring_attach_producer(struct byte_ring *ring, struct byte_ring_shared *shared)
{
    *ring = (struct byte_ring){ .shared = shared,
                                .own = __atomic_load_n(&shared->tail, __ATOMIC_RELAXED) };
}

void byte_ring_attach_consumer(struct byte_ring *ring, struct byte_ring_shared *shared)
{
    *ring = (struct byte_ring){ .shared = shared,
                                .own = __atomic_load_n(&shared->head, __ATOMIC_RELAXED) };
}

/* A consumer that claims to have read more than was written gets no room, not a write past the
 * ring: the subtraction wraps to something larger than the size. */
size_t byte_ring_room(const struct byte_ring *ring)
{
    uint32_t head = __atomic_load_n(&ring->shared->head, __ATOMIC_ACQUIRE);
    uint32_t used = ring->own - head;

    return used > BYTE_RING_DATA_BYTES ? 0 : BYTE_RING_DATA_BYTES - used;
}

size_t byte_ring_put(struct byte_ring *ring, const void *src, size_t len)
{
    size_t room = byte_ring_room(ring);
    size_t at = ring->own % BYTE_RING_DATA_BYTES;
    size_t first;

    len = MIN(len, room);
    first = MIN(len, BYTE_RING_DATA_BYTES - at);
    memcpy(ring->shared->data + at, src, first);
    memcpy(ring->shared->data, (const uint8_t *)src + first, len - first);
    ring->own += (uint32_t)len;
    __atomic_store_n(&ring->shared->tail, ring->own, __ATOMIC_RELEASE);
    return len;
}

void byte_ring_drop(struct byte_ring *ring, size_t len)
{
    __atomic_fetch_add(&ring->shared->dropped, (uint32_t)len, __ATOMIC_RELAXED);
}

size_t byte_ring_peek(struct byte_ring *ring, void *dst, size_t len)
{
    uint32_t tail = __atomic_load_n(&ring->shared->tail, __ATOMIC_ACQUIRE);
    uint32_t used = tail - ring->own;
    size_t at = ring->own % BYTE_RING_DATA_BYTES;
    size_t first;

    if (used > BYTE_RING_DATA_BYTES) {
        ring->own = tail;
        __atomic_store_n(&ring->shared->head, ring->own, __ATOMIC_RELEASE);
        return 0;
    }
    len = MIN(len, (size_t)used);
    first = MIN(len, BYTE_RING_DATA_BYTES - at);
    memcpy(dst, ring->shared->data + at, first);
    memcpy((uint8_t *)dst + first, ring->shared->data, len - first);
    return len;
}

void byte_ring_consume(struct byte_ring *ring, size_t len)
{
    ring->own += (uint32_t)len;
    __atomic_store_n(&ring->shared->head, ring->own, __ATOMIC_RELEASE);
}
