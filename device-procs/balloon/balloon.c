/* SPDX-License-Identifier: Apache-2.0 */
/* balloon.c - bulkhead-dev-balloon: memory that the guest doesn't need goes back to the host, by
 * punching holes in the RAM file (virtio 1.2 section 5.5). */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_balloon.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "balloon_req.h"
#include "base/err.h"
#include "base/log.h"
#include "common/worker.h"

enum { INFLATEQ, DEFLATEQ, FIRST_OPTIONAL_QUEUE, NO_QUEUE = 0xffff };
enum { BATCH = 16, STATS_EVERY_MS = 2000 };

struct balloon {
    struct worker *worker;
    struct stats_page *stats;
    struct virtio_balloon_config config;
    uint64_t ram_bytes;
    unsigned stats_queue, report_queue; /* queues are numbered without gaps */
    struct loop_event *stats_timer;
    struct vq_chain stats_chain; /* the driver's buffer; given back to ask for new figures */
    bool have_stats_chain;
    bool punch_failed;
    uint32_t pfns[BALLOON_MAX_PFNS];
};

static void punch(void *arg, uint64_t file_offset, uint64_t len_bytes)
{
    struct balloon *b = arg;

    if (fallocate(worker_ram_fd(b->worker), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                  (off_t)file_offset, (off_t)len_bytes) == 0)
        return;
    b->stats->errors++;
    if (!b->punch_failed)
        log_warn("memory can't be given back: %s", strerror(errno));
    b->punch_failed = true;
}

/* ---- the queues ---- */

static void name_pages(struct balloon *b, const struct vq_chain *chain, struct balloon_run *run)
{
    uint64_t off = 0;
    unsigned bad = 0;
    size_t len;

    while ((len = vq_chain_read(chain, off, b->pfns, sizeof(b->pfns))) >= sizeof(b->pfns[0])) {
        size_t n = len / sizeof(b->pfns[0]);

        for (size_t i = 0; i < n; i++)
            bad += balloon_run_page(run, b->pfns[i]) != 0;
        off += n * sizeof(b->pfns[0]);
    }
    balloon_run_end(run);
    if (bad == 0)
        return;
    b->stats->errors += bad;
    log_guest("balloon: %u pages that the guest does not have", bad);
}

static void inflate(struct balloon *b, const struct vq_chain *chain)
{
    struct balloon_run run;

    balloon_run_init(&run, worker_mem(b->worker), punch, b);
    name_pages(b, chain, &run);
    b->stats->write_ops++;
    b->stats->write_bytes += run.bytes;
}

/* Pages come back by being touched; there is nothing to do but to count. */
static void deflate(struct balloon *b, const struct vq_chain *chain)
{
    b->stats->read_ops++;
    b->stats->read_bytes += chain->read_bytes / sizeof(b->pfns[0]) * BALLOON_PAGE_BYTES;
}

static void report(struct balloon *b, const struct vq_chain *chain)
{
    struct balloon_run run;

    balloon_run_init(&run, worker_mem(b->worker), punch, b);
    for (unsigned i = 0; i < chain->n_write; i++)
        balloon_run_slice(&run, chain->slices[chain->n_read + i]);
    balloon_run_end(&run);
    b->stats->discard_ops++;
    b->stats->write_bytes += run.bytes;
}

static int on_requests(struct balloon *b, unsigned q,
                       void (*handle)(struct balloon *b, const struct vq_chain *chain))
{
    struct vq *vq = worker_vq(b->worker, q);
    struct vq_chain chain;
    int r = 0;

    for (unsigned i = 0; i < BATCH; i++) {
        r = vq_pop(vq, &chain);
        if (r != 0)
            break;
        handle(b, &chain);
        vq_push(vq, chain.head, 0);
    }
    if (r == 0)
        worker_rerun(b->worker, q);
    vq_notify(vq);
    return r == VQ_EMPTY ? 0 : r;
}

static void take_report(struct balloon *b, const struct vq_chain *chain)
{
    uint8_t data[16 * BALLOON_STAT_BYTES];
    size_t len = vq_chain_read(chain, 0, data, sizeof(data));

    balloon_stats_parse(data, len, b->stats->guest_stats, ARRAY_SIZE(b->stats->guest_stats));
}

/* One is held, 5.5.6.3: the last that was popped, for none else can be given back unread. */
static int on_stats(struct balloon *b)
{
    struct vq *vq = worker_vq(b->worker, b->stats_queue);
    struct vq_chain chain;
    int r = 0;

    for (unsigned i = 0; i < BATCH; i++) {
        r = vq_pop(vq, &chain);
        if (r != 0)
            break;
        if (b->have_stats_chain)
            vq_push(vq, b->stats_chain.head, 0);
        take_report(b, &chain);
        b->stats_chain = chain;
        b->have_stats_chain = true;
    }
    if (r == 0)
        worker_rerun(b->worker, b->stats_queue);
    vq_notify(vq);
    return r == VQ_EMPTY ? 0 : r;
}

static void on_stats_timer(int fd, unsigned what, void *arg)
{
    struct balloon *b = arg;
    struct vq *vq;

    (void)fd;
    (void)what;
    if (!worker_running(b->worker) || !b->have_stats_chain)
        return;
    vq = worker_vq(b->worker, b->stats_queue);
    b->have_stats_chain = false;
    vq_push(vq, b->stats_chain.head, 0);
    vq_notify(vq);
}

static int balloon_on_queue(void *device, unsigned q)
{
    struct balloon *b = device;

    if (q == INFLATEQ)
        return on_requests(b, q, inflate);
    if (q == DEFLATEQ)
        return on_requests(b, q, deflate);
    if (q == b->stats_queue)
        return on_stats(b);
    return q == b->report_queue ? on_requests(b, q, report) : 0;
}

/* ---- messages ---- */

static int set_target(struct balloon *b, uint64_t bytes)
{
    b->config.num_pages = (uint32_t)(MIN(bytes, b->ram_bytes) / BALLOON_PAGE_BYTES);
    return worker_config_update(b->worker, offsetof(struct virtio_balloon_config, num_pages),
                                &b->config.num_pages, sizeof(b->config.num_pages));
}

/* The driver wrote to the configuration space: only `actual` is its to write. */
static void driver_wrote(struct balloon *b, const Bulkhead__ConfigUpdate *update)
{
    const size_t at = offsetof(struct virtio_balloon_config, actual);

    for (size_t i = 0; i < update->data.len; i++)
        if (update->offset + i >= at && update->offset + i < at + sizeof(b->config.actual))
            ((uint8_t *)&b->config)[update->offset + i] = update->data.data[i];
    b->stats->balloon_bytes = MIN((uint64_t)b->config.actual * BALLOON_PAGE_BYTES, b->ram_bytes);
}

static int balloon_on_message(void *device, const Bulkhead__Envelope *e, int *fds, unsigned n_fds)
{
    struct balloon *b = device;

    (void)fds;
    (void)n_fds;
    switch ((int)e->body_case) {
    case BULKHEAD__ENVELOPE__BODY_BALLOON_TARGET:
        return set_target(b, e->balloon_target->size);
    case BULKHEAD__ENVELOPE__BODY_CONFIG_UPDATE:
        driver_wrote(b, e->config_update);
        return 0;
    default:
        return err_origin(-EPROTO, "message %d is nothing for balloon", (int)e->body_case);
    }
}

/* ---- life ---- */

static int balloon_setup(struct worker *w, const Bulkhead__Configure *cfg, int *fds, unsigned n_fds,
                         Bulkhead__Announce *announce, void **ret_device)
{
    const Bulkhead__BalloonWorkerConfig *config = cfg->balloon;
    unsigned queues = config->free_page_reporting ? 4 : 3;
    struct balloon *b;
    int r;

    (void)fds;
    if (worker_num_queues(w) < queues || n_fds != 0)
        return err_origin(-EPROTO, "balloon: %u queues, %u descriptors", worker_num_queues(w),
                          n_fds);
    b = calloc(1, sizeof(*b));
    if (!b)
        return err_origin(-ENOMEM, "balloon");
    b->worker = w;
    b->stats = worker_stats(w);
    b->ram_bytes = cfg->ram_size;
    b->stats_queue = b->report_queue = NO_QUEUE;
    b->config.num_pages = (uint32_t)(MIN(config->size, cfg->ram_size) / BALLOON_PAGE_BYTES);
    b->config.actual = (uint32_t)(b->stats->balloon_bytes / BALLOON_PAGE_BYTES);
    r = loop_add_timer(worker_loop(w), on_stats_timer, b, &b->stats_timer);
    if (r < 0)
        return err_trace(r);
    announce->virtio_id = VIRTIO_ID_BALLOON;
    announce->features = 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX |
                         1ull << VIRTIO_RING_F_INDIRECT_DESC | 1ull << VIRTIO_BALLOON_F_STATS_VQ;
    if (config->deflate_on_oom)
        announce->features |= 1ull << VIRTIO_BALLOON_F_DEFLATE_ON_OOM;
    if (config->free_page_reporting)
        announce->features |= 1ull << VIRTIO_BALLOON_F_REPORTING;
    announce->config.data = (uint8_t *)&b->config;
    announce->config.len = offsetof(struct virtio_balloon_config, free_page_hint_cmd_id);
    *ret_device = b;
    return 0;
}

static int balloon_activate(void *device, uint64_t features, bool resume)
{
    struct balloon *b = device;
    unsigned next = FIRST_OPTIONAL_QUEUE;

    (void)resume;
    b->stats_queue = features & (1ull << VIRTIO_BALLOON_F_STATS_VQ) ? next++ : NO_QUEUE;
    b->report_queue = features & (1ull << VIRTIO_BALLOON_F_REPORTING) ? next++ : NO_QUEUE;
    b->have_stats_chain = false;
    return loop_timer_arm(b->stats_timer, STATS_EVERY_MS, true);
}

static void balloon_drain(void *device)
{
    struct balloon *b = device;

    if (b->have_stats_chain) /* comes again when the queues run again */
        vq_unpop(worker_vq(b->worker, b->stats_queue), &b->stats_chain);
    b->have_stats_chain = false;
    worker_drained(b->worker);
}

static void balloon_reset(void *device)
{
    struct balloon *b = device;

    loop_timer_disarm(b->stats_timer);
    b->have_stats_chain = false;
    b->config.actual = 0;
    b->stats->balloon_bytes = 0;
}

static const struct worker_ops balloon_ops = {
    .role = BULKHEAD__ROLE__ROLE_BALLOON,
    .filter = &sandbox_filter_balloon,
    .needs_ram_fd = true,
    .setup = balloon_setup,
    .activate = balloon_activate,
    .on_queue = balloon_on_queue,
    .drain = balloon_drain,
    .reset = balloon_reset,
    .on_message = balloon_on_message,
};

int main(int argc, char **argv)
{
    return worker_main(&balloon_ops, argc, argv);
}
