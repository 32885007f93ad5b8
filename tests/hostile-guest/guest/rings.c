/* SPDX-License-Identifier: Apache-2.0 */
/* rings.c - a driver that sets a device up as it should, or nearly, and then lies in its rings. */
#include "guest.h"

enum { /* common configuration */
       DEVICE_SELECT = 0x00,
       DEVICE_FEATURE = 0x04,
       DRIVER_SELECT = 0x08,
       DRIVER_FEATURE = 0x0c,
       CONFIG_VECTOR = 0x10,
       STATUS = 0x14,
       QUEUE_SELECT = 0x16,
       QUEUE_SIZE = 0x18,
       QUEUE_VECTOR = 0x1a,
       QUEUE_ENABLE = 0x1c,
       QUEUE_DESC = 0x20,
       QUEUE_DRIVER = 0x28,
       QUEUE_DEVICE = 0x30,
       NOTIFY = 0x3000,
       TABLE = 0x4000,
};
enum { S_ACKNOWLEDGE = 1, S_DRIVER = 2, S_DRIVER_OK = 4, S_FEATURES_OK = 8, S_NEEDS_RESET = 64 };
enum { F_NEXT = 1, F_WRITE = 2, F_INDIRECT = 4 };
enum { TABLE_BYTES = 4096, N_TABLES = 64, ROUND = 96, RESET_PATIENCE = 3000, USED_PATIENCE = 200 };

struct queue {
    unsigned size;
    uint32_t at;    /* rings */
    uint16_t avail; /* as published */
    uint16_t used_seen;
    uint16_t next_desc;
    bool on;
};

struct race race;
uint32_t n_used;
static struct queue queues[MAX_QUEUES];

uint64_t any_address(struct random *r)
{
    switch (below(r, 14)) {
    case 0:
        return ram_end - 1 - below(r, 8192);
    case 1:
        return ram_end + below(r, 65536);
    case 2:
        return MMIO_BASE + below(r, 32 * BAR_STRIDE);
    case 3:
        return (chance(r, 50) ? ECAM : LAPIC) + below(r, 4096);
    case 4: /* never low halves that a torn write would make an address in the program */
        return (uint64_t)rnd(r) << 32 | rnd(r) | 0x80000000u;
    case 5:
        return ~UINT64_C(0) - below(r, 8192);
    case 6:
        return RINGS + below(r, MAX_QUEUES * RING_STRIDE);
    case 7:
        return TABLES + below(r, N_TABLES * TABLE_BYTES);
    default:
        return DATA + below(r, DATA_END - DATA);
    }
}

uint32_t any_length(struct random *r)
{
    static const uint32_t lengths[] = { 0,          1,           2,           15,
                                        16,         17,          511,         512,
                                        513,        4095,        4096,        65536,
                                        0x7fffffff, 0x80000000u, 0xffffffffu, 0xfffff000u };

    return chance(r, 70) ? lengths[below(r, sizeof lengths / sizeof lengths[0])] : odd_number(r);
}

static void set64(uint32_t at, uint64_t v)
{
    mem_write32(at, (uint32_t)v);
    mem_write32(at + 4, (uint32_t)(v >> 32));
}

static void put_desc(uint32_t at, uint64_t addr, uint32_t len, uint32_t flags, uint32_t next)
{
    set64(at, addr);
    mem_write32(at + 8, len);
    mem_write32(at + 12, (flags & 0xffff) | next << 16);
    count_op();
}

/* ---- setting up ---- */

static void clear(uint32_t at, uint32_t len)
{
    uint32_t n = (len + 3) / 4;

    __asm__ volatile("cld; rep stosl" : "+D"(at), "+c"(n) : "a"(0) : "memory");
}

static bool reset(const struct device *d)
{
    mem_write8(d->bar + STATUS, 0);
    count_op();
    for (unsigned i = 0; i < RESET_PATIENCE; i++)
        if (mem_read8(d->bar + STATUS) == 0)
            return true;
    return false;
}

static void negotiate(struct random *r, const struct device *d)
{
    uint32_t mask = chance(r, 70) ? ~0u : rnd(r);

    mem_write8(d->bar + STATUS, S_ACKNOWLEDGE | S_DRIVER);
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t offered;

        mem_write32(d->bar + DEVICE_SELECT, i);
        offered = mem_read32(d->bar + DEVICE_FEATURE);
        mem_write32(d->bar + DRIVER_SELECT, i);
        mem_write32(d->bar + DRIVER_FEATURE, (offered & mask) | i); /* VERSION_1 */
    }
    if (chance(r, 2))
        mem_write32(d->bar + DRIVER_FEATURE, rnd(r));
    mem_write8(d->bar + STATUS, S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK);
}

static void set_vectors(struct random *r, const struct device *d, unsigned q)
{
    uint32_t entry = d->bar + TABLE + 16 * q;

    mem_write32(entry, LAPIC | below(r, 2) << 12);
    mem_write32(entry + 4, chance(r, 95) ? 0 : rnd(r));
    mem_write32(entry + 8, 0x40 + below(r, 0xb0));
    mem_write32(entry + 12, chance(r, 80) ? 0 : 1);
    mem_write16(d->bar + QUEUE_VECTOR, (uint16_t)(chance(r, 90) ? q : odd_number(r)));
}

/* Rings where they should be, or, rarely, where they can't be. */
static void set_queue(struct random *r, const struct device *d, unsigned q)
{
    struct queue *queue = &queues[q];
    bool lie = chance(r, 5);

    *queue = (struct queue){ .at = RINGS + q * RING_STRIDE };
    mem_write16(d->bar + QUEUE_SELECT, (uint16_t)q);
    if (chance(r, 40))
        mem_write16(d->bar + QUEUE_SIZE, (uint16_t)(1u << below(r, 9)));
    if (chance(r, 5))
        mem_write16(d->bar + QUEUE_SIZE, (uint16_t)odd_number(r));
    queue->size = mem_read16(d->bar + QUEUE_SIZE);
    if (queue->size == 0 || queue->size > 1024)
        return;
    clear(queue->at, 16 * queue->size);
    clear(queue->at + AVAIL_OFFSET, 8 + 2 * queue->size);
    clear(queue->at + USED_OFFSET, 8 + 8 * queue->size);
    set64(d->bar + QUEUE_DESC, lie && chance(r, 40) ? any_address(r) & ~15ull : queue->at);
    set64(d->bar + QUEUE_DRIVER,
          lie && chance(r, 40) ? any_address(r) & ~1ull : queue->at + AVAIL_OFFSET);
    set64(d->bar + QUEUE_DEVICE,
          lie && chance(r, 40) ? any_address(r) & ~3ull : queue->at + USED_OFFSET);
    set_vectors(r, d, q);
    if (chance(r, 95))
        mem_write16(d->bar + QUEUE_ENABLE, 1);
    queue->on = true;
    count_op();
}

/* ---- chains ---- */

/* What the other side sees: pieces, direct or in a table, with p percent of lies. */
static uint16_t put_chain(struct random *r, struct queue *queue, const struct piece *pieces,
                          unsigned n, unsigned lies)
{
    bool indirect = chance(r, 30);
    uint32_t table = indirect ? TABLES + below(r, N_TABLES) * TABLE_BYTES : queue->at;
    unsigned size = indirect ? 256 : queue->size, at = indirect ? 0 : queue->next_desc;
    uint16_t head = (uint16_t)(queue->next_desc % queue->size);

    for (unsigned i = 0; i < n; i++) {
        unsigned here = (at + i) % size, next = (at + i + 1) % size;
        uint32_t flags = (pieces[i].write ? F_WRITE : 0) | (i + 1 < n ? F_NEXT : 0);
        uint64_t addr = chance(r, lies) ? any_address(r) : pieces[i].addr;
        uint32_t len = chance(r, lies) ? any_length(r) : pieces[i].len;

        if (chance(r, lies))
            flags ^= 1u << below(r, 4);
        if (chance(r, lies)) /* a loop, or beyond the table */
            next = chance(r, 50) ? below(r, size) : odd_number(r);
        put_desc(table + 16 * here, addr, len, flags, next);
    }
    if (indirect) {
        uint32_t len = chance(r, lies) ? any_length(r) : 16 * n;
        uint64_t addr = chance(r, lies) ? any_address(r) : table;

        put_desc(queue->at + 16 * head, addr, len, F_INDIRECT | (chance(r, lies) ? rnd(r) & 7 : 0),
                 below(r, queue->size));
    }
    queue->next_desc = (uint16_t)(queue->next_desc + (indirect ? 1 : n));
    return head;
}

static void publish(struct random *r, struct queue *queue, uint16_t head, unsigned lies)
{
    if (chance(r, lies))
        head = (uint16_t)odd_number(r);
    mem_write16(queue->at + AVAIL_OFFSET + 4 + 2 * (queue->avail % queue->size), head);
    queue->avail++;
    if (chance(r, lies)) /* the index jumps, also back */
        queue->avail = (uint16_t)(queue->avail + odd_number(r));
    if (chance(r, lies))
        mem_write16(queue->at + AVAIL_OFFSET, (uint16_t)rnd(r)); /* flags */
    if (chance(r, 50))                                           /* used_event */
        mem_write16(queue->at + AVAIL_OFFSET + 4 + 2 * queue->size,
                    (uint16_t)(queue->used_seen + below(r, 3)));
    mem_write16(queue->at + AVAIL_OFFSET + 2, queue->avail);
    count_op();
}

static void kick(struct random *r, const struct device *d, unsigned q)
{
    mem_write16(d->bar + NOTIFY + 4 * q, (uint16_t)q);
    count_op();
    if (chance(r, 10))
        mem_write32(d->bar + NOTIFY + 4 * q, rnd(r));
}

/* Until something was used, but not for long. */
static void await_used(struct queue *queue)
{
    for (unsigned i = 0; i < USED_PATIENCE; i++) {
        uint16_t used = mem_read16(queue->at + USED_OFFSET + 2);

        if (used != queue->used_seen) {
            n_used++;
            queue->used_seen = used;
            return;
        }
        out8(0x80, 0);
    }
}

/* ---- a round ---- */

static void drive(struct random *r, const struct device *d, unsigned n_queues, unsigned lies)
{
    for (unsigned i = 0; i < ROUND && ops_left(); i++) {
        unsigned q = below(r, n_queues), n;
        struct queue *queue = &queues[q];
        struct piece pieces[MAX_PIECES];

        if (!queue->on)
            continue;
        n = make_request(r, d->id, q, d->n_queues, pieces);
        if (n <= queue->size)
            publish(r, queue, put_chain(r, queue, pieces, n, lies), lies);
        if (chance(r, 60))
            kick(r, d, q);
        if (chance(r, 30))
            await_used(queue);
        if (chance(r, lies))
            mem_write32(d->bar + 0x2000 + below(r, 64), odd_number(r)); /* device configuration */
        /* The device gave up, or a reset in the middle of it. */
        if (chance(r, 1) || (chance(r, 10) && (mem_read8(d->bar + STATUS) & S_NEEDS_RESET)))
            break;
    }
}

void fuzz_rings(struct random *r)
{
    static const uint8_t how_often[] = { 0, 0, 1, 5, 20 };
    const struct device *d = &devices[below(r, n_devices)];
    unsigned n = d->n_queues < MAX_QUEUES ? d->n_queues : MAX_QUEUES;
    unsigned lies = how_often[below(r, sizeof how_often)], smallest = 1024;

    if (n_devices == 0 || n == 0)
        return;
    pci_restore(d);
    if (!reset(d)) /* its worker is being replaced, or the device has failed */
        return;
    pci_write32(d->slot, 0x40, pci_read32(d->slot, 0x40) | 0x80000000u); /* MSI-X on */
    negotiate(r, d);
    mem_write16(d->bar + CONFIG_VECTOR, (uint16_t)d->n_queues);
    for (unsigned q = 0; q < n; q++) {
        set_queue(r, d, q);
        if (queues[q].on && queues[q].size < smallest)
            smallest = queues[q].size;
    }
    mem_write8(d->bar + STATUS, S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK | S_DRIVER_OK);
    if (verbose) {
        print_number("  device ", d->id);
        print_number(" lies ", lies);
        print("\n");
    }
    race.id = d->id;
    race.queue_size = smallest;
    race.n_queues = lies > 1 ? n : 0;
    drive(r, d, n, lies);
    race.n_queues = 0;
    if (chance(r, 30))
        (void)reset(d);
}
