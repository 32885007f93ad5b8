/* SPDX-License-Identifier: Apache-2.0 */
/* held.c - see held.h. */
#include "run/held.h"

#include <errno.h>
#include <stdio.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "resources/holder.h"
#include "run/happen.h"
#include "run/links.h"
#include "run/outgoing.h"

enum { MAX_ERRNO = 4095, ANSWERS_PER_TURN = 64 };

/* Who it was for may be gone by now, and another has come. */
static void on_answer(struct device_ends *e, const struct holder_message *m, int fd)
{
    struct instance *in = e->instance;
    struct action a = { .kind = ACTION_CONNECT,
                        .child = m->child,
                        .device = instance_number_of(e),
                        .token = m->token };
    struct event deaf = { .kind = EVENT_DEAF, .child = m->child };
    const struct child *c = vm_look(&in->vm, m->child);
    bool said_errno = m->error < 0 && m->error >= -MAX_ERRNO;
    int error = m->error == 0 && fd >= 0 ? 0 : said_errno ? -m->error : EIO;

    if (error == EACCES && !e->said_refused) { /* once: how often is the guest's to say */
        e->said_refused = true;
        log_warn("%s: who added it may not connect to %s_%u: the guest is refused",
                 in->plan.devices[a.device].name, in->config->vsock->socket, m->port);
    }
    if (!c || c->device != a.device || outgoing_connected(in, &a, error, fd) == 0)
        return;
    snprintf(deaf.fault.text, sizeof deaf.fault.text, "%s", err_text());
    happen(in, &deaf);
}

static void on_holder(int fd, unsigned what, void *arg)
{
    struct device_ends *e = arg;
    struct holder_message m;
    int r = 0;

    (void)what;
    for (unsigned i = 0;
         r == 0 && i < ANSWERS_PER_TURN && e->held_event && e->backend.held[0] == fd; i++) {
        cleanup_(fd_closep) int peer = -1;

        r = holder_hear(fd, &m, &peer);
        if (r == 0 && m.kind == HOLDER_CONNECT)
            on_answer(e, &m, peer);
    }
    if (r >= 0)
        return;
    log_warn("%s: the process that kept its socket's file was killed: the file stays, and a "
             "guest's connections to the host are refused",
             e->instance->plan.devices[instance_number_of(e)].name);
    loop_event_free(e->held_event);
    e->held_event = NULL;
}

int held_watch(struct instance *in, unsigned number)
{
    struct device_ends *e = &in->ends[number];
    struct plan_device *plan = &in->plan.devices[number];
    struct ucred who = { 0 };
    int r = 0;

    e->instance = in;
    if (e->backend.macvtap != 0) {
        r = links_watch(e);
    } else if (e->backend.holder) {
        plan->has_holder = plan->holder_known = holder_who(e->backend.held[0], &who);
        plan->holder_uid = who.uid;
        plan->holder_gid = who.gid;
        r = loop_add_fd(in->loop, e->backend.held[0], LOOP_READ, on_holder, e, &e->held_event);
    }
    return r < 0 ? err_trace(r) : 0;
}

int held_watch_all(struct instance *in)
{
    int r = 0;

    in->watch_held = held_watch;
    for (unsigned i = 0; r == 0 && i < in->n_ends; i++)
        r = held_watch(in, i);
    return r;
}
