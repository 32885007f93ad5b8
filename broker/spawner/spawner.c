/* SPDX-License-Identifier: Apache-2.0 */
/* spawner.c - the broker's end of spawner.h. */
#include "spawner/spawner.h"
#include "spawner/main.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "resources/socket_path.h"

enum { MAX_REQUEST_FDS = SPAWNER_KEPT_FDS };

union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int) * MAX_REQUEST_FDS)];
};

int spawner_start(struct spawner *ret_spawner, int close_fd, const struct spawner_terms *terms)
{
    int pair[2];
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return err_origin(-errno, "the spawner's socket");
    pid = fork();
    if (pid < 0) {
        int r = -errno;

        close(pair[0]);
        close(pair[1]);
        return err_origin(r, "forking the spawner");
    }
    if (pid == 0) {
        close(pair[0]);
        if (close_fd >= 0)
            close(close_fd);
        spawner_main(pair[1], terms);
    }
    close(pair[1]);
    *ret_spawner = (struct spawner){ .fd = pair[0], .pid = pid };
    return 0;
}

int spawner_send(struct spawner *spawner, const struct spawner_request *request, const int *fds,
                 unsigned n_fds)
{
    int r;

    if (spawner->fd < 0)
        return err_origin(-EPIPE, "the spawner is gone");
    if (n_fds > MAX_REQUEST_FDS)
        return err_origin(-EINVAL, "too many descriptors for the spawner");
    r = fd_send(spawner->fd, request, sizeof *request, fds, n_fds, 0);
    if (r == 0)
        return 0;
    return err_origin(r,
                      r == -EPIPE || r == -ECONNRESET ? "the spawner died" : "asking the spawner");
}

int spawner_hold(struct spawner *spawner, const struct socket_path *socket)
{
    struct spawner_request request = { .kind = SPAWNER_HOLD };
    const int fds[] = { socket->dir_fd, socket->socket_fd };

    snprintf(request.path, sizeof request.path, "%s", socket->name);
    return spawner_send(spawner, &request, fds, ARRAY_SIZE(fds));
}

static unsigned take_descriptors(struct msghdr *msg, int ret_fds[SPAWNER_KEPT_FDS])
{
    const struct cmsghdr *c = CMSG_FIRSTHDR(msg);
    size_t n;

    for (unsigned i = 0; i < SPAWNER_KEPT_FDS; i++)
        ret_fds[i] = -1;
    if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
        return 0;
    n = MIN((c->cmsg_len - CMSG_LEN(0)) / sizeof(int), (size_t)SPAWNER_KEPT_FDS);
    memcpy(ret_fds, CMSG_DATA(c), n * sizeof(int));
    return (unsigned)n;
}

static int receive(struct spawner *spawner, int flags, struct spawner_report *ret_report,
                   int ret_fds[SPAWNER_KEPT_FDS], unsigned *ret_n_fds)
{
    struct spawner_report report;
    struct iovec iov = { .iov_base = &report, .iov_len = sizeof report };
    union control control;
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = control.bytes,
                          .msg_controllen = sizeof control.bytes };
    ssize_t n;

    do
        n = recvmsg(spawner->fd, &msg, flags | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return 1;
    if (n < 0)
        return err_origin(-errno, "hearing from the spawner");
    if (n == 0)
        return err_origin(-EPIPE, "the spawner is gone");
    *ret_n_fds = take_descriptors(&msg, ret_fds);
    if (n != (ssize_t)sizeof report) {
        for (unsigned i = 0; i < SPAWNER_KEPT_FDS; i++)
            fd_closep(&ret_fds[i]);
        return err_origin(-EBADMSG, "a report of the spawner has a wrong size");
    }
    report.text[sizeof report.text - 1] = '\0';
    *ret_report = report;
    return 0;
}

int spawner_receive(struct spawner *spawner, struct spawner_report *ret_report,
                    int ret_fds[SPAWNER_REPORT_FDS])
{
    int fds[SPAWNER_KEPT_FDS];
    unsigned n = 0;
    int r = receive(spawner, MSG_DONTWAIT, ret_report, fds, &n);

    if (r != 0)
        return r;
    for (unsigned i = 0; i < SPAWNER_REPORT_FDS; i++)
        ret_fds[i] = fd_take(&fds[i]);
    for (unsigned i = 0; i < SPAWNER_KEPT_FDS; i++)
        fd_closep(&fds[i]);
    return 0;
}

int spawner_receive_kept(struct spawner *spawner, struct spawner_report *ret_report,
                         int ret_fds[SPAWNER_KEPT_FDS], unsigned *ret_n_fds)
{
    int r = receive(spawner, 0, ret_report, ret_fds, ret_n_fds);

    return r < 0 ? err_trace(r) : 0;
}

void spawner_leave(struct spawner *spawner)
{
    const struct spawner_request request = { .kind = SPAWNER_LEAVE };

    if (spawner->fd >= 0 && spawner_send(spawner, &request, NULL, 0) < 0)
        log_debug("%s", err_text());
}

void spawner_let_go(struct spawner *spawner)
{
    fd_closep(&spawner->fd);
    spawner->pid = -1;
}

void spawner_stop(struct spawner *spawner)
{
    fd_closep(&spawner->fd);
    if (spawner->pid > 0)
        while (waitid(P_PID, (id_t)spawner->pid, NULL, WEXITED) < 0 && errno == EINTR)
            ;
    spawner->pid = -1;
}
