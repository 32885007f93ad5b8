/* SPDX-License-Identifier: Apache-2.0 */
/* requests.c - requests as each kind of device expects them, with fields that lie. */
#include "guest.h"

enum { NET = 1, BLK = 2, CONSOLE = 3, RNG = 4, BALLOON = 5, VSOCK = 19 };
/* The second processor rewrites the first page of DATA: all headers are there. */
enum { HEADERS = 64, HEADER_BYTES = 64, STATUS = DATA + 4096, BODIES = DATA + 65536 };
enum { PAGE_LIST = DATA_END, PAGE_LIST_BYTES = 1 << 20 };

static uint32_t header_at(struct random *r)
{
    return DATA + below(r, HEADERS) * HEADER_BYTES;
}

static uint32_t body_at(struct random *r, uint32_t len)
{
    return BODIES + below(r, DATA_END - BODIES - len);
}

static void put16(uint32_t at, uint32_t v)
{
    mem_write16(at, (uint16_t)v);
}

/* Mostly v, sometimes anything. */
static uint32_t mostly(struct random *r, uint32_t v)
{
    return chance(r, 85) ? v : odd_number(r);
}

static unsigned blk_request(struct random *r, struct piece *p)
{
    static const uint8_t types[] = { 0, 0, 0, 1, 1, 1, 4, 8, 11, 13, 14, 2, 16, 99 };
    uint32_t at = header_at(r), type = types[below(r, sizeof types)], n = 0;
    uint32_t len = 512 * (1 + below(r, 16));
    bool read = type == 0 || type == 8;

    mem_write32(at, mostly(r, type));
    mem_write32(at + 4, odd_number(r));
    mem_write32(at + 8, mostly(r, below(r, 65536)));
    mem_write32(at + 12, mostly(r, 0));
    p[n++] = (struct piece){ at, 16, false };
    if (type == 11 || type == 13 || type == 14) { /* ranges */
        uint32_t list = header_at(r), count = 1 + below(r, 3);

        for (uint32_t i = 0; i < 4 * count; i++)
            mem_write32(list + 4 * i, i % 4 == 2 || i % 4 == 0 ? below(r, 4096) : odd_number(r));
        p[n++] = (struct piece){ list, 16 * count, false };
    } else if (type != 4) {
        for (unsigned i = 1 + below(r, 4); i > 0; i--)
            p[n++] = (struct piece){ body_at(r, len), len, read };
    }
    p[n++] = (struct piece){ STATUS, 1, true };
    return n;
}

static unsigned net_request(struct random *r, unsigned queue, unsigned n_queues, struct piece *p)
{
    static const uint8_t gso[] = { 0, 0, 1, 3, 4, 5, 0x81, 0x84, 77 };
    uint32_t at = header_at(r), body = body_at(r, 65536), len = 14 + below(r, 1500);

    if (queue % 2 == 0 && queue + 1 < n_queues) { /* receive */
        p[0] = (struct piece){ body, chance(r, 80) ? 1530 + below(r, 65000 - 1530) : below(r, 64),
                               true };
        return 1;
    }
    if (queue % 2 == 0) { /* control: class, command, data, status */
        mem_write32(at, below(r, 6) | below(r, 6) << 8);
        mem_write32(at + 4, odd_number(r));
        p[0] = (struct piece){ at, 2, false };
        p[1] = (struct piece){ at + 4, 1 + below(r, 32), false };
        p[2] = (struct piece){ STATUS, 1, true };
        return 3;
    }
    mem_write32(at, below(r, 4) | (uint32_t)gso[below(r, sizeof gso)] << 8 | mostly(r, 54) << 16);
    put16(at + 4, mostly(r, 1448));
    put16(at + 6, mostly(r, 34));
    put16(at + 8, mostly(r, 16));
    put16(at + 10, mostly(r, 0));
    for (uint32_t i = 0; i < 12; i += 4)
        mem_write32(body + i, chance(r, 50) ? ~0u : rnd(r));
    put16(body + 12, chance(r, 40) ? 0x0008 : chance(r, 50) ? 0x0608 : 0xdd86);
    mem_write32(body + 14, mostly(r, 0x05dc0045));
    mem_write32(body + 22, mostly(r, 0x00000640));
    if (chance(r, 10))
        len = 60000 + below(r, 9000);
    p[0] = (struct piece){ at, 12, false };
    p[1] = (struct piece){ body, len, false };
    return 2;
}

static unsigned vsock_request(struct random *r, unsigned queue, struct piece *p)
{
    uint32_t at = header_at(r), len = chance(r, 50) ? 0 : below(r, 4096);

    if (queue != 1) { /* receive, events */
        p[0] = (struct piece){ body_at(r, 4096), chance(r, 90) ? 4096 : below(r, 60), true };
        return 1;
    }
    mem_write32(at, mostly(r, 42)); /* source: that of the test, or a lie */
    mem_write32(at + 4, mostly(r, 0));
    mem_write32(at + 8, mostly(r, 2));
    mem_write32(at + 12, mostly(r, 0));
    mem_write32(at + 16, 1000 + below(r, 40));
    mem_write32(at + 20, chance(r, 90) ? 5000 + below(r, 4) : rnd(r));
    mem_write32(at + 24, mostly(r, len));
    put16(at + 28, mostly(r, 1));
    put16(at + 30, below(r, 9));
    mem_write32(at + 32, chance(r, 80) ? 0 : odd_number(r));
    mem_write32(at + 36, chance(r, 50) ? 65536 : odd_number(r));
    mem_write32(at + 40, chance(r, 50) ? 0 : odd_number(r));
    p[0] = (struct piece){ at, 44, false };
    p[1] = (struct piece){ body_at(r, 4096), len, false };
    return len ? 2 : 1;
}

/* Millions of pages in one request, no two side by side: more than a turn's work for any worker. */
static unsigned endless_balloon_request(struct piece *p)
{
    for (uint32_t i = 0; i < PAGE_LIST_BYTES / 4; i++)
        mem_write32(PAGE_LIST + 4 * i, (BODIES >> 12) + 2 * (i % 1024));
    for (unsigned i = 0; i < MAX_PIECES; i++)
        p[i] = (struct piece){ PAGE_LIST, PAGE_LIST_BYTES, false };
    return MAX_PIECES;
}

/* Pages from the buffers on; the lies are pages that aren't there. */
static unsigned balloon_request(struct random *r, struct piece *p)
{
    uint32_t at = body_at(r, 4096), n = 1 + below(r, 256);

    if (chance(r, 5))
        return endless_balloon_request(p);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t page = (BODIES >> 12) + below(r, (DATA_END - BODIES) >> 12);

        if (chance(r, 10))
            page = chance(r, 50) ? (ram_end >> 12) + below(r, 64) : rnd(r) | 0x80000000u;
        mem_write32(at + 4 * i, page);
    }
    p[0] = (struct piece){ at, 4 * n - (chance(r, 5) ? below(r, 4) : 0), false };
    return 1;
}

unsigned make_request(struct random *r, uint16_t id, unsigned queue, unsigned n_queues,
                      struct piece pieces[MAX_PIECES])
{
    switch (id) {
    case BLK:
        return blk_request(r, pieces);
    case NET:
        return net_request(r, queue, n_queues, pieces);
    case VSOCK:
        return vsock_request(r, queue, pieces);
    case BALLOON:
        return balloon_request(r, pieces);
    case CONSOLE:
    case RNG:
    default:
        pieces[0] = (struct piece){ body_at(r, 65536), 1 + below(r, chance(r, 80) ? 512 : 65535),
                                    id == RNG || queue % 2 == 0 };
        return 1;
    }
}
