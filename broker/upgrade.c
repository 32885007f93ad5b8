/* SPDX-License-Identifier: Apache-2.0 */
/* upgrade.c - a new build of a worker takes over from the one that runs.
 *
 * Disks, network, entropy, balloon: the new one starts beside the old one up to Ready; then the
 * old one finishes what is in flight (Quiesce), the new one is activated on the same rings and the
 * old one leaves. Until that moment the old one is merely told to go on when anything fails.
 * Consoles and vsock read from where two readers would steal from each other: there the new one
 * gets no further than Hello beside the old one, and is configured when that has left; the old
 * build is started again when the new one does not work.
 * A new build that dies within the probation time is rolled back as well. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/fd.h"
#include "base/log.h"
#include "vm.h"

enum { PROBATION_MS = 5000 };

#define ASKER_ALL UINT64_MAX /* upgrade_all_begin() asks, not a client */

static void all_done(struct vm *vm, const struct fault *fault)
{
    session_reply(vm, vm->all_asker, vm->all_request, fault);
    vm->all_asker = 0;
}

static void all_step(struct vm *vm)
{
    struct fault ok = { 0 };

    while (vm->all_next < vm->n_devices) {
        struct device *d = &vm->devices[vm->all_next++];
        struct fault f;

        if (d->failed || d->dead)
            continue;
        if (upgrade_begin(d, "", ASKER_ALL, 0, &f) == 0)
            return; /* upgrade_answer() goes on */
        all_done(vm, &f);
        return;
    }
    snprintf(ok.text, sizeof ok.text, "all devices upgraded");
    all_done(vm, &ok);
}

int upgrade_all_begin(struct vm *vm, uint64_t asker, uint32_t request, struct fault *f)
{
    if (vm->all_asker != 0)
        return fault_input(f, "an upgrade of all devices is under way: wait for it");
    vm->all_asker = asker;
    vm->all_request = request;
    vm->all_next = 0;
    all_step(vm);
    return 0;
}

void upgrade_answer(struct device *d, const struct fault *fault)
{
    uint64_t asker = d->asker;

    d->asker = 0;
    if (asker == ASKER_ALL && fault->error != 0)
        all_done(d->vm, fault);
    else if (asker == ASKER_ALL)
        all_step(d->vm);
    else if (asker != 0)
        session_reply(d->vm, asker, d->asker_request, fault);
}

static void failed(struct device *d, const char *why)
{
    struct fault f;

    session_event(d->vm, "device", "upgrade_failed", "id", d->plan->name, "why", why, NULL);
    fault_input(&f, "%s: the new build was given up, the old one runs on: %s", d->plan->name, why);
    upgrade_answer(d, &f);
}

int upgrade_begin(struct device *d, const char *path, uint64_t asker, uint32_t request,
                  struct fault *f)
{
    struct vm *vm = d->vm;
    unsigned spare = d->plan->uid_slot - PLAN_UID_FIRST_DEVICE + PLAN_UID_SPARE;
    int r;

    if (vm->phase != VM_RUNNING || vm->paused || vm->pausing)
        return fault_input(f, "%s can be upgraded while the VM runs: resume or start it first",
                           d->plan->name);
    if (d->step != STEP_NONE || d->asker != 0 || d->failed || d->dead || !d->worker)
        return fault_input(f, "%s is being replaced or has failed: repair it first", d->plan->name);
    if (d->reset_pending)
        return fault_input(f, "the guest is resetting %s: try again", d->plan->name);
    fd_closep(&d->candidate_fd);
    r = path[0] != '\0' ? programs_open_path(path, &d->candidate_fd, f)
                        : programs_reopen(&vm->programs, d->plan->role, &d->candidate_fd, f);
    if (r < 0)
        return r;
    d->next =
        child_start(vm, d->plan->role, d, d->worker->uid_slot == spare ? d->plan->uid_slot : spare,
                    d->candidate_fd, f);
    if (!d->next)
        return -f->error;
    d->step = STEP_NEW_READY;
    d->asker = asker;
    d->asker_request = request;
    return 0;
}

/* The candidate becomes the worker. */
static void promote(struct device *d)
{
    d->worker = d->next;
    d->next = NULL;
    fd_closep(&d->prev_program_fd);
    d->prev_program_fd = d->program_fd;
    d->program_fd = fd_take(&d->candidate_fd);
    d->upgraded_ns = now_ns();
}

/* And the old one leaves. */
static void take_over(struct device *d)
{
    struct child *old = d->worker;

    promote(d);
    d->step = STEP_TAKE_OVER;
    d->died_ns = d->upgraded_ns;
    d->worker->heartbeat_ns = d->upgraded_ns;
    netdev_on_ready(d); /* what was said since then was said to the old one */
    settings_tell(d);
    if (d->active)
        relay_send_activate(d, d->worker, d->worker_activated);
    if (old)
        child_stop(old);
    if (!d->active)
        upgrade_on_activated(d);
}

bool upgrade_on_hello(struct device *d)
{
    if (d->plan->role != BULKHEAD__ROLE__ROLE_CONSOLE &&
        d->plan->role != BULKHEAD__ROLE__ROLE_VSOCK)
        return false;
    d->step = STEP_LEAVE;
    d->died_ns = now_ns();
    if (d->worker)
        child_stop(d->worker);
    return true;
}

void upgrade_on_left(struct device *d)
{
    promote(d);
    d->step = STEP_REPAIR;
    d->step_deadline_ns = now_ns() + VM_READY_TIMEOUT_MS * 1000000ull;
    if (configure_send(d->worker) < 0)
        child_kill(d->worker, "could not be configured");
}

void upgrade_on_ready(struct device *d)
{
    if (d->step != STEP_NEW_READY)
        return;
    if (d->worker && d->active && d->worker->state == CHILD_RUNNING) {
        d->step = STEP_DRAIN;
        d->step_deadline_ns = now_ns() + VM_READY_TIMEOUT_MS * 1000000ull;
        pause_steer(d);
        return;
    }
    take_over(d);
}

void upgrade_on_quiesced(struct device *d)
{
    if (d->step == STEP_DRAIN && d->next)
        take_over(d);
}

void upgrade_on_activated(struct device *d)
{
    struct fault ok = { 0 };
    char ms[24];

    if (d->step != STEP_TAKE_OVER && !(d->upgraded_ns != 0 && d->asker != 0))
        return;
    d->step = STEP_NONE;
    snprintf(ms, sizeof ms, "%.1f", (double)(now_ns() - d->died_ns) / 1e6);
    session_event(d->vm, "device", "upgraded", "id", d->plan->name, "stall_ms", ms, NULL);
    snprintf(ok.text, sizeof ok.text, "%s upgraded to %s", d->plan->name, d->worker->build_id);
    upgrade_answer(d, &ok);
}

void upgrade_abort(struct device *d, const char *why)
{
    struct child *next = d->next;

    if (!next)
        return;
    d->next = NULL;
    fd_closep(&d->candidate_fd);
    child_kill(next, "upgrade given up");
    d->step = STEP_NONE;
    pause_steer(d); /* the old one may have finished its work for nothing */
    failed(d, why);
}

void upgrade_on_next_gone(struct device *d, const char *how)
{
    fd_closep(&d->candidate_fd);
    d->step = STEP_NONE;
    pause_steer(d); /* the old one may have finished its work for nothing */
    failed(d, how);
}

void upgrade_on_old_gone(struct device *d, const char *how)
{
    struct child *next = d->next;

    /* The candidate knows nothing of the dead one's ring: it goes too, and the usual repair, with
     * the old build, takes up the journal. */
    d->next = NULL;
    fd_closep(&d->candidate_fd);
    d->step = STEP_NONE;
    child_kill(next, "upgrade given up");
    failed(d, how);
    repair_on_death(d, how);
}

bool upgrade_roll_back(struct device *d, const char *how)
{
    bool probation = d->upgraded_ns != 0 && now_ns() - d->upgraded_ns < PROBATION_MS * 1000000ull;

    d->upgraded_ns = 0;
    if (!probation)
        return false;
    fd_closep(&d->program_fd);
    d->program_fd = fd_take(&d->prev_program_fd);
    d->step = STEP_NONE;
    session_event(d->vm, "device", "rolled_back", "id", d->plan->name, "why", how, NULL);
    failed(d, how);
    return true;
}
