/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - the spawner's own loop: requests on one socket, deaths on pidfds. */
#include "spawner/main.h"
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
#include "plan/plan.h"
#include "resources/programs.h"
#include "resources/rundir.h"
#include "resources/signals.h"
#include "resources/socket_path.h"
#include "sandbox/spawn.h"
#include "sandbox/trim.h"
#include "spawner/cgroups.h"
#include "spawner/exec.h"
#include "spawner/reports.h"
#include "spawner/rings.h"
#include "spawner/slots.h"
#include "spawner/uids.h"

enum {
    MAX_FDS = 4,
    IDLE_MS = 500,
    REFUSALS_LOGGED = 32,
    /* of SPAWNER_START */
    START_LOG_READER = 0,
    START_CONTROL,
    START_LOG,
    START_PROGRAM,
};

struct spawned {
    uint32_t id, slot, uid_slot;
    pid_t pid;                        /* 0: place is free */
    struct sandbox_spawning spawning; /* error_fd -1: it was heard how exec went */
    int log_reader;                   /* keeps the log pipe writable when the broker is gone */
    bool is_core;
    bool next_boot; /* started after the core's end: a reboot's, which that end is not for */
    int error;      /* of a start that failed: positive errno */
    char text[160];
};

struct state {
    struct groups *groups;
    const struct spawner_terms *terms;
    struct programs programs;
    struct slots slots;
    struct rings rings;
    struct reports reports;
    uint32_t last_id;
    unsigned refusals;
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

/* The broker may be lying, and as often as it likes. */
static void log_refusal(struct state *s)
{
    if (s->refusals++ < REFUSALS_LOGGED)
        log_warn("refused: %s", err_text());
    if (s->refusals == REFUSALS_LOGGED)
        log_warn("further refusals are not logged");
}

/* ---- a start ---- */

static int check_descriptors(const struct spawner_slot *slot, const int *fds, unsigned n_fds)
{
    bool passt = slot->role == BULKHEAD__ROLE__ROLE_PASST;
    int r;

    if (n_fds != START_PROGRAM && n_fds != START_PROGRAM + 1)
        return err_origin(-EINVAL, "a start with %u descriptors", n_fds);
    r = fd_expect(fds[START_LOG_READER], FD_TYPE_PIPE, "the log's read end");
    if (r == 0)
        r = fd_expect(fds[START_LOG], FD_TYPE_PIPE, "the log's write end");
    if (r == 0)
        r = fd_expect(fds[START_CONTROL], passt ? FD_TYPE_STREAM : FD_TYPE_SEQPACKET,
                      "descriptor 3 of a start");
    if (r < 0 || n_fds == START_PROGRAM)
        return r < 0 ? err_trace(r) : 0;
    if (!slots_is_device(slot))
        return err_origin(-EPERM, "a program for %s", slot->name);
    r = fd_expect(fds[START_PROGRAM], FD_TYPE_REGULAR, "a program that was handed over");
    return r < 0 ? err_trace(r) : 0;
}

/* No two processes alive share a uid; only a device has a second process, an upgrade's. */
static int check_alone(const struct state *s, const struct spawner_request *request, bool device)
{
    for (unsigned i = 0; i < SPAWNER_MAX_CHILDREN; i++) {
        const struct spawned *other = &s->children[i];

        if (other->pid == 0)
            continue;
        if (other->uid_slot == request->uid_slot)
            return err_origin(-EBUSY, "the uid of slot %u is taken", request->uid_slot);
        if (!device && other->slot == request->slot)
            return err_origin(-EBUSY, "slot %u is taken", request->slot);
    }
    return 0;
}

static int check_start(struct state *s, const struct spawner_request *request, const int *fds,
                       unsigned n_fds, const struct spawner_slot **ret_slot)
{
    const struct spawner_slot *slot = slots_find(&s->slots, request->slot);
    int r;

    if (!slot)
        return -EPERM;
    if (request->id <= s->last_id)
        return err_origin(-EINVAL, "process number %u was used", request->id);
    s->last_id = request->id;
    r = slots_check_uid(&s->slots, request->slot, request->uid_slot);
    if (r == 0)
        r = check_alone(s, request, slots_is_device(slot));
    if (r == 0)
        r = check_descriptors(slot, fds, n_fds);
    if (r < 0)
        return err_trace(r);
    *ret_slot = slot;
    return 0;
}

/* What the slot's place in the plan decides, and the rings. */
static int give_rings(struct state *s, const struct spawner_request *request,
                      struct exec_order *order)
{
    enum ring_purpose purpose = (enum ring_purpose)order->slot->ring;
    struct held_ring *ring = NULL;
    int r;

    if (request->ring_of != 0) {
        if (find(s, request->ring_of))
            return err_origin(-EBUSY, "the io_uring of process %u, which is alive",
                              request->ring_of);
        order->old_ring = rings_find(&s->rings, request->ring_of, request->slot);
        if (!order->old_ring)
            return -EPERM;
    }
    if (purpose == RING_NONE)
        return 0;
    r = rings_make(&s->rings, request->id, request->slot, purpose, &ring);
    order->no_ring_error = -r;
    order->ring = ring;
    return 0;
}

static int begin(struct state *s, const struct spawner_request *request,
                 const struct spawner_slot *slot, int *fds, struct spawned *child)
{
    struct exec_order order = { .slot = slot,
                                .null_fd = s->null_fd,
                                .log_fd = fds[START_LOG],
                                .control_fd = fds[START_CONTROL],
                                .program_fd = fds[START_PROGRAM],
                                .handed_over = fds[START_PROGRAM] >= 0,
                                .no_userns = s->terms->no_userns };
    cleanup_(fd_closep) int group_fd = -1;
    struct fault missing = { 0 };
    int r;

    if (s->terms->uid_base != 0)
        order.uid = s->terms->uid_base + request->uid_slot;
    if (!order.handed_over)
        order.program_fd = programs_fd(&s->programs, (Bulkhead__Role)slot->role, &missing);
    if (order.program_fd < 0)
        return err_origin(-ENOENT, "%s", missing.text);
    r = give_rings(s, request, &order);
    if (r < 0)
        return err_trace(r);
    order.cgroup_fd = group_fd =
        groups_add(s->groups, slot->name, slot->pids_max, slot->memory_max);
    *child = (struct spawned){
        .id = request->id, .slot = request->slot, .uid_slot = request->uid_slot, .log_reader = -1
    };
    r = exec_begin(&order, &child->spawning);
    if (r < 0) {
        rings_drop(&s->rings, request->id);
        groups_remove(s->groups, slot->name);
        return err_trace(r);
    }
    if (!ring_is_disks(
            (enum ring_purpose)slot->ring)) /* only a disk leaves work behind in its ring */
        rings_drop(&s->rings, request->id);
    child->pid = child->spawning.pid;
    child->is_core = slot->role == BULKHEAD__ROLE__ROLE_CORE;
    child->next_boot = s->core_ended;
    child->log_reader = fd_take(&fds[START_LOG_READER]);
    return 0;
}

static void say_not_started(struct state *s, uint32_t id, int error, const char *text)
{
    struct spawner_report r = { .kind = SPAWNER_STARTED, .id = id, .error = error };

    snprintf(r.text, sizeof r.text, "%s", text);
    reports_add(&s->reports, &r, NULL);
}

static void on_start(struct state *s, const struct spawner_request *request, int *fds,
                     unsigned n_fds)
{
    const struct spawner_slot *slot = NULL;
    struct spawned *child = find_free(s);
    int r = check_start(s, request, fds, n_fds, &slot);

    if (r < 0)
        log_refusal(s);
    else if (!child)
        r = err_origin(-EAGAIN, "too many processes");
    else
        r = begin(s, request, slot, fds, child);
    if (r < 0)
        say_not_started(s, request->id, -r, err_text());
}

/* The child has executed its program, or couldn't; or it was killed, which its pidfd tells next. */
static void hear(struct state *s, struct spawned *child)
{
    const char *name = plan_program((Bulkhead__Role)s->slots.of[child->slot].role);
    struct spawner_report r = { .kind = SPAWNER_STARTED, .id = child->id, .pid = child->pid };
    int result = sandbox_spawn_end(&child->spawning, name);
    int fds[SPAWNER_REPORT_FDS];

    if (result < 0) { /* reported when it is reaped: until then its uid is in use */
        child->error = -result;
        snprintf(child->text, sizeof child->text, "%.150s", err_text());
        rings_drop(&s->rings, child->id);
        return;
    }
    s->core_started |= child->is_core;
    if (child->is_core) {
        s->core_ended = false;
        s->killed_rest = false;
        for (unsigned i = 0; i < SPAWNER_MAX_CHILDREN; i++)
            s->children[i].next_boot = false;
    }
    r.missing = child->spawning.missing;
    r.has_ring = ring_is_disks((enum ring_purpose)s->slots.of[child->slot].ring) &&
                 rings_find(&s->rings, child->id, child->slot) != NULL;
    fds[SPAWNER_FD_PID] = child->spawning.pidfd;
    fds[SPAWNER_FD_STAT] = child->spawning.stat_fd;
    reports_add(&s->reports, &r, fds);
    fd_closep(&child->spawning.stat_fd);
}

static void kill_child(const struct spawned *child)
{
    syscall(SYS_pidfd_send_signal, child->spawning.pidfd, SIGKILL, NULL, 0);
}

static void kill_all(struct state *s, bool next_boot_too)
{
    for (unsigned i = 0; i < SPAWNER_MAX_CHILDREN; i++)
        if (s->children[i].pid != 0 && (next_boot_too || !s->children[i].next_boot))
            kill_child(&s->children[i]);
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
    fd_closep(&child->spawning.pidfd);
    fd_closep(&child->spawning.stat_fd);
    fd_closep(&child->log_reader);
    child->pid = 0;
    groups_remove(s->groups, s->slots.of[child->slot].name);
    if (child->error != 0) {
        say_not_started(s, child->id, child->error, child->text);
        return;
    }
    if (child->is_core) {
        s->core_ended = true;
        s->core_ended_ns = now_ns();
    }
    reports_add(&s->reports, &r, NULL);
}

/* ---- requests ---- */

static int on_vm(struct state *s, struct spawner_request *request, int *fds, unsigned n_fds)
{
    struct rundir_place *place = &s->place;

    if (s->slots.sealed || place->lock_fd >= 0)
        return err_origin(-EPERM, "another directory, or one after the seal");
    /* The name is one of a directory in base: neither a path nor a way up. */
    if (n_fds != 3 || fd_type(fds[0]) != FD_TYPE_REGULAR || request->path[0] == '\0' ||
        request->path[0] == '.' || strchr(request->path, '/') ||
        strlen(request->path) >= sizeof place->name)
        return err_origin(-EINVAL, "the VM's directory");
    memcpy(place->name, request->path, sizeof place->name);
    place->lock_fd = fd_take(&fds[0]);
    place->base_fd = fd_take(&fds[1]);
    place->dir_fd = fd_take(&fds[2]);
    return 0;
}

static int on_hold(struct state *s, struct spawner_request *request, int *fds, unsigned n_fds)
{
    int r;

    if (n_fds != (s->slots.sealed ? 3u : 2u))
        return err_origin(-EPERM, "a socket to be removed in the end, and %u descriptors", n_fds);
    r = s->slots.sealed ? socket_path_hold_proven(s->sockets, request->path, fds)
                        : socket_path_hold(s->sockets, request->path, fds);
    return r < 0 ? err_origin(r, "a socket to be removed in the end") : 0;
}

static int on_free(struct state *s, uint32_t slot)
{
    int r;

    for (unsigned i = 0; i < SPAWNER_MAX_CHILDREN; i++)
        if (s->children[i].pid != 0 && s->children[i].slot == slot)
            return err_origin(-EBUSY, "slot %u is freed, and somebody is in it", slot);
    r = slots_free(&s->slots, slot);
    if (r == 0)
        rings_drop_slot(&s->rings, slot);
    return r;
}

static int obey(struct state *s, struct spawner_request *request, int *fds, unsigned n_fds)
{
    struct spawned *child;

    request->path[sizeof request->path - 1] = '\0';
    switch (request->kind) {
    case SPAWNER_SLOT:
        return s->slots.sealed ? slots_add(&s->slots, request->slot, &request->setup)
                               : slots_set(&s->slots, request->slot, &request->setup);
    case SPAWNER_FREE:
        return on_free(s, request->slot);
    case SPAWNER_VM:
        return on_vm(s, request, fds, n_fds);
    case SPAWNER_HOLD:
        return on_hold(s, request, fds, n_fds);
    case SPAWNER_LET_GO:
        return n_fds == 1 ? socket_path_let_go(s->sockets, fds[0]) : -EINVAL;
    case SPAWNER_SEAL:
        s->slots.sealed = true;
        return 0;
    case SPAWNER_START:
        on_start(s, request, fds, n_fds);
        return 0;
    case SPAWNER_KILL:
        child = find(s, request->id);
        if (child)
            kill_child(child);
        return 0;
    case SPAWNER_DROP_RING:
        rings_drop(&s->rings, request->id);
        return 0;
    default:
        return err_origin(-EINVAL, "a request of kind %u", request->kind);
    }
}

/* Takes all descriptors of a message, MAX_FDS at most: the kernel had no room for more. */
static unsigned take_descriptors(struct msghdr *msg, int fds[MAX_FDS])
{
    unsigned n = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        size_t bytes = c->cmsg_len - CMSG_LEN(0);

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < bytes / sizeof(int) && n < MAX_FDS; i++)
            memcpy(&fds[n++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
    }
    return n;
}

/* An empty message reads as an end, but the other end is there. */
static bool hung_up(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN | POLLRDHUP };

    return poll(&p, 1, 0) < 0 || (p.revents & (POLLHUP | POLLRDHUP | POLLERR));
}

static void on_request(struct state *s)
{
    static struct spawner_request request; /* large */
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
    unsigned n_fds;
    ssize_t n = recvmsg(s->fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    int r;

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n < 0 || (n == 0 && hung_up(s->fd))) {
        fd_closep(&s->fd);
        reports_clear(&s->reports);
        return;
    }
    n_fds = take_descriptors(&msg, fds);
    if (n != (ssize_t)sizeof request || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
        r = err_origin(-EMSGSIZE, "a request of %zd bytes and %u descriptors", n, n_fds);
    else
        r = obey(s, &request, fds, n_fds);
    if (r < 0)
        log_refusal(s);
    for (unsigned i = 0; i < MAX_FDS; i++)
        fd_closep(&fds[i]);
}

/* ---- the VM's end ---- */

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

struct watched {
    struct pollfd polled[2 * SPAWNER_MAX_CHILDREN + 2];
    struct spawned *who[2 * SPAWNER_MAX_CHILDREN + 2]; /* NULL: the broker, a signal */
    nfds_t n;
};

static void watch(struct watched *w, int fd, short events, struct spawned *who)
{
    w->who[w->n] = who;
    w->polled[w->n++] = (struct pollfd){ .fd = fd, .events = events };
}

static void watch_all(struct state *s, struct watched *w)
{
    short wanted =
        (short)((reports_have_room(&s->reports) ? POLLIN : 0) | (s->reports.n > 0 ? POLLOUT : 0));

    w->n = 0;
    for (unsigned i = 0; i < SPAWNER_MAX_CHILDREN; i++) {
        struct spawned *child = &s->children[i];

        if (child->pid != 0 && child->spawning.error_fd >= 0)
            watch(w, child->spawning.error_fd, POLLIN, child);
        if (child->pid != 0)
            watch(w, child->spawning.pidfd, POLLIN, child);
    }
    watch(w, s->signal_fd, POLLIN, NULL);
    if (s->fd >= 0)
        watch(w, s->fd, wanted, NULL);
}

static void act(struct state *s, const struct watched *w)
{
    for (nfds_t i = 0; i < w->n; i++) {
        struct spawned *child = w->who[i];

        if (w->polled[i].revents == 0)
            continue;
        if (!child && w->polled[i].fd == s->signal_fd) {
            s->told_to_end |= signals_take(s->signal_fd) != NULL;
        } else if (!child) {
            /* Without room for answers only its end counts, which sending finds. */
            if (s->fd >= 0 && (w->polled[i].revents & ~POLLOUT) && reports_have_room(&s->reports))
                on_request(s);
        } else if (child->pid != 0) {
            if (child->spawning.error_fd >= 0) /* of both, this comes first */
                hear(s, child);
            else
                reap(s, child);
        }
    }
    if (s->fd >= 0 && reports_send(&s->reports, s->fd) < 0) {
        fd_closep(&s->fd);
        reports_clear(&s->reports);
    }
}

_Noreturn void spawner_main(int fd, const struct spawner_terms *terms)
{
    struct groups *groups = terms->groups;
    struct uids *uids = terms->uids;
    const int keep[] = { fd,         groups->base_fd, groups->vm_fd, groups->kill_fd, uids->file_fd,
                         uids->ns_fd };
    static struct state state; /* one spawner per process; too large for the stack */
    static struct watched watched;
    struct state *s = &state;
    bool idle = false; /* nothing to do for a while: what a start needs is given back */

    prctl(PR_SET_NAME, "bulkhead-spawn");
    log_init("spawner", LOG_LEVEL_INFO);
    fd_close_all_but(keep, ARRAY_SIZE(keep)); /* nothing of the broker's or its client's */
    signals_init();
    if (signals_open(&s->signal_fd) < 0)
        _exit(1);
    s->fd = fd;
    rundir_place_init(&s->place);
    for (unsigned i = 0; i < SOCKET_PATHS_MAX; i++)
        socket_path_init(&s->sockets[i]);
    s->groups = groups;
    s->terms = terms;
    s->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    programs_open(&s->programs);
    while (s->fd >= 0 || any_left(s)) {
        int timeout = enforce(s), ready;

        if (s->fd < 0 && !any_left(s))
            break;
        watch_all(s, &watched);
        if (timeout < 0 && !idle)
            timeout = IDLE_MS;
        ready = poll(watched.polled, watched.n, timeout);
        if (ready == 0 && !idle)
            trim_start_code();
        idle = ready == 0;
        if (ready > 0)
            act(s, &watched);
    }
    groups_end(groups);
    /* With a broker that left in order these are gone already. */
    for (unsigned i = 0; i < SOCKET_PATHS_MAX; i++)
        socket_path_remove(&s->sockets[i]);
    rundir_place_remove(&s->place);
    uids_release(uids);
    _exit(0);
}
