/* SPDX-License-Identifier: Apache-2.0 */
/* spawner_main.c - the spawner's own loop: requests on one socket, deaths on pidfds. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "groups.h"
#include "rundir.h"
#include "sandbox.h"
#include "signals.h"
#include "socket_path.h"
#include "spawner.h"
#include "trim.h"
#include "uids.h"

enum { MAX_ARGS = 32, MAX_FDS = 4, IDLE_MS = 500 };

struct spawned {
    uint32_t id;
    pid_t pid; /* 0: slot is free */
    int pidfd;
    int log_reader; /* keeps the log pipe writable when the broker is gone */
    bool is_core;
    bool next_boot; /* started after the core's end: a reboot's, which that end is not for */
    char group[SPAWNER_GROUP_BYTES];
};

struct held_ring {
    uint32_t id; /* of the child it was taken from; 0: place is free */
    int fd;
};

struct state {
    struct groups *groups;
    bool no_userns;
    struct held_ring rings[SPAWNER_MAX_CHILDREN];
    int fd; /* to the broker; -1: it is gone */
    int null_fd;
    struct spawned children[SPAWNER_MAX_CHILDREN];
    bool core_started;
    bool core_ended;
    uint64_t core_ended_ns;
    bool killed_rest;
    bool told_to_end; /* by a signal: the broker's affair while there is one */
    int signal_fd;
    struct rundir_place place;
    struct socket_path sockets[SOCKET_PATHS_MAX];
};

static void report(struct state *s, const struct spawner_report *r, int fd)
{
    struct spawner_report copy = *r;
    struct iovec iov = { .iov_base = &copy, .iov_len = sizeof copy };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { 0 };

    if (s->fd < 0)
        return;
    if (fd >= 0) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = sizeof control.bytes;
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    }
    if (sendmsg(s->fd, &msg, MSG_NOSIGNAL) < 0 && (errno == EPIPE || errno == ECONNRESET))
        fd_closep(&s->fd);
}

static struct spawned *find(struct state *s, uint32_t id)
{
    for (unsigned i = 0; i < SPAWNER_MAX_CHILDREN; i++)
        if (s->children[i].pid != 0 && s->children[i].id == id)
            return &s->children[i];
    return NULL;
}

static struct spawned *find_free(struct state *s)
{
    for (unsigned i = 0; i < SPAWNER_MAX_CHILDREN; i++)
        if (s->children[i].pid == 0)
            return &s->children[i];
    return NULL;
}

static bool any_left(const struct state *s)
{
    for (unsigned i = 0; i < SPAWNER_MAX_CHILDREN; i++)
        if (s->children[i].pid != 0)
            return true;
    return false;
}

/* Splits the request's argument bytes; every string in it ends with a NUL. */
static int split_args(struct spawner_request *request, char *argv[MAX_ARGS + 1])
{
    size_t off = 0;
    unsigned n = 0;

    if (request->args_bytes == 0 || request->args_bytes > sizeof request->args ||
        request->args[request->args_bytes - 1] != '\0')
        return -EINVAL;
    while (off < request->args_bytes) {
        if (n == MAX_ARGS)
            return -E2BIG;
        argv[n++] = request->args + off;
        off += strlen(request->args + off) + 1;
    }
    argv[n] = NULL;
    return 0;
}

static struct held_ring *find_ring(struct state *s, uint32_t id)
{
    for (unsigned i = 0; i < SPAWNER_MAX_CHILDREN; i++)
        if (s->rings[i].id == id)
            return &s->rings[i];
    return NULL;
}

static void drop_ring(struct state *s, uint32_t id)
{
    struct held_ring *ring = id != 0 ? find_ring(s, id) : NULL;

    if (!ring)
        return;
    fd_closep(&ring->fd);
    ring->id = 0;
}

/* The number is the child's word, so whatever is there is only kept when it is an io_uring. */
static int take_ring(struct state *s, uint32_t id, uint32_t number)
{
    struct spawned *child = find(s, id);
    struct held_ring *ring;
    int fd;

    drop_ring(s, id);
    ring = find_ring(s, 0);
    if (!child)
        return -ESRCH;
    if (!ring)
        return -ENOSPC;
    fd = (int)syscall(SYS_pidfd_getfd, child->pidfd, number, 0u);
    if (fd < 0)
        return -errno;
    if (fd_type(fd) != FD_TYPE_IO_URING) {
        fd_closep(&fd);
        return -EBADF;
    }
    *ring = (struct held_ring){ .id = id, .fd = fd };
    return 0;
}

static void on_take_ring(struct state *s, const struct spawner_request *request)
{
    struct spawner_report r = { .kind = SPAWNER_RING_TAKEN, .id = request->id };

    r.error = -take_ring(s, request->id, request->ring_fd);
    if (r.error != 0)
        snprintf(r.text, sizeof r.text, "%s", strerror(r.error));
    report(s, &r, -1);
}

static int start_child(struct state *s, struct spawner_request *request, int *fds, unsigned n_fds,
                       struct spawner_report *r, struct spawned *slot)
{
    char *argv[MAX_ARGS + 1];
    struct held_ring *ring = request->ring_of ? find_ring(s, request->ring_of) : NULL;
    int child_fds[FD_CHILD_FIRST_FREE + 1];
    cleanup_(fd_closep) int group_fd = -1;
    int result;
    struct sandbox_spawn spawn = {
        .argv = argv,
        .fds = child_fds,
        .n_fds = ring ? FD_CHILD_FIRST_FREE + 1 : FD_CHILD_FIRST_FREE,
        .uid = request->uid,
        .gid = request->gid,
        .cgroup_fd = -1,
        .skip_layers = request->skip_layers,
        .no_userns = s->no_userns,
        .share_netns = request->share_netns != 0,
    };

    if (n_fds != 4)
        return err_origin(-EINVAL, "start request with %u descriptors", n_fds);
    result = split_args(request, argv);
    if (result < 0)
        return err_origin(result, "arguments of a start request");
    child_fds[FD_STDIN] = child_fds[FD_STDOUT] = s->null_fd;
    child_fds[FD_LOG] = fds[2];
    child_fds[FD_CONTROL] = fds[1];
    child_fds[FD_CHILD_FIRST_FREE] = ring ? ring->fd : -1;
    if (request->ring_of != 0 && !ring)
        return err_origin(-EBADF, "the io_uring of a predecessor is gone");
    spawn.program_fd = fds[3];
    spawn.cgroup_fd = group_fd =
        groups_add(s->groups, request->group, request->pids_max, request->memory_max);
    result = sandbox_spawn(&spawn, &slot->pid, &slot->pidfd, &r->missing);
    if (result < 0) {
        slot->pid = 0;
        groups_remove(s->groups, request->group);
        return err_trace(result);
    }
    slot->id = request->id;
    memcpy(slot->group, request->group, sizeof slot->group);
    slot->is_core = request->is_core != 0;
    slot->next_boot = s->core_ended;
    slot->log_reader = fd_take(&fds[0]);
    return 0;
}

static void on_start(struct state *s, struct spawner_request *request, int *fds, unsigned n_fds)
{
    struct spawner_report r = { .kind = SPAWNER_STARTED, .id = request->id };
    struct spawned *slot = find_free(s);
    int result = -EAGAIN;

    if (slot && !find(s, request->id))
        result = start_child(s, request, fds, n_fds, &r, slot);
    else
        err_origin(result, "too many processes, or an id used twice");
    if (result < 0) {
        r.error = -result;
        snprintf(r.text, sizeof r.text, "%.150s", err_text());
        report(s, &r, -1);
        return;
    }
    r.pid = slot->pid;
    s->core_started |= slot->is_core;
    if (slot->is_core) {
        s->core_ended = false;
        s->killed_rest = false;
        for (unsigned i = 0; i < SPAWNER_MAX_CHILDREN; i++)
            s->children[i].next_boot = false;
    }
    report(s, &r, slot->pidfd);
}

static void kill_child(const struct spawned *child)
{
    syscall(SYS_pidfd_send_signal, child->pidfd, SIGKILL, NULL, 0);
}

static void kill_all(struct state *s, bool next_boot_too)
{
    for (unsigned i = 0; i < SPAWNER_MAX_CHILDREN; i++)
        if (s->children[i].pid != 0 && (next_boot_too || !s->children[i].next_boot))
            kill_child(&s->children[i]);
}

static void on_vm(struct state *s, const struct spawner_request *request, int *fds)
{
    struct rundir_place *place = &s->place;

    /* The name is one of a directory in base: neither a path nor a way up. */
    if (place->lock_fd >= 0 || request->path[0] == '.' ||
        strnlen(request->path, sizeof request->path) >= sizeof place->name ||
        strchr(request->path, '/'))
        return;
    memcpy(place->name, request->path, sizeof place->name);
    place->lock_fd = fd_take(&fds[0]);
    place->base_fd = fd_take(&fds[1]);
    place->dir_fd = fd_take(&fds[2]);
}

static void on_request(struct state *s)
{
    struct spawner_request request;
    struct iovec iov = { .iov_base = &request, .iov_len = sizeof request };
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int) * MAX_FDS)];
    } control;
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = control.bytes,
                          .msg_controllen = sizeof control.bytes };
    int fds[MAX_FDS] = { -1, -1, -1, -1 };
    unsigned n_fds = 0;
    struct cmsghdr *c;
    struct spawned *child;
    ssize_t n = recvmsg(s->fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n != (ssize_t)sizeof request) { /* closed, or broken */
        fd_closep(&s->fd);
        return;
    }
    c = CMSG_FIRSTHDR(&msg);
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
        n_fds = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fds, CMSG_DATA(c), sizeof(int) * MIN(n_fds, (unsigned)MAX_FDS));
    }
    switch (request.kind) {
    case SPAWNER_START:
        request.group[sizeof request.group - 1] = '\0';
        on_start(s, &request, fds, n_fds);
        break;
    case SPAWNER_KILL:
        child = find(s, request.id);
        if (child)
            kill_child(child);
        break;
    case SPAWNER_TAKE_RING:
        on_take_ring(s, &request);
        break;
    case SPAWNER_DROP_RING:
        drop_ring(s, request.id);
        break;
    case SPAWNER_HOLD: /* the broker is still its old self: it has not seen a child yet */
        request.path[sizeof request.path - 1] = '\0';
        if (s->place.lock_fd < 0 && socket_path_hold(s->sockets, request.path, fds) < 0)
            log_warn("the socket %s may stay behind", request.path);
        break;
    case SPAWNER_VM:
        on_vm(s, &request, fds);
        break;
    default:
        break;
    }
    for (unsigned i = 0; i < MAX_FDS; i++)
        fd_closep(&fds[i]);
}

static void reap(struct state *s, struct spawned *child)
{
    struct spawner_report r = { .kind = SPAWNER_EXITED, .id = child->id, .pid = child->pid };
    siginfo_t info = { 0 };

    if (waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG) < 0 && errno != ECHILD)
        return;
    if (info.si_pid == 0 && errno != ECHILD)
        return;
    r.wait_code = info.si_code;
    r.wait_status = info.si_status;
    fd_closep(&child->pidfd);
    fd_closep(&child->log_reader);
    child->pid = 0;
    groups_remove(s->groups, child->group);
    if (child->is_core) {
        s->core_ended = true;
        s->core_ended_ns = now_ns();
    }
    report(s, &r, -1);
}

/* The rest of a VM does not outlive its core, and without a broker nothing outlives its start, nor
 * a signal that ends VMs. */
static int enforce(struct state *s)
{
    bool orphaned = s->fd < 0 && (!s->core_started || s->core_ended || s->told_to_end);
    uint64_t age_ms;

    if (orphaned) {
        kill_all(s, true);
        return any_left(s) ? 20 : 0;
    }
    if (!s->core_ended || s->killed_rest)
        return -1;
    age_ms = (now_ns() - s->core_ended_ns) / 1000000;
    if (age_ms < SPAWNER_CORE_GRACE_MS)
        return (int)(SPAWNER_CORE_GRACE_MS - age_ms);
    kill_all(s, false);
    s->killed_rest = true;
    return -1;
}

/* Nothing of the broker's or its client's stays open here. */
static void close_all_but(const int *keep, unsigned n_keep)
{
    unsigned top = 2;

    for (unsigned i = 0; i < n_keep; i++)
        top = keep[i] > (int)top ? (unsigned)keep[i] : top;
    for (unsigned fd = 3; fd < top; fd++) {
        bool kept = false;

        for (unsigned i = 0; i < n_keep; i++)
            kept |= keep[i] == (int)fd;
        if (!kept)
            close((int)fd);
    }
    syscall(SYS_close_range, top + 1, ~0u, 0u);
}

_Noreturn void spawner_main(int fd, const struct spawner_terms *terms)
{
    struct groups *groups = terms->groups;
    struct uids *uids = terms->uids;
    const int keep[] = { fd, groups->base_fd, groups->vm_fd, uids->file_fd, uids->ns_fd };
    static struct state state; /* one spawner per process; too large for the stack */
    struct state *s = &state;
    bool idle = false; /* nothing to do for a while: what a start needs is given back */

    prctl(PR_SET_NAME, "bulkhead-spawn");
    log_init("spawner", LOG_LEVEL_INFO);
    close_all_but(keep, ARRAY_SIZE(keep));
    signals_init();
    if (signals_open(&s->signal_fd) < 0)
        _exit(1);
    s->fd = fd;
    rundir_place_init(&s->place);
    for (unsigned i = 0; i < SOCKET_PATHS_MAX; i++)
        socket_path_init(&s->sockets[i]);
    s->groups = groups;
    s->no_userns = terms->no_userns;
    s->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    while (s->fd >= 0 || any_left(s)) {
        struct pollfd polled[SPAWNER_MAX_CHILDREN + 2];
        struct spawned *who[SPAWNER_MAX_CHILDREN + 2];
        int timeout = enforce(s), ready;
        nfds_t n = 0;

        if (s->fd < 0 && !any_left(s))
            break;
        for (unsigned i = 0; i < SPAWNER_MAX_CHILDREN; i++)
            if (s->children[i].pid != 0) {
                who[n] = &s->children[i];
                polled[n++] = (struct pollfd){ .fd = s->children[i].pidfd, .events = POLLIN };
            }
        if (s->fd >= 0) {
            who[n] = NULL;
            polled[n++] = (struct pollfd){ .fd = s->fd, .events = POLLIN };
        }
        who[n] = NULL;
        polled[n++] = (struct pollfd){ .fd = s->signal_fd, .events = POLLIN };
        if (timeout < 0 && !idle)
            timeout = IDLE_MS;
        ready = poll(polled, n, timeout);
        if (ready == 0 && !idle)
            trim_start_code();
        idle = ready == 0;
        if (ready <= 0)
            continue;
        for (nfds_t i = 0; i < n; i++) {
            if (polled[i].revents == 0)
                continue;
            if (who[i])
                reap(s, who[i]);
            else if (polled[i].fd == s->signal_fd)
                s->told_to_end |= signals_take(s->signal_fd) != NULL;
            else if (s->fd >= 0)
                on_request(s);
        }
    }
    groups_end(groups);
    /* With a broker that left in order these are gone already. */
    for (unsigned i = 0; i < SOCKET_PATHS_MAX; i++)
        socket_path_remove(&s->sockets[i]);
    rundir_place_remove(&s->place);
    uids_release(uids);
    _exit(0);
}
