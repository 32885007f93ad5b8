/* SPDX-License-Identifier: Apache-2.0 */
/* blk_io.c - see blk_io.h.
 *
 * A request is one or more steps: each is one operation of the kernel, of a bounded size, for the
 * guest may ask for 4 GiB at once (its descriptors may overlap). A read or write that comes back
 * short goes on with the rest; write zeroes tries the cheap ways before it writes zeroes. Steps are
 * begun until the turn is over; the requests that are left wait, in their order, for the next.
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
#include "blk_direct.h"
#include "failpoint.h"

/* What one step may take. 4 MiB are copied in a millisecond, and the drivers there are don't ask for
 * more. Space is given back and zeroed by the extent: 8 MiB are 2048 of them at most. */
enum { STEP_BYTES = 4 << 20, RANGE_STEP_BYTES = 8 << 20, ZERO_BYTES = 64 * 1024 };
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

struct blk_io {
    struct blk_io_config config;
    struct uring *uring;
    blk_io_done_fn on_done;
    void *arg;
    bool writethrough;
    struct blk_direct direct; /* only if config.direct */
    /* For a turn, a bounce buffer, room in the ring, or another's write of the same block. */
    struct blk_io_req *waiting, **waiting_tail;
    bool turn_was_over; /* one waits for the next turn */
    bool finished_one;  /* since the waiting ones ran last */
    uint8_t *zeroes;
    uint64_t inline_turn_ns;  /* spent on inline writes since the last turn */
    uint64_t inline_after_ns; /* none before that */
    unsigned inline_pause_ms; /* the next pause */
};

static void step(struct blk_io *io, struct blk_io_req *req);

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
        r = blk_direct_init(&io->direct, config->align);
    io->zeroes = mmap(NULL, ZERO_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (r == 0 && io->zeroes == MAP_FAILED)
        r = err_origin(-errno, "zeroes");
    if (r < 0) {
        free(io);
        return err_trace(r);
    }
    io->uring = config->uring;
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

/* The guest's own memory of the next piece of the data. */
static void aim_at_guest(struct blk_io_req *req)
{
    bool read = req->order.op == BLK_OP_READ;
    size_t off = (size_t)req->done_bytes + (read ? 0 : BLK_HEADER_BYTES);
    int n;

    req->step_bytes = MIN(req->order.len_bytes - req->done_bytes, (uint64_t)STEP_BYTES);
    n = vq_chain_iovec(&req->chain, read, off, (size_t)req->step_bytes, req->iov, VQ_MAX_SEGMENTS);
    req->n_iov = n < 0 ? 0 : (unsigned)n;
    req->skew_bytes = 0;
    req->stage = BLK_STAGE_IO;
}

static void aim_at_zeroes(const struct blk_io *io, struct blk_io_req *req)
{
    unsigned n = 0;

    req->step_bytes = 0;
    req->skew_bytes = 0;
    req->stage = BLK_STAGE_IO;
    while (req->step_bytes < STEP_BYTES &&
           req->done_bytes + req->step_bytes < req->order.len_bytes) {
        size_t len = (size_t)MIN(req->order.len_bytes - req->done_bytes - req->step_bytes,
                                 (uint64_t)ZERO_BYTES);

        req->iov[n++] = (struct iovec){ .iov_base = io->zeroes, .iov_len = len };
        req->step_bytes += len;
    }
    req->n_iov = n;
}

/* Up to the next multiple of RANGE_STEP_BYTES, so that no unit that the disk can give back is cut. */
static void aim_at_range(struct blk_io_req *req)
{
    uint64_t at = req->order.offset + req->done_bytes;

    req->step_bytes =
        MIN(req->order.len_bytes - req->done_bytes, RANGE_STEP_BYTES - at % RANGE_STEP_BYTES);
    req->skew_bytes = 0;
    req->stage = BLK_STAGE_IO;
}

static void finish(struct blk_io *io, struct blk_io_req *req, int res)
{
    blk_direct_give(&io->direct, req);
    blk_direct_leave(&io->direct, req);
    io->finished_one = true;
    io->on_done(io->arg, req, res);
}

/* The ways to zero a range, tried in this order; the last one always works. */
enum { ZERO_PUNCH, ZERO_RANGE, ZERO_WRITE };

static bool is_range(const struct blk_io_req *req)
{
    return req->order.op == BLK_OP_DISCARD ||
           (req->order.op == BLK_OP_ZEROES && req->way != ZERO_WRITE);
}

/* The whole range lies within the file, so it never grows. All the same the modes are those that
 * can't give a file blocks behind its end without making it longer, where RLIMIT_FSIZE stops it:
 * for the sandbox can't look at the offset. */
static int range_mode(const struct blk_io_req *req)
{
    if (req->order.op == BLK_OP_DISCARD || req->way == ZERO_PUNCH)
        return FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    return FALLOC_FL_ZERO_RANGE;
}

static int64_t range_plain(const struct blk_io *io, const struct blk_io_req *req, uint64_t at)
{
    uint64_t range[2] = { at, req->step_bytes };

    if (io->config.block_device && req->order.op == BLK_OP_DISCARD)
        return ioctl(io->config.fd, BLKDISCARD, range);
    return fallocate(io->config.fd, range_mode(req), (off_t)at, (off_t)req->step_bytes);
}

static bool is_flush(const struct blk_io_req *req)
{
    return req->order.op == BLK_OP_FLUSH || req->stage == BLK_STAGE_SYNC;
}

static bool is_read(const struct blk_io_req *req)
{
    return req->order.op == BLK_OP_READ || req->stage == BLK_STAGE_READ_FIRST;
}

static int write_flags(const struct blk_io *io, const struct blk_io_req *req)
{
    return io->writethrough && req->order.op == BLK_OP_WRITE ? RWF_DSYNC : 0;
}

/* One operation by plain system calls. Bytes done, 0, or a negative errno. */
static int64_t step_plain(const struct blk_io *io, struct blk_io_req *req)
{
    uint64_t at = req->order.offset + req->done_bytes - req->skew_bytes;
    int64_t n;

    if (is_flush(req))
        n = fdatasync(io->config.fd);
    else if (is_range(req))
        n = range_plain(io, req, at);
    else if (is_read(req))
        n = preadv2(io->config.fd, req->iov, (int)req->n_iov, (off_t)at, 0);
    else
        n = pwritev2(io->config.fd, req->iov, (int)req->n_iov, (off_t)at, write_flags(io, req));
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
    uint64_t at = req->order.offset + req->done_bytes - req->skew_bytes;

    if (is_flush(req))
        return uring_fdatasync(io->uring, req);
    if (is_range(req))
        return uring_fallocate(io->uring, range_mode(req), at, req->step_bytes, req);
    if (is_read(req))
        return uring_rw(io->uring, 0, false, req->iov, req->n_iov, at, 0, req);
    return uring_rw(io->uring, 0, true, req->iov, req->n_iov, at, write_flags(io, req), req);
}

/* What the ring can't do, or must not: it couldn't tell which modes of fallocate() a file may have,
 * and there is no operation that discards. The loop waits for these, so a step is short. */
static bool by_system_call(const struct blk_io *io, const struct blk_io_req *req)
{
    if (!io->uring)
        return true;
    return !is_flush(req) && is_range(req) &&
           (!io->config.block_device || req->order.op == BLK_OP_DISCARD);
}

/* ---- from step to step ---- */

/* False: it has to wait. */
static bool aim_at_data(struct blk_io *io, struct blk_io_req *req)
{
    if (!req->needs_bounce) {
        if (req->order.op == BLK_OP_ZEROES)
            aim_at_zeroes(io, req);
        else
            aim_at_guest(req);
        if (!io->config.direct || blk_direct_takes(&io->direct, req))
            return true;
        req->needs_bounce = true;
        req->stage = BLK_STAGE_NEXT;
    }
    if (!blk_direct_take(&io->direct, req)) {
        wait_for_room(io, req);
        return false;
    }
    blk_direct_aim(&io->direct, req);
    return true;
}

/* False: it has to wait. */
static bool prepare(struct blk_io *io, struct blk_io_req *req)
{
    if (req->stage != BLK_STAGE_NEXT || is_flush(req))
        return true;
    if (io->config.direct && io->config.align > BLK_SECTOR_BYTES && req->order.op != BLK_OP_READ &&
        !blk_direct_enter(&io->direct, req)) {
        wait_for_room(io, req);
        return false;
    }
    if (is_range(req)) {
        aim_at_range(req);
        return true;
    }
    return aim_at_data(io, req);
}

/* A step failed: true when the request did, with *ret_res; else there is another way. */
static bool failed(struct blk_io_req *req, int64_t res, int *ret_res)
{
    *ret_res = (int)res;
    if (res == -EINTR || res == -EAGAIN)
        return false;
    if (is_flush(req) || !is_range(req) || res != -EOPNOTSUPP)
        return true;
    if (req->order.op == BLK_OP_DISCARD) {
        *ret_res = 0; /* a hint that this disk can't use */
        return true;
    }
    /* A hole only with leave to unmap, then a zeroed range, then zeroes. */
    req->way = req->way == ZERO_PUNCH ? ZERO_RANGE : ZERO_WRITE;
    req->stage = BLK_STAGE_NEXT;
    return false;
}

/* The bytes of the order that a step of reading or writing did; none: the file ended. */
static int64_t count_data(struct blk_io_req *req, int64_t res)
{
    int64_t n = req->bounce ? blk_direct_done(req, res) : res;

    return n <= 0 || (uint64_t)n > req->step_bytes ? 0 : n;
}

/* What a step's result means: true when the request is over, with *ret_res. */
static bool over(struct blk_io *io, struct blk_io_req *req, int64_t res, int *ret_res)
{
    int64_t n;

    /* All of it, whatever came of it: a read that failed or ended early may have written more than it
     * says. */
    if (req->order.op == BLK_OP_READ)
        gmem_mark_written(io->config.mem, req->iov, req->n_iov, (size_t)req->step_bytes);
    if (res < 0)
        return failed(req, res, ret_res);
    *ret_res = 0;
    if (is_flush(req))
        return true;
    if (req->stage == BLK_STAGE_READ_FIRST) {
        if (blk_direct_merge(&io->direct, req, res))
            return false;
        *ret_res = -EIO;
        return true;
    }
    n = is_range(req) ? (int64_t)req->step_bytes : count_data(req, res);
    if (n == 0) {
        *ret_res = -EIO; /* the file is shorter than it was */
        return true;
    }
    req->done_bytes += (uint64_t)n;
    req->stage = BLK_STAGE_NEXT;
    if (req->done_bytes < req->order.len_bytes)
        return false;
    /* Neither a range nor zeroes have a flag to be on the disk at once, as a write has. */
    if (!io->writethrough || req->order.op == BLK_OP_READ || req->order.op == BLK_OP_WRITE)
        return true;
    req->stage = BLK_STAGE_SYNC;
    return false;
}

/* False: it is the ring's, or waits; else *ret_n is its result. */
static bool step_once(struct blk_io *io, struct blk_io_req *req, int64_t *ret_n)
{
    if (!prepare(io, req))
        return false;
    if (by_system_call(io, req)) {
        *ret_n = step_plain(io, req);
        turn_spend(io->config.turn, req->step_bytes);
        (void)turn_over(io->config.turn); /* it may have taken its time */
        return true;
    }
    if (may_inline(io, req) && step_inline(io, req, ret_n)) {
        turn_spend(io->config.turn, req->step_bytes);
        return true;
    }
    if (step_uring(io, req))
        turn_spend(io->config.turn, req->step_bytes);
    else
        wait_for_room(io, req);
    return false;
}

static void step(struct blk_io *io, struct blk_io_req *req)
{
    int64_t n;
    int res = 0;

    do {
        if (turn_is_spent(io->config.turn)) {
            io->turn_was_over = true;
            wait_for_room(io, req);
            return;
        }
        if (!step_once(io, req, &n))
            return;
    } while (!over(io, req, n, &res));
    finish(io, req, res);
}

/* ---- requests ---- */

/* Only whole blocks can be discarded: the hint is about those within the range. */
static void shrink_to_blocks(struct blk_order *order, uint64_t align)
{
    uint64_t start = align_up(order->offset, align);
    uint64_t end = (order->offset + order->len_bytes) & ~(align - 1);

    order->offset = start;
    order->len_bytes = start < end ? end - start : 0;
}

static uint8_t first_way(const struct blk_io *io, const struct blk_order *order)
{
    bool aligned = (order->offset | order->len_bytes) % io->config.range_align == 0;

    if ((io->config.block_device && !aligned) || (io->config.user_space_fs && io->uring))
        return ZERO_WRITE;
    return order->unmap ? ZERO_PUNCH : ZERO_RANGE;
}

void blk_io_start(struct blk_io *io, struct blk_io_req *req)
{
    struct blk_order *order = &req->order;

    req->done_bytes = 0;
    req->step_bytes = 0;
    req->skew_bytes = 0;
    req->bounce = NULL;
    req->entered = false;
    req->stage = BLK_STAGE_NEXT;
    req->way = first_way(io, order);
    if (order->op == BLK_OP_DISCARD && io->config.block_device)
        shrink_to_blocks(order, io->config.range_align);
    req->needs_bounce =
        io->config.direct && order->op != BLK_OP_FLUSH && blk_direct_splits(&io->direct, order);
    if (order->op == BLK_OP_DISCARD &&
        (order->len_bytes == 0 || (io->config.user_space_fs && io->uring)))
        finish(io, req, 0);
    else if (io->waiting)
        wait_for_room(io, req); /* behind those that came before it */
    else
        step(io, req);
}

static void run_waiting(struct blk_io *io)
{
    struct blk_io_req *last;
    struct blk_io_req *req;

    io->turn_was_over = false;
    io->finished_one = false;
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

/* Whether something can go on at once: one that waits may have waited for one that is done. */
static bool more(const struct blk_io *io)
{
    return (io->uring && uring_to_submit(io->uring)) || io->turn_was_over ||
           (io->waiting && io->finished_one);
}

int blk_io_turn(struct blk_io *io)
{
    io->inline_turn_ns = 0;
    (void)turn_over(io->config.turn); /* its clock runs from here on at the latest */
    do {
        int r = io->uring && uring_to_submit(io->uring) ? uring_submit(io->uring) : 0;

        if (r < 0)
            return r;
        if (io->uring) {
            failpoint("after_submit");
            reap(io);
        }
        run_waiting(io);
    } while (more(io) && !turn_over(io->config.turn));
    return more(io) ? BLK_IO_MORE : 0;
}
