/* SPDX-License-Identifier: Apache-2.0 */
/* exhaust.c - what the host has only so much of: memory, page tables, and room in the file system that the disk's
 * image is in. */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include "base/fd.h"
#include "device-procs/common/worker.h"
#include "device-procs/common/worker_state.h"
#include "hostile.h"

enum { FAR_MIB = 3 << 10 }; /* 3 GiB behind the beginning of an image of 1 MiB */
#define FAR_OFFSET ((long)FAR_MIB << 20)

static char bytes[512];

/* Memory without end, in steps that each are touched, up to mib. */
static long grow_heap(struct worker *w, unsigned mib)
{
    const unsigned long step = 1ul << 20;
    unsigned long end = (unsigned long)syscall(SYS_brk, 0);

    (void)w;
    for (unsigned i = 0; i < mib; i++) {
        unsigned long now = (unsigned long)syscall(SYS_brk, end + step);

        if (now < end + step)
            return -ENOMEM;
        for (unsigned long at = end; at < now; at += PAGE_BYTES)
            *(volatile char *)at = 1; /* NOLINT(performance-no-int-to-ptr) */
        end = now;
    }
    return 0;
}

/* Where nothing is. */
#define NOWHERE (1ul << 44)

/* What takes a region of guest RAM away, used to take up addresses. */
static long reserve(struct worker *w, unsigned mib)
{
    long r = syscall(SYS_mmap, NOWHERE, (unsigned long)mib << 20, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);

    (void)w;
    return r == -1 ? -errno : 0;
}

/* What maps such a region, used to map what is held again and again: each costs page tables. */
static long map_again(struct worker *w, unsigned mib)
{
    long r = -EBADF;

    for (unsigned i = 0; i < w->n_keep && r < 0; i++) {
        r = syscall(SYS_mmap, NOWHERE, (unsigned long)mib << 20, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_FIXED, w->keep[i], 0);
        r = r == -1 ? -errno : 0;
    }
    return r;
}

/* The same with a flag too many: without the place, memory of its own, to be executed. */
static long map_otherwise(struct worker *w, unsigned how)
{
    const struct {
        int prot, flags;
    } ways[] = {
        { PROT_READ | PROT_WRITE, MAP_SHARED },
        { PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED },
        { PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED },
        { PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED | MAP_FIXED },
        { PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_LOCKED },
    };
    void *at = w->mem.n_regions > 0 ? (void *)w->mem.regions[0].host_ : bytes;
    long r = -EBADF;

    for (unsigned i = 0; i < w->n_keep && r < 0; i++) {
        r = syscall(SYS_mmap, at, PAGE_BYTES, ways[how].prot, ways[how].flags, w->keep[i], 0);
        r = r == -1 ? -errno : 0;
    }
    return r;
}

/* Any file that is held, far behind its end. */
static long write_far(struct worker *w, unsigned mib)
{
    struct iovec iov = { bytes, sizeof bytes };
    long r = -EBADF;

    for (unsigned i = 0; i < w->n_keep && r < 0; i++) {
        r = syscall(SYS_pwritev2, w->keep[i], &iov, 1, (long)mib << 20, 0, 0);
        if (r < 0)
            r = -errno;
    }
    return r;
}

static long write_far_by_ring(struct worker *w, unsigned mib)
{
    struct iovec iov = { bytes, sizeof bytes };

    (void)w;
    return hostile_ring_write(&iov, (uint64_t)mib << 20);
}

/* Room without a byte that is written: with KEEP_SIZE no limit counts it. Without it the filter lets one mode through,
 * which moves the file's end. */
static long allocate_far(struct worker *w, unsigned mode)
{
    long r = -EBADF;

    for (unsigned i = 0; i < w->n_keep && r < 0; i++) {
        r = syscall(SYS_fallocate, w->keep[i], (long)mode, FAR_OFFSET, (long)sizeof bytes);
        if (r < 0)
            r = -errno;
    }
    return r;
}

static long allocate_far_by_ring(struct worker *w, unsigned mode)
{
    (void)w;
    return hostile_ring_allocate((int)mode, FAR_OFFSET, sizeof bytes);
}

#define BLK .roles = HOSTILE_ONLY(BLK)
#define ALLOCATE(what, mode)                                                                       \
    {                                                                                              \
        .name = "fallocate-" what, .kind = HOSTILE_SYSCALL, BLK, .run = allocate_far, .arg = mode  \
    }
#define RING_ALLOCATE(what, mode)                                                                  \
    {                                                                                              \
        .name = "ring-fallocate-" what, .kind = HOSTILE_RING, BLK, .run = allocate_far_by_ring,    \
        .arg = mode                                                                                \
    }

static const struct hostile_action actions[] = {
    { .name = "heap-without-end", .kind = HOSTILE_SYSCALL, .run = grow_heap, .arg = 64 },
    { .name = "addresses-without-end", .kind = HOSTILE_SYSCALL, .run = reserve, .arg = 64 },
    { .name = "map-again-and-again", .kind = HOSTILE_SYSCALL, .run = map_again, .arg = 64 },
    { .name = "map-anywhere", .kind = HOSTILE_SYSCALL, .run = map_otherwise, .arg = 0 },
    { .name = "map-private", .kind = HOSTILE_SYSCALL, .run = map_otherwise, .arg = 1 },
    { .name = "map-memory", .kind = HOSTILE_SYSCALL, .run = map_otherwise, .arg = 2 },
    { .name = "map-exec", .kind = HOSTILE_SYSCALL, .run = map_otherwise, .arg = 3 },
    { .name = "map-locked", .kind = HOSTILE_SYSCALL, .run = map_otherwise, .arg = 4 },
    { .name = "write-behind-the-end", .kind = HOSTILE_SYSCALL, .run = write_far, .arg = FAR_MIB },
    { .name = "ring-write-behind-the-end",
      .kind = HOSTILE_RING,
      BLK,
      .run = write_far_by_ring,
      .arg = FAR_MIB },
    ALLOCATE("behind-the-end", FALLOC_FL_KEEP_SIZE),
    ALLOCATE("zeroes-behind-the-end", FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE),
    ALLOCATE("past-the-limit", FALLOC_FL_ZERO_RANGE),
    RING_ALLOCATE("behind-the-end", FALLOC_FL_KEEP_SIZE),
    RING_ALLOCATE("past-the-limit", FALLOC_FL_ZERO_RANGE),
};
HOSTILE_TABLE(hostile_exhaust, actions);
