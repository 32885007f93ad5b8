/* SPDX-License-Identifier: Apache-2.0 */
/* blk_io.c - see blk_io.h.
 *
 * A request is one or more steps: each is one operation of the kernel. A read or write that comes
 * back short goes on with the rest; one through a bounce buffer goes in pieces of its size; write
 * zeroes tries the cheap ways before it writes zeroes.
 */
#include "blk_io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/err.h"
#include "base/loop.h"
#include "failpoint.h"

enum { BOUNCE_BYTES = 128 * 1024, BOUNCE_BUFFERS = 4, ZERO_BYTES = 64 * 1024 };
/* Writes to the page cache that are done here instead of by a thread of the ring: which, how long
 * one may take, all of a turn, and for how long there are none after one that took longer. */
enum {
    INLINE_ALIGN = 4096, /* of a whole page nothing is read before it is written */
    INLINE_MAX_BYTES = 256 * 1024,
    INLINE_SLOW_NS = 4 * 1000 * 1000,
    INLINE_TURN_NS = 8 * 1000 * 1000,
    INLINE_PAUSE_MIN_MS = 20,
    INLINE_PAUSE_MAX_MS = 10 * 1000,
};

struct blk_bounce {
    uint8_t *bytes; /* BOUNCE_BYTES, page aligned */
    struct blk_bounce *next_free;
};

struct blk_io {
    struct blk_io_config config;
    struct uring *uring;
    blk_io_done_fn on_done;
    void *arg;
    bool writethrough;
    struct blk_bounce bounces[BOUNCE_BUFFERS];
    struct blk_bounce *free_bounces;
    struct blk_io_req *waiting, **waiting_tail; /* for a bounce buffer or for room in the ring */
    uint8_t *zeroes;
    uint64_t inline_turn_ns;  /* spent on inline writes since the last turn */
    uint64_t inline_after_ns; /* none before that */
    unsigned inline_pause_ms; /* the next pause */
};

static void step(struct blk_io *io, struct blk_io_req *req);

static int make_bounces(struct blk_io *io)
{
    uint8_t *area = mmap(NULL, (size_t)BOUNCE_BUFFERS * BOUNCE_BYTES, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (area == MAP_FAILED)
        return err_origin(-errno, "bounce buffers");
    for (unsigned i = 0; i < BOUNCE_BUFFERS; i++) {
        io->bounces[i].bytes = area + (size_t)i * BOUNCE_BYTES;
        io->bounces[i].next_free = io->free_bounces;
        io->free_bounces = &io->bounces[i];
    }
    return 0;
}

int blk_io_new(struct blk_io **ret_io, const struct blk_io_config *config, blk_io_done_fn on_done,
               void *arg)
{
    struct blk_io *io = calloc(1, sizeof *io);
    int r = 0;

    if (!io)
        return err_origin(-ENOMEM, "disk");
    io->config = *config;
    io->on_done = on_done;
    io->arg = arg;
    io->waiting_tail = &io->waiting;
    io->inline_pause_ms = INLINE_PAUSE_MIN_MS;
    if (config->direct)
        r = make_bounces(io);
    io->zeroes = mmap(NULL, ZERO_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (r == 0 && io->zeroes == MAP_FAILED)
        r = err_origin(-errno, "zeroes");
    if (r < 0) {
        free(io);
        return err_trace(r);
    }
    if (config->use_io_uring &&
        uring_new(&io->uring, URING_DISK, config->entries, &config->fd, 1) < 0)
        io->uring = NULL; /* the host forbids it; the plain way does the same, slower */
    *ret_io = io;
    return 0;
}

struct uring *blk_io_uring(struct blk_io *io)
{
    return io->uring;
}

void blk_io_set_writethrough(struct blk_io *io, bool writethrough)
{
    io->writethrough = writethrough;
}

void blk_io_be_careful(struct blk_io *io)
{
    io->inline_pause_ms = INLINE_PAUSE_MAX_MS;
    io->inline_after_ns = now_ns() + INLINE_PAUSE_MAX_MS * 1000000ull;
}

/* ---- one step ---- */

static void wait_for_room(struct blk_io *io, struct blk_io_req *req)
{
    req->next_waiting = NULL;
    *io->waiting_tail = req;
    io->waiting_tail = &req->next_waiting;
}

static struct blk_io_req *next_waiting(struct blk_io *io)
{
    struct blk_io_req *req = io->waiting;

    if (req) {
        io->waiting = req->next_waiting;
        if (!io->waiting)
            io->waiting_tail = &io->waiting;
    }
    return req;
}

static bool iov_aligned(const struct blk_io *io, const struct blk_io_req *req)
{
    uintptr_t bits = 0;

    for (unsigned i = 0; i < req->n_iov; i++)
        bits |= (uintptr_t)req->iov[i].iov_base | req->iov[i].iov_len;
    return bits % io->config.block_size == 0;
}

/* The guest's own memory of what is left of the data. */
static void aim_at_guest(struct blk_io_req *req)
{
    bool read = req->order.op == BLK_OP_READ;
    size_t off = (size_t)req->done_bytes + (read ? 0 : BLK_HEADER_BYTES);
    int n = vq_chain_iovec(&req->chain, read, off, (size_t)(req->order.len_bytes - req->done_bytes),
                           req->iov, VQ_MAX_SEGMENTS);

    req->n_iov = n < 0 ? 0 : (unsigned)n;
    req->step_bytes = req->order.len_bytes - req->done_bytes;
}

static void aim_at_bounce(struct blk_io_req *req)
{
    req->step_bytes = MIN(req->order.len_bytes - req->done_bytes, (uint64_t)BOUNCE_BYTES);
    if (req->order.op == BLK_OP_WRITE)
        vq_chain_read(&req->chain, BLK_HEADER_BYTES + (size_t)req->done_bytes, req->bounce->bytes,
                      (size_t)req->step_bytes);
    req->iov[0] =
        (struct iovec){ .iov_base = req->bounce->bytes, .iov_len = (size_t)req->step_bytes };
    req->n_iov = 1;
}

/* False: no bounce buffer is free; the request waits. */
static bool aim(struct blk_io *io, struct blk_io_req *req)
{
    if (!req->needs_bounce) {
        aim_at_guest(req);
        if (!io->config.direct || iov_aligned(io, req))
            return true;
        req->needs_bounce = true;
    }
    if (!req->bounce) {
        req->bounce = io->free_bounces;
        if (!req->bounce) {
            wait_for_room(io, req);
            return false;
        }
        io->free_bounces = req->bounce->next_free;
    }
    aim_at_bounce(req);
    return true;
}

static void finish(struct blk_io *io, struct blk_io_req *req, int res)
{
    if (req->bounce) {
        req->bounce->next_free = io->free_bounces;
        io->free_bounces = req->bounce;
        req->bounce = NULL;
    }
    io->on_done(io->arg, req, res);
}

/* The ways to zero a range, tried in this order; the last one always works. */
enum { ZERO_PUNCH, ZERO_RANGE, ZERO_WRITE };

static int range_mode(const struct blk_io_req *req)
{
    if (req->order.op == BLK_OP_DISCARD || req->attempt == ZERO_PUNCH)
        return FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    return FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
}

static int write_some_zeroes(struct blk_io *io, struct blk_io_req *req)
{
    unsigned n = 0;

    req->step_bytes = 0;
    while (n < VQ_MAX_SEGMENTS && req->done_bytes + req->step_bytes < req->order.len_bytes) {
        size_t len = (size_t)MIN(req->order.len_bytes - req->done_bytes - req->step_bytes,
                                 (uint64_t)ZERO_BYTES);

        req->iov[n++] = (struct iovec){ .iov_base = io->zeroes, .iov_len = len };
        req->step_bytes += len;
    }
    req->n_iov = n;
    return 0;
}

static bool is_range(const struct blk_io_req *req)
{
    return req->order.op == BLK_OP_DISCARD ||
           (req->order.op == BLK_OP_ZEROES && req->attempt != ZERO_WRITE);
}

/* Block devices: the ioctls do what fallocate can't there. They hold up the loop, which is why a
 * range is bounded by BLK_MAX_RANGE_SECTORS. */
static int range_ioctl(const struct blk_io *io, const struct blk_io_req *req)
{
    uint64_t range[2] = { req->order.offset, req->order.len_bytes };

    if (ioctl(io->config.fd, req->order.op == BLK_OP_DISCARD ? BLKDISCARD : BLKZEROOUT, range) < 0)
        return -errno;
    return 0;
}

/* One operation by plain system calls. Bytes done, 0, or a negative errno. */
static int64_t step_plain(const struct blk_io *io, struct blk_io_req *req)
{
    off_t at = (off_t)(req->order.offset + req->done_bytes);
    int flags = io->writethrough ? RWF_DSYNC : 0;
    ssize_t n;

    if (req->order.op == BLK_OP_FLUSH)
        n = fdatasync(io->config.fd);
    else if (is_range(req))
        n = fallocate(io->config.fd, range_mode(req), at, (off_t)req->order.len_bytes);
    else if (req->order.op == BLK_OP_READ)
        n = preadv2(io->config.fd, req->iov, (int)req->n_iov, at, 0);
    else
        n = pwritev2(io->config.fd, req->iov, (int)req->n_iov, at, flags);
    return n < 0 ? -errno : n;
}

/* A write to the page cache is a copy into memory, but a file system that may have to wait for
 * memory or a transaction leaves each to a thread of the ring: two switches and another CPU's
 * cache for every few of them. So it is done here while that doesn't wait. When it did, the loop
 * must turn (heartbeat, the broker's messages), and the ring has them for a while. */
static bool may_inline(const struct blk_io *io, const struct blk_io_req *req)
{
    return io->config.writes_here && req->order.op == BLK_OP_WRITE && !io->writethrough &&
           req->order.len_bytes <= INLINE_MAX_BYTES &&
           (req->order.offset | req->order.len_bytes) % INLINE_ALIGN == 0 &&
           io->inline_turn_ns < INLINE_TURN_NS;
}

/* False: not now. */
static bool step_inline(struct blk_io *io, struct blk_io_req *req, int64_t *ret_n)
{
    uint64_t start = now_ns(), now, took;

    if (start < io->inline_after_ns)
        return false;
    *ret_n = step_plain(io, req);
    now = now_ns();
    took = now - start;
    failpoint("after_submit");
    failpoint("after_completion");
    io->inline_turn_ns += took;
    if (took < INLINE_SLOW_NS) {
        io->inline_pause_ms = INLINE_PAUSE_MIN_MS;
    } else {
        io->inline_after_ns = now + io->inline_pause_ms * 1000000ull;
        io->inline_pause_ms = MIN(2 * io->inline_pause_ms, (unsigned)INLINE_PAUSE_MAX_MS);
    }
    return true;
}

/* False: the ring has no room now. */
static bool step_uring(struct blk_io *io, struct blk_io_req *req)
{
    uint64_t at = req->order.offset + req->done_bytes;
    bool write = req->order.op != BLK_OP_READ;

    if (req->order.op == BLK_OP_FLUSH)
        return uring_fdatasync(io->uring, req);
    if (is_range(req))
        return uring_fallocate(io->uring, range_mode(req), at, req->order.len_bytes, req);
    return uring_rw(io->uring, 0, write, req->iov, req->n_iov, at,
                    write && io->writethrough ? RWF_DSYNC : 0, req);
}

static bool range_by_ioctl(const struct blk_io *io, const struct blk_io_req *req)
{
    return io->config.block_device && is_range(req);
}

/* What a step's result means: true when the request is over, with *ret_res. */
static bool over(struct blk_io *io, struct blk_io_req *req, int64_t res, int *ret_res)
{
    *ret_res = res < 0 ? (int)res : 0;
    if (res == -EINTR || res == -EAGAIN)
        return false;
    if (res < 0) {
        if (!is_range(req) || res != -EOPNOTSUPP)
            return true;
        if (req->order.op == BLK_OP_DISCARD) {
            *ret_res = 0; /* a hint that this file system can't use */
            return true;
        }
        /* A hole only with leave to unmap, then a zeroed range, then zeroes. */
        req->attempt = req->attempt == ZERO_PUNCH && req->order.unmap ? ZERO_RANGE : ZERO_WRITE;
        return false;
    }
    if (req->order.op == BLK_OP_FLUSH || is_range(req))
        return true;
    if (res == 0 || (uint64_t)res > req->step_bytes) {
        *ret_res = -EIO; /* the file is shorter than it was */
        return true;
    }
    if (req->bounce && req->order.op == BLK_OP_READ)
        vq_chain_write(&req->chain, (size_t)req->done_bytes, req->bounce->bytes, (size_t)res);
    else if (req->order.op == BLK_OP_READ)
        gmem_mark_written(io->config.mem, req->iov, req->n_iov, (size_t)res);
    req->done_bytes += (uint64_t)res;
    return req->done_bytes == req->order.len_bytes;
}

static bool prepare(struct blk_io *io, struct blk_io_req *req)
{
    if (req->order.op == BLK_OP_READ || req->order.op == BLK_OP_WRITE)
        return aim(io, req);
    if (req->order.op == BLK_OP_ZEROES && req->attempt == ZERO_WRITE)
        write_some_zeroes(io, req);
    return true;
}

static void step(struct blk_io *io, struct blk_io_req *req)
{
    int res = 0;

    for (;;) {
        int64_t n;

        if (!prepare(io, req))
            return;
        if (range_by_ioctl(io, req)) {
            n = range_ioctl(io, req);
        } else if (!io->uring) {
            n = step_plain(io, req);
        } else if (!may_inline(io, req) || !step_inline(io, req, &n)) {
            if (!step_uring(io, req))
                wait_for_room(io, req);
            return;
        }
        if (over(io, req, n, &res)) {
            finish(io, req, res);
            return;
        }
    }
}

void blk_io_start(struct blk_io *io, struct blk_io_req *req)
{
    const struct blk_order *order = &req->order;

    req->done_bytes = 0;
    req->bounce = NULL;
    req->needs_bounce = false;
    req->attempt = order->op == BLK_OP_ZEROES && !order->unmap ? ZERO_RANGE : ZERO_PUNCH;
    /* The kernel would refuse it; the guest was told the block size. */
    if (io->config.direct && (order->op == BLK_OP_READ || order->op == BLK_OP_WRITE) &&
        (order->offset | order->len_bytes) % io->config.block_size != 0) {
        finish(io, req, -EINVAL);
        return;
    }
    step(io, req);
}

static void run_waiting(struct blk_io *io)
{
    struct blk_io_req *last;
    struct blk_io_req *req;

    /* Each once: those that must wait still are queued again behind. */
    if (!io->waiting)
        return;
    last =
        (struct blk_io_req *)((char *)io->waiting_tail - offsetof(struct blk_io_req, next_waiting));
    do {
        req = next_waiting(io);
        step(io, req);
    } while (req != last && io->waiting);
}

static void reap(struct blk_io *io)
{
    void *user = NULL;
    int n = 0;
    int res = 0;

    while (uring_reap(io->uring, &user, &n)) {
        struct blk_io_req *req = user;

        failpoint("after_completion");
        if (over(io, req, n, &res))
            finish(io, req, res);
        else
            step(io, req);
    }
}

int blk_io_turn(struct blk_io *io)
{
    if (!io->uring) {
        run_waiting(io);
        return 0;
    }
    io->inline_turn_ns = 0;
    do {
        int r = uring_to_submit(io->uring) ? uring_submit(io->uring) : 0;

        if (r < 0)
            return r;
        failpoint("after_submit");
        reap(io);
        run_waiting(io);
    } while (uring_to_submit(io->uring));
    return 0;
}
