/* SPDX-License-Identifier: Apache-2.0 */
/* blk.c - the disk worker: virtio-blk (virtio 1.2, section 5.2) on one file or block device.
 *
 * The path of a request: a kick -> on_queue() -> vq_pop() -> blk_req_parse() -> blk_io_start() ->
 * the ring, submitted before the loop sleeps -> on_done() -> blk_req_finish() -> vq_push().
 */
#include <errno.h>
#include <linux/magic.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "blk_config.h"
#include "blk_io.h"
#include "blk_req.h"
#include "sandbox/gen/filter_blk.h"
#include "token_bucket.h"
#include "worker.h"
#include "worker_main.h"
#include "worker_stop.h"

enum {
    MAX_REQUESTS = RING_DISK_ENTRIES,
    BATCH_MIN = 4,
    BATCH_MAX = 128,
    BATCH_DISK = 8,
    BATCH_PLAIN = 8
};
/* Bytes of requests in flight, beyond which no more are taken up: the broker may have to wait until
 * all of them are done, and one request may be of 4 GiB. More than drivers ever have under way. */
enum { MAX_INFLIGHT_BYTES = 512 << 20 };
enum { OLD_RING_POLL_MS = 1, OLD_RING_PATIENCE_MS = 50 };

struct blk_request {
    struct blk_io_req io; /* first: on_done() gets it */
    unsigned queue;
    uint64_t start_ns;
    uint64_t bytes;                    /* of inflight_bytes */
    struct blk_request *older, *newer; /* in flight, by age; newer: also the free list */
};

struct blk {
    struct worker *worker;
    struct blk_io *io;
    struct stats_page *stats;
    struct blk_limits limits;
    char id[BLK_ID_BYTES];
    struct virtio_blk_config config;
    struct blk_request *requests, *free_requests;
    unsigned n_touched; /* of requests: those behind were never used, their pages don't exist */
    struct blk_request *oldest, *newest;
    unsigned n_inflight;
    uint64_t inflight_bytes;
    unsigned batch, batch_min, batch_max;
    uint64_t stalled; /* queues that stopped for want of a free request, as bits */
    unsigned next_stalled;
    uint64_t throttled; /* queues that wait for tokens */
    uint64_t to_notify; /* queues with answers that the guest wasn't told of */
    struct rate_limit limit;
    struct loop_event *on_tokens, *on_old_ring, *on_ring;
    struct uring_old *old_ring; /* still busy: nothing is submitted before it is still */
    bool draining, direct, user_space_fs;
    int fd;
};

/* ---- requests in flight ---- */

static bool has_room(const struct blk *blk)
{
    return (blk->free_requests || blk->n_touched < MAX_REQUESTS) &&
           blk->inflight_bytes < MAX_INFLIGHT_BYTES;
}

static struct blk_request *take_request(struct blk *blk, unsigned queue,
                                        const struct blk_order *order)
{
    struct blk_request *req = blk->free_requests;

    if (req)
        blk->free_requests = req->newer;
    else
        req = &blk->requests[blk->n_touched++];
    req->queue = queue;
    req->start_ns = now_ns();
    req->io.order = *order;
    req->bytes = order->op == BLK_OP_DISCARD ? 0 : order->len_bytes; /* gives back, moves nothing */
    blk->inflight_bytes += req->bytes;
    req->newer = NULL;
    req->older = blk->newest;
    if (blk->newest)
        blk->newest->newer = req;
    else
        blk->oldest = req;
    blk->newest = req;
    blk->n_inflight++;
    return req;
}

static void release_request(struct blk *blk, struct blk_request *req)
{
    if (req->older)
        req->older->newer = req->newer;
    else
        blk->oldest = req->newer;
    if (req->newer)
        req->newer->older = req->older;
    else
        blk->newest = req->older;
    req->newer = blk->free_requests;
    blk->free_requests = req;
    blk->inflight_bytes -= req->bytes;
    blk->n_inflight--;
}

static void publish_inflight(struct blk *blk)
{
    __atomic_store_n(&blk->stats->inflight, blk->n_inflight, __ATOMIC_RELAXED);
    __atomic_store_n(&blk->stats->oldest_start_ns, blk->oldest ? blk->oldest->start_ns : 0,
                     __ATOMIC_RELAXED);
}

static void count(struct blk *blk, const struct blk_request *req, bool ok)
{
    const struct blk_order *order = &req->io.order;
    struct stats_page *stats = blk->stats;

    stats_count_latency(stats, now_ns() - req->start_ns, 1);
    if (!ok)
        stats->errors++;
    if (order->op == BLK_OP_READ) {
        stats->read_ops++;
        stats->read_bytes += order->len_bytes;
    } else if (order->op == BLK_OP_WRITE) {
        stats->write_ops++;
        stats->write_bytes += order->len_bytes;
    } else if (order->op == BLK_OP_FLUSH) {
        stats->flush_ops++;
    } else {
        stats->discard_ops++;
    }
}

static void flush_notifications(struct blk *blk)
{
    for (unsigned q = 0; blk->to_notify != 0; q++) {
        if (blk->to_notify & 1ull << q)
            vq_notify(worker_vq(blk->worker, q));
        blk->to_notify &= ~(1ull << q);
    }
}

static void push(struct blk *blk, unsigned queue, uint16_t head, uint32_t written)
{
    vq_push(worker_vq(blk->worker, queue), head, written);
    blk->to_notify |= 1ull << queue;
}

static void on_done(void *arg, struct blk_io_req *io_req, int res)
{
    struct blk *blk = arg;
    struct blk_request *req = (struct blk_request *)io_req;
    uint8_t status = (uint8_t)(res < 0 ? BLK_STATUS_IOERR : BLK_STATUS_OK);

    if (res < 0)
        log_guest("%s at %llu, %llu bytes: %s", "I/O error",
                  (unsigned long long)io_req->order.offset,
                  (unsigned long long)io_req->order.len_bytes, strerror(-res));
    count(blk, req, res >= 0);
    /* The host may hold up each system call for long; while requests end, this is alive. */
    __atomic_fetch_add(&blk->stats->heartbeat, 1, __ATOMIC_RELAXED);
    push(blk, req->queue, io_req->chain.head,
         blk_req_finish(&io_req->chain, &io_req->order, status));
    release_request(blk, req);
}

/* ---- queues ---- */

static bool throttle(struct blk *blk, unsigned q, const struct blk_order *order)
{
    uint64_t wait_ns;

    if (!rate_limit_active(&blk->limit))
        return false;
    wait_ns = rate_limit_take(&blk->limit, order->len_bytes, now_ns());
    if (wait_ns == 0)
        return false;
    blk->stats->throttled++;
    blk->throttled |= 1ull << q;
    loop_timer_arm(blk->on_tokens, wait_ns / 1000000 + 1, false);
    return true;
}

static void rerun_bits(struct blk *blk, uint64_t *bits)
{
    uint64_t set = *bits;

    *bits = 0;
    for (unsigned q = 0; set != 0; q++, set >>= 1)
        if (set & 1)
            worker_rerun(blk->worker, q);
}

/* One at a time, in a circle: it may need all the room there is. */
static void rerun_one_stalled(struct blk *blk)
{
    unsigned q = blk->next_stalled;

    while (!(blk->stalled & 1ull << q))
        q = (q + 1) % worker_num_queues(blk->worker);
    blk->stalled &= ~(1ull << q);
    blk->next_stalled = (q + 1) % worker_num_queues(blk->worker);
    worker_rerun(blk->worker, q);
}

static void on_tokens(int fd, unsigned what, void *arg)
{
    struct blk *blk = arg;

    (void)fd;
    (void)what;
    rerun_bits(blk, &blk->throttled);
}

/* serve_one(): 0, VQ_EMPTY, VQ_E_GUEST, or THROTTLED when tokens are short. */
enum { THROTTLED = VQ_E_GUEST + 1 };

static int serve_one(struct blk *blk, unsigned q)
{
    struct vq *vq = worker_vq(blk->worker, q);
    struct vq_chain chain;
    struct blk_order order;
    struct blk_request *req;
    int r = vq_pop(vq, &chain);

    if (r != 0)
        return r;
    r = blk_req_parse(&chain, &blk->limits, &order);
    if (r != 0)
        return r;
    if (throttle(blk, q, &order)) {
        vq_unpop(vq, &chain);
        return THROTTLED;
    }
    if (order.op == BLK_OP_NONE || order.op == BLK_OP_GET_ID) {
        if (order.op == BLK_OP_GET_ID)
            blk_req_put_id(&chain, blk->id);
        if (order.status != BLK_STATUS_OK)
            blk->stats->errors++;
        push(blk, q, chain.head, blk_req_finish(&chain, &order, order.status));
        return 0;
    }
    req = take_request(blk, q, &order);
    req->io.chain = chain;
    blk_io_start(blk->io, &req->io);
    return 0;
}

static int on_queue(void *device, unsigned q)
{
    struct blk *blk = device;
    int r = 0;

    if (blk->old_ring)
        return 0; /* on_old_ring() runs all queues when it is still */
    for (unsigned n = 0; r == 0; n++) {
        if (turn_is_spent(worker_turn(blk->worker))) {
            worker_rerun(blk->worker, q);
            break;
        }
        if (n == blk->batch) {
            worker_rerun(blk->worker, q);
            blk->batch = MIN(2 * blk->batch, blk->batch_max);
            break;
        }
        if (!has_room(blk)) {
            blk->stalled |= 1ull << q;
            break;
        }
        r = serve_one(blk, q);
        if (r == VQ_EMPTY)
            blk->batch = blk->batch_min;
    }
    /* What the ring took is told before_sleep(), together with what completes at once. */
    if (!blk_io_uring(blk->io) || blk->n_inflight == 0)
        flush_notifications(blk);
    return r == VQ_E_GUEST ? VQ_E_GUEST : 0;
}

/* From the page cache the first answers are there at once, and the guest works on them while the
 * rest is done: a burst starts with a few requests. A disk works on the first while the rest is
 * handed in; a few more for each call are worth it there. */
static void choose_batch(struct blk *blk, unsigned n_before)
{
    if (blk->n_inflight < n_before)
        blk->batch_min = BATCH_MIN;
    else if (n_before > 1)
        blk->batch_min = BATCH_DISK;
}

static void turn(struct blk *blk)
{
    bool submits = blk_io_uring(blk->io) && uring_to_submit(blk_io_uring(blk->io));
    unsigned n_before = blk->n_inflight;
    int r = blk_io_turn(blk->io);

    if (submits)
        choose_batch(blk, n_before);
    /* In the next turn: there is more to do, or the kernel was short of memory. */
    if (r == -EAGAIN || r == BLK_IO_MORE)
        worker_rerun(blk->worker, 0);
    else if (r < 0)
        worker_fail(blk->worker, r);
    flush_notifications(blk);
    publish_inflight(blk);
    if (blk->stalled && has_room(blk))
        rerun_one_stalled(blk);
    if (blk->draining && blk->n_inflight == 0 && !blk->old_ring) {
        blk->draining = false;
        worker_drained(blk->worker);
    }
}

static void before_sleep(void *device)
{
    turn(device);
}

static enum worker_found poll_ring(void *device)
{
    struct blk *blk = device;

    if (blk->n_inflight == 0)
        return WORKER_FOUND_NOTHING;
    if (blk_io_uring(blk->io) && uring_ready(blk_io_uring(blk->io)))
        return WORKER_FOUND_SOME;
    /* What the page cache doesn't answer at once is done by threads of the ring. */
    return blk->direct ? WORKER_WAITS_FOR_SOON : WORKER_WAITS_FOR_TASK;
}

static void on_ring(int fd, unsigned what, void *arg)
{
    struct blk *blk = arg;

    (void)fd;
    (void)what;
    worker_poll_woken(blk->worker);
    turn(blk);
}

/* ---- life ---- */

static int activate(void *device, uint64_t features, bool resume)
{
    struct blk *blk = device;

    /* The heads in the journal come out of vq_pop() like any other. */
    if (resume)
        blk_io_be_careful(blk->io);
    blk->limits.discard = features & 1ull << VIRTIO_BLK_F_DISCARD;
    blk->limits.write_zeroes = features & 1ull << VIRTIO_BLK_F_WRITE_ZEROES;
    blk_io_set_writethrough(blk->io, !(features & 1ull << VIRTIO_BLK_F_FLUSH));
    return 0;
}

static void drain(void *device)
{
    struct blk *blk = device;

    blk->draining = true;
    turn(blk);
}

static void reset(void *device)
{
    struct blk *blk = device;

    blk->stalled = 0;
    blk->throttled = 0;
    blk->to_notify = 0;
    loop_timer_disarm(blk->on_tokens);
}

static int on_message(void *device, const Bulkhead__Envelope *e, int *fds, unsigned n_fds)
{
    struct blk *blk = device;

    (void)fds;
    (void)n_fds;
    if (e->body_case == BULKHEAD__ENVELOPE__BODY_CONFIG_UPDATE)
        return 0; /* no field of ours is the driver's to write */
    if (e->body_case != BULKHEAD__ENVELOPE__BODY_SET_RATE_LIMIT)
        return err_origin(-EPROTO, "message that is nothing for a disk");
    rate_limit_set(&blk->limit, e->set_rate_limit->limit, now_ns());
    rerun_bits(blk, &blk->throttled);
    return 0;
}

static void on_old_ring(int fd, unsigned what, void *arg)
{
    struct blk *blk = arg;

    (void)fd;
    (void)what;
    if (!uring_old_drained(blk->old_ring) || !worker_ring_drained(blk->worker))
        return;
    loop_timer_disarm(blk->on_old_ring);
    uring_old_free(blk->old_ring, true);
    blk->old_ring = NULL;
    log_info("the dead worker's ring is drained");
    for (unsigned q = 0; q < worker_num_queues(blk->worker); q++)
        worker_rerun(blk->worker, q);
}

static int take_old_ring(struct blk *blk)
{
    struct worker_ring *inherited = worker_old_ring(blk->worker);
    int fd = inherited->fd;
    int r;

    if (fd < 0)
        return 0;
    r = uring_old_new(&blk->old_ring, fd_take(&inherited->fd), &inherited->params);
    if (r < 0)
        return err_trace(r);
    /* Mostly it is still at once. Until it is said to be, the spawner holds it: should this process
     * die too, its replacement waits for the same one. */
    for (unsigned ms = 0; ms < OLD_RING_PATIENCE_MS && !uring_old_drained(blk->old_ring); ms++)
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    if (uring_old_drained(blk->old_ring)) {
        uring_old_free(blk->old_ring, false);
        blk->old_ring = NULL;
        (void)worker_ring_drained(blk->worker);
        return 0;
    }
    worker_keep_fd(blk->worker, fd);
    r = loop_add_timer(worker_loop(blk->worker), on_old_ring, blk, &blk->on_old_ring);
    if (r == 0)
        r = loop_timer_arm(blk->on_old_ring, OLD_RING_POLL_MS, true);
    return r < 0 ? err_trace(r) : 0;
}

/* A file system in user space may keep a write for as long as it likes, and the wait for it looks
 * like a hang to the broker. What can't be found out is taken for one. */
static bool in_user_space(int fd)
{
    struct statfs fs;

    return fstatfs(fd, &fs) < 0 || fs.f_type == FUSE_SUPER_MAGIC;
}

/* NULL: the host has none for us; the plain way does the same, slower. */
static struct uring *take_own_ring(struct blk *blk)
{
    struct worker_ring *own = worker_own_ring(blk->worker);
    struct uring *ring = NULL;
    int r = own->fd < 0 ? err_origin(-own->error, "io_uring")
                        : uring_new(&ring, fd_take(&own->fd), &own->params, &blk->fd, 1);

    if (r < 0 || !ring)
        log_warn("no io_uring here (%s): plain system calls", err_text());
    return ring;
}

static int make_io(struct blk *blk, const Bulkhead__BlkConfig *cfg)
{
    struct blk_io_config config = { .fd = blk->fd,
                                    .mem = worker_mem(blk->worker),
                                    .block_device = cfg->block_device,
                                    .turn = worker_turn(blk->worker),
                                    .direct = cfg->direct,
                                    .align = blk_config_direct_align(cfg),
                                    .range_align = blk_config_range_align(cfg),
                                    .writes_here = !cfg->direct && !blk->user_space_fs,
                                    .user_space_fs = blk->user_space_fs,
                                    .uring = cfg->use_io_uring ? take_own_ring(blk) : NULL };
    struct uring *ring = config.uring;
    int r = blk_io_new(&blk->io, &config, on_done, blk);

    if (r < 0)
        return err_trace(r);
    blk->batch_max = ring ? BATCH_MAX : BATCH_PLAIN;
    blk->batch_min = ring ? BATCH_MIN : BATCH_PLAIN;
    blk->batch = blk->batch_min;
    blk->direct = cfg->direct;
    if (ring) {
        worker_keep_fd(blk->worker, uring_fd(ring));
        r = loop_add_fd(worker_loop(blk->worker), uring_fd(ring), LOOP_READ, on_ring, blk,
                        &blk->on_ring);
    }
    if (r == 0)
        r = take_old_ring(blk);
    return r < 0 ? err_trace(r) : 0;
}

/* The page of a group of disks, mapped for good; its content is never trusted. */
static int map_group(struct blk *blk, int fd)
{
    struct stat st;
    void *page;

    if (fd_type(fd) != FD_TYPE_MEMFD || fstat(fd, &st) < 0 || st.st_size < PAGE_BYTES)
        return err_origin(-EBADF, "the rate limit group is no page of shared memory");
    page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        return err_origin(-errno, "mapping the rate limit group");
    blk->limit.group = page;
    return 0;
}

static int setup(struct worker *w, const Bulkhead__Configure *cfg, int *fds, unsigned n_fds,
                 Bulkhead__Announce *announce, void **ret_device)
{
    static struct blk the_disk; /* one per process */
    struct blk *blk = &the_disk;
    const Bulkhead__BlkConfig *b =
        cfg->role_case == BULKHEAD__CONFIGURE__ROLE_BLK ? cfg->blk : NULL;
    int r = blk_config_check(b, n_fds, fds);
    bool discards;

    if (r < 0)
        return err_trace(r);
    if (cfg->num_queues == 0 || cfg->queue_size < 4) /* header, data and status need 3 */
        return err_origin(-EINVAL, "%u queues of %u", cfg->num_queues, cfg->queue_size);
    *blk = (struct blk){ .worker = w, .stats = worker_stats(w), .fd = fd_take(&fds[0]) };
    blk->limits = (struct blk_limits){ .sectors = b->size / BLK_SECTOR_BYTES,
                                       .readonly = b->readonly,
                                       .fail_all = b->fail_all };
    strncpy(blk->id, b->serial, sizeof blk->id);
    r = b->rate_limit_group ? map_group(blk, fds[1]) : 0;
    if (r < 0)
        return err_trace(r);
    rate_limit_set(&blk->limit, b->rate_limit, now_ns());
    worker_keep_fd(w, blk->fd);
    if (!b->readonly)
        worker_limit_files(w, b->size);
    blk->user_space_fs = !b->block_device && in_user_space(blk->fd);
    blk->requests = calloc(MAX_REQUESTS, sizeof *blk->requests);
    r = blk->requests ? make_io(blk, b) : err_origin(-ENOMEM, "requests");
    if (r == 0)
        r = loop_add_timer(worker_loop(w), on_tokens, blk, &blk->on_tokens);
    if (r < 0)
        return err_trace(r);
    announce->virtio_id = VIRTIO_ID_BLOCK;
    /* The ring has no way to discard on a file system in user space; see blk_io_start(). Nor is it offered when the
     * host gives no ring: the guest would be left with it when a successor has one. */
    discards = b->discard && !(blk->user_space_fs && b->use_io_uring);
    announce->features = blk_config_announce(cfg, discards, &blk->config);
    announce->num_queues = cfg->num_queues;
    announce->queue_size = cfg->queue_size;
    announce->config.data = (uint8_t *)&blk->config;
    announce->config.len = offsetof(struct virtio_blk_config, max_secure_erase_sectors);
    *ret_device = blk;
    return 0;
}

int main(int argc, char **argv)
{
    static const struct worker_ops ops = {
        .role = BULKHEAD__ROLE__ROLE_BLK,
        .filter = &sandbox_filter_blk,
        .setup = setup,
        .activate = activate,
        .on_queue = on_queue,
        .before_sleep = before_sleep,
        .poll = poll_ring,
        .drain = drain,
        .reset = reset,
        .on_message = on_message,
    };

    return worker_main(&ops, argc, argv);
}
