/* SPDX-License-Identifier: Apache-2.0 */
/* children.c - see children.h. */
#include "spawner/children.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/loop.h"
#include "plan/plan.h"
#include "spawner/cgroups.h"
#include "spawner/oom.h"

struct spawned *children_find(struct state *s, uint32_t id)
{
    for (unsigned i = 0; i < SPAWNER_MAX_CHILDREN; i++)
        if (s->children[i].pid != 0 && s->children[i].id == id)
            return &s->children[i];
    return NULL;
}

struct spawned *children_find_free(struct state *s)
{
    for (unsigned i = 0; i < SPAWNER_MAX_CHILDREN; i++)
        if (s->children[i].id == 0)
            return &s->children[i];
    return NULL;
}

bool children_any_left(const struct state *s)
{
    for (unsigned i = 0; i < SPAWNER_MAX_CHILDREN; i++)
        if (s->children[i].pid != 0)
            return true;
    return false;
}

void children_kill(const struct spawned *child)
{
    syscall(SYS_pidfd_send_signal, child->spawning.pidfd, SIGKILL, NULL, 0);
}

void children_kill_all(struct state *s, bool next_boot_too)
{
    for (unsigned i = 0; i < SPAWNER_MAX_CHILDREN; i++)
        if (s->children[i].pid != 0 && (next_boot_too || !s->children[i].next_boot))
            children_kill(&s->children[i]);
}

void children_say_not_started(struct state *s, uint32_t id, int error, const char *text)
{
    struct spawner_report r = { .kind = SPAWNER_STARTED, .id = id, .error = error };

    snprintf(r.text, sizeof r.text, "%s", text);
    reports_add(&s->reports, &r, NULL);
}

bool children_has_ring(struct state *s, const struct spawned *child)
{
    return ring_is_disks((enum ring_purpose)s->slots.of[child->slot].ring) &&
           rings_find(&s->rings, child->id, child->slot) != NULL;
}

/* A successor of the broker is told with the child, and who is not there is told nothing. */
static bool is_told_later(const struct state *s, const struct spawned *child)
{
    return s->fd < 0 ||
           (s->handover.active && (unsigned)(child - s->children) >= s->handover.child);
}

void children_hear(struct state *s, struct spawned *child)
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
    child->started = true;
    s->core_started |= child->is_core;
    if (child->is_core) {
        s->core_ended = false;
        s->killed_rest = false;
        for (unsigned i = 0; i < SPAWNER_MAX_CHILDREN; i++)
            s->children[i].next_boot = false;
    }
    if (is_told_later(s, child))
        return;
    r.missing = child->spawning.missing;
    r.has_ring = children_has_ring(s, child);
    fds[SPAWNER_FD_PID] = child->spawning.pidfd;
    fds[SPAWNER_FD_STAT] = child->spawning.stat_fd;
    reports_add(&s->reports, &r, fds);
}

/* Frees the place. */
static void forget(struct state *s, struct spawned *child)
{
    struct handed fds = { .fds = { fd_take(&child->log_reader), fd_take(&child->control) },
                          .n = 2 };

    handed_close(&s->closers, &fds);
    child->id = 0;
}

static void report_end(struct state *s, struct spawned *child)
{
    struct spawner_report r = { .kind = SPAWNER_EXITED,
                                .id = child->id,
                                .wait_code = child->wait_code,
                                .wait_status = child->wait_status,
                                .kept = child->oom ? SPAWNER_CHILD_OOM : 0 };

    if (is_told_later(s, child))
        return;
    if (child->error != 0)
        children_say_not_started(s, child->id, child->error, child->text);
    else
        reports_add(&s->reports, &r, NULL);
}

void children_reap(struct state *s, struct spawned *child)
{
    siginfo_t info = { 0 };

    if (waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG) < 0 && errno != ECHILD)
        return;
    if (info.si_pid == 0 && errno != ECHILD)
        return;
    child->wait_code = info.si_code;
    child->wait_status = info.si_status;
    fd_closep(&child->spawning.pidfd);
    fd_closep(&child->spawning.stat_fd);
    child->pid = 0;
    if (info.si_code == CLD_KILLED && info.si_status == SIGKILL)
        child->oom = oom_took(s, child->slot);
    groups_remove(s->groups, s->slots.of[child->slot].name);
    if (child->is_core && child->error == 0) {
        s->core_ended = true;
        s->core_ended_ns = now_ns();
    }
    report_end(s, child);
    /* Its last words, and how it ended, are kept for a broker that has not heard of it: if there can be
     * another one. */
    if (s->brokers.limit == 0 || !store_suffices(&s->store))
        forget(s, child);
}

void children_acknowledge(struct state *s, uint32_t id)
{
    for (unsigned i = 0; i < SPAWNER_MAX_CHILDREN; i++)
        if (id != 0 && s->children[i].id == id && s->children[i].pid == 0)
            forget(s, &s->children[i]);
}
