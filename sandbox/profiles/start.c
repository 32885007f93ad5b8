/* SPDX-License-Identifier: Apache-2.0 */
/* start.c - a worker's program that the broker handed over (an upgrade), from its exec on. The
 * spawner doesn't know what that is, so it can't leave the filter to it, nor root and capabilities, which it
 * has given up before (spawn_child.c). This one has what a worker needs to start and to enter the rest of its
 * sandbox, and what any of the workers may do afterwards: no socket, no new process, no io_uring of its
 * own, no look at another process. Nothing is opened, were it below a folder that the broker sends it: the
 * broker, whom landlock keeps from files, would else have it done here. Nearly all others by numbers
 * alone, which the kernel decides without running the program. A worker's own filter then comes on top. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include "common.h"
#include "profile.h"

static const struct profile_rule start[] = {
    ALLOW(execveat, "the program itself, by its descriptor; landlock keeps it from others",
          ARG_IS(4, AT_EMPTY_PATH)),
    ALLOW(arch_prctl, "libc starts: thread pointer"),
    ALLOW(set_tid_address, "libc starts"),
    ALLOW(set_robust_list, "libc starts"),
    ALLOW(rseq, "libc starts"),
    ALLOW(prlimit64, "libc starts: stack size; the limits of the sandbox"),
    ALLOW(readlink, "libc starts: its own path, which is not there"),
    ALLOW(getrandom, "libc and libevent seed themselves"),
    ALLOW(mmap, "the program, its heap, guest RAM, rings"),
    ALLOW(mprotect, "relocations become read-only"),
    ALLOW(munmap, "pages of the start"),
    ALLOW(mremap, "the heap"),
    ALLOW(madvise, "guest RAM; pages of the start are given back"),
    DENY(openat, EACCES, "the time zone, /proc/self: what the empty root doesn't have"),
    ALLOW(newfstatat, "type and size of what was handed in"),
    ALLOW(fstat, "type and size of what was handed in"),
    ALLOW(statfs, "is the new root the empty one"),
    ALLOW(fstatfs, "which file system serves the disk"),
    ALLOW(lseek, "libc reads files"),
    ALLOW(pread64, "libraries"),
    ALLOW(getpid, "libevent, libcap-ng"),
    ALLOW(gettid, "libc"),
    ALLOW(getuid, "libevent: is this setuid"),
    ALLOW(geteuid, "libevent: is this setuid"),
    ALLOW(getgid, "libevent: is this setuid"),
    ALLOW(getegid, "libevent: is this setuid"),
    ALLOW(sched_getaffinity, "libc: number of processors"),
    ALLOW(uname, "which kernel"),
    ALLOW(sysinfo, "libc"),
    ALLOW(futex, "libc's locks"),
    ALLOW(rt_sigaction, "SIGPIPE is ignored"),
    ALLOW(rt_sigprocmask, "libc"),
    ALLOW(tgkill, "abort()"),
    ALLOW(dup, "descriptors of its own"),
    ALLOW(pipe2, "libevent wakes itself"),
    ALLOW(epoll_create1, "the event loop"),
    ALLOW(timerfd_create, "the event loop"),
    ALLOW(eventfd2, "the event loop"),
    ALLOW(nanosleep, "the dead worker's ring drains"),
    ALLOW(clock_nanosleep, "the dead worker's ring drains"),
    ALLOW(io_uring_register, "the inherited ring, which the spawner has fenced: files, enable"),
};
static PROFILE_SET(start_set, start);

static const struct profile_rule sandbox[] = {
    ALLOW(close_range, "the sandbox: descriptors"),
    ALLOW(capget, "the sandbox: capabilities"),
    ALLOW(prctl, "the sandbox: no_new_privs, dumpable, names"),
    ALLOW(landlock_create_ruleset, "the sandbox: landlock"),
    ALLOW(landlock_restrict_self, "the sandbox: landlock"),
    ALLOW(seccomp, "the sandbox: its own filter"),
};
static PROFILE_SET(sandbox_set, sandbox);

/* The union of the workers' profiles, without their conditions. But fcntl() and ioctl() are many calls
 * in one: O_ASYNC and FIOASYNC would have the kernel signal who sits at a console's terminal. */
static const struct profile_rule work[] = {
    ALLOW(readv, "a device's work"),
    ALLOW(writev, "a device's work"),
    ALLOW(preadv2, "a disk's work"),
    ALLOW(pwritev2, "a disk's work"),
    ALLOW(fdatasync, "a disk's work"),
    ALLOW(fallocate, "a disk's work; a balloon's"),
    ALLOW(ioctl, "discard on a block device", ARG_IS(1, BLKDISCARD)),
    ALLOW(ioctl, "a tap's offloads", ARG_IS(1, TUNSETOFFLOAD)),
    ALLOW(ioctl, "a tap's queues", ARG_IS(1, TUNSETQUEUE)),
    ALLOW(ioctl, "whether a tap has a limit", ARG_IS(1, TUNGETSNDBUF)),
    ALLOW(ioctl, "libc: is it a terminal", ARG_IS(1, TCGETS)),
    ALLOW(ioctl, "the size of a terminal", ARG_IS(1, TIOCGWINSZ)),
    ALLOW(ioctl, "libevent: how much there is to read", ARG_IS(1, FIONREAD)),
    ALLOW(io_uring_enter, "a disk's work; a tap's"),
    ALLOW(accept4, "a console's client; a vsock's"),
    ALLOW(getsockopt, "what a descriptor is"),
    ALLOW(shutdown, "a client's"),
    ALLOW(recvfrom, "a stream's"),
    ALLOW(setitimer, "a console's work"),
    ALLOW(sendmsg, "messages to the broker"),
    ALLOW(recvmsg, "messages of the broker"),
    ALLOW(fcntl, "a duplicate", ARG_IS(1, F_DUPFD_CLOEXEC)),
    ALLOW(fcntl, "close-on-exec", ARG_IS(1, F_GETFD)),
    ALLOW(fcntl, "close-on-exec", ARG_IS(1, F_SETFD)),
    ALLOW(fcntl, "how a descriptor was opened", ARG_IS(1, F_GETFL)),
    ALLOW(fcntl, "O_NONBLOCK", ARG_IS(1, F_SETFL), ARG_BITS(2, O_ASYNC, 0)),
    ALLOW(fcntl, "is it a memfd", ARG_IS(1, F_GET_SEALS)),
    ALLOW(epoll_pwait, "the event loop"),
    ALLOW(timerfd_settime, "the event loop"),
};
static PROFILE_SET(work_set, work);

const struct profile profile_start = {
    .id = SANDBOX_START,
    .name = "start",
    .max_syscalls = 80,
    .sets = { &profile_base, &profile_loop, &start_set, &sandbox_set, &work_set, &profile_extra },
};
