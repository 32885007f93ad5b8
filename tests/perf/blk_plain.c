/* SPDX-License-Identifier: Apache-2.0 */
/* blk_plain.c - see blk_plain.h. */
#include "blk_plain.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "harness.h"

enum { MAX_DEPTH = 64, MAX_BYTES = 131072 };

struct blk_plain {
    int fd;
    bool direct;
    uint64_t file_bytes, position;
    uint8_t *data;
    struct io_uring ring;
};

struct blk_plain *blk_plain_new(const char *path, uint64_t file_bytes, bool direct)
{
    struct blk_plain *plain = calloc(1, sizeof *plain);

    if (!plain)
        wh_die("out of memory");
    plain->direct = direct;
    plain->file_bytes = file_bytes;
    plain->fd = open(path, O_RDWR | O_CLOEXEC | (direct ? O_DIRECT : 0));
    plain->data = mmap(NULL, (size_t)MAX_DEPTH * MAX_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (plain->fd < 0 || plain->data == MAP_FAILED)
        wh_die("%s: %s", path, strerror(errno));
    if (direct && io_uring_queue_init(MAX_DEPTH, &plain->ring, 0) < 0)
        wh_die("no io_uring");
    return plain;
}

void blk_plain_free(struct blk_plain *plain)
{
    if (plain->direct)
        io_uring_queue_exit(&plain->ring);
    munmap(plain->data, (size_t)MAX_DEPTH * MAX_BYTES);
    close(plain->fd);
    free(plain);
}

static uint64_t thread_cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static off_t next_offset(struct blk_plain *plain, const struct blk_plain_work *work)
{
    uint64_t blocks = plain->file_bytes / work->bytes;
    uint64_t block = work->sequential ? plain->position++ : work->random();

    return (off_t)(block % blocks * work->bytes);
}

static void queue(struct blk_plain *plain, const struct blk_plain_work *work, uint64_t slot)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&plain->ring);
    uint8_t *data = plain->data + slot * work->bytes;
    off_t at = next_offset(plain, work);

    if (!sqe)
        wh_die("the ring is full");
    if (work->write)
        io_uring_prep_write(sqe, plain->fd, data, work->bytes, (uint64_t)at);
    else
        io_uring_prep_read(sqe, plain->fd, data, work->bytes, (uint64_t)at);
    io_uring_sqe_set_data64(sqe, slot);
}

/* Takes all answers there are, at least one; with `again` each is followed by a new request. */
static unsigned take_answers(struct blk_plain *plain, const struct blk_plain_work *work, bool again)
{
    struct io_uring_cqe *cqe = NULL;
    unsigned n = 0;

    if (io_uring_submit_and_wait(&plain->ring, 1) < 0)
        wh_die("io_uring: %s", strerror(errno));
    while (io_uring_peek_cqe(&plain->ring, &cqe) == 0) {
        uint64_t slot = io_uring_cqe_get_data64(cqe);

        if (cqe->res != (int)work->bytes)
            wh_die("plain loop: %d instead of %u bytes", cqe->res, work->bytes);
        io_uring_cqe_seen(&plain->ring, cqe);
        if (again)
            queue(plain, work, slot);
        n++;
    }
    return n;
}

static uint64_t run_direct(struct blk_plain *plain, const struct blk_plain_work *work, uint64_t end)
{
    uint64_t requests = 0;
    unsigned under_way = work->depth;

    for (unsigned slot = 0; slot < work->depth; slot++)
        queue(plain, work, slot);
    while (wh_now_ns() < end)
        requests += take_answers(plain, work, true);
    while (under_way > 0) {
        unsigned n = take_answers(plain, work, false);

        requests += n;
        under_way -= n;
    }
    return requests;
}

static uint64_t run_cached(struct blk_plain *plain, const struct blk_plain_work *work, uint64_t end)
{
    uint64_t requests = 0;

    while (wh_now_ns() < end) {
        uint8_t *data = plain->data + requests % work->depth * work->bytes;
        off_t at = next_offset(plain, work);
        ssize_t n = work->write ? pwrite(plain->fd, data, work->bytes, at)
                                : pread(plain->fd, data, work->bytes, at);

        if (n != (ssize_t)work->bytes)
            wh_die("plain loop: %zd instead of %u bytes", n, work->bytes);
        requests++;
    }
    return requests;
}

uint64_t blk_plain_run(struct blk_plain *plain, const struct blk_plain_work *work, uint64_t *ret_ns,
                       uint64_t *ret_cpu_ns)
{
    uint64_t start = wh_now_ns(), cpu = thread_cpu_ns(), end = start + work->ms * 1000000;
    uint64_t requests;

    plain->position = work->random();
    requests = plain->direct ? run_direct(plain, work, end) : run_cached(plain, work, end);
    *ret_ns = wh_now_ns() - start;
    *ret_cpu_ns = thread_cpu_ns() - cpu;
    return requests;
}
