/* SPDX-License-Identifier: Apache-2.0 */
/* blk.c - raw disks: regular files and block devices. No format is ever probed: what
 * the bytes mean is the guest's affair. */
#include "devices/blk.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "base/fd.h"
#include "devices/backend.h"
#include "devices/cache.h"
#include "resources/memory.h"
#include "resources/open.h"

enum { SECTOR_BYTES = 512, MAX_ALIGN_BYTES = 65536 };

/* One writer or many readers. */
static int lock_disk(const Bulkhead__DiskConfig *disk, int fd, struct fault *f)
{
    int r = resources_lock(fd, disk->readonly ? F_RDLCK : F_WRLCK);

    if (r == 0)
        return 0;
    if (r == -EAGAIN)
        return fault_input(f,
                           "%s: %s is in use by another VM or process: stop it, or open it with "
                           "readonly=on on all sides",
                           disk->id, disk->path);
    return fault_host(f, -r, "%s: locking %s: %s", disk->id, disk->path, strerror(-r));
}

/* A limit of the device's queue; a partition has none of its own but its disk's. False: it can't be
 * found out, which says nothing about the device. */
static bool read_queue_limit(dev_t dev, const char *name, unsigned long long *ret_value)
{
    static const char *const places[] = { "queue", "../queue" };
    bool found = false;

    for (unsigned i = 0; i < ARRAY_SIZE(places) && !found; i++) {
        char path[96];
        FILE *file;

        snprintf(path, sizeof path, "/sys/dev/block/%u:%u/%s/%s", major(dev), minor(dev), places[i],
                 name);
        file = fopen(path, "re");
        if (!file)
            continue;
        found = fscanf(file, "%llu", ret_value) == 1;
        fclose(file);
    }
    return found;
}

static void set_block_sizes(const Bulkhead__DiskConfig *disk, uint32_t physical, struct backend *b)
{
    b->block_size = disk->logical_block_size ? disk->logical_block_size : SECTOR_BYTES;
    while (b->physical_block_exp < 8 && (b->block_size << b->physical_block_exp) < physical)
        b->physical_block_exp++;
}

static int check_size(const Bulkhead__DiskConfig *disk, uint32_t unit, const char *needed_by,
                      const struct backend *b, struct fault *f)
{
    if (b->size_bytes % unit == 0)
        return 0;
    return fault_input(f,
                       "%s: the size of %s, %llu bytes, is not a multiple of %u, which %s needs: "
                       "resize it (truncate -s %%%u)",
                       disk->id, disk->path, (unsigned long long)b->size_bytes, unit, needed_by,
                       unit);
}

static int measure_device(const Bulkhead__DiskConfig *disk, int fd, const struct stat *st,
                          struct backend *b, struct fault *f)
{
    unsigned long long discard_max = 0;
    unsigned physical = 0;
    uint64_t size = 0;
    int logical = 0, read_only = 0;

    if (ioctl(fd, BLKGETSIZE64, &size) < 0 || ioctl(fd, BLKSSZGET, &logical) < 0 ||
        ioctl(fd, BLKROGET, &read_only) < 0)
        return fault_host(f, errno, "%s: asking %s for its size: %s", disk->id, disk->path,
                          strerror(errno));
    if (read_only && !disk->readonly)
        return fault_input(f, "%s: %s is read-only: use readonly=on", disk->id, disk->path);
    if (logical < SECTOR_BYTES || logical > MAX_ALIGN_BYTES)
        return fault_input(f, "%s: %s has blocks of %d bytes: only 512 to %d work", disk->id,
                           disk->path, logical, MAX_ALIGN_BYTES);
    if (ioctl(fd, BLKPBSZGET, &physical) < 0)
        physical = 0;
    b->size_bytes = size;
    b->block_device = true;
    b->direct_align = b->range_align = (uint32_t)logical;
    /* What can't be found out is offered: where the device can't, it is a hint without effect. */
    b->discard = !read_queue_limit(st->st_rdev, "discard_max_bytes", &discard_max) || discard_max;
    set_block_sizes(disk, MAX(physical, (unsigned)logical), b);
    return 0;
}

/* The alignment that direct I/O on this file needs. Where the kernel can't say, that of every disk:
 * too large costs a copy here and there, too small makes requests fail. */
static uint32_t direct_alignment(int fd, uint64_t size)
{
#ifdef STATX_DIOALIGN
    struct statx sx;

    if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &sx) == 0 && (sx.stx_mask & STATX_DIOALIGN))
        return MAX(MAX(sx.stx_dio_offset_align, sx.stx_dio_mem_align), (uint32_t)SECTOR_BYTES);
#else
    (void)fd;
#endif
    return size % PAGE_BYTES == 0 ? PAGE_BYTES : (uint32_t)SECTOR_BYTES;
}

static int measure_file(const Bulkhead__DiskConfig *disk, int fd, const struct stat *st,
                        struct backend *b, struct fault *f)
{
    b->size_bytes = (uint64_t)st->st_size;
    b->discard = true;
    b->range_align = SECTOR_BYTES;
    b->direct_align = disk->direct ? direct_alignment(fd, b->size_bytes) : SECTOR_BYTES;
    if (st->st_size == 0)
        return fault_input(f, "%s: %s is empty: make it a disk first (truncate -s 1G %s)", disk->id,
                           disk->path, disk->path);
    if (b->direct_align > MAX_ALIGN_BYTES || !is_power_of_two(b->direct_align))
        return fault_input(f,
                           "%s: direct I/O on %s goes by blocks of %u bytes, %d at most work: "
                           "remove direct=on",
                           disk->id, disk->path, b->direct_align, MAX_ALIGN_BYTES);
    if (!disk->readonly && resources_check_size(disk->id, b->size_bytes, f) < 0)
        return -EINVAL;
    set_block_sizes(disk, MAX((uint32_t)PAGE_BYTES, b->direct_align), b);
    return disk->direct ? check_size(disk, b->direct_align, "direct=on", b, f) : 0;
}

int resources_disk(const struct trees *trees, const Bulkhead__DiskConfig *disk, struct backend *b,
                   struct fault *f)
{
    int flags = (disk->readonly ? O_RDONLY : O_RDWR) | (disk->direct ? O_DIRECT : 0);
    cleanup_(fd_closep) int fd = -1;
    struct stat st;
    int r;

    r = resources_open(trees, disk->id, disk->path, flags,
                       RESOURCES_KIND(S_IFREG) | RESOURCES_KIND(S_IFBLK), &fd, f);
    if (r < 0)
        return r;
    if (fstat(fd, &st) < 0)
        return fault_host(f, errno, "%s: looking at %s: %s", disk->id, disk->path, strerror(errno));
    r = S_ISBLK(st.st_mode) ? measure_device(disk, fd, &st, b, f)
                            : measure_file(disk, fd, &st, b, f);
    if (r == 0)
        r = check_size(disk, b->block_size,
                       disk->logical_block_size ? "logical_block_size" : "a disk", b, f);
    if (r == 0)
        r = lock_disk(disk, fd, f);
    if (r < 0)
        return r;
    b->discard = b->discard && !disk->readonly;
    b->cache_bytes = cache_of_disk(fd, disk->direct);
    b->own[b->n_own++] = fd_take(&fd);
    return 0;
}
