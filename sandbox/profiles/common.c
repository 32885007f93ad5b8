/* SPDX-License-Identifier: Apache-2.0 */
/* common.c - see common.h. */
#include "common.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include "base/fd.h"

static const struct profile_rule base[] = {
    ALLOW(read, "take an eventfd's count; bytes of the descriptors handed in"),
    ALLOW(write, "signal an eventfd; the log pipe; bytes of the descriptors handed in"),
    ALLOW(close, "give back descriptors that came by message"),
    ALLOW(brk, "the heap grows when libevent's or the device's tables do"),
    ALLOW(exit_group, "end"),
    ALLOW(rt_sigreturn, "come back from a signal handler"),
    ALLOW(restart_syscall, "a wait that was stopped or traced goes on"),
    ALLOW(clock_gettime, "the time, where the vdso has no clock source of its own"),
};
PROFILE_SET(profile_base, base);

static const struct profile_rule loop[] = {
    ALLOW(epoll_wait, "the event loop sleeps here"),
    ALLOW(epoll_ctl, "watch and unwatch descriptors"),
    ALLOW(gettimeofday, "libevent sets its clock right now and then, where the vdso can't"),
    ALLOW(poll, "one descriptor: an eventfd without blocking, room in a stream", ARG_IS(1, 1)),
};
PROFILE_SET(profile_loop, loop);

static const struct profile_rule control[] = {
    ALLOW(recvmsg, "messages of the broker; descriptors arrive close-on-exec",
          ARG_IS(0, FD_CONTROL),
          ARG_BITS(2, ~(unsigned)MSG_DONTWAIT & 0xffffffffu, MSG_CMSG_CLOEXEC)),
    ALLOW(sendmsg, "messages to the broker", ARG_IS(0, FD_CONTROL),
          ARG_ONLY(2, MSG_NOSIGNAL | MSG_DONTWAIT)),
};
PROFILE_SET(profile_control, control);

/* RLIMIT_AS ends where the address space does when the sandbox is entered: both can only take the place
 * of what is mapped or was reserved (proto/shm/gmem.c). */
static const struct profile_rule ram[] = {
    ALLOW(mmap, "guest RAM that AddRegion brings, the dirty log; never to be executed",
          ARG_IS(2, PROT_READ | PROT_WRITE), ARG_IS(3, MAP_SHARED | MAP_FIXED)),
    ALLOW(mmap, "take one of those away: its place is reserved again, with no memory in it",
          ARG_IS(2, PROT_NONE), ARG_IS(3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED)),
};
PROFILE_SET(profile_ram, ram);

#ifdef SANDBOX_INSTRUMENTED
/* The sanitizers' and the coverage runtime, never in a release: memory without execute, signals
 * to itself; what it looks for in files is answered "no" so that a report is still printed. */
static const struct profile_rule extra[] = {
    ALLOW(mmap, "instrumented: shadow memory and the allocator", ARG_BITS(2, PROT_EXEC, 0)),
    ALLOW(munmap, "instrumented: the allocator"),
    ALLOW(mremap, "instrumented: the allocator"),
    ALLOW(mprotect, "instrumented: the allocator", ARG_BITS(2, PROT_EXEC, 0)),
    ALLOW(madvise, "instrumented: the allocator gives memory back"),
    ALLOW(sigaltstack, "instrumented: a thread's signal stack"),
    ALLOW(rt_sigprocmask, "instrumented: a thread starts or ends"),
    ALLOW(rt_sigaction, "instrumented: abort() after a report"),
    ALLOW(futex, "instrumented: the runtime's locks"),
    ALLOW(sched_yield, "instrumented: the runtime's locks"),
    ALLOW(clock_nanosleep, "instrumented: the runtime's background thread"),
    ALLOW(nanosleep, "instrumented: the runtime's background thread"),
    ALLOW(getpid, "instrumented: reports"),
    ALLOW(gettid, "instrumented: reports"),
    ALLOW(tgkill, "instrumented: abort() after a report"),
    ALLOW(getrusage, "instrumented: reports"),
    ALLOW(exit, "instrumented: a thread ends"),
    ALLOW(prctl, "instrumented: names of mappings and threads"),
    ALLOW(sched_getaffinity, "instrumented: number of processors"),
    DENY(openat, EACCES, "instrumented: the symbolizer, gcov"),
    DENY(open, EACCES, "instrumented: the symbolizer, gcov"),
    DENY(readlink, EACCES, "instrumented: the symbolizer"),
    DENY(access, EACCES, "instrumented: the symbolizer"),
    DENY(mkdir, EACCES, "instrumented: gcov"),
    DENY(pipe, EACCES, "instrumented: the symbolizer"),
    DENY(pipe2, EACCES, "instrumented: the runtime's memory probe"),
    DENY(socketpair, EACCES, "instrumented: the symbolizer"),
};
PROFILE_SET(profile_extra, extra);
#else
const struct profile_set profile_extra = { 0 };
#endif
