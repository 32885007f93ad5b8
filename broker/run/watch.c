/* SPDX-License-Identifier: Apache-2.0 */
/* watch.c - see watch.h. */
#include "run/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "resources/signals.h"
#include "run/happen.h"
#include "vm/link.h"

enum { TICK_MS = 50, TICK_LATE_MS = 2 * TICK_MS, MESSAGES_PER_TURN = 32 };

/* ---- messages ---- */

static bool fits(const struct message *msg)
{
    return msg->n_fds == 1 && fd_expect(msg->fds[0], FD_TYPE_STREAM, "a client") == 0;
}

static void on_broken(struct port *port)
{
    struct instance *in = port->instance;
    struct event e = { .kind = EVENT_BROKEN, .child = port->id };

    snprintf(e.fault.text, sizeof e.fault.text, "%s", err_text());
    happen(in, &e);
}

/* So many a turn: a flood by one child doesn't starve the others. True: there may be more. */
static bool receive_some(struct instance *in, uint32_t id)
{
    for (int turn = 0; turn < MESSAGES_PER_TURN; turn++) {
        struct port *port = instance_port(in, id);
        struct event e = { .kind = EVENT_MESSAGE, .child = id };
        const struct child *c;
        struct message msg;
        int r;

        if (!port || !port->channel)
            return false;
        r = channel_receive(port->channel, false, &msg);
        if (r == CHANNEL_EMPTY)
            return false;
        if (r == CHANNEL_CLOSED || r == -ECONNRESET) {
            port_close(port);
            e.kind = EVENT_CLOSED;
            happen(in, &e);
            return false;
        }
        if (r < 0) {
            on_broken(port);
        } else {
            e.envelope = msg.envelope;
            e.n_fds = msg.n_fds;
            e.fd_fits = fits(&msg);
            in->message = &msg;
            happen(in, &e);
            in->message = NULL;
        }
        c = vm_look(&in->vm, id);
        port = instance_port(in, id);
        if (port && port->channel)
            channel_done(port->channel); /* it is acted on, and written down */
        if (port && c && c->closed) {    /* it broke the protocol: nothing more is read of it */
            port_close(port);
            return false;
        }
    }
    return true;
}

void watch_on_message(int fd, unsigned what, void *arg)
{
    struct port *port = arg;

    (void)fd;
    (void)what;
    (void)receive_some(port->instance, port->id);
}

/* ---- starts and ends ---- */

void watch_describe_exit(int wait_code, int wait_status, char *ret_text, size_t size)
{
    if (wait_code == 0)
        ret_text[0] = '\0';
    else if (wait_code == CLD_EXITED)
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

void watch_exited(struct instance *in, struct port *port, int wait_code, int wait_status, bool oom)
{
    struct event e = { .kind = EVENT_EXITED, .child = port->id, .oom = oom };
    const struct child *c = vm_look(&in->vm, port->id);
    bool passt = c && c->role == BULKHEAD__ROLE__ROLE_PASST;

    while (receive_some(in, e.child)) /* what it said last counts */
        ;
    port = instance_port(in, e.child);
    if (!port)
        return;
    if (port->log)
        log_relay_end(port->log);
    e.clean = wait_code == CLD_EXITED && wait_status == 0;
    watch_describe_exit(wait_code, wait_status, e.fault.text, sizeof e.fault.text);
    if (oom)
        snprintf(e.fault.text, sizeof e.fault.text,
                 "killed by the kernel: its control group, its VM's or the host was out of memory");
    /* passt has no socket of ours: it says on its log why it leaves. */
    if (passt && wait_code == CLD_EXITED && port->log && log_relay_last(port->log)[0] != '\0')
        snprintf(e.fault.text, sizeof e.fault.text, "%s", log_relay_last(port->log));
    happen(in, &e);
}

void watch_not_started(struct instance *in, struct port *port, int error, const char *why)
{
    struct event e = { .kind = EVENT_START_FAILED, .child = port->id };

    e.fault.error = error;
    /* What the host forbids, or has no more of, is the caller's environment. */
    e.fault.bad_input = error == EPERM || error == EACCES || error == ENOSPC || error == EUSERS;
    snprintf(e.fault.text, sizeof e.fault.text, "%s", why);
    port_close(port);
    happen(in, &e);
}

static void on_started(struct instance *in, struct port *port, const struct spawner_report *report,
                       int *fds)
{
    struct event e = { .child = port->id };

    if (report->error != 0) {
        watch_not_started(in, port, report->error, report->text);
        return;
    }
    e.kind = EVENT_STARTED;
    e.pid = report->pid;
    e.missing = report->missing;
    e.has_ring = report->has_ring;
    fd_closep(&port->pidfd);
    fd_closep(&port->stat_fd);
    port->pidfd = fd_take(&fds[SPAWNER_FD_PID]);
    port->stat_fd = fd_take(&fds[SPAWNER_FD_STAT]);
    happen(in, &e);
}

static void on_exit_unreported(int fd, unsigned what, void *arg)
{
    struct port *port = arg;

    (void)fd;
    (void)what;
    watch_exited(port->instance, port, 0, 0, false);
}

/* Exits are seen on the pidfds from now on, without their status. What was not yet reported as started
 * finds its control socket closed, if it is there at all. */
static void on_spawner_gone(struct instance *in)
{
    const struct event gone = { .kind = EVENT_SPAWNER_GONE };

    loop_event_free(in->spawner_event);
    in->spawner_event = NULL;
    fd_closep(&in->spawner->fd);
    happen(in, &gone);
    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++) {
        struct port *port = &in->ports[i];

        if (port->id != 0 &&
            (port->pidfd < 0 || loop_add_fd(in->loop, port->pidfd, LOOP_READ, in->on_exit, port,
                                            &port->exit_event) < 0))
            watch_exited(in, port, 0, 0, false);
    }
}

static void on_not_renewed(struct instance *in, const struct spawner_report *report)
{
    struct action reply = { .kind = ACTION_REPLY, .ticket = in->renewer, .error = report->error };

    reply.bad_input = true;
    snprintf(reply.text, sizeof reply.text, "%s", report->text);
    in->renewer = (struct ticket){ 0 };
    if (in->audience.reply)
        in->audience.reply(in->audience.arg, &reply);
}

static void on_spawner(int fd, unsigned what, void *arg)
{
    struct instance *in = arg;

    (void)fd;
    (void)what;
    while (in->spawner_event) {
        struct spawner_report report;
        int fds[SPAWNER_REPORT_FDS] = { -1, -1 };
        int r = spawner_receive(in->spawner, &report, fds);
        struct port *port;

        if (r > 0)
            return;
        if (r < 0) {
            on_spawner_gone(in);
            return;
        }
        port = instance_port(in, report.id);
        if (report.kind == SPAWNER_RENEW)
            on_not_renewed(in, &report);
        else if (port && report.kind == SPAWNER_STARTED)
            on_started(in, port, &report, fds);
        else if (port && report.kind == SPAWNER_EXITED)
            watch_exited(in, port, report.wait_code, report.wait_status,
                         (report.kept & SPAWNER_CHILD_OOM) != 0);
        for (unsigned i = 0; i < SPAWNER_REPORT_FDS; i++)
            fd_closep(&fds[i]);
    }
}

/* ---- time ---- */

static void look_at(struct instance *in, unsigned number)
{
    const struct device *d = &in->vm.devices[number];
    const struct starved_limits limits = {
        .hang_ns = in->config->hang_timeout_ms * UINT64_C(1000000),
        .stall_ns = in->config->stall_timeout_ms * UINT64_C(1000000),
    };
    const struct child *w = vm_look(&in->vm, d->worker);
    struct port *port = instance_port(in, d->worker);
    struct event e = { .kind = EVENT_PULSE, .device = number };
    uint64_t now = now_ns(); /* not before a sign of life that the tick has moved */
    enum starved_of of;

    if (!w || !port || !child_is_live(w))
        return;
    e.beat = __atomic_load_n(&in->ends[number].stats->heartbeat, __ATOMIC_RELAXED);
    if (e.beat != w->beat) {
        port->starved = (struct starved){ 0 };
        e.pulse = PULSE_BEATS;
    } else if (starved_too_long(&port->starved, port->stat_fd, now - w->beat_ns, now, &limits,
                                &of)) {
        e.pulse = PULSE_HANGS;
    } else {
        e.pulse = of == STARVED_OF_DISK ? PULSE_WAITS_FOR_DISK : PULSE_SILENT;
    }
    if (e.pulse != PULSE_SILENT)
        happen(in, &e);
}

void watch_on_tick(int fd, unsigned what, void *arg)
{
    struct instance *in = arg;
    uint64_t now = now_ns();
    uint64_t gap_ns = in->last_tick_ns != 0 ? now - in->last_tick_ns : 0;
    struct event e = { .kind = EVENT_TICK };

    (void)fd;
    (void)what;
    /* Time in which we were not run ourselves is not held against workers. */
    if (gap_ns > TICK_LATE_MS * UINT64_C(1000000))
        e.lost_ns = gap_ns - TICK_MS * UINT64_C(1000000);
    in->last_tick_ns = now;
    if (in->vm.phase != VM_RUNNING)
        return;
    happen(in, &e);
    for (unsigned i = 0; i < in->n_ends && in->vm.phase == VM_RUNNING; i++)
        look_at(in, i);
}

static void on_deadline(int fd, unsigned what, void *arg)
{
    const struct event e = { .kind = EVENT_DEADLINE };

    (void)fd;
    (void)what;
    happen(arg, &e);
}

/* ---- passt ---- */

static bool has_ended(int pidfd)
{
    struct pollfd p = { .fd = pidfd, .events = POLLIN };

    return poll(&p, 1, 0) == 1;
}

/* passt gives no sign of being ready, but a system call filter is the last thing it does for that. */
static bool has_filter(const struct port *passt)
{
    char text[4096];
    ssize_t n = passt->stat_fd < 0 ? -1 : pread(passt->stat_fd, text, sizeof text - 1, 0);

    /* Gone, which is about to be reported; or it can't be asked, nor waited for. */
    if (n <= 0)
        return !has_ended(passt->pidfd);
    text[n] = '\0';
    return strstr(text, "\nSeccomp:\t2") != NULL;
}

bool watch_passt_settled(const struct port *passt, pid_t pid, uint64_t started_ns)
{
    return (pid != 0 && has_filter(passt)) ||
           now_ns() - started_ns > CHILD_READY_MS * UINT64_C(1000000);
}

static void on_passt_timer(int fd, unsigned what, void *arg)
{
    struct instance *in = arg;
    bool again = false;

    (void)fd;
    (void)what;
    for (unsigned i = 0; i < in->n_ends; i++) {
        const struct device *d = &in->vm.devices[i];
        const struct child *c = vm_look(&in->vm, d->passt);
        const struct port *port = instance_port(in, d->passt);
        struct event e = { .kind = EVENT_PASST_SETTLED, .device = i };

        if (link_awaits_passt(&in->vm, d) && c && port &&
            watch_passt_settled(port, c->pid, c->started_ns))
            happen(in, &e);
        again |= link_awaits_passt(&in->vm, d);
    }
    if (again)
        loop_timer_arm(in->passt_timer, INSTANCE_PASST_POLL_MS, false);
}

/* ---- signals ---- */

static void on_signal(int fd, unsigned what, void *arg)
{
    struct event e = { .kind = EVENT_END };
    const char *name = signals_take(fd);

    (void)what;
    if (!name)
        return;
    snprintf(e.fault.text, sizeof e.fault.text, "ended by %s", name);
    happen(arg, &e);
}

int watch_signals(struct instance *in)
{
    int r = signals_open(&in->signal_fd);

    if (r == 0)
        r = loop_add_fd(in->loop, in->signal_fd, LOOP_READ, on_signal, in, &in->signal_event);
    return r < 0 ? err_trace(r) : 0;
}

int watch_begin(struct instance *in)
{
    int r;

    in->on_message = watch_on_message;
    in->on_exit = on_exit_unreported;
    r = loop_add_fd(in->loop, in->spawner->fd, LOOP_READ, on_spawner, in, &in->spawner_event);
    if (r == 0)
        r = loop_add_timer(in->loop, on_deadline, in, &in->deadline);
    if (r == 0)
        r = loop_add_timer(in->loop, watch_on_tick, in, &in->tick);
    if (r == 0)
        r = loop_timer_arm(in->tick, TICK_MS, true);
    if (r == 0) /* also for networks that are added */
        r = loop_add_timer(in->loop, on_passt_timer, in, &in->passt_timer);
    return r < 0 ? err_trace(r) : 0;
}
