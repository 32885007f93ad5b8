/* SPDX-License-Identifier: Apache-2.0 */
/* child.c - one process of the VM, from the request to the spawner until its exit is reported. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "sandbox/ids.h"
#include "sandbox/layers.h"
#include "vm.h"

static struct child *child_new(struct vm *vm, Bulkhead__Role role, struct device *device)
{
    struct child *child;

    if (vm->n_children == VM_MAX_CHILDREN)
        return NULL;
    child = calloc(1, sizeof *child);
    if (!child)
        return NULL;
    child->vm = vm;
    child->role = role;
    child->device = device;
    child->id = ++vm->next_id;
    child->pidfd = child->stat_fd = -1;
    child->started_ns = now_ns();
    snprintf(child->name, sizeof child->name, "%s", device ? device->plan->name : role_name(role));
    vm->children[vm->n_children++] = child;
    return child;
}

void child_close(struct child *child)
{
    if (child->event)
        loop_event_free(child->event);
    child->event = NULL;
    channel_freep(&child->channel);
}

void child_drop_ring(struct vm *vm, uint32_t *ring)
{
    struct spawner_request request = { .kind = SPAWNER_DROP_RING, .id = *ring };

    if (*ring != 0 && spawner_send(vm->spawner, &request, NULL, 0) < 0)
        log_debug("%s", err_text());
    *ring = 0;
}

bool child_is_ready(const struct child *child)
{
    return child->state == CHILD_READY;
}

void child_free(struct child *child)
{
    struct vm *vm = child->vm;

    if (!child->device || child->device->ring != child->ring)
        child_drop_ring(vm, &child->ring);
    for (unsigned i = 0; i < vm->n_children; i++)
        if (vm->children[i] == child) {
            vm->children[i] = vm->children[--vm->n_children];
            break;
        }
    child_close(child);
    if (child->exit_event)
        loop_event_free(child->exit_event);
    log_relay_free(child->log);
    fd_closep(&child->pidfd);
    fd_closep(&child->stat_fd);
    free(child);
}

/* The child's log pipe and the request itself; fd3 becomes its descriptor 3. program_fd -1: the
 * spawner's own. */
static int ask_spawner(struct child *child, struct spawner_request *request, int fd3,
                       int program_fd, struct fault *f)
{
    int fds[4];
    int pipes[2];
    int r;

    if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK) < 0)
        return fault_host(f, errno, "a log pipe for %s: %s", child->name, strerror(errno));
    fds[0] = pipes[0];
    fds[1] = fd3;
    fds[2] = pipes[1];
    fds[3] = program_fd;
    request->kind = SPAWNER_START;
    request->id = child->id;
    request->uid_slot = child->uid_slot;
    r = spawner_send(child->vm->spawner, request, fds, program_fd >= 0 ? 4 : 3);
    close(pipes[1]);
    if (r == 0)
        r = log_relay_new(&child->log, child->vm->loop, pipes[0], child->name);
    if (r < 0) {
        if (!child->log)
            close(pipes[0]);
        return fault_host(f, r, "starting %s: %s", child->name, err_text());
    }
    return 0;
}

static void set_uid(struct child *child, unsigned uid_slot)
{
    const struct plan_host *host = &child->vm->host;

    child->uid_slot = uid_slot;
    child->uid = host->root ? sandbox_uid(host->uid_range, uid_slot) : host->uid;
}

static unsigned slot_of(Bulkhead__Role role, const struct device *device)
{
    if (device)
        return device->plan->uid_slot;
    return role == BULKHEAD__ROLE__ROLE_CORE ? PLAN_UID_CORE : PLAN_UID_LOADER;
}

static bool slot_free(const struct vm *vm, unsigned slot)
{
    for (unsigned i = 0; i < vm->n_children; i++)
        if (vm->children[i]->uid_slot == slot)
            return false;
    return slot < PLAN_UID_PASST;
}

/* The wanted uid, unless a process that is alive has it: no two ever share one. -1: all are taken. */
static int free_slot(const struct vm *vm, unsigned wanted)
{
    if (slot_free(vm, wanted))
        return (int)wanted;
    for (unsigned slot = PLAN_UID_FIRST_DEVICE; slot < PLAN_UID_PASST; slot++)
        if (slot_free(vm, slot))
            return (int)slot;
    return -1;
}

struct child *child_start(struct vm *vm, Bulkhead__Role role, struct device *device,
                          unsigned uid_slot, int program_fd, struct fault *f)
{
    struct spawner_request request = { .slot = slot_of(role, device) };
    cleanup_(fd_closep) int theirs = -1;
    struct child *child;
    int pair[2], r, slot;

    if (program_fd < 0 && programs_fd(&vm->programs, role, f) < 0)
        return NULL;
    slot = free_slot(vm, uid_slot);
    child = slot < 0 ? NULL : child_new(vm, role, device);
    if (!child || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        fault_host(f, child ? errno : ENOMEM, "starting %s: no resources", plan_program(role));
        goto fail;
    }
    theirs = pair[1];
    r = channel_new(&child->channel, pair[0], CHANNEL_ARENA_BROKER);
    if (r < 0) {
        close(pair[0]);
        fault_host(f, r, "starting %s: %s", child->name, err_text());
        goto fail;
    }
    r = loop_add_fd(vm->loop, pair[0], LOOP_READ, supervise_on_message, child, &child->event);
    if (r < 0) {
        fault_host(f, r, "starting %s: %s", child->name, err_text());
        goto fail;
    }
    set_uid(child, (unsigned)slot);
    /* A candidate of an upgrade starts beside a living worker and has nothing to drain. */
    if (device && !device->worker && device->ring != 0) {
        request.ring_of = device->ring;
        child->drains_ring = true;
    }
    if (ask_spawner(child, &request, theirs, program_fd, f) < 0)
        goto fail;
    return child;
fail:
    if (child)
        child_free(child);
    return NULL;
}

struct child *child_start_passt(struct device *device, struct fault *f)
{
    struct vm *vm = device->vm;
    struct spawner_request request = { .slot = device->plan->passt_uid_slot };
    struct child *child;

    if (programs_fd(&vm->programs, BULKHEAD__ROLE__ROLE_PASST, f) < 0)
        return NULL;
    child = child_new(vm, BULKHEAD__ROLE__ROLE_PASST, device);
    if (!child) {
        fault_host(f, ENOMEM, "starting passt: no resources");
        return NULL;
    }
    snprintf(child->name, sizeof child->name, "%s-passt", device->plan->name);
    child->state = CHILD_RUNNING;
    set_uid(child, device->plan->passt_uid_slot);
    if (ask_spawner(child, &request, device->backend.held[0], -1, f) < 0) {
        child_free(child);
        return NULL;
    }
    return child;
}

void child_kill(struct child *child, const char *fmt, ...)
{
    struct spawner_request request = { .kind = SPAWNER_KILL, .id = child->id };
    va_list args;

    if (child->reason[0] == '\0') {
        va_start(args, fmt);
        vsnprintf(child->reason, sizeof child->reason, fmt, args);
        va_end(args);
    }
    if (child->killing)
        return;
    child->killing = true;
    /* Without a spawner the core's end closes the life pipe, which ends the workers. */
    if (spawner_send(child->vm->spawner, &request, NULL, 0) < 0 && child->channel) {
        Bulkhead__Stop stop = BULKHEAD__STOP__INIT;
        ENVELOPE(e, STOP, stop, &stop);

        if (channel_send(child->channel, &e, NULL, 0, false) < 0)
            log_warn("%s can't be reached", child->name);
    }
}

/* What the receiver will answer; anything else of that kind is a lie. */
static uint32_t answer_to(const Bulkhead__Envelope *e)
{
    switch ((int)e->body_case) {
    case BULKHEAD__ENVELOPE__BODY_ACTIVATE:
        return 1u << BULKHEAD__ENVELOPE__BODY_ACTIVATED;
    case BULKHEAD__ENVELOPE__BODY_RESET:
        return 1u << BULKHEAD__ENVELOPE__BODY_RESET_DONE;
    case BULKHEAD__ENVELOPE__BODY_QUIESCE:
        return 1u << BULKHEAD__ENVELOPE__BODY_QUIESCED;
    default:
        return 0;
    }
}

int child_send(struct child *child, const Bulkhead__Envelope *envelope, const int *fds,
               size_t n_fds)
{
    int r;

    if (!child->channel)
        return -EPIPE;
    r = rules_check(RULE_TO_CHILD, child->role, child->state, envelope, n_fds);
    if (r < 0) {
        log_error("%s: %s", child->name, err_text());
        return r;
    }
    r = channel_send(child->channel, envelope, fds, n_fds, false);
    if (r == -EPIPE || r == -ECONNRESET)
        return r; /* it is dying: its exit is on the way */
    if (r < 0) {
        child_kill(child, "does not take messages (%s)", err_text());
        return r;
    }
    child->state = rules_next(RULE_TO_CHILD, child->role, child->state, envelope);
    child->owed |= answer_to(envelope);
    return 0;
}

void child_stop(struct child *child)
{
    Bulkhead__Stop stop = BULKHEAD__STOP__INIT;
    ENVELOPE(e, STOP, stop, &stop);

    if (child->state == CHILD_ENDED || child->killing)
        return;
    if (!child->channel || child->role == BULKHEAD__ROLE__ROLE_PASST ||
        child_send(child, &e, NULL, 0) < 0) {
        child_kill(child, "no longer needed");
        return;
    }
    child->stop_deadline_ns = now_ns() + VM_STOP_WORKERS_MS * 1000000ull;
}

void child_describe_exit(int wait_code, int wait_status, char *ret_text, size_t size)
{
    if (wait_code == CLD_EXITED)
        snprintf(ret_text, size, "left with status %d", wait_status);
    else if (wait_status == SIGSYS)
        snprintf(ret_text, size, "killed by its sandbox for a forbidden system call");
    else if (wait_status == SIGBUS)
        snprintf(
            ret_text, size,
            "killed by signal %d (%s): it touched memory that the host can't supply or has lost",
            wait_status, strsignal(wait_status));
    else
        snprintf(ret_text, size, "killed by signal %d (%s)", wait_status, strsignal(wait_status));
}

static struct child *find(struct vm *vm, uint32_t id)
{
    for (unsigned i = 0; i < vm->n_children; i++)
        if (vm->children[i]->id == id)
            return vm->children[i];
    return NULL;
}

static void on_started(struct child *child, const struct spawner_report *report, int *fds)
{
    unsigned mandatory = report->missing & SANDBOX_LAYERS_MANDATORY;

    if (report->error != 0) {
        /* What the host forbids, or has no more of, is the caller's environment. */
        child->reason_bad_input = report->error == EPERM || report->error == EACCES ||
                                  report->error == ENOSPC || report->error == EUSERS;
        snprintf(child->reason, sizeof child->reason, "%s%.6s could not be started: %.118s",
                 child->device ? "its process" : "the ", child->device ? "" : child->name,
                 report->text);
        supervise_on_exit(child, 0, 0);
        return;
    }
    child->pid = report->pid;
    child->pidfd = fd_take(&fds[SPAWNER_FD_PID]);
    child->stat_fd = fd_take(&fds[SPAWNER_FD_STAT]);
    child->missing_layers = report->missing;
    child->ring = report->has_ring ? child->id : 0;
    vm_trace(child->vm, "%s spawned", child->name);
    if (mandatory != 0 && !child->vm->insecure) {
        const char *layer = sandbox_layer_name(mandatory & -mandatory);

        child->reason_bad_input = true;
        child_kill(child,
                   "this host can't give it the sandbox layer %s: see bulkhead doctor, or "
                   "use --insecure",
                   layer ? layer : "?");
    }
}

static void on_exit_unreported(int fd, unsigned what, void *arg)
{
    (void)fd;
    (void)what;
    supervise_on_exit(arg, 0, 0);
}

/* Exits are seen on the pidfds from now on, without their status. What was not yet reported as
 * started finds its control socket closed, if it is there at all. */
static void on_spawner_gone(struct vm *vm)
{
    loop_event_free(vm->spawner_event);
    vm->spawner_event = NULL;
    fd_closep(&vm->spawner->fd);
    vm_end(vm, BULKHEAD__GUEST_STATE_KIND__GUEST_NONE, false, true,
           "the spawner died: its VM can't be supervised any more");
    for (unsigned i = vm->n_children; i > 0; i--) {
        struct child *child = vm->children[i - 1];

        if (child->pidfd < 0 || loop_add_fd(vm->loop, child->pidfd, LOOP_READ, on_exit_unreported,
                                            child, &child->exit_event) < 0)
            supervise_on_exit(child, 0, 0);
    }
}

void child_on_spawner(int fd, unsigned what, void *arg)
{
    struct vm *vm = arg;

    (void)fd;
    (void)what;
    for (;;) {
        struct spawner_report report;
        int fds[SPAWNER_REPORT_FDS] = { -1, -1 };
        int r = spawner_receive(vm->spawner, &report, fds);
        struct child *child;

        if (r > 0)
            return;
        if (r < 0) {
            on_spawner_gone(vm);
            return;
        }
        child = find(vm, report.id);
        if (child && report.kind == SPAWNER_STARTED)
            on_started(child, &report, fds);
        else if (child && report.kind == SPAWNER_EXITED)
            supervise_on_exit(child, report.wait_code, report.wait_status);
        for (unsigned i = 0; i < SPAWNER_REPORT_FDS; i++)
            fd_closep(&fds[i]);
    }
}
