/* SPDX-License-Identifier: Apache-2.0 */
/* worker_run.c - the loop of every device process: kicks in bounded batches, the broker's
 * messages, heartbeat, and the ways to stop: drained reset and quiesce, Stop, the core's death.
 *
 * A kick runs one batch of the device's on_queue(); what is left runs again after all other
 * events had their turn, so a guest that never stops kicking can't keep the broker waiting. All
 * batches between two looks at the events share one budget of bytes and time (turn.h).
 */
#include "worker_run.h"

#include <errno.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "worker.h"
#include "worker_memory.h"
#include "worker_poll.h"
#include "worker_queue.h"
#include "worker_say.h"
#include "worker_state.h"
#include "worker_stop.h"

enum { HEARTBEAT_MS = 200, MESSAGES_PER_TURN = 16 };

static void rerun_all(struct worker *w)
{
    for (unsigned i = 0; i < w->n_queues; i++)
        worker_rerun(w, i);
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
        worker_queue_run(q->worker, q->index);
}

static void on_rerun(int fd, unsigned what, void *arg)
{
    (void)fd;
    (void)what;
    worker_queue_run_pending(arg);
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

static void on_part_timeout(int fd, unsigned what, void *arg)
{
    (void)fd;
    (void)what;
    worker_leave(arg);
}

static void on_life(int fd, unsigned what, void *arg)
{
    struct worker *w = arg;
    char byte;

    (void)what;
    /* The pipe carries nothing: end of file means that the core is gone, and with it the VM. */
    if (read(fd, &byte, 1) == 0) {
        loop_event_pause(w->on_life);
        worker_stop_part(w, WORKER_PART_DEAD_MS);
    }
}

/* ---- the broker's messages ---- */

/* Whether some worker had begun what this activation is about. A broker that took over may not know. */
static bool is_resumed(const struct worker *w, const Bulkhead__Activate *m)
{
    return m->resume && (m->activation == 0 || w->stats->activation == m->activation);
}

static void remember_activation(struct worker *w, const Bulkhead__Activate *m)
{
    struct worker_activation *a = &w->activation;

    a->features = m->features;
    a->number = m->activation;
    a->n_queues = (unsigned)m->n_queues;
    for (unsigned i = 0; i < a->n_queues; i++) {
        a->queues[i].index = m->queues[i]->index;
        a->queues[i].size = m->queues[i]->size;
        a->queues[i].desc = m->queues[i]->desc;
        a->queues[i].avail = m->queues[i]->avail;
        a->queues[i].used = m->queues[i]->used;
    }
}

/* 0, VQ_E_GUEST (the addresses are the guest's), or a negative errno (the message is wrong). */
static int activate_queues(struct worker *w, const Bulkhead__Activate *m, bool resume)
{
    for (size_t i = 0; i < m->n_queues; i++) {
        const Bulkhead__QueueState *q = m->queues[i];
        struct vq_addresses a = { .desc = q->desc, .avail = q->avail, .used = q->used };
        int r;

        if (q->index >= w->n_queues || vq_active(w->queues[q->index].vq))
            return err_origin(-EBADMSG, "activate names queue %u", q->index);
        a.size = q->size > VQ_MAX_SIZE ? 0 : (uint16_t)q->size;
        r = vq_activate(w->queues[q->index].vq, &a, m->features, resume);
        if (r != 0)
            return r;
    }
    return 0;
}

static int handle_activate(struct worker *w, const Bulkhead__Activate *m)
{
    bool resume = is_resumed(w, m);
    int bad_rings;
    int r;

    if (m->features & ~w->offered)
        return err_origin(-EBADMSG, "activate with features that were not offered");
    bad_rings = activate_queues(w, m, resume);
    if (bad_rings < 0)
        return err_trace(bad_rings);
    remember_activation(w, m);
    w->stats->activation = m->activation; /* the journals are in order, the rings untouched */
    if (bad_rings == 0) {
        w->activated = true;
        r = w->ops->activate(w->device, m->features, resume);
        if (r < 0)
            return err_trace(r);
    }
    worker_say(w, WORKER_SAYS_ACTIVATED);
    if (bad_rings) {
        worker_needs_reset(w, 0, "a ring is not in RAM");
        return 0;
    }
    w->running = true;
    /* Kicks may have come before; the dead worker's last interrupt may never have left. */
    rerun_all(w);
    for (unsigned i = 0; resume && i < w->n_queues; i++)
        vq_notify(w->queues[i].vq);
    return 0;
}

static int handle_remove(struct worker *w, const Bulkhead__RemoveRegion *m)
{
    int r = worker_memory_will_remove(w, m->number);

    if (r < 0)
        return err_trace(r);
    worker_stop_drain(w);
    return 0;
}

/* A Snapshot that is due already will be the answer to this one too. */
static int handle_resync(struct worker *w, uint32_t epoch)
{
    if (w->state == CHILD_ENDED)
        return 0;
    if (epoch <= w->say.epoch)
        return err_origin(-EPROTO, "resync %u after %u", epoch, w->say.epoch);
    w->say.epoch = epoch;
    worker_say(w, WORKER_SAYS_SNAPSHOT);
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
        worker_stop_drain(w);
        return 0;
    case BULKHEAD__ENVELOPE__BODY_QUIESCE:
        w->want_quiesce = true;
        worker_stop_drain(w);
        return 0;
    case BULKHEAD__ENVELOPE__BODY_UNQUIESCE:
        worker_go_on(w);
        return 0;
    case BULKHEAD__ENVELOPE__BODY_ADD_REGION:
        return worker_memory_add(w, e->add_region, msg->fds[0]);
    case BULKHEAD__ENVELOPE__BODY_REMOVE_REGION:
        return handle_remove(w, e->remove_region);
    case BULKHEAD__ENVELOPE__BODY_SET_DIRTY_LOG:
        return worker_memory_log(w, msg->n_fds > 0 ? msg->fds[0] : -1, e->set_dirty_log->size);
    case BULKHEAD__ENVELOPE__BODY_STOP:
        w->want_stop = true;
        worker_stop_drain(w);
        return 0;
    case BULKHEAD__ENVELOPE__BODY_RESYNC:
        return handle_resync(w, e->resync->epoch);
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
            worker_say_no_more(w);
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
        r = worker_say_watch(w);
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
