/* SPDX-License-Identifier: Apache-2.0 */
/* broker.c - the broker once it has opened what its VM's plan names: disks and taps are looked at, sockets
 * bound and folders made before. It never runs a program or signals a process (the spawner, which has no filter,
 * does that for it). */
#include <asm/ioctls.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include "common.h"
#include "profile.h"

enum { CHANGES = O_ACCMODE | O_CREAT | O_TRUNC | O_PATH, SOCKET_TYPE = 0xf };

static const struct profile_rule files[] = {
    /* By number of flags: what is opened is not changed, no terminal becomes that of the broker's session, and nothing
     * is opened past landlock, which doesn't ask who wants a path alone. */
    ALLOW(openat, "a new build of a program", ARG_BITS(2, CHANGES | O_NOCTTY, O_NOCTTY)),
    ALLOW(newfstatat, "type and size of what came by message"),
    ALLOW(statx, "which file a disk or a log is, without asking who serves it",
          ARG_BITS(2, AT_STATX_DONT_SYNC | AT_EMPTY_PATH, AT_STATX_DONT_SYNC | AT_EMPTY_PATH)),
    ALLOW(pread64, "a child's stat file: how much it has run"),
    ALLOW(ftruncate, "the size of a memfd before it is sealed"),
    ALLOW(fallocate, "guest RAM that is to be there from the start"),
    /* All locks were taken before, and nobody lets go of them. By number: F_SETOWN and F_SETSIG would
     * have the kernel send any signal to any process that the broker's uid may signal, O_ASYNC one to
     * who sits at a terminal. */
    ALLOW(fcntl, "how a descriptor was opened", ARG_IS(1, F_GETFL)),
    ALLOW(fcntl, "O_NONBLOCK", ARG_IS(1, F_SETFL), ARG_BITS(2, O_ASYNC, 0)),
    ALLOW(fcntl, "guest RAM can't be resized", ARG_IS(1, F_ADD_SEALS)),
    ALLOW(fcntl, "is it a memfd", ARG_IS(1, F_GET_SEALS)),
    ALLOW(memfd_create, "guest RAM, journals, stats pages", ARG_BITS(1, MFD_CLOEXEC, MFD_CLOEXEC)),
    ALLOW(eventfd2, "kicks and interrupts"),
    ALLOW(dup, "the state of a group's rate limit, for a disk that joins it (add)"),
    ALLOW(pipe2, "log pipes and the life pipe"),
};
static PROFILE_SET(files_set, files);

static const struct profile_rule sockets[] = {
    ALLOW(recvmsg, "messages of children, spawner and clients",
          ARG_BITS(2, MSG_CMSG_CLOEXEC, MSG_CMSG_CLOEXEC)),
    ALLOW(sendmsg, "messages to children, spawner and clients"),
    ALLOW(sendto, "lines to clients, without an address", ARG_NULL(4)),
    /* No datagrams: sendmsg() has their address in memory, where a filter doesn't see it, and they go, with
     * descriptors, to any socket of the host's that its uid may write to. A stream or a sequence has one peer. */
    ALLOW(socketpair, "a child's control socket", ARG_IS(0, AF_UNIX),
          ARG_BITS(1, SOCKET_TYPE, SOCK_SEQPACKET)),
    ALLOW(socketpair, "passt's", ARG_IS(0, AF_UNIX), ARG_BITS(1, SOCKET_TYPE, SOCK_STREAM)),
    ALLOW(socket, "to ask about a tap", ARG_IS(0, AF_UNIX), ARG_BITS(1, SOCKET_TYPE, SOCK_STREAM)),
    ALLOW(accept4, "clients of the command socket"),
    ALLOW(getsockopt, "a client's credentials, a socket's type", ARG_IS(1, SOL_SOCKET)),
};
static PROFILE_SET(sockets_set, sockets);

static const struct profile_rule rest[] = {
    ALLOW(ioctl, "is a tap there still", ARG_IS(1, SIOCGIFFLAGS)),
    ALLOW(ioctl, "a tap that was deleted and made again (repair)", ARG_IS(1, TUNSETIFF)),
    ALLOW(ioctl, "its header size", ARG_IS(1, TUNSETVNETHDRSZ)),
    /* Of taps that the VM has, whose workers may do so too. */
    ALLOW(ioctl, "the queue that claimed it is detached", ARG_IS(1, TUNSETQUEUE)),
    ALLOW(ioctl, "which interface, of a tap that was handed over (add)", ARG_IS(1, TUNGETIFF)),
    ALLOW(ioctl, "is it the one of another device", ARG_IS(1, SIOCGIFHWADDR)),
    ALLOW(ioctl, "the size of a block device that was handed over (add)", ARG_IS(1, BLKGETSIZE64)),
    ALLOW(ioctl, "is it a terminal; its mode, to restore", ARG_IS(1, TCGETS)),
    ALLOW(ioctl, "raw while attached, restored at the end", ARG_IS(1, TCSETS)),
    ALLOW(mmap, "memory and shared pages, never executable", ARG_BITS(2, PROT_EXEC, 0)),
    ALLOW(munmap, "memory and shared pages"),
    ALLOW(mremap, "the heap"),
    ALLOW(madvise, "the heap gives memory back", ARG_IS(2, MADV_DONTNEED)),
    ALLOW(getrandom, "the MAC address of an interface that is added without one"),
    ALLOW(waitid, "how a child ended"),
    ALLOW(rt_sigprocmask, "signals that end the VM"),
    ALLOW(rt_sigaction, "signals that end the VM"),
};
static PROFILE_SET(rest_set, rest);

const struct profile profile_broker = {
    .id = SANDBOX_BROKER,
    .name = "broker",
    .max_syscalls = 40,
    .sets = { &profile_base, &profile_loop, &files_set, &sockets_set, &rest_set, &profile_extra },
};
