/* SPDX-License-Identifier: Apache-2.0 */
/* blk_range_test.c - discards and zeroes: in pieces, in the turns of the loop, by the ways that are
 * allowed, and on the disk before their answer where that was asked for. Linked with system calls
 * that take as long as the test says, by a clock of its own, and are written down. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/compiler.h"
#include "blk_io.h"
#include "sandbox/ring.h"
#include "uring.h"
#include <cmocka.h>

enum { MS = 1000000, MIB = 1 << 20, RANGE_BYTES = 64 * MIB, TURNS_MAX = 1000 };

static uint64_t clock_ns = 1000ull * MS, call_takes_ns;
static unsigned n_calls, n_modes[2], n_syncs;
static uint64_t next_offset;
static int refuse; /* an errno */

uint64_t __wrap_now_ns(void);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t len);
int __wrap_fdatasync(int fd);
bool __wrap_uring_fdatasync(struct uring *u, void *user);
bool __real_uring_fdatasync(struct uring *u, void *user);

uint64_t __wrap_now_ns(void)
{
    return clock_ns;
}

/* One piece after the other, none missing, none twice. */
int __wrap_fallocate(int fd, int mode, off_t offset, off_t len)
{
    (void)fd;
    clock_ns += call_takes_ns;
    n_calls++;
    n_syncs = 0;
    if (mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE))
        n_modes[0]++;
    else if (mode == FALLOC_FL_ZERO_RANGE)
        n_modes[1]++;
    else
        fail_msg("mode %x may give a file blocks behind its end", (unsigned)mode);
    if (refuse != 0) {
        errno = refuse;
        return -1;
    }
    assert_int_equal(offset, next_offset);
    next_offset += (uint64_t)len;
    return 0;
}

int __wrap_fdatasync(int fd)
{
    (void)fd;
    n_syncs++;
    return 0;
}

bool __wrap_uring_fdatasync(struct uring *u, void *user)
{
    n_syncs++;
    return __real_uring_fdatasync(u, user);
}

struct fixture {
    int fd;
    struct gmem mem;
    struct turn turn;
    struct blk_io *io;
    unsigned n_done, n_turns, syncs_when_done;
    int res;
};

/* A blk_io lives as long as its process. */
static struct fixture fixtures[32];
static unsigned n_fixtures;

static void on_done(void *arg, struct blk_io_req *req, int res)
{
    struct fixture *f = arg;

    (void)req;
    f->n_done++;
    f->res = res;
    f->syncs_when_done = n_syncs;
}

static struct fixture *make(bool ring)
{
    struct fixture *f = &fixtures[n_fixtures++];
    struct blk_io_config config = { .range_align = 512 };
    struct io_uring_params params;
    int fd = -1;

    assert_true(n_fixtures <= ARRAY_SIZE(fixtures));
    f->fd = memfd_create("disk", MFD_CLOEXEC);
    assert_true(f->fd >= 0 && ftruncate(f->fd, 2ll * RANGE_BYTES) == 0);
    config.fd = f->fd;
    if (ring && ring_make(RING_DISK, 8, &params, &fd) == 0 &&
        uring_new(&config.uring, fd, &params, &f->fd, 1) < 0)
        config.uring = NULL;
    config.mem = &f->mem;
    config.turn = &f->turn;
    assert_int_equal(blk_io_new(&f->io, &config, on_done, f), 0);
    assert_int_equal(blk_io_uring(f->io) != NULL, ring);
    call_takes_ns = 0;
    refuse = 0;
    return f;
}

static void carry_out(struct fixture *f, struct blk_io_req *req)
{
    f->n_done = f->n_turns = 0;
    n_calls = n_modes[0] = n_modes[1] = n_syncs = 0;
    next_offset = req->order.offset;
    turn_begin(&f->turn);
    blk_io_start(f->io, req);
    do {
        int r = blk_io_turn(f->io);

        assert_true(r >= 0);
        if (f->n_done == 0 && r == 0) {
            assert_true(blk_io_uring(f->io) != NULL); /* else nobody would ask again */
            usleep(1000);
        }
        turn_begin(&f->turn);
        assert_true(++f->n_turns < TURNS_MAX);
    } while (f->n_done == 0);
    assert_int_equal(f->n_done, 1);
    assert_int_equal(f->res, 0);
}

static void in_pieces_turn_by_turn(void **state)
{
    (void)state;
    for (unsigned ring = 0; ring < 2; ring++) {
        struct fixture *f = make(ring);
        struct blk_io_req req = {
            .order = { .op = BLK_OP_DISCARD, .offset = 3 * 512, .len_bytes = RANGE_BYTES }
        };

        call_takes_ns = 25 * MS; /* more than a turn has */
        carry_out(f, &req);
        assert_int_equal(next_offset, 3 * 512 + RANGE_BYTES);
        assert_int_equal(n_calls, RANGE_BYTES / (8 * MIB) + 1);
        assert_true(f->n_turns + 1 >= n_calls); /* the first began before a turn */
        close(f->fd);
    }
}

static void zeroes_by_each_way(void **state)
{
    static uint8_t want[MIB], got[MIB];

    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        bool ring = i & 1, unmap = i & 2, refused = i & 4;
        struct fixture *f = make(ring);
        struct blk_io_req req = {
            .order = { .op = BLK_OP_ZEROES, .offset = 512, .len_bytes = MIB, .unmap = unmap }
        };

        memset(want, 0xaa, sizeof want);
        assert_int_equal(pwrite(f->fd, want, sizeof want, 512), sizeof want);
        refuse = refused ? EOPNOTSUPP : 0;
        carry_out(f, &req);
        assert_int_equal(n_modes[0], unmap);
        assert_int_equal(n_modes[1], !unmap || refused);
        memset(want, 0, sizeof want);
        assert_int_equal(pread(f->fd, got, sizeof got, 512), sizeof got);
        assert_int_equal(memcmp(got, want, sizeof got) == 0, refused); /* else the disk did it */
        close(f->fd);
    }
}

/* Without a flush feature the answer says that it is on the disk. */
static void written_through(void **state)
{
    static const enum blk_op ops[] = { BLK_OP_DISCARD, BLK_OP_ZEROES, BLK_OP_ZEROES };

    (void)state;
    for (unsigned i = 0; i < 2 * ARRAY_SIZE(ops); i++) {
        struct fixture *f = make(i & 1);

        for (unsigned through = 0; through < 2; through++) {
            struct blk_io_req req = { .order = { .op = ops[i / 2], .len_bytes = 20 * MIB } };

            refuse = i / 2 == 2 ? EOPNOTSUPP : 0; /* zeroes are written */
            blk_io_set_writethrough(f->io, through);
            carry_out(f, &req);
            assert_int_equal(f->syncs_when_done, through);
        }
        close(f->fd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_pieces_turn_by_turn),
        cmocka_unit_test(zeroes_by_each_way),
        cmocka_unit_test(written_through),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
