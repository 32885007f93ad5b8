/* SPDX-License-Identifier: Apache-2.0 */
/* uring.c - see uring.h. */
#include "uring.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"

enum { FILE_INDEX = 0 }; /* a disk has one file */

struct uring {
    struct io_uring ring;
    struct io_uring_params params;
};

struct uring_old {
    int fd;
    uint8_t *map;
    size_t map_bytes;
    const unsigned *sq_head; /* submissions the kernel has taken */
    const unsigned *cq_tail; /* completions it has posted */
    unsigned cq_entries;
};

/* Debian 12's shared liburing lacks these two of its functions; the archive has them. */
static int register_op(int fd, unsigned op, const void *arg, unsigned n)
{
    return syscall(SYS_io_uring_register, fd, op, arg, n) < 0 ? -errno : 0;
}

/* As liburing does for a ring that it made: each place of the submission queue is its own entry. */
static int map(struct uring *u, int fd, const struct io_uring_params *params)
{
    int r;

    u->params = *params;
    r = io_uring_queue_mmap(fd, &u->params, &u->ring);
    if (r < 0)
        return err_origin(r, "mapping the io_uring");
    u->ring.features = u->params.features;
    for (unsigned i = 0; i < u->params.sq_entries; i++)
        u->ring.sq.array[i] = i;
    return 0;
}

static int enable(int fd, const int *files, unsigned n_files)
{
    int r = register_op(fd, IORING_REGISTER_FILES, files, n_files);

    if (r < 0)
        return err_origin(r, "registering files with io_uring");
    r = register_op(fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    return r < 0 ? err_origin(r, "enabling the io_uring") : 0;
}

int uring_new(struct uring **ret_uring, int ring_fd, const struct io_uring_params *params,
              const int *files, unsigned n_files)
{
    cleanup_(fd_closep) int fd = ring_fd;
    struct uring *u = calloc(1, sizeof *u);
    int r = u ? map(u, fd, params) : err_origin(-ENOMEM, "io_uring");

    if (r < 0) {
        free(u);
        return err_trace(r);
    }
    r = enable(fd_take(&fd), files, n_files);
    if (r < 0) {
        uring_free(u);
        return err_trace(r);
    }
    *ret_uring = u;
    return 0;
}

void uring_free(struct uring *u)
{
    if (!u)
        return;
    io_uring_queue_exit(&u->ring);
    free(u);
}

int uring_fd(const struct uring *u)
{
    return u->ring.ring_fd;
}

bool uring_rw(struct uring *u, unsigned file, bool write, const struct iovec *iov, unsigned n_iov,
              uint64_t offset, int rw_flags, void *user)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

    if (!sqe)
        return false;
    if (write)
        io_uring_prep_writev2(sqe, (int)file, iov, n_iov, offset, rw_flags);
    else
        io_uring_prep_readv2(sqe, (int)file, iov, n_iov, offset, rw_flags);
    sqe->flags = IOSQE_FIXED_FILE;
    io_uring_sqe_set_data(sqe, user);
    return true;
}

bool uring_fdatasync(struct uring *u, void *user)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

    if (!sqe)
        return false;
    io_uring_prep_fsync(sqe, FILE_INDEX, IORING_FSYNC_DATASYNC);
    sqe->flags = IOSQE_FIXED_FILE;
    io_uring_sqe_set_data(sqe, user);
    return true;
}

bool uring_fallocate(struct uring *u, int mode, uint64_t offset, uint64_t len_bytes, void *user)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

    if (!sqe)
        return false;
    io_uring_prep_fallocate(sqe, FILE_INDEX, mode, (off_t)offset, (off_t)len_bytes);
    sqe->flags = IOSQE_FIXED_FILE;
    io_uring_sqe_set_data(sqe, user);
    return true;
}

int uring_submit(struct uring *u)
{
    return uring_submit_and_wait(u, 0);
}

int uring_submit_and_wait(struct uring *u, unsigned n)
{
    int r = io_uring_submit_and_wait(&u->ring, n);

    if (r == -EBUSY || r == -EINTR || r == -EAGAIN)
        return -EAGAIN;
    return r < 0 ? err_origin(r, "submitting to the io_uring") : 0;
}

bool uring_to_submit(const struct uring *u)
{
    return io_uring_sq_ready(&u->ring) > 0;
}

bool uring_ready(const struct uring *u)
{
    /* TASKRUN: the kernel has results that it posts when it is entered. */
    return io_uring_cq_ready(&u->ring) > 0 ||
           (__atomic_load_n(u->ring.sq.kflags, __ATOMIC_RELAXED) &
            (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW));
}

bool uring_reap(struct uring *u, void **ret_user, int *ret_res)
{
    struct io_uring_cqe *cqe = NULL;

    if (io_uring_peek_cqe(&u->ring, &cqe) < 0 || !cqe)
        return false;
    *ret_user = io_uring_cqe_get_data(cqe);
    *ret_res = cqe->res;
    io_uring_cqe_seen(&u->ring, cqe);
    return true;
}

/* The counters are at the start of the ring's memory: one page holds them. */
static bool counter_valid(unsigned offset)
{
    return offset % sizeof(unsigned) == 0 && offset <= PAGE_BYTES - sizeof(unsigned);
}

int uring_old_new(struct uring_old **ret_old, int ring_fd, const struct io_uring_params *params)
{
    const unsigned sq_head = params->sq_off.head, cq_tail = params->cq_off.tail;
    struct uring_old *old;

    if (!counter_valid(sq_head) || !counter_valid(cq_tail) || sq_head == cq_tail)
        return err_origin(-ENOTSUP, "io_uring with an unknown layout");
    old = calloc(1, sizeof *old);
    if (!old)
        return err_origin(-ENOMEM, "old io_uring");
    old->map_bytes = PAGE_BYTES;
    old->map = mmap(NULL, old->map_bytes, PROT_READ, MAP_SHARED, ring_fd, IORING_OFF_SQ_RING);
    if (old->map == MAP_FAILED) {
        free(old);
        return err_origin(-errno, "mapping the old io_uring");
    }
    old->fd = ring_fd;
    old->cq_entries = params->cq_entries;
    old->sq_head = (const unsigned *)(const void *)(old->map + sq_head);
    old->cq_tail = (const unsigned *)(const void *)(old->map + cq_tail);
    *ret_old = old;
    return 0;
}

bool uring_old_drained(const struct uring_old *old)
{
    /* The tail first: it never passes the head, so equal means that nothing is under way. */
    unsigned tail = __atomic_load_n(old->cq_tail, __ATOMIC_ACQUIRE);
    unsigned under_way = __atomic_load_n(old->sq_head, __ATOMIC_ACQUIRE) - tail;

    /* More than there is room for: it was taken over, and took no completion. These will never be posted, and what
     * it may have begun beside them is no request of the guest's. Its ring, and the memory that the kernel
     * keeps for them, is let go of. */
    return under_way == 0 || under_way > old->cq_entries;
}

void uring_old_free(struct uring_old *old, bool sandboxed)
{
    if (!old)
        return;
    if (!sandboxed)
        munmap(old->map, old->map_bytes);
    fd_closep(&old->fd);
    free(old);
}
