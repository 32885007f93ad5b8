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
#include "sandbox/layers.h"
#include "sandbox/spawn.h"
#include "sandbox/trim.h"
#include "spawner/cgroups.h"
#include "spawner/children.h"
#include "spawner/excess.h"
#include "spawner/exec.h"
#include "spawner/grant.h"
#include "spawner/handed.h"
#include "spawner/handover.h"
#include "spawner/oom.h"
#include "spawner/reports.h"
#include "spawner/rings.h"
#include "spawner/slots.h"
#include "spawner/successor.h"
#include "spawner/uids.h"

enum {
    IDLE_MS = 500,
    AGAIN_MS = 100,
    LAST_WORDS_MS = 5000, /* for what a dead broker left in the socket */
    REFUSALS_LOGGED = 32,
    /* of SPAWNER_START */
    START_LOG_READER = 0,
    START_CONTROL,
    START_LOG,
    START_PROGRAM,
    START_FDS,
};

/* The broker may be lying, and as often as it likes. */
static void log_refusal(struct state *s)
{
    if (s->refusals++ < REFUSALS_LOGGED)
        log_warn("refused: %s", err_text());
    if (s->refusals == REFUSALS_LOGGED)
        log_warn("further refusals are not logged");
}

/* ---- a start ---- */

/* A program is what the kernel executes: its file system, which may not answer, is asked in the clone. */
static int check_descriptors(const struct spawner_slot *slot, const int *fds, unsigned n_fds)
{
    bool passt = slot->role == BULKHEAD__ROLE__ROLE_PASST;
    int r;

    if (n_fds != START_PROGRAM && n_fds != START_FDS)
        return err_origin(-EINVAL, "a start with %u descriptors", n_fds);
    r = handed_expect(fds[START_LOG_READER], HANDED_PIPE, "the log's read end");
    if (r == 0)
        r = handed_expect(fds[START_LOG], HANDED_PIPE, "the log's write end");
    if (r == 0)
        r = handed_expect(fds[START_CONTROL], passt ? HANDED_STREAM : HANDED_SEQPACKET,
                          "descriptor 3 of a start");
    if (r < 0)
        return err_trace(r);
    return n_fds == START_PROGRAM || slots_is_device(slot)
               ? 0
               : err_origin(-EPERM, "a program for %s", slot->name);
}

/* No two processes alive share a uid; only a device has a second process, an upgrade's, but no third: both
 * share a control group, and its limits are for these. */
static int check_alone(const struct state *s, const struct spawner_request *request, bool device)
{
    unsigned room = device ? 2 : 1;

    for (unsigned i = 0; i < SPAWNER_MAX_CHILDREN; i++) {
        const struct spawned *other = &s->children[i];

        if (other->pid == 0)
            continue;
        if (other->uid_slot == request->uid_slot)
            return err_origin(-EBUSY, "the uid of slot %u is taken", request->uid_slot);
        if (other->slot == request->slot && --room == 0)
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

static bool is_known(const struct state *s, uint32_t id)
{
    for (unsigned i = 0; i < SPAWNER_MAX_CHILDREN; i++)
        if (s->children[i].id == id)
            return true;
    return false;
}

/* A broker that died between writing down that a ring is drained and giving it back: its successor knows nothing of
 * that ring. It is not one whose process' end is still to be acknowledged, nor the one that is to be drained. */
static void drop_left_rings(struct state *s, const struct spawner_request *request)
{
    for (unsigned i = 0; i < RINGS_MAX && s->brokers.epoch > 0; i++) {
        const struct held_ring *ring = &s->rings.held[i];

        if (ring->id != 0 && ring->slot == request->slot && ring->id != request->ring_of &&
            !is_known(s, ring->id))
            rings_drop(&s->rings, ring->id);
    }
}

/* What the slot's place in the plan decides, and the rings. */
static int give_rings(struct state *s, const struct spawner_request *request,
                      struct exec_order *order)
{
    enum ring_purpose purpose = (enum ring_purpose)order->slot->ring;
    struct held_ring *ring = NULL;
    int r;

    if (request->ring_of != 0) {
        if (children_find(s, request->ring_of))
            return err_origin(-EBUSY, "the io_uring of process %u, which is alive",
                              request->ring_of);
        order->old_ring = rings_find(&s->rings, request->ring_of, request->slot);
        if (!order->old_ring)
            return -EPERM;
    }
    if (purpose == RING_NONE)
        return 0;
    drop_left_rings(s, request);
    r = rings_make(&s->rings, request->id, request->slot, purpose, &ring);
    order->no_ring_error = -r;
    order->ring = ring;
    return 0;
}

/* Limits that are not enforced are missing. */
static int enter_group(struct state *s, uint32_t slot, int *ret_fd, unsigned *ret_missing)
{
    const struct spawner_slot *setup = &s->slots.of[slot];
    const struct sandbox_cgroup_limits limits = { .pids_max = setup->pids_max,
                                                  .memory_high_bytes = setup->memory_high,
                                                  .memory_max_bytes = setup->memory_max };
    int r = groups_add(s->groups, setup->name, &limits, ret_fd, ret_missing);

    if (r < 0)
        return err_trace(r);
    oom_begin(s, slot);
    if (!excess_watch(s, slot))
        *ret_missing |= SANDBOX_LAYER_CGROUP_LIMITS;
    return 0;
}

/* A broker may have as many starts fail as it likes, each in a group of another name: nothing of one stays. */
static int begin(struct state *s, const struct spawner_request *request,
                 const struct spawner_slot *slot, int *fds, bool handed_over, struct spawned *child)
{
    struct exec_order order = { .slot = slot,
                                .null_fd = s->null_fd,
                                .log_fd = fds[START_LOG],
                                .control_fd = fds[START_CONTROL],
                                .program_fd = handed_over ? fds[START_PROGRAM] : -1,
                                .handed_over = handed_over,
                                .no_userns = s->terms->no_userns };
    cleanup_(fd_closep) int group_fd = -1;
    struct fault no_program = { 0 };
    unsigned missing = 0;
    int r;

    if (s->terms->uid_base != 0)
        order.uid = s->terms->uid_base + request->uid_slot;
    if (!order.handed_over)
        order.program_fd = programs_fd(&s->programs, (Bulkhead__Role)slot->role, &no_program);
    if (order.program_fd < 0)
        return err_origin(-ENOENT, "%s", no_program.text);
    r = enter_group(s, request->slot, &group_fd, &missing);
    if (r == 0)
        r = give_rings(s, request, &order);
    order.cgroup_fd = group_fd;
    *child = (struct spawned){
        .slot = request->slot, .uid_slot = request->uid_slot, .log_reader = -1, .control = -1
    };
    if (r == 0)
        r = exec_begin(&order, &child->spawning);
    if (r < 0) {
        rings_drop(&s->rings, request->id);
        groups_remove(s->groups, slot->name);
        return err_trace(r);
    }
    if (child->spawning.missing & SANDBOX_LAYER_CGROUP) /* it could not be put there */
        missing |= SANDBOX_LAYER_CGROUP_LIMITS;
    child->spawning.missing |= missing;
    if (!ring_is_disks(
            (enum ring_purpose)slot->ring)) /* only a disk leaves work behind in its ring */
        rings_drop(&s->rings, request->id);
    child->id = request->id;
    child->pid = child->spawning.pid;
    child->is_core = slot->role == BULKHEAD__ROLE__ROLE_CORE;
    child->next_boot = s->core_ended;
    child->log_reader = fd_take(&fds[START_LOG_READER]);
    return 0;
}

static void on_start(struct state *s, const struct spawner_request *request, int *fds,
                     unsigned n_fds)
{
    const char *why = slots_why(&s->slots, request->slot);
    const struct spawner_slot *slot = NULL;
    struct spawned *child = children_find_free(s);
    int *own = request->kept && n_fds > 0 ? &fds[--n_fds] : NULL;
    int r = check_start(s, request, fds, n_fds, &slot);

    if (r < 0)
        log_refusal(s);
    else if (!child)
        r = err_origin(-EAGAIN, "too many processes");
    else
        r = begin(s, request, slot, fds, n_fds == START_FDS, child);
    if (r < 0)
        children_say_not_started(s, request->id, -r, why ? why : err_text());
    else
        child->control = own ? fd_take(own) : -1;
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
    if (s->slots.sealed)
        return err_origin(-EPERM, "a socket after the seal");
    if (n_fds != 2)
        return err_origin(-EINVAL, "a socket to be removed in the end");
    return socket_path_hold(s->sockets, request->path, fds);
}

static void on_renew(struct state *s)
{
    struct spawner_report r = { .kind = SPAWNER_RENEW };
    int result = successor_renew(s);

    if (result == 0)
        return;
    r.error = -result;
    snprintf(r.text, sizeof r.text, "%s", err_text());
    reports_add(&s->reports, &r, NULL);
}

/* What came along is closed after these. */
static void on_drop(struct state *s, uint32_t first, uint32_t n)
{
    static struct handed dropped;

    while (store_take(&s->store, first, n, &dropped) > 0)
        handed_close(&s->closers, &dropped);
}

static int obey(struct state *s, struct spawner_request *request, struct handed *handed)
{
    struct spawned *child;
    int *fds = handed->fds;
    unsigned n_fds = handed->n;

    request->path[sizeof request->path - 1] = '\0';
    switch (request->kind) {
    case SPAWNER_SLOT:
        return grant_slot(s, request);
    case SPAWNER_FREE:
        return grant_free(s, request->slot);
    case SPAWNER_VM:
        return on_vm(s, request, fds, n_fds);
    case SPAWNER_HOLD:
        return on_hold(s, request, fds, n_fds);
    case SPAWNER_SEAL:
        if (!s->slots.sealed) {
            s->brokers.limit = request->limit;
            s->brokers.window_s = request->window_s;
        }
        s->slots.sealed = true;
        return 0;
    case SPAWNER_START:
        on_start(s, request, fds, n_fds);
        return 0;
    case SPAWNER_KILL:
        child = children_find(s, request->id);
        if (child)
            children_kill(child);
        return 0;
    case SPAWNER_DROP_RING:
        rings_drop(&s->rings, request->id);
        return 0;
    case SPAWNER_ACK:
        children_acknowledge(s, request->id);
        return 0;
    case SPAWNER_DEPOSIT:
        return store_put(&s->store, s->slots.sealed, request->id, fds, n_fds);
    case SPAWNER_DROP:
        on_drop(s, request->id, request->slot);
        return 0;
    case SPAWNER_LEAVE:
        s->brokers.left = true;
        return 0;
    case SPAWNER_ADOPTED:
        successor_adopted(s);
        return 0;
    case SPAWNER_RENEW:
        on_renew(s);
        return 0;
    default:
        return err_origin(-EINVAL, "a request of kind %u", request->kind);
    }
}

static void on_request(struct state *s)
{
    static struct spawner_request request; /* large */
    static struct handed fds;
    ssize_t n = handed_receive(&s->closers, s->fd, &request, sizeof request, &fds);
    int r;

    if (n == -EAGAIN)
        return;
    if (n == -EPIPE) {
        successor_lost(s);
        return;
    }
    if (n != (ssize_t)sizeof request)
        r = err_origin(-EMSGSIZE, "a request of a wrong size, or with too many descriptors (%u)",
                       fds.n);
    else
        r = obey(s, &request, &fds);
    if (r < 0)
        log_refusal(s);
    handed_close(&s->closers, &fds);
}

/* ---- the VM's end ---- */

/* The rest of a VM does not outlive its core, and without a broker nothing outlives its start, nor
 * a signal that ends VMs. */
static int enforce(struct state *s)
{
    bool orphaned =
        s->fd < 0 && !s->brokers.awaited && (!s->core_started || s->core_ended || s->told_to_end);
    uint64_t age_ms;

    if (orphaned) {
        children_kill_all(s, true);
        return children_any_left(s) ? 20 : 0;
    }
    if (!s->core_ended || s->killed_rest)
        return -1;
    age_ms = (now_ns() - s->core_ended_ns) / 1000000;
    if (age_ms < SPAWNER_CORE_GRACE_MS)
        return (int)(SPAWNER_CORE_GRACE_MS - age_ms);
    children_kill_all(s, false);
    s->killed_rest = true;
    return -1;
}

/* Of two times to wait; -1: for ever. */
static int sooner(int a, int b)
{
    if (a < 0 || b < 0)
        return MAX(a, b);
    return MIN(a, b);
}

enum { WATCHED_MAX = 2 * SPAWNER_MAX_CHILDREN + 3 + SPAWNER_MAX_SLOTS + HANDED_CLOSERS };

struct watched {
    struct pollfd polled[WATCHED_MAX];
    struct spawned *who[WATCHED_MAX]; /* NULL: the broker, its pidfd, a signal, memory, a closer */
    nfds_t n;
};

static void watch(struct watched *w, int fd, short events, struct spawned *who)
{
    w->who[w->n] = who;
    w->polled[w->n++] = (struct pollfd){ .fd = fd, .events = events };
}

static void watch_all(struct state *s, struct watched *w)
{
    bool busy = closers_are_busy(&s->closers);
    bool sends = (s->reports.n > 0 || s->handover.active) && !s->sends_later;
    short wanted = (short)((reports_have_room(&s->reports) && !busy ? POLLIN : 0) |
                           (sends && !busy ? POLLOUT : 0));

    w->n = 0;
    for (unsigned i = 0; i < HANDED_CLOSERS && busy; i++)
        watch(w, s->closers.of[i].pidfd, POLLIN, NULL);
    for (unsigned i = 0; i < SPAWNER_MAX_CHILDREN; i++) {
        struct spawned *child = &s->children[i];

        if (child->pid != 0 && child->spawning.error_fd >= 0)
            watch(w, child->spawning.error_fd, POLLIN, child);
        if (child->pid != 0)
            watch(w, child->spawning.pidfd, POLLIN, child);
    }
    watch(w, s->signal_fd, POLLIN, NULL);
    for (unsigned i = 0; i < SPAWNER_MAX_SLOTS; i++)
        if (s->excess.events[i] >= 0)
            watch(w, s->excess.events[i], POLLPRI, NULL);
    if (s->fd >= 0 && (!busy || closers_are_stuck(&s->closers)))
        watch(w, s->fd, wanted, NULL);
    if (s->brokers.awaited || (s->fd >= 0 && s->brokers.dead_ns == 0))
        watch(w, s->brokers.pidfd, POLLIN, NULL);
}

/* Whoever has a copy of its end, and be it among what is kept here, would keep a broker's death from being seen
 * by the socket. What it said last is heard, but not for ever: others may go on there. */
static void look_for_silence(struct state *s)
{
    struct pollfd p = { .fd = s->fd, .events = POLLIN };

    if (poll(&p, 1, 0) == 0 || now_ns() - s->brokers.dead_ns > LAST_WORDS_MS * UINT64_C(1000000))
        successor_lost(s);
}

static void send_all(struct state *s)
{
    int r = s->fd >= 0 ? handover_send(s) : 0;

    if (r == 0 && s->fd >= 0 && !s->handover.active)
        r = reports_send(&s->reports, s->fd);
    s->sends_later = r > 0;
    if (r < 0)
        successor_lost(s);
}

static void act(struct state *s, const struct watched *w)
{
    for (nfds_t i = 0; i < w->n; i++) {
        struct spawned *child = w->who[i];

        if (w->polled[i].revents == 0)
            continue;
        if (!child && w->polled[i].fd == s->signal_fd) {
            if (signals_take(s->signal_fd) && !s->told_to_end) {
                s->told_to_end = true;
                s->told_ns = now_ns();
            }
        } else if (!child && excess_look(s, w->polled[i].fd)) {
            continue;
        } else if (!child && w->polled[i].fd == s->brokers.pidfd) {
            if (s->fd >= 0)
                s->brokers.dead_ns = now_ns();
            else if (s->brokers.awaited)
                successor_start(s);
        } else if (!child && w->polled[i].fd == s->fd) {
            /* Without room for answers only its end counts, which sending finds. */
            if (closers_are_stuck(&s->closers) && (w->polled[i].revents & (POLLHUP | POLLERR)))
                successor_lost(s); /* and what it said last is not heard */
            else if (!closers_are_busy(&s->closers) && (w->polled[i].revents & ~POLLOUT) &&
                     reports_have_room(&s->reports))
                on_request(s);
        } else if (!child) {
            closers_go_on(&s->closers);
        } else if (child->pid != 0) {
            if (child->spawning.error_fd >= 0) /* of both, this comes first */
                children_hear(s, child);
            else
                children_reap(s, child);
        }
    }
}

_Noreturn void spawner_main(int fd, const struct spawner_terms *terms)
{
    struct groups *groups = terms->groups;
    struct uids *uids = terms->uids;
    const int keep[] = {
        fd,          groups->base_fd,    groups->vm_fd, groups->kill_fd, uids->file_fd,
        uids->ns_fd, terms->broker_pidfd
    };
    static struct state state; /* one spawner per process; too large for the stack */
    static struct watched watched;
    struct state *s = &state;
    bool idle = false; /* nothing to do for a while: what a start needs is given back */

    prctl(PR_SET_NAME, "bulkhead-spawn");
    log_init("spawner", LOG_LEVEL_INFO);
    log_never_wait();
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
    store_init(&s->store);
    closers_init(&s->closers);
    excess_init(&s->excess);
    successor_init(s);
    while (s->fd >= 0 || s->brokers.awaited || children_any_left(s)) {
        int timeout = sooner(enforce(s), successor_enforce(s)), ready;

        if (s->sends_later || closers_are_busy(&s->closers) || s->brokers.dead_ns != 0)
            timeout = sooner(timeout, AGAIN_MS);
        if (s->fd < 0 && !s->brokers.awaited && !children_any_left(s))
            break;
        if (closers_are_busy(&s->closers))
            closers_go_on(&s->closers);
        watch_all(s, &watched);
        if (timeout < 0 && !idle)
            timeout = IDLE_MS;
        ready = poll(watched.polled, watched.n, timeout);
        if (ready == 0 && !idle)
            trim_start_code();
        idle = ready == 0;
        if (ready > 0)
            act(s, &watched);
        if (s->fd >= 0)
            send_all(s);
        if (s->fd >= 0 && s->brokers.dead_ns != 0)
            look_for_silence(s);
    }
    successor_await_end(s);
    groups_end(groups);
    /* With a broker that left in order these are gone already. */
    for (unsigned i = 0; i < SOCKET_PATHS_MAX; i++)
        socket_path_remove(&s->sockets[i]);
    rundir_place_remove(&s->place);
    uids_release(uids);
    closers_kill(&s->closers); /* they have all that is open here */
    _exit(0);
}
