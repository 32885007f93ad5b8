/* SPDX-License-Identifier: Apache-2.0 */
/* handed.h - descriptors that the broker hands to the spawner.
 *
 * A broker that was taken over may hand over anything, also what makes others wait: a file of a server
 * that doesn't answer (FUSE, NFS), a TCP socket that lingers, a socket in whose queue one of these is. So
 * nothing here asks a file system, and what is not needed any more is closed by a clone that shares the
 * table of descriptors: that one may wait for ever.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>
#include "base/compiler.h"

enum {
    HANDED_MAX =
        253, /* SCM_MAX_FD: all that one message can bring, for the kernel closes the rest itself */
    HANDED_CLOSERS = 8, /* clones at once */
    HANDED_STACK_BYTES = 16384,
};

struct handed {
    int fds[HANDED_MAX]; /* -1: taken */
    unsigned n;
};

struct closers {
    struct closer {
        pid_t pid; /* 0: free */
        int pidfd;
        struct handed fds;
        _Alignas(16) char stack[HANDED_STACK_BYTES];
    } of[HANDED_CLOSERS];
};

enum handed_type { HANDED_PIPE, HANDED_STREAM, HANDED_SEQPACKET };

/* The next message. Without waiting: its bytes (at most size; one that is longer or brought foreign
 * control data gives -EMSGSIZE), -EAGAIN, or -EPIPE when the other end is gone. */
ssize_t handed_receive(int fd, void *bytes, size_t size, struct handed *ret_fds);
/* 0, or -EBADF with an origin. */
int handed_expect(int fd, enum handed_type type, const char *what) must_check;

/* Whether handed_close() has room; if not, one of the pidfds in use becomes readable when it has. */
bool closers_have_room(struct closers *closers);
/* Closes what was not taken; without room nothing. */
void handed_close(struct closers *closers, struct handed *fds);
