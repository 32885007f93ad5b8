/* SPDX-License-Identifier: Apache-2.0 */
/* fifo.h - a fixed byte buffer that never refuses: when it is full the oldest bytes go. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include "base/compiler.h"

struct fifo {
    uint8_t *data; /* caller's, size_bytes long */
    size_t size_bytes;
    size_t start;
    size_t len_bytes;
};

void fifo_init(struct fifo *fifo, void *data, size_t size_bytes);
/* Appends len bytes; returns how many bytes, oldest first, had to be dropped for it. */
size_t fifo_put(struct fifo *fifo, const void *src, size_t len);
/* The longest run of the oldest bytes that lies in one piece; valid until the next put. */
size_t fifo_peek(const struct fifo *fifo, const uint8_t **ret_data);
void fifo_consume(struct fifo *fifo, size_t len); /* at most what is there */
static inline size_t fifo_room(const struct fifo *fifo)
{
    return fifo->size_bytes - fifo->len_bytes;
}
