/* SPDX-License-Identifier: Apache-2.0 */
/* successor.c - see successor.h. */
#include "spawner/successor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "config/fault.h"
#include "spawner/handover.h"

enum {
    FD_SPAWNER = 3,
    TAKE_OVER_MS = 30000, /* slow hosts: emulated KVM */
    TAKE_OVER_END_MS = 10000,
    DIE_MS = 5000,
    END_MS = 30000,    /* from the signal to the broker's end */
    REBOOT_MS = 60000, /* so much more from a core's end */
    LEAVE_MS = 5000,
    PROBATION_MS = 5000,
};

void successor_init(struct state *s)
{
    s->brokers.program_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    s->brokers.pidfd = s->terms->broker_pidfd;
    s->brokers.candidate_fd = s->brokers.prev_fd = -1;
}

static void kill_broker(const struct brokers *b)
{
    syscall(SYS_pidfd_send_signal, b->pidfd, SIGKILL, NULL, 0);
}

static void close_kept(struct state *s)
{
    static struct handed all;

    while (store_take_all(&s->store, &all) > 0)
        handed_close(&s->closers, &all);
}

/* The VM goes on without a broker until its core ends; clients see that nobody is there. */
static void give_up(struct state *s)
{
    s->brokers.limit = 0;
    close_kept(s);
}

static bool is_possible(const struct state *s)
{
    return s->slots.sealed && s->core_started && !s->told_to_end && s->brokers.limit != 0 &&
           s->brokers.program_fd >= 0 && s->brokers.pidfd >= 0 && store_suffices(&s->store);
}

/* Counts a death. */
static bool dies_too_often(struct brokers *b)
{
    uint64_t now = now_ns();

    if (now - b->window_ns >= b->window_s * UINT64_C(1000000000)) {
        b->window_ns = now;
        b->deaths = 0;
    }
    return ++b->deaths >= b->limit;
}

/* A new build that can't, or that dies soon after: the one before is the broker's again. */
static bool fall_back(struct brokers *b)
{
    bool soon = b->adopted && now_ns() - b->adopted_ns < PROBATION_MS * UINT64_C(1000000);

    if (b->renewing) { /* that one was killed to make way */
        b->renewing = false;
        return true;
    }
    if (b->candidate_fd >= 0) {
        fd_closep(&b->candidate_fd);
    } else if (b->prev_fd >= 0 && soon) {
        fd_closep(&b->program_fd);
        b->program_fd = fd_take(&b->prev_fd);
    } else {
        return false;
    }
    log_warn("the new build of the broker was given up");
    b->fell_back = true;
    return true;
}

void successor_lost(struct state *s)
{
    struct brokers *b = &s->brokers;

    /* What it had sent goes with the socket. */
    handed_close(&s->closers, &(struct handed){ .fds = { fd_take(&s->fd) }, .n = 1 });
    reports_clear(&s->reports);
    s->handover.active = false;
    b->awaited = false;
    b->dead_ns = 0;
    b->hung_up_ns = now_ns();
    if (b->left && (!s->core_started || s->core_ended))
        return;
    if (b->left || !is_possible(s)) {
        give_up(s);
        return;
    }
    kill_broker(b); /* it may only have closed its end */
    if (!fall_back(b) && dies_too_often(b)) {
        log_error(
            "the broker died %u times within %u s and is not started again: the guest runs on, but "
            "its devices are not repaired and it can't be asked for",
            b->deaths, b->window_s);
        give_up(s);
        return;
    }
    log_warn("the broker is gone: another takes over");
    b->awaited = true;
    b->since_ns = now_ns();
}

int successor_renew(struct state *s)
{
    struct brokers *b = &s->brokers;
    struct fault fault = { 0 };
    int fd = -1;

    if (!is_possible(s) || b->candidate_fd >= 0 || (b->pid != 0 && !b->adopted))
        return err_origin(-EBUSY, "the broker can't be replaced now");
    if (b->deaths + 1 >= b->limit && now_ns() - b->window_ns < b->window_s * UINT64_C(1000000000))
        return err_origin(-EAGAIN, "the broker was replaced too often within %u s: wait",
                          b->window_s);
    /* By the spawner's own path: what the broker names, one that was taken over could have made. */
    if (programs_reopen(&s->programs, BULKHEAD__ROLE__ROLE_BROKER, &fd, &fault) < 0)
        return err_origin(-ENOENT, "%s", fault.text);
    (void)dies_too_often(b);
    b->candidate_fd = fd;
    b->renewing = true;
    b->fell_back = false;
    kill_broker(b);
    return 0;
}

void successor_adopted(struct state *s)
{
    struct brokers *b = &s->brokers;

    if (b->adopted || b->pid == 0)
        return;
    b->adopted = true;
    b->adopted_ns = now_ns();
    if (b->candidate_fd < 0)
        return;
    fd_closep(&b->prev_fd);
    b->prev_fd = b->program_fd;
    b->program_fd = fd_take(&b->candidate_fd);
}

static _Noreturn void become_broker(int program_fd, int fd)
{
    char name[] = "bulkhead-broker", how[] = "--adopt";
    char *argv[] = { name, how, NULL };

    if (fd == FD_SPAWNER ? fcntl(fd, F_SETFD, 0) < 0 : dup2(fd, FD_SPAWNER) < 0)
        _exit(127);
    syscall(SYS_close_range, FD_SPAWNER + 1, ~0u, CLOSE_RANGE_CLOEXEC);
    syscall(SYS_execveat, program_fd, "", argv, environ, AT_EMPTY_PATH);
    _exit(127);
}

/* 0, or a negative errno. */
static int start(struct state *s)
{
    struct brokers *b = &s->brokers;
    int pair[2], pidfd = -1;
    struct clone_args args = { .flags = CLONE_PIDFD,
                               .pidfd = (uint64_t)(uintptr_t)&pidfd,
                               .exit_signal = SIGCHLD };
    pid_t pid;
    int r;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    /* Both or none: one without a pidfd would have to be waited for. */
    pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
    r = -errno;
    if (pid == 0)
        become_broker(b->candidate_fd >= 0 ? b->candidate_fd : b->program_fd, pair[1]);
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        return r;
    }
    fd_closep(&b->pidfd);
    b->pidfd = pidfd;
    b->pid = pid;
    s->fd = pair[0];
    return 0;
}

void successor_start(struct state *s)
{
    struct brokers *b = &s->brokers;
    int r;

    if (b->pid != 0 && waitpid(b->pid, NULL, WNOHANG) != b->pid && errno != ECHILD)
        return; /* its end is on the way */
    b->pid = 0;
    b->awaited = false;
    if (!is_possible(s)) {
        give_up(s);
        return;
    }
    r = start(s);
    if (r < 0) {
        log_error("the broker can't be started again: %s", strerror(-r));
        give_up(s);
        return;
    }
    b->epoch++;
    b->adopted = b->killed = false;
    b->since_ns = now_ns();
    handover_begin(s);
}

/* It doesn't die: a file that it has is of a server that doesn't answer. It is not waited for any more. */
static void abandon(struct state *s)
{
    handed_close(&s->closers, &(struct handed){ .fds = { fd_take(&s->fd) }, .n = 1 });
    reports_clear(&s->reports);
    s->handover.active = s->brokers.awaited = false;
    log_error("the broker doesn't end: none is started again, and the guest runs on without");
    give_up(s);
}

/* Of one that has not taken over, or is to be followed. */
static int enforce_takeover(struct state *s)
{
    struct brokers *b = &s->brokers;
    uint64_t age_ms = (now_ns() - b->since_ns) / 1000000;
    /* Whoever wants the VM to end doesn't want to wait for another broker. */
    uint64_t limit_ms = s->told_to_end || s->core_ended ? TAKE_OVER_END_MS : TAKE_OVER_MS;

    if (!b->awaited && (s->fd < 0 || b->pid == 0 || b->adopted))
        return -1;
    if (age_ms < limit_ms)
        return (int)(limit_ms - age_ms);
    if (!b->awaited && !b->killed)
        kill_broker(b);
    b->killed = true;
    if (age_ms < limit_ms + DIE_MS)
        return (int)(limit_ms + DIE_MS - age_ms);
    abandon(s);
    return 0;
}

static int leave_ms(const struct state *s)
{
    return s->terms->end_ms ? (int)s->terms->end_ms : LEAVE_MS;
}

/* In how many ms a broker should have ended; negative: by so much it should already. A reboot ends a core too, and what
 * takes longest of it is the memory of the next one. */
static int64_t time_to_end(const struct state *s)
{
    uint64_t limit_ms = s->terms->end_ms ? s->terms->end_ms : END_MS, now = now_ns();
    int64_t left = INT64_MAX;

    if (s->told_to_end)
        left = (int64_t)limit_ms - (int64_t)((now - s->told_ns) / 1000000);
    if (s->core_ended)
        left = MIN(left, (int64_t)(limit_ms + (s->terms->end_ms ? 0 : REBOOT_MS)) -
                             (int64_t)((now - s->core_ended_ns) / 1000000));
    return left;
}

/* Of one that should be ending, and is here still. */
static int enforce_end(struct state *s)
{
    struct brokers *b = &s->brokers;
    int64_t left_ms;

    if (!s->slots.sealed || b->awaited)
        return -1;
    /* It has hung up, and there will be no other: children that can't die don't keep it. */
    if (s->fd < 0) {
        if (b->killed || (!s->told_to_end && !s->core_ended && s->core_started))
            return -1;
        left_ms = leave_ms(s) - (int64_t)((now_ns() - b->hung_up_ns) / 1000000);
        if (left_ms > 0)
            return (int)left_ms;
        kill_broker(b);
        b->killed = true;
        return -1;
    }
    left_ms = time_to_end(s);
    if (left_ms == INT64_MAX)
        return -1;
    if (left_ms > 0)
        return (int)left_ms;
    if (!b->killed)
        log_error("the broker doesn't end with its VM, and is killed");
    kill_broker(b);
    b->killed = true;
    if (left_ms > -DIE_MS)
        return (int)(DIE_MS + left_ms);
    abandon(s);
    return 0;
}

int successor_enforce(struct state *s)
{
    int takeover, end;

    if (s->slots.sealed && s->brokers.limit == 0)
        close_kept(s);
    takeover = enforce_takeover(s);
    end = enforce_end(s);
    if (takeover < 0 || end < 0)
        return MAX(takeover, end);
    return MIN(takeover, end);
}

static bool is_dead(const struct brokers *b, int within_ms)
{
    struct pollfd p = { .fd = b->pidfd, .events = POLLIN };
    int r;

    do
        r = poll(&p, 1, within_ms);
    while (r < 0 && errno == EINTR);
    return r != 0;
}

void successor_await_end(struct state *s)
{
    struct brokers *b = &s->brokers;

    if (!s->slots.sealed || b->pidfd < 0 || is_dead(b, leave_ms(s)))
        return;
    log_error("the broker doesn't end with its VM, and is killed");
    kill_broker(b);
    (void)is_dead(b, DIE_MS);
}
