/* SPDX-License-Identifier: Apache-2.0 */
/* worker_main.c - the start of every device process. Read it from worker_main() upwards. worker_run.c is
 * the rest of its life. */
#include "worker_main.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "failpoint.h"
#include "ipc/regions.h"
#include "ipc/regions_map.h"
#include "sandbox/enter.h"
#include "sandbox/layers.h"
#include "shm/inflight.h"
#include "worker.h"
#include "worker_run.h"
#include "worker_say.h"
#include "worker_state.h"

#ifndef BH_BUILD_ID
#define BH_BUILD_ID "dev"
#endif

/* Rings are inherited as the descriptors from FD_CHILD_FIRST_FREE on, in the order of the options. */
static int inherit_ring(struct worker_ring *ring, const char *layout, int *next_fd)
{
    int r = ring_parse(layout, &ring->params);

    if (r == 0)
        r = fd_expect(*next_fd, FD_TYPE_IO_URING, "an inherited io_uring");
    if (r < 0)
        return err_trace(r);
    ring->fd = (*next_fd)++;
    return 0;
}

static int take_argument(struct worker *w, int option, const char *value, int *next_fd)
{
    switch (option) {
    case 'r':
        return inherit_ring(&w->own_ring, value, next_fd);
    case 'o':
        return inherit_ring(&w->old_ring, value, next_fd);
    case 'n':
        w->own_ring.error = atoi(value);
        return 0;
#ifdef BH_FAILPOINTS
    case 'f':
        return failpoint_arm(value);
#endif
    default:
        return -EINVAL;
    }
}

static int parse_arguments(struct worker *w, int argc, char **argv)
{
    static const struct option options[] = {
        { "ring", required_argument, NULL, 'r' },
        { "old-ring", required_argument, NULL, 'o' },
        { "no-ring", required_argument, NULL, 'n' }, /* why: an errno */
#ifdef BH_FAILPOINTS
        { "failpoint", required_argument, NULL, 'f' },
#endif
        { 0 },
    };
    int next_fd = FD_CHILD_FIRST_FREE;
    int c;

    opterr = 0;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
        if (take_argument(w, c, optarg, &next_fd) < 0)
            return err_origin(-EINVAL, "arguments: a device process is started by the broker");
    if (optind < argc)
        return err_origin(-EINVAL, "arguments: a device process is started by the broker");
    return 0;
}

static int check_inherited(void)
{
    int r = fd_expect(FD_CONTROL, FD_TYPE_SEQPACKET, "control socket");

    return r < 0 ? err_trace(r) : 0;
}

static int say_hello(struct worker *w)
{
    static char build_id[] = BH_BUILD_ID;
    Bulkhead__Hello hello = BULKHEAD__HELLO__INIT;
    ENVELOPE(e, HELLO, hello, &hello);

    hello.protocol_min = PROTOCOL_MIN;
    hello.protocol_max = PROTOCOL_MAX;
    hello.build_id = build_id;
    hello.role = w->ops->role;
    return worker_send(w, &e);
}

static int receive_configure(struct worker *w, struct message *ret_msg)
{
    int r = channel_receive(w->channel, true, ret_msg);

    if (r == CHANNEL_CLOSED)
        return err_origin(-EPIPE, "the broker closed the control socket");
    if (r == 0)
        r = rules_check(RULE_TO_CHILD, w->ops->role, w->state, ret_msg->envelope, ret_msg->n_fds);
    if (r < 0)
        return err_trace(r);
    w->state = rules_next(RULE_TO_CHILD, w->ops->role, w->state, ret_msg->envelope);
    /* Stop: the start has failed elsewhere. */
    return ret_msg->envelope->body_case == BULKHEAD__ENVELOPE__BODY_CONFIGURE ? 0 : -ESHUTDOWN;
}

/* The descriptors of a Configure, taken one after the other. */
struct fd_cursor {
    int *fds;
    size_t n, at;
};

static int next_fd(struct fd_cursor *c, enum fd_type type, const char *what, int *ret_fd)
{
    int r;

    if (c->at == c->n)
        return err_origin(-EPROTO, "configure without %s", what);
    r = fd_expect(c->fds[c->at], type, what);
    if (r < 0)
        return err_trace(r);
    *ret_fd = fd_take(&c->fds[c->at++]);
    return 0;
}

static int map_shared(struct fd_cursor *c, const char *what, size_t len, void **ret_address)
{
    cleanup_(fd_closep) int fd = -1;
    struct stat st;
    void *p;
    int r = next_fd(c, FD_TYPE_MEMFD, what, &fd);

    if (r < 0)
        return err_trace(r);
    if (fstat(fd, &st) < 0 || st.st_size < 0 || (size_t)st.st_size < len)
        return err_origin(-EINVAL, "%s is smaller than %zu bytes", what, len);
    p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return err_origin(-errno, "mapping the %s", what);
    *ret_address = p;
    return 0;
}

static int take_ram(struct worker *w, struct fd_cursor *c, const Bulkhead__Configure *cfg)
{
    int fds[GMEM_MAX_REGIONS];
    unsigned n = 0;
    int r = 0;

    while (n < regions_fds(cfg) && r == 0)
        r = next_fd(c, FD_TYPE_MEMFD, "guest RAM", &fds[n++]);
    if (r == 0)
        r = regions_map(&w->mem, cfg, fds);
    while (n > 0)
        fd_closep(&fds[--n]);
    worker_reserve_fds(w, 1); /* AddRegion and SetDirtyLog bring one, for a moment */
    return r < 0 ? err_trace(r) : 0;
}

static int take_stats(struct worker *w, struct fd_cursor *c)
{
    void *page = NULL;
    int r = map_shared(c, "stats page", PAGE_BYTES, &page);

    if (r < 0)
        return err_trace(r);
    w->stats = page;
    /* A replacement goes on counting where the dead worker was. */
    if (w->stats->magic != STATS_MAGIC || w->stats->version != STATS_VERSION) {
        memset(w->stats, 0, sizeof *w->stats);
        w->stats->version = STATS_VERSION;
        w->stats->magic = STATS_MAGIC;
    }
    w->stats->inflight = 0;
    w->stats->oldest_start_ns = 0;
    return 0;
}

static int take_queues(struct worker *w, struct fd_cursor *c)
{
    size_t region_bytes = inflight_region_bytes(w->queue_size);
    void *journal = NULL;
    int r;

    if (w->n_queues == 0)
        return 0;
    if (!is_power_of_two(w->queue_size) || w->queue_size > VQ_MAX_SIZE)
        return err_origin(-EINVAL, "queue size %u", w->queue_size);
    r = map_shared(c, "journal", region_bytes * w->n_queues, &journal);
    for (unsigned i = 0; i < w->n_queues && r == 0; i++)
        r = next_fd(c, FD_TYPE_EVENTFD, "kick eventfd", &w->queues[i].kick_fd);
    for (unsigned i = 0; i < w->n_queues && r == 0; i++)
        r = next_fd(c, FD_TYPE_EVENTFD, "call eventfd", &w->queues[i].call_fd);
    for (unsigned i = 0; i < w->n_queues && r == 0; i++) {
        struct worker_queue *q = &w->queues[i];
        struct vq_config config = { .mem = &w->mem,
                                    .index = i,
                                    .max_size = w->queue_size,
                                    .kick_fd = q->kick_fd,
                                    .call_fd = q->call_fd,
                                    .inflight_region = (uint8_t *)journal + i * region_bytes,
                                    .interrupts = &w->stats->interrupts };

        q->worker = w;
        q->index = i;
        worker_keep_fd(w, q->kick_fd);
        worker_keep_fd(w, q->call_fd);
        r = vq_new(&q->vq, &config);
    }
    return r < 0 ? err_trace(r) : 0;
}

/* Everything but the device's own: RAM, stats, life pipe, journal, queues. */
static int take_common(struct worker *w, const Bulkhead__Configure *cfg, struct fd_cursor *c)
{
    int r = 0;

    w->n_queues = cfg->num_queues;
    w->queue_size = cfg->queue_size;
    if (cfg->trace)
        log_init("", LOG_LEVEL_DEBUG);
    if (cfg->ram_size != 0)
        r = take_ram(w, c, cfg);
    if (r == 0)
        r = take_stats(w, c);
    if (r == 0)
        r = next_fd(c, FD_TYPE_PIPE, "life pipe", &w->life_fd);
    if (r == 0)
        r = take_queues(w, c);
    if (r < 0)
        return err_trace(r);
    worker_keep_fd(w, w->life_fd);
    return 0;
}

static int enter_sandbox(struct worker *w, bool insecure, unsigned *ret_missing)
{
    struct sandbox_limits limits = { 0 };
    int highest = FD_CONTROL;
    int r;

    worker_keep_fd(w, loop_fd(w->loop));
    for (unsigned i = 0; i < w->n_keep; i++)
        highest = MAX(highest, w->keep[i]);
    limits.max_files = (uint64_t)highest + 1 + w->n_reserved;
    limits.file_bytes = w->file_bytes;
    limits.no_new_addresses = true;
    r = sandbox_enter(w->ops->filter, w->keep, w->n_keep, &limits, insecure, ret_missing);
    return r < 0 ? err_trace(r) : 0;
}

static int say_ready(struct worker *w, Bulkhead__Announce *announce, unsigned missing)
{
    char *names[32];
    Bulkhead__Ready ready = BULKHEAD__READY__INIT;
    ENVELOPE(e, READY, ready, &ready);

    for (unsigned bit = 0; bit < ARRAY_SIZE(names); bit++) {
        const char *name = missing & 1u << bit ? sandbox_layer_name(1u << bit) : NULL;

        if (name)
            names[ready.n_missing_layers++] = (char *)(uintptr_t)name;
    }
    ready.missing_layers = names;
    if (announce->virtio_id != 0)
        ready.announce = announce;
    ready.old_ring_drained = w->old_ring_drained;
    return worker_send(w, &e);
}

static int start(struct worker *w)
{
    Bulkhead__Announce announce = BULKHEAD__ANNOUNCE__INIT;
    const Bulkhead__Configure *cfg;
    struct message msg = { 0 };
    struct fd_cursor cursor;
    unsigned missing = 0;
    int r = say_hello(w);

    if (r == 0)
        r = receive_configure(w, &msg);
    if (r < 0)
        return err_trace(r);
    cfg = msg.envelope->configure;
    cursor = (struct fd_cursor){ .fds = msg.fds, .n = msg.n_fds };
    announce.num_queues = cfg->num_queues; /* unless the device's setup says otherwise */
    announce.queue_size = cfg->queue_size;
    r = take_common(w, cfg, &cursor);
    if (r == 0)
        r = loop_new(&w->loop);
    if (r == 0)
        r = w->ops->setup(w, cfg, msg.fds + cursor.at, (unsigned)(msg.n_fds - cursor.at), &announce,
                          &w->device);
    if (r == 0)
        r = worker_watch(w);
    if (r == 0)
        r = enter_sandbox(w, cfg->insecure, &missing);
    if (r < 0)
        return err_trace(r);
    w->offered = announce.features;
    w->config = announce.config;
    if (announce.num_queues == 0) { /* most devices offer what they were given */
        announce.num_queues = cfg->num_queues;
        announce.queue_size = cfg->queue_size;
    }
    r = say_ready(w, &announce, missing);
    if (r == 0)
        worker_say_on_room(w);
    return r;
}

int worker_main(const struct worker_ops *ops, int argc, char **argv)
{
    struct worker *w = calloc(1, sizeof *w);
    int r;

    log_init("", LOG_LEVEL_INFO);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* the write's EFBIG is enough */
    if (!w)
        return 1;
    w->ops = ops;
    w->state = CHILD_STARTED;
    w->life_fd = w->own_ring.fd = w->old_ring.fd = -1;
    w->own_ring.error = ENODATA; /* unless the spawner says why */
    r = parse_arguments(w, argc, argv);
    if (r == 0)
        r = check_inherited();
    if (r == 0)
        r = channel_new(&w->channel, FD_CONTROL, CHANNEL_ARENA_CHILD);
    if (r < 0) {
        log_error("%s", err_text());
        return 1;
    }
    r = start(w);
    if (r == -ESHUTDOWN)
        _exit(0);
    if (r < 0) {
        worker_fail(w, r);
        _exit(1);
    }
    /* No exit handlers: nothing is buffered, and the sandbox has no room for them. */
    _exit(worker_run(w));
}
