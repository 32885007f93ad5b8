/* SPDX-License-Identifier: Apache-2.0 */
/* trees.c - see trees.h. */
#include "resources/trees.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/err.h"

/* The next component of a path, "" at its end; "." is none. *path is then what follows. */
struct part {
    const char *at;
    size_t len;
};

static struct part next_part(const char **path)
{
    struct part p;

    do {
        while (**path == '/')
            (*path)++;
        p.at = *path;
        p.len = strcspn(*path, "/");
        *path += p.len;
    } while (p.len == 1 && p.at[0] == '.');
    return p;
}

static bool is_up(struct part p)
{
    return p.len == 2 && memcmp(p.at, "..", 2) == 0;
}

static bool goes_up(const char *path)
{
    struct part p;

    do {
        p = next_part(&path);
        if (is_up(p))
            return true;
    } while (p.len > 0);
    return false;
}

/* How many components a tree has if the path lies below it or is it, -1: it doesn't. */
static int match(const char *tree, const char *path, const char **ret_rest)
{
    for (int n = 0;; n++) {
        const char *before = path;
        struct part want = next_part(&tree), is;

        if (want.len == 0) {
            *ret_rest = before;
            return n;
        }
        is = next_part(&path);
        if (is.len != want.len || memcmp(is.at, want.at, is.len) != 0)
            return -1;
    }
}

static bool is_root_dir(const char *tree)
{
    return next_part(&tree).len == 0;
}

static bool is_below_dev(const char *tree)
{
    const char *unused;

    return match("/dev", tree, &unused) >= 0;
}

/* Nobody but root makes links there. */
static bool is_roots_alone(int dir_fd)
{
    struct stat st;

    return fstat(dir_fd, &st) == 0 && st.st_uid == 0 && (st.st_mode & 0022) == 0;
}

int trees_check(const struct trees *trees)
{
    for (unsigned i = 0; i < trees->n; i++) {
        struct stat st;

        if (trees->paths[i][0] != '/' || goes_up(trees->paths[i]))
            return err_origin(-EINVAL, "the tree %s is not an absolute path", trees->paths[i]);
        if (fstat(trees->fds[i], &st) < 0 || !S_ISDIR(st.st_mode))
            return err_origin(-ENOTDIR, "descriptor %d of the tree %s is no directory",
                              trees->fds[i], trees->paths[i]);
    }
    return 0;
}

static void set_way(const char *tree, int fd, const char *rest, struct trees_way *way)
{
    const uint64_t within = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;

    while (*rest == '/')
        rest++;
    *way = (struct trees_way){ .dir_fd = fd,
                               .rest = rest[0] != '\0' ? rest : ".",
                               .resolve = within | RESOLVE_NO_XDEV,
                               .strict = true,
                               .devices = is_root_dir(tree) || is_below_dev(tree) };
    if (is_root_dir(tree))
        way->resolve = within;
    way->only_devices = is_below_dev(tree) && is_roots_alone(fd);
    if (way->only_devices)
        way->resolve = RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
}

int trees_find(const struct trees *trees, const char *what, const char *path,
               struct trees_way *ret_way, struct fault *f)
{
    const char *rest = NULL;
    int longest = -1;
    unsigned found = 0;

    if (!trees) {
        *ret_way = (struct trees_way){
            .dir_fd = AT_FDCWD, .rest = path, .resolve = RESOLVE_NO_MAGICLINKS, .devices = true
        };
        return 0;
    }
    if (path[0] != '/' || goes_up(path))
        return fault_input(f, "%s: %s is not an absolute path without '..': give one", what, path);
    for (unsigned i = 0; i < trees->n; i++) {
        const char *after;
        int n = match(trees->paths[i], path, &after);

        if (n <= longest)
            continue;
        longest = n;
        rest = after;
        found = i;
    }
    if (longest < 0)
        return fault_input(f, "%s: %s is below no directory of this tenant: %s%s", what, path,
                           trees->n > 0 ? "give a path below " : "it has none",
                           trees->n > 0 ? trees->paths[0] : "");
    set_way(trees->paths[found], trees->fds[found], rest, ret_way);
    return 0;
}

int trees_open(const struct trees_way *way, const char *rest, int flags, mode_t mode)
{
    struct open_how how = { .flags = (uint64_t)(flags | O_CLOEXEC),
                            .mode = mode,
                            .resolve = way->resolve };
    int fd = (int)syscall(SYS_openat2, way->dir_fd, rest, &how, sizeof how);

    return fd < 0 ? -errno : fd;
}

const char *trees_error_text(int error)
{
    switch (error) {
    case EXDEV:
        return "it lies on a file system that is mounted there, which is not this tenant's";
    case ELOOP:
        return "it goes through a link";
    default:
        return strerror(error);
    }
}

int trees_check_file(const struct trees_way *way, const char *what, const char *path,
                     const struct stat *st, struct fault *f)
{
    if (!way->strict)
        return 0;
    if (S_ISBLK(st->st_mode) && !way->devices)
        return fault_input(f,
                           "%s: %s is a block device outside of /dev: give its own path there, or "
                           "a regular file",
                           what, path);
    if (way->only_devices && !S_ISBLK(st->st_mode))
        return fault_input(f, "%s: %s is not a block device: give one, or a file elsewhere", what,
                           path);
    if (S_ISREG(st->st_mode) && st->st_nlink != 1 && st->st_uid != geteuid())
        return fault_input(f,
                           "%s: %s is another user's file and has a second name (a hard link): "
                           "copy it",
                           what, path);
    return 0;
}
