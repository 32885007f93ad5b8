/* SPDX-License-Identifier: Apache-2.0 */
/* happen.c - see happen.h. */
#include "hostd/run/happen.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "hostd/rules/step.h"
#include "hostd/run/perform.h"
#include "run/steps.h"

/* What came of actions, or of their effects: none of these points to anything. */
static struct {
    struct host_event *list;
    size_t n, room;
    bool busy;
} pending;

static void arm(struct service *s)
{
    uint64_t at = host_next_deadline(&s->host), now = now_ns();

    if (at == 0)
        loop_timer_disarm(s->deadline);
    else
        loop_timer_arm(s->deadline, at > now ? (at - now) / 1000000 + 1 : 0, false);
}

static void put_off(struct service *s, const struct host_event *event)
{
    struct host_event *list;
    size_t room = pending.room > 0 ? 2 * pending.room : 16;

    if (pending.n == pending.room) {
        list = realloc(pending.list, room * sizeof *list);
        if (!list) { /* to lose one is to be wrong for ever */
            log_error("no memory for what has happened");
            s->failed = true;
            loop_quit(s->loop, 0);
            return;
        }
        pending.list = list;
        pending.room = room;
    }
    pending.list[pending.n++] = *event;
}

static void carry_out(struct service *s, struct host_event *event)
{
    struct host_event next;

    event->now = now_ns();
    event->realtime = clock_ns(CLOCK_REALTIME);
    host_step(&s->host, event);
    for (size_t i = 0; i < s->host.actions.n; i++) {
        const struct host_action *a = &s->host.actions.list[i];

        steps_pass("before action", a->kind * 100u + a->asks);
        if (perform(s, a, &next))
            put_off(s, &next);
    }
    if (s->host.actions.n > 0)
        steps_pass("after event", event->kind);
}

static void happen(struct service *s, struct host_event *event)
{
    if (pending.busy) {
        put_off(s, event);
        return;
    }
    pending.busy = true;
    carry_out(s, event);
    for (size_t i = 0; i < pending.n; i++) {
        struct host_event next = pending.list[i];

        carry_out(s, &next);
    }
    pending.n = 0;
    pending.busy = false;
    arm(s);
}

static void on_deadline(int fd, unsigned what, void *arg)
{
    struct host_event e = { .kind = HOST_DEADLINE };

    (void)fd;
    (void)what;
    happen(arg, &e);
}

int happen_init(struct service *s)
{
    int r = loop_add_timer(s->loop, on_deadline, s, &s->deadline);

    s->happen = happen;
    return r < 0 ? err_trace(r) : 0;
}
