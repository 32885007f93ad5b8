/* SPDX-License-Identifier: Apache-2.0 */
/* hostd.c - the host's service, which hears every tenant: messages, and descriptors that the starter sends and that it hands
 * on. It opens, connects and starts nothing. */
#include <asm/ioctls.h>
#include <linux/futex.h>
#include <linux/sockios.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include "common.h"
#include "profile.h"

enum { SOCKET_TYPE = 0xf };

static const struct profile_rule sockets[] = {
    ALLOW(accept4, "a client", ARG_IS(3, SOCK_NONBLOCK | SOCK_CLOEXEC)),
    ALLOW(recvmsg, "messages; what comes with them is not taken",
          ARG_BITS(2, ~(unsigned)(MSG_PEEK | MSG_CMSG_CLOEXEC) & 0xffffffffu, MSG_DONTWAIT)),
    ALLOW(sendmsg, "messages, without waiting",
          ARG_BITS(2, MSG_DONTWAIT | MSG_NOSIGNAL, MSG_DONTWAIT | MSG_NOSIGNAL)),
    ALLOW(sendto, "the service manager, without an address", ARG_NULL(4)),
    ALLOW(getsockopt, "who a client is", ARG_IS(1, SOL_SOCKET)),
    ALLOW(setsockopt, "is there a message in a socket that is closed", ARG_IS(1, SOL_SOCKET),
          ARG_IS(2, SO_PASSCRED)),
    ALLOW(shutdown, "a session ends before its descriptor does"),
    /* No datagrams: sendmsg() has their address in memory, where a filter doesn't see it. */
    ALLOW(socketpair, "a channel for a launcher", ARG_IS(0, AF_UNIX),
          ARG_BITS(1, SOCKET_TYPE, SOCK_SEQPACKET)),
    ALLOW(socketpair, "a line for a guest that has a named right", ARG_IS(0, AF_UNIX),
          ARG_BITS(1, SOCKET_TYPE, SOCK_STREAM)),
    ALLOW(ioctl, "has a client taken what was sent to it", ARG_IS(1, SIOCOUTQ)),
};
static PROFILE_SET(sockets_set, sockets);

static const struct profile_rule rest[] = {
    ALLOW(mmap, "memory, never executable", ARG_BITS(2, PROT_EXEC, 0)),
    ALLOW(munmap, "memory"),
    ALLOW(mremap, "the heap"),
    ALLOW(madvise, "memory is given back", ARG_IS(2, MADV_DONTNEED)),
    ALLOW(futex, "libc's locks, for the threads that close", ARG_IS(1, FUTEX_WAIT_PRIVATE)),
    ALLOW(futex, "libc's locks, for the threads that close", ARG_IS(1, FUTEX_WAKE_PRIVATE)),
    ALLOW(getrandom, "the MAC address of an interface that has none"),
};
static PROFILE_SET(rest_set, rest);

const struct profile profile_hostd = {
    .id = SANDBOX_HOSTD,
    .name = "hostd",
    .max_syscalls = 28,
    .sets = { &profile_base, &profile_loop, &sockets_set, &rest_set, &profile_extra },
};
