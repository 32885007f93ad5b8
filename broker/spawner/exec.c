/* SPDX-License-Identifier: Apache-2.0 */
/* exec.c - see exec.h. */
#include "spawner/exec.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/fd.h"
#include "plan/plan.h"
#include "sandbox/gen/filter_start.h"
#include "sandbox/spawn.h"

enum { MAX_ARGS = 16 + 2 * SPAWNER_MAX_FORWARDS, ARGS_BYTES = 6144 };

struct arguments {
    char *argv[MAX_ARGS + 1];
    unsigned n;
    size_t used;
    char bytes[ARGS_BYTES];
};

static void add(struct arguments *args, const char *fmt, ...) printf_like(2, 3);

static void add(struct arguments *args, const char *fmt, ...)
{
    size_t room = sizeof args->bytes - args->used;
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(args->bytes + args->used, room, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= room || args->n == MAX_ARGS)
        abort(); /* our own tables are too small */
    args->argv[args->n++] = args->bytes + args->used;
    args->used += (size_t)n + 1;
}

static void add_forwards(struct arguments *args, const struct spawner_slot *slot, bool udp)
{
    for (unsigned i = 0; i < slot->n_forwards; i++) {
        const struct spawner_forward *f = &slot->forwards[i];
        char address[INET_ADDRSTRLEN + 1] = "";

        if (f->udp != udp)
            continue;
        if (f->has_address && inet_ntop(AF_INET, &f->address, address, INET_ADDRSTRLEN))
            strcat(address, "/");
        add(args, udp ? "-u" : "-t");
        add(args, "%s%u:%u", address, f->host_port, f->guest_port);
    }
}

static void add_passt(struct arguments *args, const struct spawner_slot *slot)
{
    add(args, "--foreground");
    add(args, "--quiet");
    add(args, "--stderr");
    add(args, "--fd");
    add(args, "%d", FD_CONTROL);
    if (slot->mtu != 0) { /* by DHCP and NDP, else it says 65520 there, and sends so much */
        add(args, "--mtu");
        add(args, "%u", slot->mtu);
    }
    add_forwards(args, slot, false);
    add_forwards(args, slot, true);
}

#ifdef BH_FAILPOINTS
/* BULKHEAD_FAILPOINTS="disk0=after_submit:100 disk1=...": every worker of that device dies there. */
static void add_failpoint(struct arguments *args, const char *name)
{
    const char *at = getenv("BULKHEAD_FAILPOINTS");
    size_t len = strlen(name);

    for (; at; at = strchr(at, ' ')) {
        at += strspn(at, " ");
        if (strncmp(at, name, len) != 0 || at[len] != '=')
            continue;
        add(args, "--failpoint");
        add(args, "%.*s", (int)MIN(strcspn(at + len + 1, " "), (size_t)64), at + len + 1);
        return;
    }
}
#endif

static void add_ring(struct arguments *args, const char *option, const struct held_ring *ring)
{
    char layout[RING_TEXT_BYTES];

    ring_print(&ring->params, layout);
    add(args, "%s", option);
    add(args, "%s", layout);
}

static void fill(struct arguments *args, const struct exec_order *order)
{
    args->n = 0;
    args->used = 0;
    add(args, "%s", plan_program((Bulkhead__Role)order->slot->role));
    if (order->slot->role == BULKHEAD__ROLE__ROLE_PASST)
        add_passt(args, order->slot);
#ifdef BH_FAILPOINTS
    if (order->slot->role >= BULKHEAD__ROLE__ROLE_BLK &&
        order->slot->role <= BULKHEAD__ROLE__ROLE_BALLOON)
        add_failpoint(args, order->slot->name);
#endif
    if (order->ring)
        add_ring(args, "--ring", order->ring);
    if (order->old_ring)
        add_ring(args, "--old-ring", order->old_ring);
    if (order->no_ring_error != 0) {
        add(args, "--no-ring");
        add(args, "%d", order->no_ring_error);
    }
    args->argv[args->n] = NULL;
}

char **exec_arguments(const struct exec_order *order)
{
    static struct arguments args; /* one start at a time; large */

    fill(&args, order);
    return args.argv;
}

int exec_begin(const struct exec_order *order, struct sandbox_spawning *ret_spawning)
{
    int fds[FD_CHILD_FIRST_FREE + 2];
    unsigned n = FD_CHILD_FIRST_FREE;
    struct sandbox_spawn spawn = {
        .program_fd = order->program_fd,
        .argv = exec_arguments(order),
        .fds = fds,
        .uid = order->uid,
        .gid = order->uid,
        .cgroup_fd = order->cgroup_fd,
        .no_userns = order->no_userns,
        .share_netns = order->slot->role == BULKHEAD__ROLE__ROLE_PASST && !order->handed_over,
        .wants_status = order->slot->role == BULKHEAD__ROLE__ROLE_PASST,
    };
    int r;

    fds[FD_STDIN] = fds[FD_STDOUT] = order->null_fd;
    fds[FD_LOG] = order->log_fd;
    fds[FD_CONTROL] = order->control_fd;
    if (order->ring)
        fds[n++] = order->ring->fd;
    if (order->old_ring)
        fds[n++] = order->old_ring->fd;
    spawn.n_fds = n;
#ifndef SANDBOX_INSTRUMENTED /* a sanitizer's runtime starts threads and looks around */
    if (order->handed_over)
        spawn.filter = &sandbox_filter_start;
#endif
    r = sandbox_spawn_begin(&spawn, ret_spawning);
    return r < 0 ? err_trace(r) : 0;
}
