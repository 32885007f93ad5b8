/* SPDX-License-Identifier: Apache-2.0 */
/* root.c - see root.h. */
#include "sandbox/root.h"

#include <errno.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "base/err.h"

/* The kernel itself answers EPERM to who has no right; EACCES is a policy's word. */
static int refused(const char *what)
{
    return err_origin(-errno, "%s%s", what,
                      errno == EACCES ? " (AppArmor or SELinux: allow mount, umount, pivot_root)"
                                      : "");
}

/* Any folder will do as the mount point: what it hides goes away with the old root. */
static int mount_empty(void)
{
    static const char *const points[] = { "/proc", "/tmp", "/dev", "/usr" };

    for (unsigned i = 0; i < ARRAY_SIZE(points); i++) {
        if (mount("none", points[i], "tmpfs", MS_NODEV | MS_NOSUID | MS_NOEXEC | MS_RDONLY, NULL) ==
            0)
            return chdir(points[i]) < 0 ? err_origin(-errno, "%s", points[i]) : 0;
        if (errno != ENOENT && errno != ENOTDIR)
            return refused("mounting an empty root");
    }
    return err_origin(-ENOENT, "no folder to mount an empty root on");
}

/* The initramfs's own root can't be pivoted away from: there the new root is moved on top of it,
 * and chroot() keeps the process from ever seeing what is below. */
static int move_onto_root(void)
{
    if (mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0)
        return err_origin(-errno, "moving onto the root");
    return 0;
}

bool root_is_empty(void)
{
    struct statfs fs;

    /* One inode is the directory itself: nothing else is in it, and nothing can be made in it. */
    return statfs("/", &fs) == 0 && fs.f_type == TMPFS_MAGIC && (fs.f_flags & ST_RDONLY) &&
           fs.f_files - fs.f_ffree == 1;
}

int root_enter(void)
{
    int r;

    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return refused("making mounts private");
    r = mount_empty();
    if (r < 0)
        return err_trace(r);
    /* "." twice stacks the old root on the new one, and the unmount takes the old one away. */
    if (syscall(SYS_pivot_root, ".", ".") == 0) {
        if (umount2(".", MNT_DETACH) < 0)
            return refused("detaching the old root");
    } else if (errno == EINVAL) {
        r = move_onto_root();
        if (r < 0)
            return err_trace(r);
    } else {
        return refused("pivot_root");
    }
    if (chdir("/") < 0)
        return err_origin(-errno, "the new root");
    return root_is_empty() ? 0 : err_origin(-EXDEV, "the root is not the empty one");
}
