/* SPDX-License-Identifier: Apache-2.0 */
/* fd.c - see fd.h. */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "base/err.h"

void fd_closep(int *fd)
{
    int saved = errno;

    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    errno = saved;
}

static enum fd_type socket_type(int fd)
{
    int type = 0;
    socklen_t len = sizeof type;

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
        return FD_TYPE_OTHER;
    if (type == SOCK_SEQPACKET)
        return FD_TYPE_SEQPACKET;
    return type == SOCK_STREAM ? FD_TYPE_STREAM : FD_TYPE_OTHER;
}

static enum fd_type anon_inode_type(int fd)
{
    char path[32], target[64];
    ssize_t n;

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    n = readlink(path, target, sizeof target - 1);
    if (n < 0)
        return FD_TYPE_OTHER;
    target[n] = '\0';
    if (strcmp(target, "anon_inode:[eventfd]") == 0)
        return FD_TYPE_EVENTFD;
    return strcmp(target, "anon_inode:[io_uring]") == 0 ? FD_TYPE_IO_URING : FD_TYPE_OTHER;
}

/* A memfd is an unlinked file on the kernel's own shmem or hugetlbfs mount that takes seals. */
static enum fd_type file_type(int fd, const struct stat *st)
{
    if (st->st_nlink == 0 && fcntl(fd, F_GET_SEALS) >= 0)
        return FD_TYPE_MEMFD;
    return FD_TYPE_REGULAR;
}

enum fd_type fd_type(int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return FD_TYPE_OTHER;
    switch (st.st_mode & S_IFMT) {
    case S_IFREG:
        return file_type(fd, &st);
    case S_IFBLK:
        return FD_TYPE_BLOCK;
    case S_IFCHR:
        return FD_TYPE_CHAR;
    case S_IFIFO:
        return FD_TYPE_PIPE;
    case S_IFDIR:
        return FD_TYPE_DIRECTORY;
    case S_IFSOCK:
        return socket_type(fd);
    default:
        return anon_inode_type(fd);
    }
}

int fd_expect(int fd, enum fd_type type, const char *what)
{
    if (fd_type(fd) != type)
        return err_origin(-EBADF, "%s (fd %d) is of the wrong type", what, fd);
    return 0;
}

int fd_set_nonblock(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return err_origin(-errno, "O_NONBLOCK on fd %d", fd);
    return 0;
}

uint64_t fd_event_drain(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    uint64_t count = 0;

    if (poll(&p, 1, 0) <= 0 || !(p.revents & POLLIN))
        return 0;
    if (read(fd, &count, sizeof count) != (ssize_t)sizeof count)
        return 0;
    return count;
}

void fd_event_signal(int fd)
{
    uint64_t one = 1;
    ssize_t n;

    do
        n = write(fd, &one, sizeof one);
    while (n < 0 && errno == EINTR);
}
