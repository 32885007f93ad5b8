/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_life.c - see cgroup_life.h. */
#include "sandbox/cgroup_life.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "sandbox/cgroup.h"

enum { END_MS = 5000, RETRY_MS = 1 };

static void dir_closep(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

static int open_group(int base_fd, const char *name)
{
    return openat(base_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

static bool is_named(int base_fd, const char *name, int fd)
{
    struct stat named, opened;

    return fstatat(base_fd, name, &named, AT_SYMLINK_NOFOLLOW) == 0 && fstat(fd, &opened) == 0 &&
           named.st_dev == opened.st_dev && named.st_ino == opened.st_ino;
}

int sandbox_cgroup_claim(int base_fd, const char *name, int *ret_fd)
{
    cleanup_(fd_closep) int fd = -1;

    if (strchr(name, '/') || name[0] == '.' || name[0] == '\0')
        return err_origin(-EINVAL, "cgroup name \"%s\"", name);
    if (mkdirat(base_fd, name, 0755) < 0)
        return err_origin(-errno, "cgroup %s", name);
    fd = open_group(base_fd, name);
    /* Somebody who sweeps may have been faster: then it is not ours, nor is its name. */
    if ((fd < 0 && errno == ENOENT) || (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) ||
        (fd >= 0 && !is_named(base_fd, name, fd)))
        return err_origin(-EEXIST, "cgroup %s", name);
    if (fd < 0)
        return err_origin(-errno, "cgroup %s", name);
    *ret_fd = fd_take(&fd);
    return 0;
}

/* With all groups in it: 0, -EBUSY while there are processes, or another negative errno. */
static int remove_tree(int base_fd, const char *name, int fd)
{
    int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_(dir_closep) DIR *dir = again < 0 ? NULL : fdopendir(again);
    struct dirent *entry;

    if (again >= 0 && !dir)
        close(again);
    while (dir && (entry = readdir(dir)) != NULL)
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
            unlinkat(fd, entry->d_name, AT_REMOVEDIR);
    return unlinkat(base_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -errno;
}

int sandbox_cgroup_end(int base_fd, const char *name, int fd, int kill_fd)
{
    struct pollfd none = { .fd = -1 };
    int r;

    if (!is_named(base_fd, name, fd))
        return 0;
    /* A kernel without cgroup.kill: those in it end by themselves. */
    if (kill_fd >= 0 && sandbox_cgroup_kill(kill_fd) < 0)
        err_clear();
    /* A killed process is in its group until it is gone, and so is one that was waited for, for a
     * moment. */
    for (int ms = 0; (r = remove_tree(base_fd, name, fd)) == -EBUSY && ms < END_MS; ms += RETRY_MS)
        (void)poll(&none, 1, RETRY_MS);
    return r < 0 ? err_origin(r, "cgroup %s", name) : 0;
}

void sandbox_cgroup_sweep(int base_fd, bool (*is_ours)(const char *name))
{
    int again = openat(base_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_(dir_closep) DIR *dir = again < 0 ? NULL : fdopendir(again);
    struct dirent *entry;

    if (again >= 0 && !dir)
        close(again);
    while (dir && (entry = readdir(dir)) != NULL) {
        cleanup_(fd_closep) int fd = -1;

        if (entry->d_type != DT_DIR || !is_ours(entry->d_name))
            continue;
        fd = open_group(base_fd, entry->d_name);
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && is_named(base_fd, entry->d_name, fd))
            (void)remove_tree(base_fd, entry->d_name, fd);
    }
}
