/* SPDX-License-Identifier: Apache-2.0 */
/* handover.c - see handover.h. First the descriptors by place, the sealed one before all others; then the
 * children; then how many that were. */
#include "spawner/handover.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>
#include "spawner/children.h"

void handover_begin(struct state *s)
{
    reports_clear(&s->reports);
    s->handover = (struct handover){ .active = true };
}

static int say_kept(struct state *s)
{
    struct spawner_report r = { .kind = SPAWNER_KEPT };
    unsigned n = store_next(&s->store, s->handover.place, SPAWNER_KEPT_FDS, &r.id);
    int result;

    if (n == 0) {
        s->handover.place = KEEP_PLACES;
        return 0;
    }
    result = reports_send_one(s->fd, &r, &s->store.fds[r.id], n);
    if (result == 0)
        s->handover.place = r.id + n;
    return result;
}

static unsigned add(int *fds, unsigned n, int fd, uint32_t bit, uint32_t *kept)
{
    if (fd < 0)
        return n;
    *kept |= bit;
    fds[n] = fd;
    return n + 1;
}

static int say_child(struct state *s)
{
    struct spawned *c = &s->children[s->handover.child];
    struct spawner_report r = { .kind = SPAWNER_CHILD,
                                .id = c->id,
                                .pid = c->pid,
                                .error = c->error,
                                .wait_code = c->wait_code,
                                .wait_status = c->wait_status,
                                .slot = c->slot,
                                .uid_slot = c->uid_slot };
    unsigned n = 0;
    int fds[4], result = 0;

    if (c->id != 0) {
        n = add(fds, n, c->log_reader, SPAWNER_CHILD_LOG, &r.kept);
        n = add(fds, n, c->control, SPAWNER_CHILD_CONTROL, &r.kept);
        n = add(fds, n, c->spawning.pidfd, SPAWNER_CHILD_PIDFD, &r.kept);
        n = add(fds, n, c->spawning.stat_fd, SPAWNER_CHILD_STAT, &r.kept);
        r.kept |= c->started ? SPAWNER_CHILD_STARTED : 0;
        r.kept |= c->pid == 0 ? SPAWNER_CHILD_ENDED : 0;
        r.kept |= c->oom ? SPAWNER_CHILD_OOM : 0;
        r.missing = c->spawning.missing;
        r.has_ring = children_has_ring(s, c);
        snprintf(r.text, sizeof r.text, "%s", c->text);
        result = reports_send_one(s->fd, &r, fds, n);
    }
    if (result == 0)
        s->handover.child++;
    return result;
}

static int say_all(struct state *s)
{
    const struct spawner_report r = { .kind = SPAWNER_ALL,
                                      .id = s->last_id,
                                      .pid = getpid(),
                                      .epoch = s->brokers.epoch,
                                      .kept = s->brokers.fell_back };
    int result = reports_send_one(s->fd, &r, NULL, 0);

    if (result == 0)
        s->handover.active = false;
    return result;
}

int handover_send(struct state *s)
{
    int r = 0;

    while (r == 0 && s->handover.active) {
        if (s->handover.place < KEEP_PLACES)
            r = say_kept(s);
        else if (s->handover.child < SPAWNER_MAX_CHILDREN)
            r = say_child(s);
        else
            r = say_all(s);
    }
    /* What is in flight won't be less: it is in what is handed over. */
    return r == REPORTS_TOO_MANY ? -ETOOMANYREFS : r > 0 ? 0 : r;
}
