/* SPDX-License-Identifier: Apache-2.0 */
/* files.c - see files.h. */
#include "hostd/starter/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "client/hostdir.h"

#define SPEC HOSTDIR_SPEC
#define SPEC_NEW HOSTDIR_SPEC ".new"

static const char *const logs[LOG_KINDS][2] = {
    [LOG_GUEST] = { "console.log", "console.log.1" },
    [LOG_BROKER] = { "broker.log", "broker.log.1" },
};

static int open_regular(int dir_fd, const char *name, int flags)
{
    int fd = openat(dir_fd, name, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
    struct stat st;

    if (fd < 0)
        return err_origin(-errno, "%s", name);
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        return fd;
    close(fd);
    return err_origin(-EINVAL, "%s is no file", name);
}

static int write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        bytes += n;
        len -= (size_t)n;
    }
    return fsync(fd) < 0 ? -errno : 0;
}

int files_save(const struct folders *folders, const char *tenant, const char *vm, const void *bytes,
               size_t len)
{
    cleanup_(fd_closep) int dir_fd = folders_enter(folders, FOLDER_KEPT, tenant, vm, true);
    cleanup_(fd_closep) int up_fd = -1;
    cleanup_(fd_closep) int fd = -1;
    int r;

    if (dir_fd < 0)
        return dir_fd;
    (void)unlinkat(dir_fd, SPEC_NEW, 0); /* of one that was killed */
    fd = open_regular(dir_fd, SPEC_NEW, O_WRONLY | O_CREAT | O_EXCL);
    if (fd < 0)
        return fd;
    r = write_all(fd, bytes, len);
    if (r == 0 && (renameat(dir_fd, SPEC_NEW, dir_fd, SPEC) < 0 || fsync(dir_fd) < 0))
        r = -errno;
    if (r < 0)
        (void)unlinkat(dir_fd, SPEC_NEW, 0);
    /* The folders may be new: their names are to be there as well. */
    up_fd = openat(dir_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r == 0 && (up_fd < 0 || fsync(up_fd) < 0 || fsync(folders->fds[FOLDER_KEPT]) < 0))
        r = -errno;
    return r;
}

ssize_t files_load(const struct folders *folders, const char *tenant, const char *vm, void *dst,
                   size_t size)
{
    cleanup_(fd_closep) int dir_fd = folders_enter(folders, FOLDER_KEPT, tenant, vm, false);
    cleanup_(fd_closep) int fd = -1;
    size_t len = 0;
    ssize_t n;

    if (dir_fd < 0)
        return dir_fd == -ENOENT ? 0 : err_trace(dir_fd);
    fd = open_regular(dir_fd, SPEC, O_RDONLY);
    if (fd < 0)
        return fd == -ENOENT ? 0 : err_trace(fd);
    do {
        n = read(fd, (char *)dst + len, size - len);
        len += n > 0 ? (size_t)n : 0;
    } while ((n > 0 && len < size) || (n < 0 && errno == EINTR));
    return n < 0 ? err_origin(-errno, "reading the description of %s/%s", tenant, vm)
                 : (ssize_t)len;
}

bool files_is_kept(const struct folders *folders, const char *tenant, const char *vm)
{
    cleanup_(fd_closep) int dir_fd = folders_enter(folders, FOLDER_KEPT, tenant, vm, false);

    return dir_fd >= 0 && faccessat(dir_fd, SPEC, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int files_open_log(int kept_fd, enum log_kind kind, int ret_fds[2])
{
    for (int i = 0; i < 2; i++) {
        ret_fds[i] = open_regular(kept_fd, logs[kind][i], O_RDWR | O_APPEND | O_CREAT);
        if (ret_fds[i] >= 0)
            continue;
        if (i > 0)
            fd_closep(&ret_fds[0]);
        return err_trace(ret_fds[i]);
    }
    return 0;
}

int files_read_log(const struct folders *folders, const char *tenant, const char *vm,
                   enum log_kind kind, int ret_fds[2])
{
    cleanup_(fd_closep) int dir_fd = folders_enter(folders, FOLDER_KEPT, tenant, vm, false);
    int now, before;

    if (dir_fd < 0)
        return err_trace(dir_fd);
    now = open_regular(dir_fd, logs[kind][0], O_RDONLY);
    if (now < 0)
        return err_trace(now);
    before = open_regular(dir_fd, logs[kind][1], O_RDONLY);
    ret_fds[0] = before >= 0 ? before : now;
    ret_fds[1] = now;
    return before >= 0 ? 2 : 1;
}
