/* SPDX-License-Identifier: Apache-2.0 */
/* fifo.c - a fixed byte buffer that never refuses. */
#include "fifo.h"

#include <string.h>

void fifo_init(struct fifo *fifo, void *data, size_t size_bytes)
{
    *fifo = (struct fifo){ .data = data, .size_bytes = size_bytes };
}

size_t fifo_put(struct fifo *fifo, const void *src, size_t len)
{
    const uint8_t *from = src;
    size_t dropped = 0, end, first;

    if (len > fifo->size_bytes) { /* only the newest bytes can stay */
        dropped = len - fifo->size_bytes;
        from += dropped;
        len = fifo->size_bytes;
    }
    if (len > fifo_room(fifo)) {
        size_t excess = len - fifo_room(fifo);

        fifo_consume(fifo, excess);
        dropped += excess;
    }
    if (len == 0)
        return dropped;
    end = (fifo->start + fifo->len_bytes) % fifo->size_bytes;
    first = MIN(len, fifo->size_bytes - end);
    memcpy(fifo->data + end, from, first);
    memcpy(fifo->data, from + first, len - first);
    fifo->len_bytes += len;
    return dropped;
}

size_t fifo_peek(const struct fifo *fifo, const uint8_t **ret_data)
{
    *ret_data = fifo->data + fifo->start;
    return MIN(fifo->len_bytes, fifo->size_bytes - fifo->start);
}

void fifo_consume(struct fifo *fifo, size_t len)
{
    len = MIN(len, fifo->len_bytes);
    fifo->len_bytes -= len;
    fifo->start = fifo->len_bytes == 0 ? 0 : (fifo->start + len) % fifo->size_bytes;
}
