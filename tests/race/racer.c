/* SPDX-License-Identifier: Apache-2.0 */
/* racer.c - a guest's second processor inside of the worker's own process, where ThreadSanitizer
 * can see both.
 *
 * Linked into each device's program in place of its sandbox_enter(): the last step before the
 * worker touches a guest's byte starts a thread that rewrites rings, descriptors and request
 * headers for as long as the worker lives. It writes with atomic stores only, and so may the
 * device's code read and write guest RAM only by gmem.c's atomic cells and by copies: any plain
 * access is a data race, is reported, and ends the worker with RACE_REPORTED. A program with
 * "plain" in its name makes such accesses, to see that they are found.
 *
 * Memory is laid out by tests/worker/harness_ring.c. */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include "race.h"
#include "sandbox/enter.h"
#include "sandbox/seccomp.h"

/* The harness's rings. */
enum {
    RING_STRIDE = 0x10000,
    AVAIL = 0x4000,
    USED = 0x8000,
    DESC_BYTES = 16,
};

struct guest {
    uint8_t *ram;
    uint64_t ram_bytes;
    uint32_t random;
    enum { BLK, NET, VSOCK, RNG, BALLOON, CONSOLE } kind;
};

#if defined(__SANITIZE_THREAD__)
/* What the kernel copies is a copy, too: the interceptors report it as an access of ours. */
/* Looked up by the runtime, a shared library. */
#define FOR_RUNTIME __attribute__((visibility("default")))
FOR_RUNTIME const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    /* By the runtime's own names: it strips them only when it prints. */
    return "race_top:^__interceptor_read$\nrace_top:^__interceptor_write$\n"
           "race_top:^__interceptor_readv$\nrace_top:^__interceptor_writev$\n"
           "race_top:^__interceptor_preadv$\nrace_top:^__interceptor_pwritev$\n"
           "race_top:^__interceptor_preadv64$\nrace_top:^__interceptor_pwritev64$\n"
           "race_top:^__interceptor_recvmsg$\nrace_top:^__interceptor_sendmsg$\n";
}

FOR_RUNTIME const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "halt_on_error=1:exitcode=66:report_signal_unsafe=0";
}
#endif

static uint32_t rnd(struct guest *g)
{
    g->random ^= g->random << 13;
    g->random ^= g->random >> 17;
    g->random ^= g->random << 5;
    return g->random;
}

static bool chance(struct guest *g, unsigned percent)
{
    return rnd(g) % 100 < percent;
}

static void store16(struct guest *g, uint64_t at, uint32_t v)
{
    __atomic_store_n((uint16_t *)(void *)(g->ram + at), (uint16_t)v, __ATOMIC_RELAXED);
}

static void store32(struct guest *g, uint64_t at, uint32_t v)
{
    __atomic_store_n((uint32_t *)(void *)(g->ram + at), v, __ATOMIC_RELAXED);
}

static void store64(struct guest *g, uint64_t at, uint64_t v)
{
    __atomic_store_n((uint64_t *)(void *)(g->ram + at), v, __ATOMIC_RELAXED);
}

static uint32_t odd_number(struct guest *g)
{
    switch (rnd(g) % 5) {
    case 0:
        return UINT32_MAX;
    case 1:
        return 1u << rnd(g) % 32;
    case 2:
        return rnd(g);
    default:
        return rnd(g) % 64;
    }
}

static uint64_t address(struct guest *g)
{
    const uint64_t all[] = { RACE_HEADERS,     RACE_HEADERS + 16, RACE_BODIES, RACE_BODIES + 4096,
                             g->ram_bytes - 1, g->ram_bytes,      0xc0000000,  UINT64_MAX - 4095 };

    return chance(g, 50) ? RACE_BODIES + rnd(g) % (1u << 20) : all[rnd(g) % 8];
}

static uint32_t length(struct guest *g)
{
    static const uint32_t all[] = { 0, 1, 12, 16, 44, 512, 4096, 65536, 0x7fffffff, UINT32_MAX };

    return all[rnd(g) % 10];
}

/* ---- requests as they should be, now and then not ---- */

static void put_desc(struct guest *g, unsigned q, unsigned i, uint64_t addr, uint32_t len,
                     uint32_t flags)
{
    uint64_t at = (uint64_t)q * RING_STRIDE + (uint64_t)i * DESC_BYTES;
    bool lie = chance(g, 2);

    store64(g, at, lie && chance(g, 30) ? address(g) : addr);
    store32(g, at + 8, lie && chance(g, 30) ? length(g) : len);
    store16(g, at + 12, lie && chance(g, 30) ? rnd(g) % 8 : flags);
    store16(g, at + 14,
            lie && chance(g, 30) ? rnd(g) % (2 * RACE_QUEUE_SIZE) : (i + 1) % RACE_QUEUE_SIZE);
}

/* Where its status byte is, a request keeps a header of 64 bytes. */
static void put_request(struct guest *g, unsigned q, unsigned i)
{
    uint64_t header = RACE_HEADERS + 64ull * (i + q * RACE_QUEUE_SIZE);
    uint64_t body = RACE_BODIES + 4096ull * i;
    uint32_t words = 3;

    switch (g->kind) {
    case BLK:
        put_desc(g, q, i, header, 16, 1);
        put_desc(g, q, i + 1, body, 512 * (1 + rnd(g) % 8), chance(g, 50) ? 1 | 2 : 1);
        put_desc(g, q, i + 2, header + 48, 1, 2);
        store32(g, header, chance(g, 80) ? rnd(g) % 2 : rnd(g) % 16);
        store64(g, header + 8, chance(g, 90) ? rnd(g) % 1024 : odd_number(g));
        return;
    case NET:
        if (q % 2 == 0) {
            put_desc(g, q, i, body, 2048, 2);
            return;
        }
        put_desc(g, q, i, header, 12, 1);
        put_desc(g, q, i + 1, body, 60 + rnd(g) % 1400, 0);
        break;
    case VSOCK:
        if (q != 1) {
            put_desc(g, q, i, body, 4096, 2);
            return;
        }
        put_desc(g, q, i, header, 44, 1);
        put_desc(g, q, i + 1, body, 64, 0);
        store64(g, header, RACE_CID);
        store64(g, header + 8, 2);
        store32(g, header + 16, 1000 + rnd(g) % 8);
        store32(g, header + 20, 5000);
        store32(g, header + 24, chance(g, 90) ? 64 : odd_number(g));
        store32(g, header + 28, 1 | (rnd(g) % 9) << 16);
        store32(g, header + 36, odd_number(g));
        return;
    case BALLOON:
        put_desc(g, q, i, header, 64, 0);
        for (unsigned w = 0; w < 16; w++)
            store32(g, header + 4 * w,
                    RACE_BALLOON / 4096 + rnd(g) % (chance(g, 95) ? 1024 : 1u << 20));
        return;
    case RNG:
        put_desc(g, q, i, body, 1 + rnd(g) % 2048, 2);
        return;
    case CONSOLE:
    default:
        put_desc(g, q, i, body, 1 + rnd(g) % 2048, q % 2 == 0 ? 2 : 0);
        words = 0;
        break;
    }
    for (unsigned w = 0; w < words; w++)
        store32(g, header + 4 * w, odd_number(g));
}

static void *race(void *arg)
{
    struct guest *g = arg;
    uint16_t avail[RACE_QUEUES] = { 0 };

    for (;;) {
        unsigned q = rnd(g) % RACE_QUEUES, i = rnd(g) % (RACE_QUEUE_SIZE / 4) * 4;
        uint64_t ring = (uint64_t)q * RING_STRIDE + AVAIL;

        put_request(g, q, i);
        store64(g, RACE_BODIES + 4096ull * i, rnd(g)); /* payload, which only the kernel reads */
        /* Each reset starts the indices anew, so that it is far off now and then. */
        avail[q] = __atomic_load_n((uint16_t *)(void *)(g->ram + ring + 2), __ATOMIC_RELAXED);
        store16(g, ring + 4 + 2 * (avail[q] % RACE_QUEUE_SIZE), chance(g, 98) ? i : odd_number(g));
        store16(g, ring + 2, avail[q] + (chance(g, 98) ? 1 : rnd(g) % 300));
        if (chance(g, 10))
            store16(g, ring, rnd(g) % 2);
        if (chance(g, 10))
            store16(g, ring + 4 + 2 * RACE_QUEUE_SIZE, rnd(g));
        if (chance(g, 2)) /* what is the device's to write */
            store16(g, ring - AVAIL + USED + 2 * (rnd(g) % 64), rnd(g));
        if (chance(g, 30))
            usleep(rnd(g) % 200);
    }
    return NULL;
}

/* ---- in the worker ---- */

static bool find_ram(struct guest *g)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    bool found = false;

    while (maps && fgets(line, sizeof line, maps)) {
        unsigned long begin = 0, end = 0;

        if (!strstr(line, "/memfd:ram ") || sscanf(line, "%lx-%lx", &begin, &end) != 2)
            continue;
        g->ram = (uint8_t *)begin; /* NOLINT: what the kernel says */
        g->ram_bytes = end - begin;
        found = true;
    }
    if (maps)
        fclose(maps);
    return found;
}

static void set_kind(struct guest *g)
{
    static const char *const names[] = { "blk", "net", "vsock", "rng", "balloon", "console" };

    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strstr(program_invocation_short_name, names[i]))
            g->kind = i;
}

/* Plain, and far away from any copy: what the check must find. */
__attribute__((noinline)) static unsigned read_plainly(const struct guest *g)
{
    unsigned sum = 0;

    for (unsigned n = 0; n < 20000; n++) {
        for (unsigned i = 0; i < RACE_QUEUE_SIZE; i++)
            sum += *(const volatile uint16_t *)(const void *)(g->ram + 12 + (size_t)i * DESC_BYTES);
        usleep(10);
    }
    return sum;
}

int __wrap_sandbox_enter(const struct sandbox_filter *filter, const int *keep, unsigned n_keep,
                         const struct sandbox_limits *limits, bool insecure, unsigned *ret_missing);
int __wrap_sandbox_enter(const struct sandbox_filter *filter, const int *keep, unsigned n_keep,
                         const struct sandbox_limits *limits, bool insecure, unsigned *ret_missing)
{
    static struct guest guest;
    pthread_t thread;

    (void)filter, (void)keep, (void)n_keep, (void)limits, (void)insecure;
    *ret_missing = 0;
    guest.random = (uint32_t)getpid() * 2654435761u | 1;
    set_kind(&guest);
    if (!find_ram(&guest) || pthread_create(&thread, NULL, race, &guest) != 0)
        return -EIO;
    if (strstr(program_invocation_short_name, "plain"))
        (void)read_plainly(&guest);
    return 0;
}
