/* SPDX-License-Identifier: Apache-2.0 */
/* worker_say.c - see worker_say.h. */
#include "worker_say.h"

#include <errno.h>
#include <string.h>
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"

enum { SAY_AGAIN_MS = 100, DIRTY_BITS = 64 };

/* ---- one message ---- */

int worker_send_fd(struct worker *w, const Bulkhead__Envelope *envelope, int fd)
{
    int r;

    if (w->control_gone)
        return 0;
    r = channel_send(w->channel, envelope, &fd, fd >= 0 ? 1 : 0, false);
    if (r == -EPIPE || r == -ECONNRESET) {
        worker_say_no_more(w);
        return 0;
    }
    if (r < 0)
        return err_trace(r);
    w->state = rules_next(RULE_FROM_CHILD, w->ops->role, w->state, envelope);
    return 0;
}

int worker_send(struct worker *w, const Bulkhead__Envelope *envelope)
{
    return worker_send_fd(w, envelope, -1);
}

static int send_activated(struct worker *w)
{
    Bulkhead__Activated activated = BULKHEAD__ACTIVATED__INIT;
    ENVELOPE(e, ACTIVATED, activated, &activated);

    return worker_send(w, &e);
}

static int send_needs_reset(struct worker *w)
{
    Bulkhead__NeedsReset needs = BULKHEAD__NEEDS_RESET__INIT;
    ENVELOPE(e, NEEDS_RESET, needs_reset, &needs);

    needs.why = w->say.why;
    return worker_send(w, &e);
}

static int send_quiesced(struct worker *w)
{
    Bulkhead__Quiesced quiesced = BULKHEAD__QUIESCED__INIT;
    ENVELOPE(e, QUIESCED, quiesced, &quiesced);

    return worker_send(w, &e);
}

static int send_ram_changed(struct worker *w)
{
    Bulkhead__RamChanged changed = BULKHEAD__RAM_CHANGED__INIT;
    ENVELOPE(e, RAM_CHANGED, ram_changed, &changed);

    changed.error = w->say.ram_error;
    return worker_send(w, &e);
}

static int send_reset_done(struct worker *w)
{
    Bulkhead__ResetDone done = BULKHEAD__RESET_DONE__INIT;
    ENVELOPE(e, RESET_DONE, reset_done, &done);

    return worker_send(w, &e);
}

static int send_ring_drained(struct worker *w)
{
    Bulkhead__RingDrained drained = BULKHEAD__RING_DRAINED__INIT;
    ENVELOPE(e, RING_DRAINED, ring_drained, &drained);

    return worker_send(w, &e);
}

/* ---- configuration space ---- */

static bool is_marked(const uint64_t *marks, unsigned byte)
{
    return marks[byte / DIRTY_BITS] >> (byte % DIRTY_BITS) & 1;
}

static void mark(uint64_t *marks, unsigned byte)
{
    marks[byte / DIRTY_BITS] |= UINT64_C(1) << (byte % DIRTY_BITS);
}

/* Each run of changed bytes, as they are now. */
static int send_config(struct worker *w)
{
    unsigned len = (unsigned)w->config.len;

    for (unsigned at = 0; at < len;) {
        Bulkhead__ConfigUpdate update = BULKHEAD__CONFIG_UPDATE__INIT;
        ENVELOPE(e, CONFIG_UPDATE, config_update, &update);
        unsigned n = 0;
        int r;

        while (at + n < len && n < RULE_MAX_UPDATE_BYTES && is_marked(w->say.config_due, at + n))
            n++;
        if (n == 0) {
            at++;
            continue;
        }
        update.offset = at;
        update.data.data = w->config.data + at;
        update.data.len = n;
        r = worker_send(w, &e);
        if (r < 0)
            return err_trace(r);
        for (unsigned end = at + n; at < end; at++)
            w->say.config_due[at / DIRTY_BITS] &= ~(UINT64_C(1) << (at % DIRTY_BITS));
    }
    return 0;
}

/* ---- all that there is to say, for a new broker ---- */

/* Filled in by the caller's memory: it lives as long as the message. */
struct activation_message {
    Bulkhead__Activate activate;
    Bulkhead__QueueState states[RULE_MAX_QUEUES];
    Bulkhead__QueueState *queues[RULE_MAX_QUEUES];
};

static void tell_activation(const struct worker *w, struct activation_message *m)
{
    const struct worker_activation *a = &w->activation;

    bulkhead__activate__init(&m->activate);
    m->activate.features = a->features;
    m->activate.activation = a->number;
    m->activate.n_queues = a->n_queues;
    m->activate.queues = m->queues;
    for (unsigned i = 0; i < a->n_queues; i++) {
        bulkhead__queue_state__init(&m->states[i]);
        m->states[i].index = a->queues[i].index;
        m->states[i].size = a->queues[i].size;
        m->states[i].desc = a->queues[i].desc;
        m->states[i].avail = a->queues[i].avail;
        m->states[i].used = a->queues[i].used;
        m->queues[i] = &m->states[i];
    }
}

static int send_snapshot(struct worker *w)
{
    Bulkhead__Snapshot s = BULKHEAD__SNAPSHOT__INIT;
    struct activation_message activation;
    ENVELOPE(e, SNAPSHOT, snapshot, &s);
    int r;

    if (w->state == CHILD_ENDED)
        return 0; /* told to leave meanwhile */
    s.epoch = w->say.epoch;
    s.state = w->state == CHILD_QUIESCED  ? BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_QUIESCED
              : w->state == CHILD_RUNNING ? BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_RUNNING
                                          : BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_READY;
    if (w->state != CHILD_READY) {
        tell_activation(w, &activation);
        s.activate = &activation.activate;
        s.owes_reset = w->want_reset;
        s.owes_quiesce = w->want_quiesce;
        s.needs_reset = w->broken;
        if (w->broken)
            s.why = w->say.why;
    }
    s.old_ring_drained = w->old_ring_drained;
    s.config = w->config;
    for (unsigned i = 0; i < w->mem.n_regions; i++)
        s.regions |= (uint32_t)(w->mem.regions[i].len_bytes != 0) << i;
    s.owes_ram_changed = w->want_remove;
    s.dirty_log = gmem_has_log(&w->mem);
    if (w->ops->snapshot)
        w->ops->snapshot(w->device, &s);
    r = worker_send(w, &e);
    if (r < 0)
        return err_trace(r);
    /* Said with it; and what it has no place for is said again. */
    w->say.due &= WORKER_SAYS_SNAPSHOT | WORKER_SAYS_MORE;
    memcpy(w->say.config_due, w->say.config_changed, sizeof w->say.config_due);
    w->say.due |= WORKER_SAYS_CONFIG;
    return 0;
}

static int send_more(struct worker *w)
{
    return w->ops->say ? w->ops->say(w->device) : 0;
}

/* ---- in this order ---- */

/* An answer comes after what was found before it: the guest reads a configuration space after a
 * reset, and a worker that is quiesced or ready may say less than one that runs. */
static const struct {
    enum worker_word word;
    int (*send)(struct worker *w);
} words[] = {
    { WORKER_SAYS_SNAPSHOT, send_snapshot },
    { WORKER_SAYS_CONFIG, send_config },
    { WORKER_SAYS_MORE, send_more },
    { WORKER_SAYS_RING_DRAINED, send_ring_drained },
    { WORKER_SAYS_ACTIVATED, send_activated },
    { WORKER_SAYS_NEEDS_RESET, send_needs_reset },
    { WORKER_SAYS_RAM_CHANGED, send_ram_changed },
    { WORKER_SAYS_QUIESCED, send_quiesced },
    { WORKER_SAYS_RESET_DONE, send_reset_done },
};

static void wait_for_room(struct worker *w, int why)
{
    int r = why == -EAGAIN ? loop_event_resume(w->say.on_room)
                           : loop_timer_arm(w->say.again, SAY_AGAIN_MS, false);

    if (r < 0) {
        log_error("waiting for room in the control socket: %s", strerror(-r));
        loop_quit(w->loop, 1);
    }
    w->say.waiting = true;
}

static bool is_for_now_only(int r)
{
    return r == -EAGAIN || r == -ETOOMANYREFS || r == -ENOBUFS || r == -ENOMEM;
}

static size_t first_due(const struct worker *w)
{
    size_t i = 0;

    while (i < ARRAY_SIZE(words) && !(w->say.due & words[i].word))
        i++;
    return i;
}

static void flush(struct worker *w)
{
    size_t i;

    if (w->say.busy) /* a device adds to it while it is asked */
        return;
    w->say.busy = true;
    while (!w->say.waiting && !w->control_gone && (i = first_due(w)) < ARRAY_SIZE(words)) {
        int r = words[i].send(w);

        if (r == 0) {
            w->say.due &= ~(unsigned)words[i].word;
        } else if (is_for_now_only(r)) {
            wait_for_room(w, r);
        } else { /* the broker can't be told why */
            log_error("%s", err_text());
            loop_quit(w->loop, 1);
            break;
        }
    }
    w->say.busy = false;
}

/* What is found before Ready is said after it. */
static void add(struct worker *w, enum worker_word word)
{
    if (w->control_gone)
        return;
    w->say.due |= word;
    if (w->state >= CHILD_READY)
        flush(w);
}

/* The worker's state is the one that it has said, on its way or not: what the broker sends meanwhile
 * may be from before, as with a message that it has not read yet. */
void worker_say(struct worker *w, enum worker_word word)
{
    if (word == WORKER_SAYS_QUIESCED)
        w->state =
            rules_after(RULE_FROM_CHILD, w->ops->role, w->state, BULKHEAD__ENVELOPE__BODY_QUIESCED);
    if (word == WORKER_SAYS_RESET_DONE) {
        w->say.due &= ~(unsigned)WORKER_SAYS_NEEDS_RESET; /* there is no such driver any more */
        w->state = rules_after(RULE_FROM_CHILD, w->ops->role, w->state,
                               BULKHEAD__ENVELOPE__BODY_RESET_DONE);
    }
    add(w, word);
}

void worker_say_more(struct worker *w)
{
    add(w, WORKER_SAYS_MORE);
}

void worker_config_changed(struct worker *w, unsigned offset, unsigned len)
{
    for (unsigned i = offset; i < offset + len && i < w->config.len; i++) {
        mark(w->say.config_changed, i);
        mark(w->say.config_due, i);
    }
    add(w, WORKER_SAYS_CONFIG);
}

/* ---- the watches ---- */

void worker_say_on_room(struct worker *w)
{
    (void)loop_event_pause(w->say.on_room);
    w->say.waiting = false;
    flush(w);
}

void worker_say_no_more(struct worker *w)
{
    w->control_gone = true;
    w->say.due = 0;
    if (w->say.on_room)
        (void)loop_event_pause(w->say.on_room);
}

static void on_room(int fd, unsigned what, void *arg)
{
    (void)fd;
    (void)what;
    worker_say_on_room(arg);
}

int worker_say_watch(struct worker *w)
{
    int r = loop_add_fd(w->loop, channel_fd(w->channel), LOOP_WRITE, on_room, w, &w->say.on_room);

    if (r == 0)
        r = loop_event_pause(w->say.on_room);
    if (r == 0)
        r = loop_add_timer(w->loop, on_room, w, &w->say.again);
    return r < 0 ? err_trace(r) : 0;
}
