/* SPDX-License-Identifier: Apache-2.0 */
/* handed.h - descriptors that the broker hands to the spawner.
 *
 * A broker that was taken over may hand over anything, also what makes others wait: a file of a server
 * that doesn't answer (FUSE, NFS), a TCP socket that lingers, a socket in whose queue one of these is. So
 * nothing here asks a file system, and what is not needed any more is closed by clones that share the
 * table of descriptors: those may wait for ever. What they have no room for waits in a list, and while
 * something does no request is read: so the list is bounded by what is kept and what one request brings.
 *
 * What finds no number free the kernel would close in the spawner itself. So the last numbers of its table are
 * for messages alone: a message that gets one of them is refused, and until that is free again none is read.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/compiler.h"
#include "spawner/keep.h"
#include "spawner/wire.h"

enum {
    HANDED_MAX =
        253, /* SCM_MAX_FD: all that one message can bring, for the kernel closes the rest itself */
    HANDED_CLOSERS = 8, /* clones at once */
    HANDED_STACK_BYTES = 16384,
    HANDED_STUCK_MS = 5000,
    /* All places, the ends of all children, a request and what it drops. */
    HANDED_WAITING = KEEP_PLACES + 3 * SPAWNER_MAX_CHILDREN + 2 * HANDED_MAX,
};

struct handed {
    int fds[HANDED_MAX]; /* -1: taken */
    unsigned n;
};

struct closers {
    struct closer {
        pid_t pid;     /* 0: free */
        pid_t parent;  /* with which it dies */
        int pidfd;     /* -1: there was no room for one */
        bool reserved; /* it closes what has a number that is for messages */
        struct handed fds;
        _Alignas(16) char stack[HANDED_STACK_BYTES];
    } of[HANDED_CLOSERS];
    int waiting[HANDED_WAITING]; /* to be closed, the first first */
    unsigned n_waiting;
    uint64_t moved_ns;       /* when one of them was last taken up */
    unsigned first_reserved; /* number of a descriptor */
};

enum handed_type { HANDED_PIPE, HANDED_STREAM, HANDED_SEQPACKET };

/* Reserves numbers, as many as a message can bring; a quarter of the table where that is small. */
void closers_init(struct closers *closers);
/* The next message. Without waiting: its bytes (at most size; one that is longer, brought foreign
 * control data, or more than there is room for gives -EMSGSIZE), -EAGAIN, or -EPIPE when the other end is gone. */
ssize_t handed_receive(const struct closers *closers, int fd, void *bytes, size_t size,
                       struct handed *ret_fds);
/* 0, or -EBADF with an origin. */
int handed_expect(int fd, enum handed_type type, const char *what) must_check;

/* Closes, in order, what was not taken. */
void handed_close(struct closers *closers, struct handed *fds);
/* Whether there is something left to close, for which all clones are busy or none can be made, or what
 * keeps the next message's room. When the pidfd of one becomes readable, and now and then, closers_go_on(). */
bool closers_are_busy(const struct closers *closers);
/* And for so long that they won't be free soon. */
bool closers_are_stuck(const struct closers *closers);
void closers_go_on(struct closers *closers);
/* At this process's end: each of them has all that is open here, and a socket that lingers would keep it. */
void closers_kill(struct closers *closers);
