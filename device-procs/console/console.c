/* SPDX-License-Identifier: Apache-2.0 */
/* console.c - bulkhead-dev-console: owns the terminal, file, socket or pty of one guest console
 * and moves bytes between it and the serial port's ring or a virtio-console. */
#include <errno.h>
#include <stdlib.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "common/worker.h"
#include "common/worker_main.h"
#include "common/worker_say.h"
#include "common/worker_stop.h"
#include "console_device.h"
#include "console_input.h"
#include "ipc/channel.h"
#include "sandbox/gen/filter_console.h"
#include "sandbox/limits.h"
#include "serial.h"
#include "vcon.h"

enum { PART_IDLE_MS = 100 };

static void wait_while_not_deaf(struct console *c)
{
    c->accepted_at_arm = c->accepted;
    if (c->watch_escape)
        (void)loop_timer_arm(c->deaf_timer, CONSOLE_DEAF_MS, false);
}

static void on_deaf_timer(int fd, unsigned what, void *arg)
{
    struct console *c = arg;

    (void)fd;
    (void)what;
    if (console_input_room(c) > 0) /* input goes on already, or is about to */
        return;
    if (c->accepted != c->accepted_at_arm) {
        wait_while_not_deaf(c);
        return;
    }
    c->deaf = true;
    backend_input_resume(c->backend);
}

static void on_input(void *arg)
{
    struct console *c = arg;

    if (!console_input_pump(c)) {
        backend_input_pause(c->backend);
        c->front->wait_for_room(c->front_data);
        wait_while_not_deaf(c);
    }
}

static void leave_if_done(struct console *c)
{
    if (c->parting && !c->front->owes(c->front_data))
        worker_leave(c->worker);
}

static void on_writable(void *arg)
{
    struct console *c = arg;

    c->front->on_writable(c->front_data);
    leave_if_done(c);
}

/* Nobody takes the rest, and nobody will. */
static void on_part_timer(int fd, unsigned what, void *arg)
{
    struct console *c = arg;

    (void)fd;
    (void)what;
    if (c->stats->write_bytes == c->parting_bytes)
        worker_leave(c->worker);
    c->parting_bytes = c->stats->write_bytes;
}

static void console_part(void *device)
{
    struct console *c = device;

    c->parting = true;
    if (worker_num_queues(c->worker) > 0)
        vcon_drain(c->front_data); /* of a core that ended: nobody had us drained */
    backend_stop_accepting(c->backend);
    c->parting_bytes = c->stats->write_bytes;
    if (loop_timer_arm(c->part_timer, PART_IDLE_MS, true) < 0)
        worker_leave(c->worker);
    on_writable(c);
}

static void on_client(void *arg, int fd)
{
    struct console *c = arg;

    c->client_fd = fd;
    c->client_due = true;
    worker_say_more(c->worker);
}

/* The broker holds the client too, for those who serve it after this process. */
static int say_client(struct console *c)
{
    Bulkhead__ConsoleClient client = BULKHEAD__CONSOLE_CLIENT__INIT;
    ENVELOPE(e, CONSOLE_CLIENT, console_client, &client);
    int r;

    client.attached = c->client_fd >= 0;
    r = worker_send_fd(c->worker, &e, c->client_fd);
    if (r < 0)
        return err_trace(r);
    c->client_due = false;
    return 0;
}

static int console_say(void *device)
{
    Bulkhead__ConsoleEscape escape = BULKHEAD__CONSOLE_ESCAPE__INIT;
    struct console *c = device;
    ENVELOPE(e, CONSOLE_ESCAPE, console_escape, &escape);
    int r = 0;

    if (c->escape_due)
        r = worker_send(c->worker, &e);
    if (r == 0)
        c->escape_due = false;
    if (r == 0 && c->client_due)
        r = say_client(c);
    return r < 0 ? err_trace(r) : 0;
}

static void console_snapshot(void *device, Bulkhead__Snapshot *snapshot)
{
    struct console *c = device;

    snapshot->escape = c->escaped;
    c->escape_due = false;
    if (!c->on_socket)
        return;
    c->client_due = true;
    worker_say_more(c->worker);
}

/* fds: [in][out], [listening socket] and perhaps its client, or none for a console that goes
 * nowhere. */
static int new_backend(struct console *c, Bulkhead__ConsoleMode mode, int *fds, unsigned n_fds)
{
    struct backend_config config = {
        .mode = mode,
        .in_fd = -1,
        .out_fd = -1,
        .client_fd = -1,
        .loop = worker_loop(c->worker),
        .stats = c->stats,
        .turn = worker_turn(c->worker),
        .on_input = on_input,
        .on_client = on_client,
        .on_writable = on_writable,
        .arg = c,
    };
    bool nowhere =
        mode == BULKHEAD__CONSOLE_MODE__CONSOLE_NULL || mode == BULKHEAD__CONSOLE_MODE__CONSOLE_OFF;
    bool to_socket = mode == BULKHEAD__CONSOLE_MODE__CONSOLE_SOCKET;
    int r;

    if (to_socket ? n_fds < 1 || n_fds > 2 : !(n_fds == 2 || (nowhere && n_fds == 0)))
        return err_origin(-EPROTO, "console: %u descriptors for mode %d", n_fds, (int)mode);
    if (to_socket) {
        if ((r = fd_expect(fds[0], FD_TYPE_STREAM, "console socket")) < 0)
            return err_trace(r);
        if (n_fds == 2 && ((r = fd_expect(fds[1], FD_TYPE_STREAM, "console client")) < 0 ||
                           (r = fd_set_nonblock(fds[1])) < 0))
            return err_trace(r);
        if (n_fds == 2) {
            config.client_fd = fd_take(&fds[1]);
            worker_keep_fd(c->worker, config.client_fd);
        }
        worker_reserve_fds(c->worker, 1);
        c->on_socket = true;
        c->client_fd = config.client_fd;
    }
    if (!nowhere) {
        /* A file is written only. */
        if (mode != BULKHEAD__CONSOLE_MODE__CONSOLE_FILE) {
            config.in_fd = fd_take(&fds[0]);
            worker_keep_fd(c->worker, config.in_fd);
        }
        if (!to_socket) {
            config.out_fd = fd_take(&fds[1]);
            worker_keep_fd(c->worker, config.out_fd);
            worker_limit_files(c->worker, SANDBOX_FILE_UNLIMITED); /* where it may be a log file */
        }
    }
    return backend_new(&c->backend, &config);
}

static int console_setup(struct worker *w, const Bulkhead__Configure *cfg, int *fds, unsigned n_fds,
                         Bulkhead__Announce *announce, void **ret_device)
{
    const Bulkhead__ConsoleWorkerConfig *config = cfg->console;
    unsigned skip = config->virtio ? 0 : SERIAL_FDS;
    struct console *c;
    int r;

    if (n_fds < skip)
        return err_origin(-EPROTO, "console: %u descriptors", n_fds);
    if (worker_num_queues(w) != (config->virtio ? 2 : 0))
        return err_origin(-EPROTO, "console: %u queues", worker_num_queues(w));
    c = calloc(1, sizeof(*c));
    if (!c)
        return err_origin(-ENOMEM, "console");
    c->worker = w;
    c->stats = worker_stats(w);
    c->watch_escape = config->escape;
    c->client_fd = -1;
    r = new_backend(c, config->mode, fds + skip, n_fds - skip);
    if (r == 0)
        r = config->virtio ? vcon_new(c, announce) : serial_new(c, fds);
    if (r == 0)
        r = loop_add_timer(worker_loop(w), on_part_timer, c, &c->part_timer);
    if (r == 0)
        r = loop_add_timer(worker_loop(w), on_deaf_timer, c, &c->deaf_timer);
    if (r < 0)
        return err_trace(r);
    backend_yield(c->backend); /* a predecessor may have left output in the ring */
    *ret_device = c;
    return 0;
}

static int console_activate(void *device, uint64_t features, bool resume)
{
    struct console *c = device;

    return vcon_activate(c->front_data, features, resume);
}

static int console_on_queue(void *device, unsigned q)
{
    struct console *c = device;

    return vcon_on_queue(c->front_data, q);
}

static void console_drain(void *device)
{
    struct console *c = device;

    if (worker_num_queues(c->worker) > 0)
        vcon_drain(c->front_data);
    worker_drained(c->worker); /* nothing is ever kept in flight */
}

static void console_reset(void *device)
{
    struct console *c = device;

    if (worker_num_queues(c->worker) > 0)
        vcon_reset(c->front_data);
}

static const struct worker_ops console_ops = {
    .role = BULKHEAD__ROLE__ROLE_CONSOLE,
    .filter = &sandbox_filter_console,
    .setup = console_setup,
    .activate = console_activate,
    .on_queue = console_on_queue,
    .drain = console_drain,
    .part = console_part,
    .reset = console_reset,
    .say = console_say,
    .snapshot = console_snapshot,
};

int main(int argc, char **argv)
{
    return worker_main(&console_ops, argc, argv);
}
