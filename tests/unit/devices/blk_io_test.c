/* SPDX-License-Identifier: Apache-2.0 */
/* blk_io_test.c - which writes to the page cache the worker does itself, and when it leaves them to
 * the ring. Linked with a pwritev2() that takes as long as the test says, by a clock of its own. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "blk_io.h"
#include "sandbox/ring.h"
#include "uring.h"
#include <cmocka.h>

enum { BLOCK = 4096, DISK_BYTES = 1 << 20, MS = 1000000 };

static uint64_t clock_ns = 1000ull * MS, write_takes_ns;
static unsigned n_inline;

uint64_t __wrap_now_ns(void);
ssize_t __wrap_pwritev2(int fd, const struct iovec *iov, int n, off_t at, int flags);
ssize_t __real_pwritev2(int fd, const struct iovec *iov, int n, off_t at, int flags);

uint64_t __wrap_now_ns(void)
{
    return clock_ns;
}

ssize_t __wrap_pwritev2(int fd, const struct iovec *iov, int n, off_t at, int flags)
{
    n_inline++;
    clock_ns += write_takes_ns;
    return __real_pwritev2(fd, iov, n, at, flags);
}

struct fixture {
    int fd;
    struct turn turn;
    struct gmem mem;
    struct blk_io *io;
    uint8_t readable[BLK_HEADER_BYTES + 2 * BLOCK];
    struct gslice slices[1];
    unsigned n_done;
    int res;
};

/* One per test, kept: a blk_io lives as long as its process. */
static struct fixture fixtures[5];
static unsigned n_fixtures;

static void on_done(void *arg, struct blk_io_req *req, int res)
{
    struct fixture *f = arg;

    (void)req;
    f->n_done++;
    f->res = res;
}

static int setup(void **state)
{
    struct fixture *f = &fixtures[n_fixtures++];
    struct blk_io_config config = { .writes_here = true, .align = BLOCK, .range_align = 512 };
    struct io_uring_params params;
    int ring = -1;

    assert_true(n_fixtures <= sizeof fixtures / sizeof fixtures[0]);
    f->fd = memfd_create("disk", MFD_CLOEXEC);
    assert_true(f->fd >= 0 && ftruncate(f->fd, DISK_BYTES) == 0);
    config.fd = f->fd;
    if (ring_make(RING_DISK, 8, &params, &ring) == 0 &&
        uring_new(&config.uring, ring, &params, &f->fd, 1) < 0)
        config.uring = NULL;
    config.mem = &f->mem;
    config.turn = &f->turn;
    assert_int_equal(blk_io_new(&f->io, &config, on_done, f), 0);
    n_inline = 0;
    write_takes_ns = 0;
    *state = f;
    return 0;
}

/* One write; it must arrive, whoever does it. Whether the worker did it itself. */
static bool writes(struct fixture *f, uint64_t offset, size_t len)
{
    static uint8_t fill;
    struct blk_io_req req = { .order = { .op = BLK_OP_WRITE, .offset = offset, .len_bytes = len } };
    unsigned before = n_inline, n_done = f->n_done;
    uint8_t got[2 * BLOCK];

    memset(f->readable + BLK_HEADER_BYTES, ++fill, len);
    f->slices[0] = gslice_for_test(f->readable, BLK_HEADER_BYTES + len);
    req.chain =
        (struct vq_chain){ .n_read = 1, .read_bytes = BLK_HEADER_BYTES + len, .slices = f->slices };
    blk_io_start(f->io, &req);
    for (int i = 0; i < 10000 && f->n_done == n_done; i++) {
        assert_int_equal(blk_io_turn(f->io), 0);
        turn_begin(&f->turn);
        usleep(1000);
    }
    assert_int_equal(f->n_done, n_done + 1);
    assert_int_equal(f->res, 0);
    assert_int_equal(pread(f->fd, got, len, (off_t)offset), (ssize_t)len);
    assert_memory_equal(got, f->readable + BLK_HEADER_BYTES, len);
    assert_int_equal(blk_io_turn(f->io), 0);
    turn_begin(&f->turn); /* the next one has a turn of its own */
    return n_inline > before;
}

static void whole_pages_are_written_here(void **state)
{
    struct fixture *f = *state;

    assert_true(writes(f, 0, BLOCK));
    assert_true(writes(f, 2 * BLOCK, 2 * BLOCK));
    assert_false(writes(f, 512, BLOCK));
    assert_false(writes(f, BLOCK, 512));
    blk_io_set_writethrough(f->io, true);
    assert_false(writes(f, 0, BLOCK));
}

/* One slow write, and the ring has them for 20 ms; the next slow one, for 40. */
static void a_slow_write_gives_way_to_the_ring(void **state)
{
    struct fixture *f = *state;

    write_takes_ns = 5 * MS;
    assert_true(writes(f, 0, BLOCK));
    assert_false(writes(f, 0, BLOCK));
    clock_ns += 19 * MS;
    assert_false(writes(f, 0, BLOCK));
    clock_ns += 1 * MS;
    assert_true(writes(f, 0, BLOCK));
    clock_ns += 39 * MS;
    assert_false(writes(f, 0, BLOCK));
    clock_ns += 1 * MS;
    write_takes_ns = 0;
    assert_true(writes(f, 0, BLOCK));
    assert_true(writes(f, 0, BLOCK));
    write_takes_ns = 5 * MS;
    assert_true(writes(f, 0, BLOCK));
    clock_ns += 20 * MS; /* a quick one in between: as at first */
    assert_true(writes(f, 0, BLOCK));
}

/* The pause has an end however often it was slow. */
static void the_ring_keeps_them_ten_seconds_at_most(void **state)
{
    struct fixture *f = *state;

    write_takes_ns = 5 * MS;
    for (unsigned i = 0; i < 20; i++) {
        assert_true(writes(f, 0, BLOCK));
        clock_ns += 10000ull * MS;
    }
    assert_true(writes(f, 0, BLOCK));
    assert_false(writes(f, 0, BLOCK));
}

/* Each is quick, but together they hold up the loop: the rest of the turn is the ring's. */
static void a_turn_has_its_share(void **state)
{
    struct fixture *f = *state;
    struct blk_io_req reqs[6] = { 0 };

    write_takes_ns = 3 * MS;
    f->slices[0] = gslice_for_test(f->readable, BLK_HEADER_BYTES + BLOCK);
    for (unsigned i = 0; i < 6; i++) {
        reqs[i].order =
            (struct blk_order){ .op = BLK_OP_WRITE, .offset = i * BLOCK, .len_bytes = BLOCK };
        reqs[i].chain = (struct vq_chain){ .n_read = 1,
                                           .read_bytes = BLK_HEADER_BYTES + BLOCK,
                                           .slices = f->slices };
        blk_io_start(f->io, &reqs[i]);
    }
    assert_int_equal(n_inline, 3);
    for (int i = 0; i < 10000 && f->n_done < 6; i++) {
        assert_int_equal(blk_io_turn(f->io), 0);
        turn_begin(&f->turn);
        usleep(1000);
    }
    assert_int_equal(f->n_done, 6);
    assert_true(writes(f, 0, BLOCK));
}

static void a_successor_is_careful(void **state)
{
    struct fixture *f = *state;

    blk_io_be_careful(f->io);
    assert_false(writes(f, 0, BLOCK));
    clock_ns += 9999ull * MS;
    assert_false(writes(f, 0, BLOCK));
    clock_ns += 1 * MS;
    assert_true(writes(f, 0, BLOCK));
}

static int teardown(void **state)
{
    close(((struct fixture *)*state)->fd);
    return 0;
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(whole_pages_are_written_here),
        T(a_slow_write_gives_way_to_the_ring),
        T(the_ring_keeps_them_ten_seconds_at_most),
        T(a_turn_has_its_share),
        T(a_successor_is_careful),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
