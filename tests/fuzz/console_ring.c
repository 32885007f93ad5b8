/* SPDX-License-Identifier: Apache-2.0 */
/* console_ring.c - the serial port's byte ring whose other side writes what it likes into the
 * shared page at any time, and the escape keys in what comes out. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "common/fifo.h"
#include "console/escape.h"
#include "shm/byte_ring.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int ok)
{
    if (!ok)
        abort();
}

static uint32_t take32(const uint8_t **data, size_t *size)
{
    uint32_t v = 0;
    size_t n = MIN(*size, sizeof(v));

    memcpy(&v, *data, n);
    *data += n;
    *size -= n;
    return v;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct byte_ring_shared shared;
    static uint8_t buf[BYTE_RING_DATA_BYTES + 1], keys[BYTE_RING_DATA_BYTES + 2], mem[4096];
    struct byte_ring consumer, producer;
    struct escape escape = { 0 };
    struct fifo fifo;
    unsigned actions;
    size_t n;

    memset(&shared, 0, sizeof(shared));
    shared.head = take32(&data, &size);
    shared.tail = take32(&data, &size);
    byte_ring_attach_consumer(&consumer, &shared);
    byte_ring_attach_producer(&producer, &shared);
    fifo_init(&fifo, mem, sizeof(mem));
    while (size > 0) {
        uint8_t op = *data++;
        uint32_t v;

        size--;
        v = take32(&data, &size);
        switch (op % 6) {
        case 0:
            shared.tail = v;
            break;
        case 1:
            shared.head = v;
            break;
        case 2:
            n = byte_ring_put(&producer, data, MIN(size, (size_t)(v & 0xff)));
            check(n <= size);
            break;
        case 3:
            n = byte_ring_peek(&consumer, buf, MIN((size_t)v, sizeof(buf)));
            check(n <= BYTE_RING_DATA_BYTES);
            (void)fifo_put(&fifo, buf, n);
            check(fifo.len_bytes <= sizeof(mem) && fifo.start < sizeof(mem));
            check(escape_filter(&escape, buf, n, keys, &actions) <= n + 1);
            byte_ring_consume(&consumer, n);
            break;
        case 4:
            fifo_consume(&fifo, v & 0x1fff);
            break;
        case 5:
            check(byte_ring_room(&producer) <= BYTE_RING_DATA_BYTES);
            break;
        }
    }
    return 0;
}
