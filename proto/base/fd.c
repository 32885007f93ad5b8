/* SPDX-License-Identifier: Apache-2.0 */
/* fd.c - see fd.h. */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "base/err.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

enum { UNMAPPED = 8 }; /* an address of the first page, where nothing is ever mapped */

void fd_closep(int *fd)
{
    int saved = errno;

    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    errno = saved;
}

int fd_memfd(const char *name, unsigned flags)
{
    int fd = memfd_create(name, flags | MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

    if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
        fd = memfd_create(name, flags | MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return fd;
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

/* Asked of the descriptor itself: a child whose root is empty from the start has no /proc. Of the
 * anonymous inodes only an eventfd looks at what is written to it, and only an io_uring can be
 * entered; neither question changes anything. */
static enum fd_type anon_inode_type(int fd)
{
    if (syscall(SYS_write, fd, (uintptr_t)UNMAPPED, sizeof(uint64_t)) < 0 && errno == EFAULT)
        return FD_TYPE_EVENTFD;
    /* EBADFD: one that is made but not enabled yet. */
    if (syscall(SYS_io_uring_enter, fd, 0u, 0u, 0u, NULL, 0u) >= 0 || errno == EBADFD)
        return FD_TYPE_IO_URING;
    return FD_TYPE_OTHER;
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

void fd_close_all_but(const int *keep, unsigned n_keep)
{
    unsigned top = 2;

    for (unsigned i = 0; i < n_keep; i++)
        top = keep[i] > (int)top ? (unsigned)keep[i] : top;
    for (unsigned fd = 3; fd < top; fd++) {
        bool kept = false;

        for (unsigned i = 0; i < n_keep; i++)
            kept |= keep[i] == (int)fd;
        if (!kept)
            close((int)fd);
    }
    syscall(SYS_close_range, top + 1, ~0u, 0u);
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

int fd_send(int socket_fd, const void *bytes, size_t len, const int *fds, size_t n_fds, int flags)
{
    /* sendmsg() takes a writable iovec but only reads. */
    struct iovec iov = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = len };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int) * FD_SEND_MAX)];
    } control;
    ssize_t n;

    if (n_fds > FD_SEND_MAX)
        return -EINVAL;
    if (n_fds > 0) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
        memset(&control, 0, msg.msg_controllen);
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
        memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * n_fds);
    }
    do
        n = sendmsg(socket_fd, &msg, MSG_NOSIGNAL | flags);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}
