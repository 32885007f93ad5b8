/* SPDX-License-Identifier: Apache-2.0 */
/* worker_run.c - the loop of every device process: kicks in bounded batches, the broker's
 * messages, heartbeat, and the ways to stop: drained reset and quiesce, Stop, the core's death.
 *
 * A kick runs one batch of the device's on_queue(); what is left runs again after all other
 * events had their turn, so a guest that never stops kicking can't keep the broker waiting. All
 * batches between two looks at the events share one budget of bytes and time (turn.h).
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "worker_state.h"

enum { HEARTBEAT_MS = 200, MESSAGES_PER_TURN = 16 };

int worker_send_fd(struct worker *w, const Bulkhead__Envelope *envelope, int fd)
{
    int r;

    if (w->control_gone)
        return 0;
    r = channel_send(w->channel, envelope, &fd, fd >= 0 ? 1 : 0, true);
    if (r == -EPIPE || r == -ECONNRESET) {
        w->control_gone = true;
        return 0;
    }
    if (r < 0)
        return err_trace(r);
    w->state = rules_next(RULE_FROM_CHILD, w->ops->role, w->state, envelope);
    return 0;
}

int worker_say(struct worker *w, const Bulkhead__Envelope *envelope)
{
    return worker_send_fd(w, envelope, -1);
}

int worker_send(struct worker *w, const Bulkhead__Envelope *envelope)
{
    return worker_say(w, envelope);
}

int worker_config_update(struct worker *w, unsigned offset, const void *data, unsigned len)
{
    Bulkhead__ConfigUpdate update = BULKHEAD__CONFIG_UPDATE__INIT;
    ENVELOPE(e, CONFIG_UPDATE, config_update, &update);

    update.offset = offset;
    update.data.data = (uint8_t *)(uintptr_t)data;
    update.data.len = len;
    return worker_say(w, &e);
}

bool worker_running(const struct worker *w)
{
    return w->running;
}

void worker_rerun(struct worker *w, unsigned q)
{
    w->queues[q].rerun = true;
    if (w->rerun_armed)
        return;
    w->rerun_armed = true;
    loop_timer_arm(w->rerun, 0, false);
}

static void rerun_all(struct worker *w)
{
    for (unsigned i = 0; i < w->n_queues; i++)
        worker_rerun(w, i);
}

void worker_needs_reset(struct worker *w, unsigned q, const char *why)
{
    Bulkhead__NeedsReset needs = BULKHEAD__NEEDS_RESET__INIT;
    char text[96];
    ENVELOPE(e, NEEDS_RESET, needs_reset, &needs);
    int r;

    w->stats->guest_faults++;
    log_guest("queue %u: %s; waiting for the driver's reset", q, why);
    w->running = false;
    if (w->broken)
        return;
    w->broken = true;
    snprintf(text, sizeof text, "queue %u: %s", q, why);
    needs.why = text;
    r = worker_say(w, &e);
    if (r < 0)
        worker_fail(w, r);
}

void worker_run_queue(struct worker *w, unsigned q)
{
    struct vq *vq = w->queues[q].vq;
    int r;

    if (!w->running || !vq_active(vq))
        return;
    if (turn_over(&w->turn)) {
        w->behind = true;
        worker_rerun(w, q);
        return;
    }
    vq_disable_kicks(vq);
    r = w->ops->on_queue(w->device, q);
    if (r == VQ_E_GUEST)
        worker_needs_reset(w, q, "the ring is broken");
    else if (r < 0)
        worker_fail(w, r);
}

static void on_kick(int fd, unsigned what, void *arg)
{
    struct worker_queue *q = arg;

    /* The counter is never read: each kick is an edge, and what counts is in the ring. */
    (void)fd;
    (void)what;
    q->worker->stats->kicks++;
    worker_poll_woken(q->worker);
    /* A queue that is kicked each time comes before the timer of those that are still to run. */
    if (q->worker->behind)
        worker_rerun(q->worker, q->index);
    else
        worker_run_queue(q->worker, q->index);
}

/* One after the other in a circle, so that a queue that needs the whole turn leaves the next to
 * another one. */
void worker_run_pending(struct worker *w)
{
    unsigned first = w->next_rerun;

    w->rerun_armed = false;
    w->behind = false;
    for (unsigned i = 0; i < w->n_queues; i++) {
        unsigned q = (first + i) % w->n_queues;

        if (!w->queues[q].rerun)
            continue;
        w->queues[q].rerun = false;
        if (!turn_over(&w->turn))
            w->next_rerun = (q + 1) % w->n_queues;
        worker_run_queue(w, q);
    }
}

static void on_rerun(int fd, unsigned what, void *arg)
{
    (void)fd;
    (void)what;
    worker_run_pending(arg);
}

static void before_sleep(void *arg)
{
    struct worker *w = arg;

    if (w->ops->poll && w->activated)
        worker_poll(w);
    else if (w->ops->before_sleep && w->activated)
        w->ops->before_sleep(w->device);
    for (unsigned i = 0; i < w->n_queues && w->running; i++)
        if (vq_rearm(w->queues[i].vq))
            worker_rerun(w, i);
    turn_begin(&w->turn);
    worker_poll_sleeps(w);
}

static void on_heartbeat(int fd, unsigned what, void *arg)
{
    struct worker *w = arg;

    (void)fd;
    (void)what;
    __atomic_fetch_add(&w->stats->heartbeat, 1, __ATOMIC_RELAXED);
}

void worker_leave(struct worker *w)
{
    loop_quit(w->loop, 0);
}

static void on_part_timeout(int fd, unsigned what, void *arg)
{
    (void)fd;
    (void)what;
    worker_leave(arg);
}

static void part(struct worker *w, unsigned patience_ms)
{
    w->running = false;
    if (!w->ops->part || loop_timer_arm(w->part, patience_ms, false) < 0)
        worker_leave(w);
    else
        w->ops->part(w->device);
}

static void on_life(int fd, unsigned what, void *arg)
{
    struct worker *w = arg;
    char byte;

    (void)what;
    /* The pipe carries nothing: end of file means that the core is gone, and with it the VM. */
    if (read(fd, &byte, 1) == 0) {
        loop_event_pause(w->on_life);
        part(w, WORKER_PART_DEAD_MS);
    }
}

/* ---- stopping ---- */

static int finish_quiesce(struct worker *w)
{
    Bulkhead__Quiesced quiesced = BULKHEAD__QUIESCED__INIT;
    ENVELOPE(e, QUIESCED, quiesced, &quiesced);

    w->want_quiesce = false;
    return worker_say(w, &e);
}

static int finish_reset(struct worker *w)
{
    Bulkhead__ResetDone done = BULKHEAD__RESET_DONE__INIT;
    ENVELOPE(e, RESET_DONE, reset_done, &done);

    w->want_reset = false;
    for (unsigned i = 0; i < w->n_queues; i++) {
        vq_deactivate(w->queues[i].vq);
        w->queues[i].rerun = false;
    }
    if (w->activated && w->ops->reset)
        w->ops->reset(w->device);
    w->activated = false;
    w->broken = false;
    return worker_say(w, &e);
}

static void finish_drain(struct worker *w)
{
    int r = 0;

    w->draining = false;
    if (w->want_quiesce)
        r = finish_quiesce(w);
    if (r == 0 && w->want_reset)
        r = finish_reset(w);
    if (r < 0)
        worker_fail(w, r);
    else if (w->want_stop)
        part(w, WORKER_PART_MS);
}

static void drain(struct worker *w)
{
    w->running = false;
    if (w->draining)
        return;
    w->draining = true;
    if (w->activated)
        w->ops->drain(w->device);
    else
        finish_drain(w);
}

void worker_drained(struct worker *w)
{
    if (w->draining)
        finish_drain(w);
}

/* ---- the broker's messages ---- */

/* 0, VQ_E_GUEST (the addresses are the guest's), or a negative errno (the message is wrong). */
static int activate_queues(struct worker *w, const Bulkhead__Activate *m)
{
    for (size_t i = 0; i < m->n_queues; i++) {
        const Bulkhead__QueueState *q = m->queues[i];
        struct vq_addresses a = { .desc = q->desc, .avail = q->avail, .used = q->used };
        int r;

        if (q->index >= w->n_queues || vq_active(w->queues[q->index].vq))
            return err_origin(-EBADMSG, "activate names queue %u", q->index);
        a.size = q->size > VQ_MAX_SIZE ? 0 : (uint16_t)q->size;
        r = vq_activate(w->queues[q->index].vq, &a, m->features, m->resume);
        if (r != 0)
            return r;
    }
    return 0;
}

static int handle_activate(struct worker *w, const Bulkhead__Activate *m)
{
    Bulkhead__Activated activated = BULKHEAD__ACTIVATED__INIT;
    ENVELOPE(e, ACTIVATED, activated, &activated);
    int bad_rings;
    int r;

    if (m->features & ~w->offered)
        return err_origin(-EBADMSG, "activate with features that were not offered");
    bad_rings = activate_queues(w, m);
    if (bad_rings < 0)
        return err_trace(bad_rings);
    if (bad_rings == 0) {
        w->activated = true;
        r = w->ops->activate(w->device, m->features, m->resume);
        if (r < 0)
            return err_trace(r);
    }
    r = worker_say(w, &e);
    if (r < 0)
        return err_trace(r);
    if (bad_rings) {
        worker_needs_reset(w, 0, "a ring is not in RAM");
        return 0;
    }
    w->running = true;
    /* Kicks may have come before; the dead worker's last interrupt may never have left. */
    rerun_all(w);
    for (unsigned i = 0; m->resume && i < w->n_queues; i++)
        vq_notify(w->queues[i].vq);
    return 0;
}

static int dispatch(struct worker *w, struct message *msg)
{
    const Bulkhead__Envelope *e = msg->envelope;

    switch ((int)e->body_case) {
    case BULKHEAD__ENVELOPE__BODY_ACTIVATE:
        return handle_activate(w, e->activate);
    case BULKHEAD__ENVELOPE__BODY_RESET:
        w->want_reset = true;
        drain(w);
        return 0;
    case BULKHEAD__ENVELOPE__BODY_QUIESCE:
        w->want_quiesce = true;
        drain(w);
        return 0;
    case BULKHEAD__ENVELOPE__BODY_UNQUIESCE:
        w->running = w->activated && !w->broken && !w->draining;
        rerun_all(w);
        return 0;
    case BULKHEAD__ENVELOPE__BODY_STOP:
        w->want_stop = true;
        drain(w);
        return 0;
    default:
        if (!w->ops->on_message)
            return err_origin(-EPROTO, "%s is nothing for this device",
                              rules_body_name(e->body_case));
        return w->ops->on_message(w->device, e, msg->fds, (unsigned)msg->n_fds);
    }
}

static void on_control(int fd, unsigned what, void *arg)
{
    struct worker *w = arg;

    (void)fd;
    (void)what;
    for (unsigned i = 0; i < MESSAGES_PER_TURN; i++) {
        struct message msg = { 0 };
        int r = channel_receive(w->channel, false, &msg);

        if (r == CHANNEL_EMPTY)
            return;
        if (r == CHANNEL_CLOSED) {
            /* The broker is gone; the guest is not. The core's end still ends us. */
            w->control_gone = true;
            loop_event_pause(w->on_control);
            return;
        }
        if (r == 0)
            r = rules_check(RULE_TO_CHILD, w->ops->role, w->state, msg.envelope, msg.n_fds);
        if (r == 0) {
            w->state = rules_next(RULE_TO_CHILD, w->ops->role, w->state, msg.envelope);
            r = dispatch(w, &msg);
        }
        if (r < 0) {
            worker_fail(w, r);
            return;
        }
    }
}

int worker_watch(struct worker *w)
{
    int r = loop_add_fd(w->loop, channel_fd(w->channel), LOOP_READ, on_control, w, &w->on_control);

    if (r == 0)
        r = loop_add_fd(w->loop, w->life_fd, LOOP_READ, on_life, w, &w->on_life);
    for (unsigned i = 0; i < w->n_queues && r == 0; i++)
        r = loop_add_fd(w->loop, w->queues[i].kick_fd, LOOP_READ | LOOP_EDGE, on_kick,
                        &w->queues[i], &w->queues[i].on_kick);
    if (r == 0)
        r = loop_add_timer(w->loop, on_rerun, w, &w->rerun);
    if (r == 0)
        r = loop_add_timer(w->loop, on_part_timeout, w, &w->part);
    if (r == 0)
        r = loop_add_timer(w->loop, on_heartbeat, w, &w->heartbeat);
    if (r == 0)
        r = loop_timer_arm(w->heartbeat, HEARTBEAT_MS, true);
    if (r < 0)
        return err_trace(r);
    loop_set_before_sleep(w->loop, before_sleep, w);
    return 0;
}

int worker_run(struct worker *w)
{
    int r = loop_run(w->loop);

    if (r < 0) {
        log_error("%s", err_text());
        return 1;
    }
    return r;
}
