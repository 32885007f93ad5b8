/* SPDX-License-Identifier: Apache-2.0 */
/* resources_disk.c - raw disks: regular files and block devices. No format is ever probed: what
 * the bytes mean is the guest's affair. */
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
#include "resources.h"

enum { SECTOR_BYTES = 512, MAX_BLOCK_BYTES = 4096 };

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

static uint64_t read_queue_limit(dev_t dev, const char *name)
{
    unsigned long long value = 0;
    char path[96];
    FILE *file;

    snprintf(path, sizeof path, "/sys/dev/block/%u:%u/queue/%s", major(dev), minor(dev), name);
    file = fopen(path, "re");
    if (!file)
        return 0;
    if (fscanf(file, "%llu", &value) != 1)
        value = 0;
    fclose(file);
    return value;
}

static int measure_device(const Bulkhead__DiskConfig *disk, int fd, const struct stat *st,
                          struct backend *b, struct fault *f)
{
    unsigned physical = 0;
    uint64_t size = 0;
    int logical = 0, read_only = 0;

    if (ioctl(fd, BLKGETSIZE64, &size) < 0 || ioctl(fd, BLKSSZGET, &logical) < 0 ||
        ioctl(fd, BLKROGET, &read_only) < 0)
        return fault_host(f, errno, "%s: asking %s for its size: %s", disk->id, disk->path,
                          strerror(errno));
    if (read_only && !disk->readonly)
        return fault_input(f, "%s: %s is read-only: use readonly=on", disk->id, disk->path);
    if (logical < SECTOR_BYTES || logical > MAX_BLOCK_BYTES)
        return fault_input(f, "%s: %s has blocks of %d bytes: only 512 to 4096 work", disk->id,
                           disk->path, logical);
    if (ioctl(fd, BLKPBSZGET, &physical) < 0)
        physical = 0;
    b->size_bytes = size;
    b->block_size = (uint32_t)logical;
    while (b->physical_block_exp < 8 && ((unsigned)logical << b->physical_block_exp) < physical)
        b->physical_block_exp++;
    b->block_device = true;
    b->discard = read_queue_limit(st->st_rdev, "discard_max_bytes") > 0;
    return 0;
}

/* The alignment that direct I/O on this file needs; 512 where the kernel can't say. */
static uint32_t direct_alignment(int fd)
{
#ifdef STATX_DIOALIGN
    struct statx sx;

    if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &sx) == 0 && (sx.stx_mask & STATX_DIOALIGN) &&
        sx.stx_dio_offset_align > SECTOR_BYTES && sx.stx_dio_offset_align <= MAX_BLOCK_BYTES)
        return sx.stx_dio_offset_align;
#else
    (void)fd;
#endif
    return SECTOR_BYTES;
}

static int measure_file(const Bulkhead__DiskConfig *disk, int fd, const struct stat *st,
                        struct backend *b, struct fault *f)
{
    b->block_size = disk->direct ? direct_alignment(fd) : SECTOR_BYTES;
    b->physical_block_exp = b->block_size == SECTOR_BYTES ? 3 : 0;
    b->size_bytes = (uint64_t)st->st_size;
    b->discard = true;
    if (st->st_size == 0)
        return fault_input(f, "%s: %s is empty: make it a disk first (truncate -s 1G %s)", disk->id,
                           disk->path, disk->path);
    if (b->size_bytes % b->block_size != 0)
        return fault_input(f,
                           "%s: the size of %s, %llu bytes, is not a multiple of %u: resize it "
                           "(truncate -s %%%u)",
                           disk->id, disk->path, (unsigned long long)b->size_bytes, b->block_size,
                           b->block_size);
    return 0;
}

int resources_disk(const Bulkhead__DiskConfig *disk, struct backend *b, struct fault *f)
{
    int flags = (disk->readonly ? O_RDONLY : O_RDWR) | (disk->direct ? O_DIRECT : 0);
    cleanup_(fd_closep) int fd = -1;
    struct stat st;
    int r;

    r = resources_open(disk->id, disk->path, flags,
                       RESOURCES_KIND(S_IFREG) | RESOURCES_KIND(S_IFBLK), &fd, f);
    if (r < 0)
        return r;
    if (fstat(fd, &st) < 0)
        return fault_host(f, errno, "%s: looking at %s: %s", disk->id, disk->path, strerror(errno));
    r = S_ISBLK(st.st_mode) ? measure_device(disk, fd, &st, b, f)
                            : measure_file(disk, fd, &st, b, f);
    if (r == 0)
        r = lock_disk(disk, fd, f);
    if (r < 0)
        return r;
    b->discard = b->discard && !disk->readonly;
    b->own[b->n_own++] = fd_take(&fd);
    return 0;
}
