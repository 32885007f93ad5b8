/* SPDX-License-Identifier: Apache-2.0 */
/* neighbour_bench.c - the disk of a VM that has a hostile neighbour: the disk's worker in its sandbox,
 * and a driver that reads and writes blocks at random and knows what each must hold. Both share one
 * CPU. For each line "LABEL" on stdin one window at each depth, and one line on stdout for each:
 * label, point, requests, p50, p99 and greatest latency in us, and what share of the CPU's time others
 * had: processes and interrupts that are not the neighbour's, and the machine's own host. The script
 * `neighbour` says who is beside it.
 */
#include <errno.h>
#include <linux/virtio_blk.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "blk_driver.h"
#include "pin.h"

enum { BLOCK = 4096, BLOCKS = 8192, MAX_DEPTH = 4, MAX_LATENCIES = 1 << 22, WARM_UP_MS = 100 };
enum { CPU = 0 };

static const struct point {
    const char *name;
    unsigned depth;
} points[] = { { "4k-qd1", 1 }, { "4k-qd4", MAX_DEPTH } };

static struct blkd *disk;
static uint32_t versions[BLOCKS]; /* how often each block was written */
static uint32_t latencies_ns[MAX_LATENCIES];
static unsigned n_latencies;
static struct under_way {
    uint64_t begin;
    uint32_t block;
    bool write;
} under_way[MAX_DEPTH];

static uint32_t next_random(void)
{
    static uint32_t state = 1;

    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

/* What a block must hold: no two blocks, and no two versions of one, are alike. */
static void fill(void *p, uint32_t block)
{
    blkd_pattern(p, BLOCK, (uint64_t)block << 32 | versions[block]);
}

static void *data_of(unsigned slot)
{
    return wh_mem(disk->wh, disk->data + slot * BLOCK, BLOCK);
}

/* Each slot has blocks of its own: no two requests to one block are under way. */
static void add_one(unsigned slot)
{
    struct under_way *u = &under_way[slot];
    struct blkd_request r = { .addr = disk->data + slot * BLOCK, .len = BLOCK, .indirect = true };

    u->block = (next_random() >> 4) % (BLOCKS / MAX_DEPTH) * MAX_DEPTH + slot;
    u->write = next_random() >> 31;
    r.type = u->write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN;
    r.sector = (uint64_t)u->block * (BLOCK / 512);
    if (u->write) {
        versions[u->block]++;
        fill(data_of(slot), u->block);
    } else {
        memset(data_of(slot), 0xa5, BLOCK);
    }
    u->begin = wh_now_ns();
    blkd_add(disk, 0, slot, &r);
    wh_kick(disk->wh, 0);
}

static void check(unsigned slot, uint8_t status, uint32_t len)
{
    static uint8_t want[BLOCK];
    const struct under_way *u = &under_way[slot];

    if (status != VIRTIO_BLK_S_OK || len != (u->write ? 1 : BLOCK + 1))
        wh_die("block %u: status %u, %u bytes", u->block, status, len);
    if (u->write)
        return;
    fill(want, u->block);
    if (memcmp(want, data_of(slot), BLOCK) != 0)
        wh_die("block %u does not hold what was written last", u->block);
}

static void take_one(void)
{
    uint8_t status = 0;
    uint32_t len = 0;
    unsigned slot = blkd_wait(disk, 0, &status, &len);
    uint64_t ns = wh_now_ns() - under_way[slot].begin;

    if (n_latencies == MAX_LATENCIES)
        wh_die("more requests than expected");
    latencies_ns[n_latencies++] = ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
    check(slot, status, len);
    under_way[slot].begin = 0;
}

static void run_for(unsigned depth, uint64_t ms)
{
    uint64_t end = wh_now_ns() + ms * 1000000;
    unsigned left;

    n_latencies = 0;
    for (unsigned slot = 0; slot < depth; slot++)
        add_one(slot);
    while (wh_now_ns() < end) {
        take_one();
        for (unsigned slot = 0; slot < depth; slot++)
            if (under_way[slot].begin == 0)
                add_one(slot);
    }
    for (left = depth; left > 0; left--)
        take_one();
}

/* ---- whose the CPU was, ms ---- */

struct cpu_time {
    double ours, busy, stolen;
};

static double clock_ms(clockid_t clock)
{
    struct timespec t;

    if (clock_gettime(clock, &t) < 0)
        wh_die("the CPU time can't be read: %s", strerror(errno));
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static struct cpu_time cpu_time(void)
{
    double tick = 1e3 / (double)sysconf(_SC_CLK_TCK);
    unsigned long user, nice, system, idle, iowait, irq, softirq, steal;
    FILE *f = fopen("/proc/stat", "re");
    clockid_t worker;
    char line[256];
    int n = 0;

    while (f && n != 8 && fgets(line, sizeof line, f))
        n = sscanf(line, "cpu0 %lu %lu %lu %lu %lu %lu %lu %lu", &user, &nice, &system, &idle,
                   &iowait, &irq, &softirq, &steal);
    if (n != 8 || clock_getcpuclockid(disk->wh->pid, &worker) != 0)
        wh_die("/proc/stat can't be read");
    fclose(f);
    return (struct cpu_time){ .ours = clock_ms(CLOCK_PROCESS_CPUTIME_ID) + clock_ms(worker),
                              .busy = (double)(user + nice + system + irq + softirq) * tick,
                              .stolen = (double)steal * tick };
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static double percentile_us(unsigned thousandths)
{
    return latencies_ns[(uint64_t)(n_latencies - 1) * thousandths / 1000] / 1e3;
}

static void measure(const char *label, uint64_t ms)
{
    struct cpu_time a, b;

    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        run_for(points[i].depth, WARM_UP_MS);
        pin_threads(disk->wh->pid, CPU); /* those of its io_uring may be new */
        a = cpu_time();
        run_for(points[i].depth, ms);
        b = cpu_time();
        qsort(latencies_ns, n_latencies, sizeof latencies_ns[0], compare);
        printf("%s %s %u %.1f %.1f %.1f %.1f %.1f\n", label, points[i].name, n_latencies,
               percentile_us(500), percentile_us(990), percentile_us(1000),
               100 * (b.busy - a.busy - (b.ours - a.ours)) / (double)ms,
               100 * (b.stolen - a.stolen) / (double)ms);
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    struct blkd_options o = { .bytes = (uint64_t)BLOCKS * BLOCK };
    unsigned long ms = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
    char label[64];

    if (ms == 0 || ms > 100000) {
        fputs("usage: neighbour_bench MILLISECONDS <LABELS\n", stderr);
        return 2;
    }
    pin(0, CPU);
    disk = blkd_new(&o);
    pin_threads(disk->wh->pid, CPU);
    for (uint32_t block = 0; block < BLOCKS; block++) {
        fill(data_of(0), block);
        if (blkd_write(disk, (uint64_t)block * (BLOCK / 512), disk->data, BLOCK) != VIRTIO_BLK_S_OK)
            wh_die("block %u was not written", block);
    }
    while (scanf("%63s", label) == 1)
        measure(label, ms);
    if (wh_stop(disk->wh) != 0)
        wh_die("the worker did not end as it was told");
    blkd_free(disk);
    return 0;
}
