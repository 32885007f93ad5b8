/* SPDX-License-Identifier: Apache-2.0 */
/* repair_bench.c - how long a guest's disk stands still while its worker is replaced: the real
 * worker in its real sandbox, this program as guest and broker. tests/perf/repair runs it.
 *
 *   perf_repair [ROUNDS] [DEPTH]     one line per figure: NAME P50 P99 MAX, in microseconds
 *
 * A thread keeps DEPTH requests of 4 KiB in flight (reads and writes at random places). repair: the
 * worker is killed with SIGKILL, another one is started and activated with its journal, in the
 * broker's order; from the kill until the first request that the new one completes. upgrade: a new
 * one is started beside it, the old one quiesces, the new one is activated; from Quiesce until the
 * first request that the new one completes. */
#include <errno.h>
#include <linux/virtio_blk.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "blk_driver.h"

enum {
    MAX_ROUNDS = 100000,
    BLOCK = 4096,
    DISK_BYTES = 64 << 20,
    DEPTH_DEFAULT = 32,
    SLICE_MS = 100
};
enum { NO_WATCH = -1 };

struct load {
    struct blkd *d;
    unsigned depth;
    bool stop;
    int watch;         /* used index whose entry is the first of the new worker; NO_WATCH */
    uint64_t first_ns; /* when that entry came */
    uint64_t answered;
};

struct series {
    const char *name;
    uint64_t *ns;
    unsigned n;
};

static void issue(struct load *load, unsigned slot)
{
    struct blkd *d = load->d;
    uint64_t sector = (uint64_t)rand() % (DISK_BYTES / BLOCK) * (BLOCK / 512);
    struct blkd_request r = { rand() % 2 ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN,
                              sector,
                              d->data + slot * (uint64_t)BLOCK,
                              BLOCK,
                              1,
                              true };

    blkd_add(d, 0, slot, &r);
}

/* Answers that are there: true if there was one. */
static bool collect(struct load *load)
{
    bool any = false;
    uint8_t status = 0;
    uint32_t len = 0;
    int slot;

    while ((slot = blkd_try(load->d, 0, &status, &len)) >= 0) {
        int index = (uint16_t)(load->d->wh->queues[0].last_used - 1);

        if (status != VIRTIO_BLK_S_OK)
            wh_die("request failed with status %u", status);
        if (index == __atomic_load_n(&load->watch, __ATOMIC_ACQUIRE)) {
            __atomic_store_n(&load->watch, NO_WATCH, __ATOMIC_RELAXED);
            __atomic_store_n(&load->first_ns, wh_now_ns(), __ATOMIC_RELEASE);
        }
        load->answered++;
        issue(load, (unsigned)slot);
        any = true;
    }
    return any;
}

static void *run_load(void *arg)
{
    struct load *load = arg;

    for (unsigned slot = 0; slot < load->depth; slot++)
        issue(load, slot);
    wh_kick(load->d->wh, 0);
    while (!__atomic_load_n(&load->stop, __ATOMIC_ACQUIRE)) {
        if (collect(load))
            wh_kick(load->d->wh, 0);
        else
            wh_wait_interrupt(load->d->wh, 0, SLICE_MS);
    }
    return NULL;
}

/* The old worker does nothing any more: what comes after its last entry is the new one's. */
static void watch(struct load *load)
{
    __atomic_store_n(&load->first_ns, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&load->watch,
                     __atomic_load_n(&load->d->wh->queues[0].vring.used->idx, __ATOMIC_ACQUIRE),
                     __ATOMIC_RELEASE);
}

static uint64_t await_first(struct load *load)
{
    uint64_t end = wh_now_ns() + WH_PATIENCE_MS * 1000000ull, first;

    while ((first = __atomic_load_n(&load->first_ns, __ATOMIC_ACQUIRE)) == 0) {
        if (wh_now_ns() > end)
            wh_die("the new worker completes nothing");
        poll(NULL, 0, 1);
    }
    return first;
}

static void add(struct series *s, uint64_t ns)
{
    s->ns[s->n++] = ns;
}

static void repair(struct load *load, struct series *total, struct series *death,
                   struct series *ready)
{
    struct wh *wh = load->d->wh;
    uint64_t begin, dead, started;

    begin = wh_now_ns();
    wh_kill(wh);
    dead = wh_now_ns();
    watch(load);
    wh_start(wh);
    started = wh_now_ns();
    wh_activate(wh, load->d->features, true);
    add(total, await_first(load) - begin);
    add(death, dead - begin);
    add(ready, started - dead);
}

static void upgrade(struct load *load, struct series *stall, struct series *start)
{
    struct wh *wh = load->d->wh;
    struct wh old;
    uint64_t begin = wh_now_ns();

    wh_start_beside(wh, &old);
    add(start, wh_now_ns() - begin);
    begin = wh_now_ns();
    wh_quiesce(&old);
    watch(load);
    wh_activate(wh, load->d->features, true);
    add(stall, await_first(load) - begin);
    wh_stop(&old);
}

static int by_value(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static void print(struct series *s)
{
    qsort(s->ns, s->n, sizeof *s->ns, by_value);
    printf("%s %.1f %.1f %.1f\n", s->name, (double)s->ns[s->n / 2] / 1e3,
           (double)s->ns[(s->n * 99ull + 99) / 100 - 1] / 1e3, (double)s->ns[s->n - 1] / 1e3);
    free(s->ns);
}

static unsigned number(const char *text, unsigned max)
{
    char *end = NULL;
    unsigned long n = strtoul(text, &end, 10);

    if (*end != '\0' || n == 0 || n > max) {
        fprintf(stderr, "perf_repair: %s is not a number from 1 to %u\n", text, max);
        exit(2);
    }
    return (unsigned)n;
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? number(argv[1], MAX_ROUNDS) : 200;
    struct load load = { .depth = argc > 2 ? number(argv[2], 256) : DEPTH_DEFAULT,
                         .watch = NO_WATCH };
    struct series s[] = { { .name = "repair" },
                          { .name = "repair_death" },
                          { .name = "repair_ready" },
                          { .name = "upgrade" },
                          { .name = "upgrade_start" } };
    pthread_t thread;

    for (unsigned i = 0; i < sizeof s / sizeof s[0]; i++)
        s[i].ns = calloc(rounds, sizeof *s[i].ns);
    srand(1);
    load.d = blkd_new(&(struct blkd_options){ .bytes = DISK_BYTES });
    if (pthread_create(&thread, NULL, run_load, &load) != 0)
        wh_die("no thread");
    for (unsigned i = 0; i < rounds; i++) {
        poll(NULL, 0, 5 + rand() % 20); /* at any moment of the load */
        repair(&load, &s[0], &s[1], &s[2]);
    }
    for (unsigned i = 0; i < rounds; i++) {
        poll(NULL, 0, 5 + rand() % 20);
        upgrade(&load, &s[3], &s[4]);
    }
    __atomic_store_n(&load.stop, true, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    for (unsigned i = 0; i < sizeof s / sizeof s[0]; i++)
        print(&s[i]);
    printf("requests %llu\n", (unsigned long long)load.answered);
    blkd_free(load.d);
    return 0;
}
