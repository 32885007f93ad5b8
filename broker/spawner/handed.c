/* SPDX-License-Identifier: Apache-2.0 */
/* handed.c - see handed.h. */
#include "spawner/handed.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
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

ssize_t handed_receive(int fd, void *bytes, size_t size, struct handed *ret_fds)
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
    ssize_t n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

    ret_fds->n = 0;
    if (n < 0)
        return errno == EINTR || errno == EAGAIN ? -EAGAIN : -EPIPE;
    if (n == 0 && hung_up(fd))
        return -EPIPE;
    if (take_descriptors(&msg, ret_fds) < 0 || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
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
    for (unsigned i = 0; i < HANDED_CLOSERS; i++)
        if (is_over(&closers->of[i]))
            return &closers->of[i];
    return NULL;
}

/* libc's call would write errno, which the clone shares. */
static long bare_call(long number, long argument)
{
    long r;

    __asm__ volatile("syscall" : "=a"(r) : "a"(number), "D"(argument) : "rcx", "r11", "memory");
    return r;
}

/* Shares all memory: nothing of libc's that keeps a state. */
static int close_in_clone(void *arg)
{
    const struct handed *fds = arg;

    for (unsigned i = 0; i < fds->n; i++)
        bare_call(SYS_close, fds->fds[i]);
    bare_call(SYS_exit_group, 0);
    return 0;
}

static void close_first(struct closers *closers, struct closer *c)
{
    unsigned n = MIN(closers->n_waiting, (unsigned)HANDED_MAX);

    memcpy(c->fds.fds, closers->waiting, n * sizeof(int));
    c->fds.n = n;
    closers->n_waiting -= n;
    closers->moved_ns = now_ns();
    memmove(closers->waiting, closers->waiting + n, closers->n_waiting * sizeof(int));
    c->pid = clone(close_in_clone, c->stack + sizeof c->stack, CLONE_VM | CLONE_FILES | CLONE_PIDFD,
                   &c->fds, &c->pidfd);
    if (c->pid > 0)
        return;
    /* The host has no room for a process, and will have none for a start. */
    c->pid = 0;
    for (unsigned i = 0; i < n; i++)
        fd_closep(&c->fds.fds[i]);
}

void closers_go_on(struct closers *closers)
{
    struct closer *c;

    while (closers->n_waiting > 0 && (c = find_free(closers)) != NULL)
        close_first(closers, c);
}

bool closers_are_busy(const struct closers *closers)
{
    return closers->n_waiting > 0;
}

bool closers_are_stuck(const struct closers *closers)
{
    return closers->n_waiting > 0 &&
           now_ns() - closers->moved_ns > HANDED_STUCK_MS * UINT64_C(1000000);
}

void handed_close(struct closers *closers, struct handed *fds)
{
    for (unsigned i = 0; i < fds->n && closers->n_waiting < HANDED_WAITING; i++)
        if (fds->fds[i] >= 0)
            closers->waiting[closers->n_waiting++] = fd_take(&fds->fds[i]);
    closers_go_on(closers);
}
