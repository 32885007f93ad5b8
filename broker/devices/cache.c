/* SPDX-License-Identifier: Apache-2.0 */
/* cache.c - see cache.h. */
#include "devices/cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include "base/compiler.h"
#include "base/fd.h"

enum { MAX_LAYERS = 8, SYS_PATH_BYTES = 64 + 8 * 64 };

/* File systems that write their pages to somewhere else when these are to be reclaimed. A tmpfs, a ramfs and what
 * lies upon them (overlayfs) don't, and of one that isn't here nobody knows. */
static bool is_reclaimed(const struct statfs *fs)
{
    static const unsigned long known[] = {
        EXT4_SUPER_MAGIC,  XFS_SUPER_MAGIC,  BTRFS_SUPER_MAGIC, F2FS_SUPER_MAGIC,
        NFS_SUPER_MAGIC,   FUSE_SUPER_MAGIC, CIFS_SUPER_MAGIC,  SMB2_SUPER_MAGIC,
        CEPH_SUPER_MAGIC,  V9FS_MAGIC,       MSDOS_SUPER_MAGIC, EXFAT_SUPER_MAGIC,
        OCFS2_SUPER_MAGIC, 0x01161970,       0x2fc12fc1, /* gfs2, zfs */
    };

    for (unsigned i = 0; i < ARRAY_SIZE(known); i++)
        if (((unsigned long)fs->f_type & 0xffffffff) == known[i])
            return true;
    return false;
}

/* That folder of the device in /sys, which `path` is then the name of; a partition has its disk's. */
static DIR *open_sys(char *path, size_t len, const char *name)
{
    static const char *const places[] = { "", "/.." };
    DIR *dir = NULL;

    for (unsigned i = 0; i < ARRAY_SIZE(places) && !dir; i++) {
        snprintf(path + len, SYS_PATH_BYTES - len, "%s/%s", places[i], name);
        dir = opendir(path);
    }
    return dir;
}

/* A loop device, or one that is made of some: their pages, which are a file's, are charged to who uses the device.
 * `path` is its folder in /sys, with room to grow. */
static bool has_loop(char *path, unsigned layers)
{
    const size_t len = strlen(path);
    DIR *dir = open_sys(path, len, "loop");
    bool found = dir != NULL;
    struct dirent *entry;
    size_t slaves;

    if (dir)
        closedir(dir);
    dir = found ? NULL : open_sys(path, len, "slaves");
    slaves = strlen(path);
    while (dir && !found && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path + slaves, SYS_PATH_BYTES - slaves, "/%s", entry->d_name);
        found = layers == 0 || has_loop(path, layers - 1);
    }
    if (dir)
        closedir(dir);
    return found;
}

static uint64_t size_of_device(dev_t dev)
{
    unsigned long long sectors = 0;
    char path[64];
    FILE *file;

    snprintf(path, sizeof path, "/sys/dev/block/%u:%u/size", major(dev), minor(dev));
    file = fopen(path, "re");
    if (!file || fscanf(file, "%llu", &sectors) != 1)
        sectors = PLAN_CACHE_ENDLESS / 512;
    if (file)
        fclose(file);
    return sectors * 512;
}

/* All of it, and the tree that finds the pages. */
static uint64_t for_good(uint64_t size)
{
    return size > PLAN_CACHE_ENDLESS / 2 ? PLAN_CACHE_ENDLESS : size + size / 64;
}

uint64_t cache_of_log(int fd)
{
    struct statfs fs;
    struct stat st;

    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return 0;
    return fstatfs(fd, &fs) == 0 && is_reclaimed(&fs) ? PLAN_CACHE_BYTES : PLAN_CACHE_ENDLESS;
}

uint64_t cache_of_disk(int fd, bool direct)
{
    const uint64_t reclaimed = direct ? 0 : PLAN_CACHE_BYTES;
    char path[SYS_PATH_BYTES];
    struct statfs fs;
    struct stat st;

    if (fstat(fd, &st) < 0)
        return PLAN_CACHE_ENDLESS;
    if (!S_ISBLK(st.st_mode))
        return fstatfs(fd, &fs) == 0 && is_reclaimed(&fs) ? reclaimed
                                                          : for_good((uint64_t)st.st_size);
    snprintf(path, sizeof path, "/sys/dev/block/%u:%u", major(st.st_rdev), minor(st.st_rdev));
    return has_loop(path, MAX_LAYERS) ? reclaimed + for_good(size_of_device(st.st_rdev))
                                      : reclaimed;
}

static uint64_t look_at_log(const Bulkhead__ConsoleConfig *c)
{
    cleanup_(fd_closep) int fd = -1;

    if (c->mode == BULKHEAD__CONSOLE_MODE__CONSOLE_FILE)
        fd = open(c->path, O_PATH | O_CLOEXEC);
    return fd < 0 ? 0 : cache_of_log(fd);
}

void cache_look(const Bulkhead__VmConfig *c, struct plan *plan)
{
    for (unsigned i = 0; i < plan->n_devices; i++) {
        struct plan_device *d = &plan->devices[i];

        if (d->role == BULKHEAD__ROLE__ROLE_BLK) {
            const Bulkhead__DiskConfig *disk = c->disks[d->index];
            cleanup_(fd_closep) int fd = open(disk->path, O_PATH | O_CLOEXEC);

            if (fd >= 0)
                d->cache_bytes = cache_of_disk(fd, disk->direct);
        } else if (d->role == BULKHEAD__ROLE__ROLE_CONSOLE) {
            d->cache_bytes = look_at_log(d->needs_ram ? c->console : c->serial);
        }
    }
}
