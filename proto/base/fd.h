/* SPDX-License-Identifier: Apache-2.0 */
/* fd.h - file descriptors: ownership, type checks, small helpers. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/compiler.h"

/* Numbers every child finds open after exec; all else comes by message. */
enum {
    FD_STDIN = 0,   /* /dev/null */
    FD_STDOUT = 1,  /* /dev/null */
    FD_LOG = 2,     /* non-blocking write end of the log pipe; the broker relays it */
    FD_CONTROL = 3, /* SOCK_SEQPACKET to the broker */
    FD_CHILD_FIRST_FREE = 4,
};

enum fd_type {
    FD_TYPE_OTHER = 0,
    FD_TYPE_REGULAR,
    FD_TYPE_BLOCK,
    FD_TYPE_CHAR,
    FD_TYPE_PIPE,
    FD_TYPE_SEQPACKET,
    FD_TYPE_STREAM,
    FD_TYPE_EVENTFD,
    FD_TYPE_IO_URING,
    FD_TYPE_MEMFD, /* anonymous shmem or hugetlbfs file */
    FD_TYPE_DIRECTORY,
};

void fd_closep(int *fd); /* closes *fd if >= 0 and sets it to -1; keeps errno */
/* Returns *fd and sets it to -1: hands ownership over. */
static inline int fd_take(int *fd)
{
    int taken = *fd;

    *fd = -1;
    return taken;
}

/* What the kernel says the descriptor is, by system calls on the descriptor alone, no /proc. Not all
 * of them are in every filter, so call it before the sandbox is entered. */
enum fd_type fd_type(int fd);
/* 0, or -EBADF with an origin naming `what` when fd is not of this type. */
int fd_expect(int fd, enum fd_type type, const char *what) must_check;

/* A memfd that can be sealed and not executed, which is the only kind with vm.memfd_noexec=2. flags: memfd_create(2)'s
 * beside those. -1 and errno on failure. */
int fd_memfd(const char *name, unsigned flags) must_check;

/* Closes all above 2 that are not among these. */
void fd_close_all_but(const int *keep, unsigned n_keep);
int fd_set_nonblock(int fd) must_check;
/* Reads an eventfd's counter, 0 when there is nothing. Tolerates a peer that toggles O_NONBLOCK
 * on the shared description: never blocks (polls first when needed). */
uint64_t fd_event_drain(int fd);
/* Sends bytes as one message, and with it n_fds descriptors, FD_SEND_MAX at most, that stay the caller's.
 * flags: sendmsg(2)'s, beside MSG_NOSIGNAL. Goes on when it is interrupted. 0, or a negative errno without
 * an origin. */
enum { FD_SEND_MAX = 253 }; /* the kernel's SCM_MAX_FD */
int fd_send(int socket_fd, const void *bytes, size_t len, const int *fds, size_t n_fds,
            int flags) must_check;
/* Adds 1; a full counter means that the other side is already told. */
void fd_event_signal(int fd);
