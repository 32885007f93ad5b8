/* SPDX-License-Identifier: Apache-2.0 */
/* balloon.c - bulkhead-dev-balloon: memory that the guest doesn't need goes back to the host, by
 * punching holes in RAM (virtio 1.2 section 5.5). */
#include <errno.h>
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
#include "common/worker_main.h"
#include "common/worker_say.h"
#include "common/worker_stop.h"
#include "sandbox/gen/filter_balloon.h"

enum { INFLATEQ, DEFLATEQ, FIRST_OPTIONAL_QUEUE, NO_QUEUE = 0xffff };
enum { BATCH = 16, STATS_EVERY_MS = 2000 };

/* The request of one queue that is worked on: of any length, so in pieces. */
struct job {
    struct vq_chain chain; /* the one popped last */
    bool busy;
    unsigned slice; /* a report's: where to go on, */
    uint64_t at;    /* in it, or in all page numbers */
    uint64_t bad;
    uint64_t start_ns;
    struct balloon_run run;
};

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
    struct job jobs[FIRST_OPTIONAL_QUEUE + 2]; /* of each queue, if it has requests */
};

static void punch(void *arg, gpa_t at, uint64_t len_bytes)
{
    struct balloon *b = arg;
    struct gslice slice;

    /* Each of its pages was found in RAM. */
    if (gmem_slice(worker_mem(b->worker), at, len_bytes, &slice) == 0 && gslice_discard(slice) == 0)
        return;
    b->stats->errors++;
    if (!b->punch_failed)
        log_warn("%s", err_text());
    b->punch_failed = true;
}

/* ---- the queues ---- */

/* Does one piece of the job; whether that was the last. */
typedef bool (*piece_fn)(struct balloon *b, struct job *job);

static bool inflate(struct balloon *b, struct job *job)
{
    uint32_t pfns[BALLOON_PIECE_PFNS];
    size_t len = vq_chain_read(&job->chain, job->at, pfns, sizeof(pfns));
    size_t n = len / sizeof(pfns[0]), bad = 0;

    for (size_t i = 0; i < n; i++)
        bad += balloon_run_page(&job->run, pfns[i]) != 0;
    b->stats->errors += bad;
    job->bad += bad;
    job->at += len;
    if (len == sizeof(pfns))
        return false;
    balloon_run_end(&job->run);
    if (job->bad > 0)
        log_guest("balloon: %llu pages that the guest does not have", (unsigned long long)job->bad);
    b->stats->write_ops++;
    b->stats->write_bytes += job->run.bytes;
    return true;
}

/* Pages come back by being touched; there is nothing to do but to count. */
static bool deflate(struct balloon *b, struct job *job)
{
    b->stats->read_ops++;
    b->stats->read_bytes += job->chain.read_bytes / sizeof(uint32_t) * BALLOON_PAGE_BYTES;
    return true;
}

static bool report(struct balloon *b, struct job *job)
{
    const struct vq_chain *chain = &job->chain;

    if (job->slice < chain->n_write) {
        struct gslice slice = chain->slices[chain->n_read + job->slice];

        job->at = balloon_run_slice(&job->run, slice, job->at);
        if (job->at == slice.len_) {
            job->slice++;
            job->at = 0;
        }
        return false;
    }
    balloon_run_end(&job->run);
    b->stats->discard_ops++;
    b->stats->write_bytes += job->run.bytes;
    return true;
}

static int next_job(struct balloon *b, unsigned q)
{
    struct job *job = &b->jobs[q];
    struct vq_chain chain;
    int r = vq_pop(worker_vq(b->worker, q), &chain);

    if (r != 0)
        return r;
    *job = (struct job){ .chain = chain, .busy = true, .start_ns = now_ns() };
    balloon_run_init(&job->run, worker_mem(b->worker), punch, b);
    return 0;
}

/* Until the turn is over; a long request may take many of them. */
static int on_requests(struct balloon *b, unsigned q, piece_fn piece)
{
    struct vq *vq = worker_vq(b->worker, q);
    struct job *job = &b->jobs[q];
    int r = 0;

    do {
        if (!job->busy)
            r = next_job(b, q);
        if (r == 0 && piece(b, job)) {
            stats_count_latency(b->stats, now_ns() - job->start_ns, 1);
            job->busy = false;
            vq_push(vq, job->chain.head, 0);
        }
    } while (r == 0 && !turn_over(worker_turn(b->worker)));
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

static void set_target(struct balloon *b, uint64_t bytes)
{
    b->config.num_pages = (uint32_t)(MIN(bytes, b->ram_bytes) / BALLOON_PAGE_BYTES);
    worker_config_changed(b->worker, offsetof(struct virtio_balloon_config, num_pages),
                          sizeof(b->config.num_pages));
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
        set_target(b, e->balloon_target->size);
        return 0;
    case BULKHEAD__ENVELOPE__BODY_CONFIG_UPDATE:
        driver_wrote(b, e->config_update);
        return 0;
    default:
        return err_origin(-EPROTO, "message %d is nothing for balloon", (int)e->body_case);
    }
}

/* ---- life ---- */

/* What a driver had given up, and told of itself, goes with it: the next one finds nothing of that. */
static void forget_driver(struct stats_page *stats)
{
    stats->balloon_bytes = 0;
    memset(stats->guest_stats, 0, sizeof(stats->guest_stats));
}

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
    if (!cfg->restarted)
        forget_driver(b->stats); /* of the boot before, with other RAM: the page lives longer */
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
    return loop_timer_arm(b->stats_timer, STATS_EVERY_MS, true);
}

static void balloon_drain(void *device)
{
    struct balloon *b = device;

    /* These come again when the queues run again; a page that is named twice was free all along. */
    for (unsigned q = 0; q < ARRAY_SIZE(b->jobs); q++) {
        if (b->jobs[q].busy)
            vq_unpop(worker_vq(b->worker, q), &b->jobs[q].chain);
        b->jobs[q].busy = false;
    }
    if (b->have_stats_chain)
        vq_unpop(worker_vq(b->worker, b->stats_queue), &b->stats_chain);
    b->have_stats_chain = false;
    worker_drained(b->worker);
}

static void forget_actual(struct balloon *b)
{
    const size_t at = offsetof(struct virtio_balloon_config, actual);

    if (b->config.actual == 0)
        return;
    b->config.actual = 0;
    worker_config_changed(b->worker, at, sizeof(b->config.actual));
}

static void balloon_reset(void *device)
{
    struct balloon *b = device;

    loop_timer_disarm(b->stats_timer);
    b->have_stats_chain = false;
    forget_driver(b->stats);
    forget_actual(b);
}

static const struct worker_ops balloon_ops = {
    .role = BULKHEAD__ROLE__ROLE_BALLOON,
    .filter = &sandbox_filter_balloon,
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
