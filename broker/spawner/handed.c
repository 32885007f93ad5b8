/* SPDX-License-Identifier: Apache-2.0 */
/* handed.c - see handed.h. */
#include "spawner/handed.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/loop.h"

static int take_descriptors(struct msghdr *msg, struct handed *ret_fds)
{
    int r = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
            r = -EMSGSIZE;
            continue;
        }
        n = MIN(n, (size_t)HANDED_MAX - ret_fds->n);
        memcpy(&ret_fds->fds[ret_fds->n], CMSG_DATA(c), n * sizeof(int));
        ret_fds->n += (unsigned)n;
    }
    return r;
}

/* An empty message reads as an end, but the other end is there. */
static bool hung_up(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN | POLLRDHUP };

    return poll(&p, 1, 0) < 0 || (p.revents & (POLLHUP | POLLRDHUP | POLLERR));
}

/* Where numbers end for all else, or with those that are reserved. */
static void set_end(rlim_t end)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = MIN(end, limit.rlim_max);
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

void closers_init(struct closers *closers)
{
    struct rlimit limit = { 0 };

    (void)getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_max = MIN(limit.rlim_max, (rlim_t)INT_MAX);
    closers->first_reserved =
        (unsigned)(limit.rlim_max - MIN((rlim_t)HANDED_MAX, limit.rlim_max / 4));
    set_end(closers->first_reserved);
}

static bool any_reserved(const struct closers *closers, const struct handed *fds)
{
    for (unsigned i = 0; i < fds->n; i++)
        if (fds->fds[i] >= 0 && (unsigned)fds->fds[i] >= closers->first_reserved)
            return true;
    return false;
}

ssize_t handed_receive(const struct closers *closers, int fd, void *bytes, size_t size,
                       struct handed *ret_fds)
{
    struct iovec iov = { .iov_base = bytes, .iov_len = size };
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int) * HANDED_MAX)];
    } control;
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = control.bytes,
                          .msg_controllen = sizeof control.bytes };
    ssize_t n;
    int error;

    set_end(RLIM_INFINITY);
    n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    error = errno;
    set_end(closers->first_reserved);
    ret_fds->n = 0;
    if (n < 0)
        return error == EINTR || error == EAGAIN ? -EAGAIN : -EPIPE;
    if (n == 0 && hung_up(fd))
        return -EPIPE;
    if (take_descriptors(&msg, ret_fds) < 0 || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ||
        any_reserved(closers, ret_fds))
        return -EMSGSIZE;
    return n;
}

int handed_expect(int fd, enum handed_type type, const char *what)
{
    int wanted = type == HANDED_STREAM ? SOCK_STREAM : SOCK_SEQPACKET, is = 0, domain = 0;
    socklen_t len = sizeof is, domain_len = sizeof domain;
    bool fits;

    if (type == HANDED_PIPE)
        fits = fcntl(fd, F_GETPIPE_SZ) >= 0;
    else
        fits = getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &domain_len) == 0 &&
               domain == AF_UNIX && getsockopt(fd, SOL_SOCKET, SO_TYPE, &is, &len) == 0 &&
               is == wanted;
    return fits ? 0 : err_origin(-EBADF, "%s (fd %d) is of the wrong type", what, fd);
}

static bool is_over(struct closer *c)
{
    siginfo_t info = { 0 };

    if (c->pid != 0 && waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG | __WALL) == 0 &&
        info.si_pid == 0)
        return false;
    if (c->pid != 0)
        fd_closep(&c->pidfd);
    c->pid = 0;
    return true;
}

static struct closer *find_free(struct closers *closers)
{
    struct closer *free = NULL;

    for (unsigned i = 0; i < HANDED_CLOSERS; i++)
        if (is_over(&closers->of[i]))
            free = &closers->of[i];
    return free;
}

/* libc's call would write errno, which the clone shares. */
static long bare_call(long number, long first, long second)
{
    long r;

    __asm__ volatile("syscall"
                     : "=a"(r)
                     : "a"(number), "D"(first), "S"(second)
                     : "rcx", "r11", "memory");
    return r;
}

/* Shares all memory: nothing of libc's that keeps a state. And all that is open here, locks and sockets too: it is not to keep
 * them when this process has died. */
static int close_in_clone(void *arg)
{
    const struct closer *c = arg;

    bare_call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
    for (unsigned i = 0; i < c->fds.n && bare_call(SYS_getppid, 0, 0) == c->parent; i++)
        bare_call(SYS_close, c->fds.fds[i], 0);
    bare_call(SYS_exit_group, 0, 0);
    return 0;
}

/* False: the host has no room for a process. Nothing that making one takes has to be had from this table. */
static bool close_first(struct closers *closers, struct closer *c)
{
    unsigned n = MIN(closers->n_waiting, (unsigned)HANDED_MAX);

    memcpy(c->fds.fds, closers->waiting, n * sizeof(int));
    c->fds.n = n;
    c->reserved = any_reserved(closers, &c->fds);
    c->parent = getpid();
    c->pid = clone(close_in_clone, c->stack + sizeof c->stack, CLONE_VM | CLONE_FILES, c);
    if (c->pid < 0) {
        c->pid = 0;
        return false;
    }
    c->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
    closers->n_waiting -= n;
    closers->moved_ns = now_ns();
    memmove(closers->waiting, closers->waiting + n, closers->n_waiting * sizeof(int));
    return true;
}

void closers_go_on(struct closers *closers)
{
    struct closer *c = find_free(closers);

    while (closers->n_waiting > 0 && c && close_first(closers, c))
        c = find_free(closers);
}

enum { LAST_MS = 100 };

void closers_kill(struct closers *closers)
{
    for (unsigned i = 0; i < HANDED_CLOSERS; i++)
        if (closers->of[i].pid > 0)
            kill(closers->of[i].pid, SIGKILL);
    /* One that waits for a server can't be waited for. */
    for (unsigned i = 0; i < HANDED_CLOSERS; i++)
        if (closers->of[i].pid > 0 && closers->of[i].pidfd >= 0)
            (void)poll(&(struct pollfd){ .fd = closers->of[i].pidfd, .events = POLLIN }, 1,
                       LAST_MS);
}

bool closers_are_busy(const struct closers *closers)
{
    for (unsigned i = 0; i < HANDED_CLOSERS; i++)
        if (closers->of[i].pid != 0 && closers->of[i].reserved)
            return true;
    return closers->n_waiting > 0;
}

bool closers_are_stuck(const struct closers *closers)
{
    return closers_are_busy(closers) &&
           now_ns() - closers->moved_ns > HANDED_STUCK_MS * UINT64_C(1000000);
}

void handed_close(struct closers *closers, struct handed *fds)
{
    if (closers->n_waiting == 0)
        closers->moved_ns = now_ns();
    for (unsigned i = 0; i < fds->n && closers->n_waiting < HANDED_WAITING; i++)
        if (fds->fds[i] >= 0)
            closers->waiting[closers->n_waiting++] = fd_take(&fds->fds[i]);
    closers_go_on(closers);
}
