/* SPDX-License-Identifier: Apache-2.0 */
/* perform.c - see perform.h. */
#include "run/perform.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "devices/net.h"
#include "devices/net_again.h"
#include "resources/holder.h"
#include "run/add.h"
#include "run/keeper.h"
#include "run/lines.h"
#include "run/outgoing.h"
#include "spawner/keep.h"
#include "vm/link.h"

/* ---- start ---- */

/* The child's log pipe and the request itself; fd3 becomes its descriptor 3. program_fd -1: the
 * spawner's own. A copy of our end of descriptor 3 is kept. */
static int ask_spawner(struct instance *in, struct port *port, const struct child *c,
                       struct spawner_request *request, int fd3, int program_fd, struct fault *f)
{
    int fds[5] = { -1, fd3, -1, program_fd, -1 };
    unsigned n_fds = program_fd >= 0 ? 4 : 3;
    int pipes[2];
    int r;

    if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK) < 0)
        return fault_host(f, errno, "a log pipe for %s: %s", c->name, strerror(errno));
    fds[0] = pipes[0];
    fds[2] = pipes[1];
    request->kind = SPAWNER_START;
    request->id = c->id;
    request->uid_slot = c->uid_slot;
    request->ring_of = c->old_ring;
    request->kept = in->kept && port->channel;
    if (request->kept)
        fds[n_fds++] = channel_fd(port->channel);
    r = spawner_send(in->spawner, request, fds, n_fds);
    close(pipes[1]);
    if (r == 0)
        r = log_relay_new(&port->log, in->loop, pipes[0], c->name);
    if (r < 0) {
        if (!port->log)
            close(pipes[0]);
        return fault_host(f, r, "starting %s: %s", c->name, err_text());
    }
    return 0;
}

/* The old stream's far end stays open until the worker has left, which would call the end of the stream a
 * lost link. */
static int new_stream(struct instance *in, const struct child *c, struct fault *f)
{
    struct backend *b = &in->ends[c->device].backend;
    struct backend fresh;
    int r;

    backend_init(&fresh);
    r = resources_stream(in->plan.devices[c->device].name, &fresh, f);
    if (r < 0)
        return r;
    fd_closep(&b->held[1]);
    fd_closep(&b->own[0]);
    b->held[1] = fd_take(&b->held[0]);
    b->held[0] = fresh.held[0];
    b->own[0] = fresh.own[0];
    keeper_keep(in, c->device, KEEP_HELD + 1, b->held[1]);
    keeper_keep(in, c->device, KEEP_HELD, b->held[0]);
    keeper_keep(in, c->device, KEEP_OWN, b->own[0]);
    return 0;
}

static int start_passt(struct instance *in, struct port *port, const struct child *c,
                       struct fault *f)
{
    struct spawner_request request = { .slot = in->plan.devices[c->device].passt_uid_slot };
    int r = in->is_successor ? 0 : programs_fd(&in->programs, c->role, f);

    if (r >= 0)
        r = new_stream(in, c, f);
    if (r == 0)
        r = ask_spawner(in, port, c, &request, in->ends[c->device].backend.held[0], -1, f);
    if (r < 0)
        return r;
    /* If the start fails because of it, its last words are in the one line that says so. */
    log_relay_set_quiet(port->log, link_awaits_passt(&in->vm, &in->vm.devices[c->device]));
    return 0;
}

static int program_of(const struct instance *in, const struct child *c)
{
    if (c->device == CHILD_NO_DEVICE)
        return -1;
    return c->program == PROGRAM_CANDIDATE ? in->ends[c->device].candidate_fd
                                           : in->ends[c->device].program_fd;
}

static unsigned slot_of(const struct instance *in, const struct child *c)
{
    if (c->device != CHILD_NO_DEVICE)
        return in->plan.devices[c->device].uid_slot;
    return c->role == BULKHEAD__ROLE__ROLE_CORE ? PLAN_UID_CORE : PLAN_UID_LOADER;
}

static int start_child(struct instance *in, struct port *port, const struct child *c,
                       struct fault *f)
{
    struct spawner_request request = { .slot = slot_of(in, c) };
    cleanup_(fd_closep) int theirs = -1;
    int pair[2], program = program_of(in, c), r;

    if (program < 0 && !in->is_successor && programs_fd(&in->programs, c->role, f) < 0)
        return -ENOENT;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return fault_host(f, errno, "starting %s: no resources", plan_program(c->role));
    theirs = pair[1];
    r = port_open(port, pair[0], c->role, in->kept);
    if (r < 0)
        close(pair[0]);
    if (r == 0)
        r = loop_add_fd(in->loop, pair[0], LOOP_READ, in->on_message, port, &port->event);
    if (r < 0)
        return fault_host(f, r, "starting %s: %s", c->name, err_text());
    return ask_spawner(in, port, c, &request, theirs, program, f);
}

static bool start(struct instance *in, const struct action *a, struct event *e)
{
    const struct child *c = vm_look(&in->vm, a->child);
    struct port *port = c ? instance_new_port(in, c->id) : NULL;
    int r;

    if (!port)
        return false;
    r = c->role == BULKHEAD__ROLE__ROLE_PASST ? start_passt(in, port, c, &e->fault)
                                              : start_child(in, port, c, &e->fault);
    e->kind = EVENT_START_FAILED;
    e->child = a->child;
    return r < 0;
}

/* ---- others ---- */

static bool tell(struct instance *in, const struct action *a, struct event *e)
{
    int r = outgoing_send(in, a);

    e->child = a->child;
    if (r == OUTGOING_NO_ROOM) {
        e->kind = EVENT_NO_ROOM;
        e->device = a->device;
        e->from = a->from;
        e->to = a->to;
        return true;
    }
    if (r == 0)
        return false;
    e->kind = EVENT_DEAF;
    snprintf(e->fault.text, sizeof e->fault.text, "%s", err_text());
    return true;
}

static void kill_child(struct instance *in, const struct action *a)
{
    struct spawner_request request = { .kind = SPAWNER_KILL, .id = a->child };
    struct port *port = instance_port(in, a->child);
    Bulkhead__Stop stop = BULKHEAD__STOP__INIT;
    ENVELOPE(e, STOP, stop, &stop);

    /* Without a spawner the core's end closes the life pipe, which ends the workers. */
    if (spawner_send(in->spawner, &request, NULL, 0) < 0 && port && port->channel &&
        channel_send(port->channel, &e, NULL, 0, false) < 0)
        log_debug("%s", err_text());
}

static void drop_ring(struct instance *in, const struct action *a)
{
    struct spawner_request request = { .kind = SPAWNER_DROP_RING, .id = a->child };

    if (spawner_send(in->spawner, &request, NULL, 0) < 0)
        log_debug("%s", err_text());
}

/* Who keeps the socket's file has the rights that it takes; held.c hears what comes of it. */
static int ask_holder(const struct instance *in, const struct action *a)
{
    const struct device_ends *e = &in->ends[a->device];
    const struct holder_message m = {
        .kind = HOLDER_CONNECT, .child = a->child, .token = a->token, .port = a->port
    };

    return e->held_event ? holder_ask(e->backend.held[0], &m) : -ECONNREFUSED;
}

/* The worker names a port, never a path. */
static bool connect_vsock(struct instance *in, const struct action *a, struct event *e)
{
    bool to_service = lines_are_for(in, a->port);
    cleanup_(fd_closep) int line = to_service ? lines_take(in) : -1;
    int r = to_service ? MIN(line, 0) : ask_holder(in, a);

    if ((r == 0 && !to_service) || outgoing_connected(in, a, -r, line) == 0)
        return false;
    e->kind = EVENT_DEAF;
    e->child = a->child;
    snprintf(e->fault.text, sizeof e->fault.text, "%s", err_text());
    return true;
}

static void keep_client(struct instance *in, const struct action *a)
{
    struct backend *b = &in->ends[a->device].backend;

    fd_closep(&b->client);
    if (a->flag && in->message && in->message->n_fds == 1)
        b->client = fd_take(&in->message->fds[0]);
    keeper_keep(in, a->device, KEEP_CONSOLE_CLIENT, b->client);
}

static void change_program(struct instance *in, const struct action *a)
{
    struct device_ends *ends = &in->ends[a->device];

    if (a->kind == ACTION_PROMOTE) {
        fd_closep(&ends->prev_program_fd);
        ends->prev_program_fd = ends->program_fd;
        ends->program_fd = fd_take(&ends->candidate_fd);
    } else if (a->kind == ACTION_ROLL_BACK) {
        fd_closep(&ends->program_fd);
        ends->program_fd = fd_take(&ends->prev_program_fd);
    } else {
        fd_closep(&ends->candidate_fd);
        return;
    }
    keeper_keep(in, a->device, KEEP_PREV_PROGRAM, ends->prev_program_fd);
    keeper_keep(in, a->device, KEEP_PROGRAM, ends->program_fd);
}

static void open_program(struct instance *in, const struct action *a, struct event *e)
{
    struct device_ends *ends = &in->ends[a->device];

    e->kind = EVENT_PROGRAM_OPENED;
    e->device = a->device;
    fd_closep(&ends->candidate_fd);
    if (programs_reopen(&in->programs, in->plan.devices[a->device].role, &ends->candidate_fd,
                        &e->fault) < 0 &&
        e->fault.error == 0)
        e->fault.error = EIO;
}

static void attach_tap(struct instance *in, const struct action *a, struct event *e)
{
    const struct plan_device *device = &in->plan.devices[a->device];
    struct backend *b = &in->ends[a->device].backend;
    bool had_claim = b->held[1] >= 0;

    e->kind = EVENT_TAP_ATTACHED;
    e->device = a->device;
    if (resources_net_attach_again(in->config->nets[device->index], b, &e->fault) < 0 &&
        e->fault.error == 0)
        e->fault.error = EIO;
    if (had_claim && b->held[1] < 0) /* given back when the spawner's copy is closed too */
        keeper_keep(in, a->device, KEEP_HELD + 1, -1);
}

static void make_loud(struct instance *in, const struct action *a)
{
    struct port *port = instance_port(in, in->vm.devices[a->device].passt);

    if (port && port->log)
        log_relay_set_quiet(port->log, false);
}

static void forget(struct instance *in, const struct action *a)
{
    struct port *port = instance_port(in, a->child);

    if (port)
        port_free(port);
    keeper_acknowledge(in, a->child);
}

static void make_boot(struct instance *in, struct event *e)
{
    if (instance_make_boot(in, &e->fault) < 0)
        e->kind = EVENT_BOOT_FAILED;
    else
        keeper_keep_boot(in);
}

static void free_boot(struct instance *in)
{
    instance_free_boot(in);
    keeper_drop_boot(in);
}

static void drop_old_stream(struct instance *in, const struct action *a)
{
    fd_closep(&in->ends[a->device].backend.held[1]);
    keeper_keep(in, a->device, KEEP_HELD + 1, -1);
}

static void speak(struct instance *in, const struct action *a)
{
    if (a->kind == ACTION_LOG && a->flag)
        log_error("%s", a->text);
    else if (a->kind == ACTION_LOG)
        log_warn("%s", a->text);
    else if (a->kind == ACTION_NOTICE && in->audience.notice)
        in->audience.notice(in->audience.arg, a);
    else if (a->kind == ACTION_REPLY && in->audience.reply)
        in->audience.reply(in->audience.arg, a);
    else if (a->kind == ACTION_ENDED && in->audience.ended)
        in->audience.ended(in->audience.arg);
}

bool perform(struct instance *in, const struct action *a, struct event *e)
{
    *e = (struct event){ .kind = EVENT_BOOT_MADE };
    switch (a->kind) {
    case ACTION_START:
        return start(in, a, e);
    case ACTION_TELL:
        return tell(in, a, e);
    case ACTION_KILL:
        kill_child(in, a);
        return false;
    case ACTION_FORGET:
        forget(in, a);
        return false;
    case ACTION_DROP_RING:
        drop_ring(in, a);
        return false;
    case ACTION_CONNECT:
        return connect_vsock(in, a, e);
    case ACTION_KEEP_CLIENT:
        keep_client(in, a);
        return false;
    case ACTION_OPEN_PROGRAM:
        open_program(in, a, e);
        return true;
    case ACTION_DROP_CANDIDATE:
    case ACTION_PROMOTE:
    case ACTION_ROLL_BACK:
        change_program(in, a);
        return false;
    case ACTION_OLD_STREAM:
        drop_old_stream(in, a);
        return false;
    case ACTION_ATTACH_TAP:
        attach_tap(in, a, e);
        return true;
    case ACTION_FREE_DEVICE:
        add_undo(in, a->device);
        return false;
    case ACTION_MAKE_BOOT:
        make_boot(in, e);
        return true;
    case ACTION_FREE_BOOT:
        free_boot(in);
        return false;
    case ACTION_LOUD:
        make_loud(in, a);
        return false;
    case ACTION_LOG:
    case ACTION_NOTICE:
    case ACTION_REPLY:
    case ACTION_ENDED:
    default:
        speak(in, a);
        return false;
    }
}
