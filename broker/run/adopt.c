/* SPDX-License-Identifier: Apache-2.0 */
/* adopt.c - see adopt.h. */
#include "run/adopt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "run/add.h"
#include "run/happen.h"
#include "run/held.h"
#include "run/keeper.h"
#include "run/sealed.h"
#include "run/shape.h"
#include "run/steps.h"
#include "run/watch.h"
#include "spawner/keep.h"
#include "vm/record.h"

enum { CHILD_FDS = 4 };

_Static_assert((int)KEEP_MAX_OWN == (int)RESOURCES_MAX_OWN,
               "a place for each descriptor of a device's own");

struct heir {
    struct spawner_report report;
    int fds[CHILD_FDS]; /* log, control, pidfd, stat; -1: none */
};

struct adoption {
    int fds[KEEP_PLACES];
    struct heir heirs[SPAWNER_MAX_CHILDREN];
    unsigned n_heirs;
    struct spawner_report all;
    struct kept_child kept[SPAWNER_MAX_CHILDREN];
};

/* ---- what the spawner says ---- */

static int take_places(struct adoption *a, uint32_t first, int *fds, unsigned n)
{
    if (first >= KEEP_PLACES || n > KEEP_PLACES - first)
        return err_origin(-EBADMSG, "the spawner keeps %u descriptors in place %u", n, first);
    for (unsigned i = 0; i < n; i++) {
        fd_closep(&a->fds[first + i]);
        a->fds[first + i] = fd_take(&fds[i]);
    }
    return 0;
}

static int take_heir(struct adoption *a, const struct spawner_report *report, int *fds)
{
    struct heir *h = &a->heirs[a->n_heirs];
    unsigned n = 0;

    if (a->n_heirs == SPAWNER_MAX_CHILDREN)
        return err_origin(-EBADMSG, "the spawner has too many children");
    h->report = *report;
    for (unsigned i = 0; i < CHILD_FDS; i++)
        h->fds[i] = report->kept & (1u << i) ? fd_take(&fds[n++]) : -1;
    a->n_heirs++;
    return 0;
}

/* 0; 1: that was all; or a negative errno with an origin. */
static int hear(struct instance *in, struct adoption *a)
{
    struct spawner_report report = { 0 };
    int fds[SPAWNER_KEPT_FDS];
    unsigned n = 0;
    int r = spawner_receive_kept(in->spawner, &report, fds, &n);

    if (r < 0)
        return err_trace(r);
    if (report.kind == SPAWNER_KEPT)
        r = take_places(a, report.id, fds, n);
    else if (report.kind == SPAWNER_CHILD)
        r = take_heir(a, &report, fds);
    else if (report.kind != SPAWNER_ALL)
        r = err_origin(-EBADMSG, "the spawner says %u", report.kind);
    for (unsigned i = 0; i < n; i++)
        fd_closep(&fds[i]);
    if (r == 0 && report.kind == SPAWNER_ALL)
        a->all = report;
    return r < 0 ? r : report.kind == SPAWNER_ALL;
}

int adopt_hear_sealed(struct instance *in, struct adoption **ret_adoption)
{
    struct adoption *a = calloc(1, sizeof *a);
    int r;

    if (!a)
        return err_origin(-ENOMEM, "taking over");
    for (unsigned i = 0; i < KEEP_PLACES; i++)
        a->fds[i] = -1;
    in->is_successor = true;
    r = hear(in, a); /* the first places come first */
    if (r == 0 && a->fds[KEEP_SEALED] < 0)
        r = err_origin(-EBADMSG, "the spawner has not kept what was opened");
    if (r == 0)
        r = sealed_read(in, a->fds[KEEP_SEALED]);
    if (r != 0) {
        adopt_free(a);
        return r < 0 ? err_trace(r) : err_origin(-EBADMSG, "the spawner has kept nothing");
    }
    fd_closep(&a->fds[KEEP_SEALED]);
    *ret_adoption = a;
    return 0;
}

/* ---- descriptors ---- */

static int take(struct adoption *a, unsigned place)
{
    return fd_take(&a->fds[place]);
}

static int place_device(struct instance *in, struct adoption *a, unsigned number)
{
    struct device_ends *e = &in->ends[number];
    struct backend *b = &e->backend;

    e->stats_fd = take(a, keep_of(number, KEEP_STATS));
    e->program_fd = take(a, keep_of(number, KEEP_PROGRAM));
    e->prev_program_fd = take(a, keep_of(number, KEEP_PREV_PROGRAM));
    e->journal_fd = take(a, keep_of(number, KEEP_JOURNAL));
    b->socket.dir_fd = take(a, keep_of(number, KEEP_SOCKET_DIR));
    b->socket.socket_fd = take(a, keep_of(number, KEEP_SOCKET));
    b->client = take(a, keep_of(number, KEEP_CONSOLE_CLIENT));
    for (unsigned i = 0; i < ARRAY_SIZE(b->held); i++)
        b->held[i] = take(a, keep_of(number, KEEP_HELD + i));
    for (unsigned i = 0; i < b->n_own && i < RESOURCES_MAX_OWN; i++)
        b->own[i] = take(a, keep_of(number, KEEP_OWN + i));
    for (unsigned i = 0; i < ARRAY_SIZE(e->shared_own); i++)
        e->shared_own[i] = take(a, keep_of(number, KEEP_SHARED + i));
    for (unsigned q = 0; q < LAYOUT_MAX_QUEUES; q++) {
        e->kick[q] = take(a, keep_of(number, KEEP_KICK + q));
        e->call[q] = take(a, keep_of(number, KEEP_CALL + q));
    }
    instance_note_backend(in, number);
    /* Of one that was removed, all may have been given back. */
    return e->stats_fd < 0 ? 0 : instance_map_stats(in, number);
}

static int place_all(struct instance *in, struct adoption *a)
{
    int r = 0;

    in->rundir.listen_fd = take(a, KEEP_LISTEN);
    in->kvm_fd = take(a, KEEP_KVM);
    in->kernel_fd = take(a, KEEP_KERNEL);
    in->initramfs_fd = take(a, KEEP_INITRAMFS);
    in->tty_fd = take(a, KEEP_TTY);
    in->has_tty = in->has_tty && in->tty_fd >= 0;
    in->ram_fd = take(a, KEEP_RAM);
    in->life_read = take(a, KEEP_LIFE);
    for (unsigned i = 0; r == 0 && i < in->n_ends; i++)
        r = plan_is_free(&in->plan.devices[i]) ? 0 : place_device(in, a, i);
    return r < 0 ? err_trace(r) : 0;
}

/* ---- facts ---- */

/* First which devices there are, then what is open for them, then how they stand. */
static int load_facts(struct instance *in, struct adoption *a)
{
    struct testament t = { 0 };
    int r = keeper_go_on(in, take(a, KEEP_RECORD), &t);

    if (r == 0 && t.shape_len > 0)
        r = shape_load(in, t.shape, t.shape_len);
    if (r == 0)
        r = place_all(in, a);
    if (r == 0)
        r = record_load(&in->vm, t.record, now_ns());
    free(t.record);
    free(t.shape);
    if (r < 0)
        return err_trace(r);
    in->vm.next_id = MAX(in->vm.next_id, a->all.id);
    in->vm.epoch = a->all.epoch;
    return 0;
}

/* What was kept before the device was written down: a disk's lock, for one. */
static void drop_left(struct instance *in, struct adoption *a, unsigned number)
{
    bool any = false;

    for (unsigned what = 0; what < KEEP_PER_DEVICE; what++) {
        any |= a->fds[keep_of(number, what)] >= 0;
        fd_closep(&a->fds[keep_of(number, what)]);
    }
    if (any)
        keeper_remove_device(in, number);
}

/* A device that the broker before was about to add, or had removed but for its last traces. */
static int clear_places(struct instance *in, struct adoption *a)
{
    for (unsigned i = 0; i < in->plan.n_devices; i++) {
        if (plan_is_free(&in->plan.devices[i]))
            continue;
        if (!in->vm.devices[i].here)
            add_undo(in, i);
        else if (!in->ends[i].stats)
            return err_origin(-EBADMSG, "nothing was kept of %s", in->plan.devices[i].name);
    }
    for (unsigned i = 0; i < PLAN_MAX_DEVICES; i++)
        if (i >= in->plan.n_devices || plan_is_free(&in->plan.devices[i]))
            drop_left(in, a, i);
    return 0;
}

static int open_port(struct instance *in, struct heir *h)
{
    const struct child *c = vm_look(&in->vm, h->report.id);
    struct port *port = c ? instance_new_port(in, c->id) : NULL;
    int r = 0;

    if (!port)
        return 0;
    port->pidfd = fd_take(&h->fds[2]);
    port->stat_fd = fd_take(&h->fds[3]);
    if (h->fds[0] >= 0) {
        r = log_relay_new(&port->log, in->loop, h->fds[0], c->name);
        if (r == 0)
            h->fds[0] = -1;
    }
    if (r == 0 && h->fds[1] >= 0) {
        r = port_open(port, h->fds[1], c->role, true);
        if (r == 0)
            h->fds[1] = -1;
    }
    if (r == 0 && port->channel && !c->closed)
        r = loop_add_fd(in->loop, channel_fd(port->channel), LOOP_READ, in->on_message, port,
                        &port->event);
    return r < 0 ? err_trace(r) : 0;
}

int adopt_hear_rest(struct instance *in, struct adoption *a)
{
    int r;

    do
        r = hear(in, a);
    while (r == 0);
    if (r < 0)
        return err_trace(r);
    in->spawner->pid = a->all.pid;
    in->fell_back = a->all.kept != 0;
    r = load_facts(in, a);
    if (r == 0)
        r = clear_places(in, a);
    if (r == 0)
        r = watch_begin(in);
    for (unsigned i = 0; r == 0 && i < a->n_heirs; i++)
        r = open_port(in, &a->heirs[i]);
    if (r == 0)
        r = held_watch_all(in);
    return r < 0 ? err_trace(r) : 0;
}

int adopt_take_client(struct adoption *a)
{
    return take(a, KEEP_RUN_CLIENT);
}

int adopt_take_group_kill(struct adoption *a)
{
    return take(a, KEEP_GROUP_KILL);
}

/* ---- events ---- */

/* Its end, if the broker before did not act on that. Whom the record doesn't name is nobody's. */
static void report_end(struct instance *in, const struct heir *h)
{
    const struct spawner_report *r = &h->report;
    const struct spawner_request kill = { .kind = SPAWNER_KILL, .id = r->id };
    struct port *port = instance_port(in, r->id);

    if (!port && r->pid != 0 && spawner_send(in->spawner, &kill, NULL, 0) < 0)
        log_debug("%s", err_text());
    if (!port && r->pid == 0)
        keeper_acknowledge(in, r->id);
    if (!port || r->pid != 0)
        return;
    if (r->error != 0)
        watch_not_started(in, port, r->error, r->text);
    else
        watch_exited(in, port, r->wait_code, r->wait_status, (r->kept & SPAWNER_CHILD_OOM) != 0);
}

void adopt_act(struct instance *in, struct adoption *a)
{
    struct spawner_request adopted = { .kind = SPAWNER_ADOPTED };
    struct event e = { .kind = EVENT_ADOPTED, .kept = a->kept, .fell_back = in->fell_back };

    for (unsigned i = 0; i < a->n_heirs; i++) {
        const struct spawner_report *r = &a->heirs[i].report;

        a->kept[e.n_kept++] = (struct kept_child){
            .id = r->id, .pid = r->pid, .missing = r->missing, .has_ring = r->has_ring
        };
    }
    happen(in, &e);
    for (unsigned i = 0; i < a->n_heirs; i++)
        report_end(in, &a->heirs[i]);
    if (spawner_send(in->spawner, &adopted, NULL, 0) < 0)
        log_debug("%s", err_text());
    steps_pass("said to have taken over", 0);
}

void adopt_free(struct adoption *a)
{
    if (!a)
        return;
    for (unsigned i = 0; i < KEEP_PLACES; i++)
        fd_closep(&a->fds[i]);
    for (unsigned i = 0; i < a->n_heirs; i++)
        for (unsigned j = 0; j < CHILD_FDS; j++)
            fd_closep(&a->heirs[i].fds[j]);
    free(a);
}
