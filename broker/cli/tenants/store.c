// SPDX-License-Identifier: Apache-2.0
// store.c - see store.h.
#include "tenants/store.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "client/hostdir.h"

#define TEMPORARY "." HOSTDIR_TENANTS ".new"

enum { MAX_BYTES = 1 << 20 };

/* Who may write there, may say who the tenants are. */
static int open_dir(const char *dir, struct option_error *err)
{
    cleanup_(fd_closep) int fd = -1;
    struct stat st;

    if (mkdir(dir, 0755) < 0 && errno != EEXIST)
        return option_fail(err, "%s: %s", dir, strerror(errno));
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) < 0)
        return option_fail(err, "%s: %s", dir,
                           errno == ELOOP || errno == ENOTDIR
                               ? "it must be a directory, and no link"
                               : strerror(errno));
    if ((st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & 0022))
        return option_fail(err, "%s: others may write there: chown it, and chmod go-w", dir);
    return fd_take(&fd);
}

static int write_all(int fd, const void *bytes, size_t len)
{
    const char *from = bytes;

    while (len > 0) {
        ssize_t n = write(fd, from, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        from += n;
        len -= (size_t)n;
    }
    return 0;
}

/* Readable for all: hostd has no rights of its own, and nothing in it is secret. */
static int replace(int dir, const void *bytes, size_t len)
{
    cleanup_(fd_closep) int fd = -1;
    int r;

    (void)unlinkat(dir, TEMPORARY, 0); /* of who was interrupted */
    fd = openat(dir, TEMPORARY, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    r = write_all(fd, bytes, len);
    if (r == 0 && (fchmod(fd, 0644) < 0 || fsync(fd) < 0 ||
                   renameat(dir, TEMPORARY, dir, HOSTDIR_TENANTS) < 0 || fsync(dir) < 0))
        r = -errno;
    if (r < 0)
        (void)unlinkat(dir, TEMPORARY, 0);
    return r;
}

static int keep_before(int dir, struct stored *stored)
{
    cleanup_(fd_closep) int fd =
        openat(dir, HOSTDIR_TENANTS, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat st;

    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || st.st_size > MAX_BYTES)
        return -EINVAL;
    stored->before = malloc((size_t)st.st_size + 1);
    if (!stored->before)
        return -ENOMEM;
    stored->n_before = (size_t)st.st_size;
    return pread(fd, stored->before, stored->n_before, 0) == st.st_size ? 0 : -EIO;
}

/* The directory, or -1. */
static int open_place(char *path, size_t size, struct option_error *err)
{
    char dir[HOSTDIR_PATH_BYTES];
    int r = hostdir_config(dir, sizeof(dir));

    if (r < 0)
        return option_fail(err, "the service's configuration has no place: %s", strerror(-r));
    snprintf(path, size, "%s/" HOSTDIR_TENANTS, dir);
    return open_dir(dir, err);
}

int tenants_store(const Bulkhead__HostConfig *config, struct stored *ret_stored,
                  struct option_error *err)
{
    size_t len = bulkhead__host_config__get_packed_size(config);
    cleanup_(fd_closep) int dir = -1;
    void *bytes;
    int r;

    *ret_stored = (struct stored){ 0 };
    dir = open_place(ret_stored->path, sizeof(ret_stored->path), err);
    if (dir < 0)
        return -1;
    bytes = malloc(len + 1);
    if (!bytes)
        return option_fail(err, "out of memory");
    bulkhead__host_config__pack(config, bytes);
    r = keep_before(dir, ret_stored);
    if (r == 0)
        r = replace(dir, bytes, len);
    free(bytes);
    return r < 0 ? option_fail(err, "%s: %s", ret_stored->path, strerror(-r)) : 0;
}

int tenants_restore(const struct stored *stored, struct option_error *err)
{
    cleanup_(fd_closep) int dir = -1;
    char path[sizeof(stored->path)];
    int r;

    dir = open_place(path, sizeof(path), err);
    if (dir < 0)
        return -1;
    if (stored->before)
        r = replace(dir, stored->before, stored->n_before);
    else
        r = unlinkat(dir, HOSTDIR_TENANTS, 0) < 0 ? -errno : 0;
    return r < 0 ? option_fail(err, "%s: %s", path, strerror(-r)) : 0;
}

void stored_deinit(struct stored *stored)
{
    free(stored->before);
    *stored = (struct stored){ 0 };
}
