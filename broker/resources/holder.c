/* SPDX-License-Identifier: Apache-2.0 */
/* holder.c - see holder.h. */
#include "resources/holder.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "sandbox/enter.h"

enum { FD_SOCKET = SANDBOX_FOLDER_FD + 1, DISMISS_MS = 500, START_MS = 10000 };

union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};

int holder_link(int ret_pair[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret_pair) < 0
               ? -errno
               : 0;
}

/* fd -1: none goes along. */
static int say(int link_fd, const struct holder_message *m, int fd)
{
    return fd_send(link_fd, m, sizeof *m, &fd, fd >= 0, MSG_DONTWAIT);
}

int holder_hear(int link_fd, struct holder_message *ret_message, int *ret_fd)
{
    struct holder_message m;
    struct iovec iov = { .iov_base = &m, .iov_len = sizeof m };
    union control control;
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = ret_fd ? control.bytes : NULL,
                          .msg_controllen = ret_fd ? sizeof control.bytes : 0 };
    const struct cmsghdr *c;
    ssize_t n;

    do
        n = recvmsg(link_fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT | (ret_fd ? 0 : MSG_PEEK));
    while (n < 0 && errno == EINTR);
    if (n >= 0 && !ret_fd && (msg.msg_flags & MSG_CTRUNC))
        return -EPIPE; /* not taken: letting go of a descriptor may wait; an empty message may bring one as well */
    if (n >= 0 && !ret_fd)
        n = recvmsg(link_fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN ? 1 : -EPIPE;
    if (n == 0)
        return -EPIPE;
    c = ret_fd ? CMSG_FIRSTHDR(&msg) : NULL;
    if (ret_fd)
        *ret_fd = -1;
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
        c->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
    memset(ret_message, 0, sizeof *ret_message);
    if (n == (ssize_t)sizeof m)
        *ret_message = m;
    return 0;
}

/* ---- the process ---- */

static void connect_for(const struct socket_path *p, struct holder_message *m, bool serves)
{
    cleanup_(fd_closep) int fd = -1;

    m->error = serves ? socket_path_connect(p, m->port, &fd) : -EPERM;
    if (say(FD_CONTROL, m, fd) == -ETOOMANYREFS) {
        m->error = -EAGAIN;
        (void)say(FD_CONTROL, m, -1);
    }
}

/* Until the file is to go. Descriptors that come along are not taken. */
static void serve(const struct socket_path *p, bool serves)
{
    struct pollfd link = { .fd = FD_CONTROL, .events = POLLIN };
    struct holder_message m;
    int r = 0;

    while (r >= 0) {
        if (poll(&link, 1, -1) < 0 && errno != EINTR)
            return;
        r = holder_hear(FD_CONTROL, &m, NULL);
        if (r == 0 && m.kind == HOLDER_REMOVE)
            return;
        if (r == 0 && m.kind == HOLDER_CONNECT)
            connect_for(p, &m, serves);
    }
}

/* Above all that it is to become. */
static void move_up(int *fd)
{
    *fd = fcntl(*fd, F_DUPFD_CLOEXEC, FD_SOCKET + 1);
}

/* Its first three are nobody's terminal or pipe any more, and its folder is no place of the caller's. */
static void settle_down(struct socket_path *p, int link_fd)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    move_up(&null);
    move_up(&link_fd);
    move_up(&p->dir_fd);
    move_up(&p->socket_fd);
    for (int fd = 0; fd <= 2; fd++)
        (void)dup2(null, fd);
    (void)dup2(link_fd, FD_CONTROL);
    (void)dup2(p->dir_fd, SANDBOX_FOLDER_FD);
    (void)dup2(p->socket_fd, FD_SOCKET);
    (void)syscall(SYS_close_range, FD_SOCKET + 1, ~0u, 0u);
    p->dir_fd = SANDBOX_FOLDER_FD;
    p->socket_fd = FD_SOCKET;
    (void)!chdir("/");
}

_Noreturn void holder_stay(const struct sandbox_filter *filter, const struct socket_path *socket,
                           int link_fd, bool serves)
{
    static const int ends_vms[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
    struct socket_path p = *socket;

    for (unsigned i = 0; i < ARRAY_SIZE(ends_vms); i++)
        signal(ends_vms[i], SIG_IGN); /* the broker acts on them, or the spawner */
    prctl(PR_SET_NAME, "bulkhead-socket");
    settle_down(&p, link_fd);
    /* Without its sandbox it does what it must, and connects nobody. */
    if (sandbox_enter_holder(filter, 1ull << CAP_DAC_OVERRIDE | 1ull << CAP_FOWNER) < 0)
        serves = false;
    serve(&p, serves);
    socket_path_remove(&p);
    _exit(EXIT_SUCCESS);
}

/* Its link is its own make: the kernel then says of the other end who it is. */
static _Noreturn void begin(const struct sandbox_filter *filter, const struct socket_path *socket,
                            uint32_t uid, bool serves, int back_fd)
{
    const struct holder_message here = { .kind = HOLDER_CONNECT };
    int pair[2];

    setsid();
    if (sandbox_take_uid(uid) < 0 || holder_link(pair) < 0 || say(back_fd, &here, pair[0]) < 0)
        _exit(EXIT_FAILURE);
    holder_stay(filter, socket, pair[1], serves);
}

int holder_start(const struct sandbox_filter *filter, struct socket_path *socket, uint32_t uid,
                 bool serves, int *ret_link)
{
    struct holder_message here;
    struct pollfd said = { .events = POLLIN };
    int back[2], fd = -1;
    pid_t pid;

    if (holder_link(back) < 0)
        return -errno;
    pid = fork();
    if (pid == 0) {
        close(back[0]);
        if (fork() == 0)
            begin(filter, socket, uid, serves, back[1]);
        _exit(EXIT_SUCCESS); /* what it made is nobody's child */
    }
    close(back[1]);
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    said.fd = back[0];
    if (pid > 0 && poll(&said, 1, START_MS) == 1 && holder_hear(back[0], &here, &fd) == 0 &&
        fd >= 0)
        socket_path_forget(socket);
    close(back[0]);
    if (fd < 0)
        return pid < 0 ? -EAGAIN : -EIO;
    *ret_link = fd;
    return 0;
}

/* ---- the broker's side ---- */

int holder_ask(int link_fd, const struct holder_message *message)
{
    return say(link_fd, message, -1);
}

bool holder_who(int link_fd, struct ucred *ret_who)
{
    socklen_t len = sizeof *ret_who;

    return getsockopt(link_fd, SOL_SOCKET, SO_PEERCRED, ret_who, &len) == 0 && ret_who->pid > 0;
}

void holder_dismiss(int link_fd)
{
    const struct holder_message m = { .kind = HOLDER_REMOVE };
    struct pollfd gone = { .fd = link_fd };

    if (say(link_fd, &m, -1) == 0)
        (void)poll(&gone, 1, DISMISS_MS);
}
