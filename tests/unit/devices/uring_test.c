/* SPDX-License-Identifier: Apache-2.0 */
/* uring_test.c - the fence around the io_uring, and the drain of a dead process's ring. The test
 * talks to the kernel by itself, as a worker that was taken over would. */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "sandbox/ring.h"
#include "uring.h"
#include <cmocka.h>

enum { ENTRIES = 8 };

struct made {
    struct uring *u;
    struct io_uring_params params;
    int file;
};

/* The rings as the kernel lays them out. */
struct raw {
    int fd;
    struct io_uring_params p;
    uint8_t *rings;
    struct io_uring_sqe *sqes;
};

static unsigned *cell(struct raw *raw, unsigned off)
{
    return (unsigned *)(void *)(raw->rings + off);
}

static void raw_open(struct raw *raw, const struct made *made)
{
    raw->fd = uring_fd(made->u);
    raw->p = made->params;
    raw->rings = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, raw->fd, IORING_OFF_SQ_RING);
    raw->sqes = mmap(NULL, ENTRIES * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE,
                     MAP_SHARED, raw->fd, IORING_OFF_SQES);
    assert_true(raw->rings != MAP_FAILED && (void *)raw->sqes != MAP_FAILED);
}

static void raw_close(struct raw *raw)
{
    munmap(raw->rings, 4096);
    munmap(raw->sqes, ENTRIES * sizeof(struct io_uring_sqe));
}

/* Submits one entry; its result. */
static int raw_submit(struct raw *raw, const struct io_uring_sqe *sqe)
{
    unsigned tail = *cell(raw, raw->p.sq_off.tail);
    unsigned mask = *cell(raw, raw->p.sq_off.ring_mask);
    unsigned head;
    struct io_uring_cqe cqe;

    raw->sqes[tail & mask] = *sqe;
    cell(raw, raw->p.sq_off.array)[tail & mask] = tail & mask;
    __atomic_store_n(cell(raw, raw->p.sq_off.tail), tail + 1, __ATOMIC_RELEASE);
    if (syscall(SYS_io_uring_enter, raw->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
        return -errno;
    head = *cell(raw, raw->p.cq_off.head);
    if (head == __atomic_load_n(cell(raw, raw->p.cq_off.tail), __ATOMIC_ACQUIRE))
        return -ENODATA;
    memcpy(&cqe,
           raw->rings + raw->p.cq_off.cqes +
               (head & *cell(raw, raw->p.cq_off.ring_mask)) * sizeof cqe,
           sizeof cqe);
    __atomic_store_n(cell(raw, raw->p.cq_off.head), head + 1, __ATOMIC_RELEASE);
    return cqe.res;
}

static int new_ring(enum ring_purpose purpose, const int *files, unsigned n, struct made *made)
{
    int fd = -1;
    int r = ring_make(purpose, ENTRIES, &made->params, &fd);

    return r < 0 ? r : uring_new(&made->u, fd, &made->params, files, n);
}

static struct made make_for(enum ring_purpose purpose)
{
    struct made made = { .file = memfd_create("disk", MFD_CLOEXEC) };

    assert_int_equal(ftruncate(made.file, 1 << 20), 0);
    if (new_ring(purpose, &made.file, 1, &made) < 0) {
        print_message("no io_uring here\n");
        skip();
    }
    return made;
}

static struct made make(void)
{
    return make_for(RING_DISK);
}

static void unmake(struct made *made)
{
    uring_free(made->u);
    close(made->file);
}

static bool listed(enum ring_purpose purpose, unsigned op)
{
    if (purpose == RING_FRAMES)
        return op == IORING_OP_WRITEV;
    return op == IORING_OP_READV || op == IORING_OP_WRITEV || op == IORING_OP_FSYNC ||
           (op == IORING_OP_FALLOCATE && purpose == RING_BLOCK_DEVICE);
}

static void only_listed_pass(enum ring_purpose purpose)
{
    uint8_t byte = 0;
    struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
    struct io_uring_sqe sqe;
    struct raw raw;
    struct made made = make_for(purpose);

    raw_open(&raw, &made);
    for (unsigned op = 0; op < 64; op++) {
        int r;

        memset(&sqe, 0, sizeof sqe);
        sqe.opcode = (uint8_t)op;
        sqe.flags = IOSQE_FIXED_FILE;
        if (op == IORING_OP_READV || op == IORING_OP_WRITEV) {
            sqe.addr = (uintptr_t)&iov;
            sqe.len = 1;
        }
        if (op == IORING_OP_FALLOCATE)
            sqe.addr = 4096;
        r = raw_submit(&raw, &sqe);
        if (listed(purpose, op) ? r < 0 : r != -EACCES && r != -EINVAL)
            fail_msg("operation %u: %d", op, r);
    }
    raw_close(&raw);
    unmake(&made);
}

static void only_listed_operations_pass(void **state)
{
    (void)state;
    only_listed_pass(RING_DISK);
    only_listed_pass(RING_BLOCK_DEVICE);
    only_listed_pass(RING_FRAMES);
}

static void only_the_registered_file_and_no_flags(void **state)
{
    static const struct {
        int fd;
        uint8_t flags;
    } cases[] = {
        { 0, 0 }, /* a descriptor of the process */
        { 0, IOSQE_FIXED_FILE | IOSQE_IO_LINK },
        { 0, IOSQE_FIXED_FILE | IOSQE_ASYNC },
        { 0, IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT },
        { 1, IOSQE_FIXED_FILE }, /* not registered              */
    };
    struct raw raw;
    struct made made = make();

    (void)state;
    raw_open(&raw, &made);
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct io_uring_sqe sqe = { .opcode = IORING_OP_FSYNC,
                                    .fd = cases[i].fd,
                                    .flags = cases[i].flags };
        int r = raw_submit(&raw, &sqe);

        if (r != -EACCES && r != -EBADF && r != -EOPNOTSUPP)
            fail_msg("case %u: %d", i, r);
    }
    raw_close(&raw);
    unmake(&made);
}

static void nothing_more_can_be_registered(void **state)
{
    struct made made = make();
    struct uring *u = made.u;
    int fds[1] = { made.file };
    struct iovec iov = { .iov_base = fds, .iov_len = sizeof fds };
    uint8_t probe[sizeof(struct io_uring_probe) + 8 * sizeof(struct io_uring_probe_op)] = { 0 };

    (void)state;
    assert_true(syscall(SYS_io_uring_register, uring_fd(u), IORING_UNREGISTER_FILES, NULL, 0) < 0);
    assert_int_equal(errno, EACCES);
    assert_true(syscall(SYS_io_uring_register, uring_fd(u), IORING_REGISTER_FILES, fds, 1) < 0);
    assert_true(syscall(SYS_io_uring_register, uring_fd(u), IORING_REGISTER_BUFFERS, &iov, 1) < 0);
    assert_int_equal(errno, EACCES);
    assert_true(syscall(SYS_io_uring_register, uring_fd(u), IORING_REGISTER_PROBE, probe, 8) < 0);
    assert_int_equal(errno, EACCES);
    unmake(&made);
}

static void wait_for(struct uring *u, void *want_user, int want_res)
{
    struct pollfd p = { .fd = uring_fd(u), .events = POLLIN };
    void *user = NULL;
    int res = 0;

    assert_int_equal(uring_submit(u), 0);
    while (!uring_reap(u, &user, &res))
        assert_int_equal(poll(&p, 1, 20000), 1);
    assert_ptr_equal(user, want_user);
    assert_int_equal(res, want_res);
}

static void writes_to_each_of_its_files(void **state)
{
    struct made made = { 0 };
    struct uring *u;
    int files[2] = { memfd_create("0", MFD_CLOEXEC), memfd_create("1", MFD_CLOEXEC) };
    char text[2][2] = { "a", "b" }, got = 0;
    struct iovec iov[2] = { { text[0], 1 }, { text[1], 1 } };
    void *user = NULL;
    int res = 0;

    (void)state;
    if (new_ring(RING_FRAMES, files, 2, &made) < 0)
        skip();
    u = made.u;
    for (unsigned i = 0; i < 2; i++)
        assert_true(uring_rw(u, i, true, &iov[i], 1, 0, 0, &iov[i]));
    assert_int_equal(uring_submit_and_wait(u, 2), 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(uring_reap(u, &user, &res));
        assert_int_equal(res, 1);
        assert_int_equal(pread(files[i], &got, 1, 0), 1);
        assert_int_equal(got, text[i][0]);
    }
    assert_false(uring_reap(u, &user, &res));
    uring_free(u);
    close(files[0]);
    close(files[1]);
}

static void does_its_work(void **state)
{
    char out[] = "bulkhead", in[sizeof out] = { 0 };
    struct iovec w = { out, sizeof out }, r = { in, sizeof in };
    int tag;
    struct made made = make_for(RING_BLOCK_DEVICE);
    struct uring *u = made.u;

    (void)state;
    assert_true(uring_rw(u, 0, true, &w, 1, 4096, 0, &tag));
    wait_for(u, &tag, sizeof out);
    assert_true(uring_fdatasync(u, out));
    wait_for(u, out, 0);
    assert_true(uring_rw(u, 0, false, &r, 1, 4096, 0, in));
    wait_for(u, in, sizeof out);
    assert_string_equal(in, out);
    assert_true(
        uring_fallocate(u, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096, w.iov_base));
    wait_for(u, out, 0);
    for (unsigned i = 0; i < ENTRIES; i++)
        assert_true(uring_fdatasync(u, NULL));
    assert_false(uring_fdatasync(u, NULL)); /* full */
    assert_true(uring_to_submit(u));
    unmake(&made);
}

/* Writes without end, never more at once than the ring has entries, as the disk does. */
static _Noreturn void write_on(struct uring *u)
{
    static uint8_t buf[65536];
    struct iovec iov = { buf, sizeof buf };

    for (unsigned inflight = 0;;) {
        void *user;
        int res;

        while (inflight < ENTRIES && uring_rw(u, 0, true, &iov, 1, 0, 0, NULL))
            inflight++;
        (void)!uring_submit(u);
        while (uring_reap(u, &user, &res))
            inflight--;
    }
}

/* A ring with operations on their way is busy; when they are through, or their process died and the
 * kernel is done with them, it is still. Who made the ring sees that, with no right over the process
 * that used it. */
static void an_old_ring_drains(void **state)
{
    int file = memfd_create("disk", MFD_CLOEXEC), ring = -1, go[2];
    struct io_uring_params params;
    struct uring_old *old = NULL;
    char byte;
    pid_t child;

    (void)state;
    if (ring_make(RING_DISK, ENTRIES, &params, &ring) < 0)
        skip();
    assert_int_equal(pipe(go), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct uring *u = NULL;

        if (read(go[0], &byte, 1) != 1 || uring_new(&u, ring, &params, &file, 1) < 0)
            _exit(1);
        write_on(u);
    }
    assert_int_equal(uring_old_new(&old, ring, &params), 0);
    assert_true(uring_old_drained(old)); /* nothing yet */
    assert_int_equal(write(go[1], "g", 1), 1);
    poll(NULL, 0, 20);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    for (unsigned ms = 0; !uring_old_drained(old) && ms < 20000; ms++)
        poll(NULL, 0, 1);
    assert_true(uring_old_drained(old));
    uring_old_free(old, false);
    close(go[0]);
    close(go[1]);
    close(file);
}

/* Nobody waits for the completions that a dead process never took: there will be no room for them. */
static void an_old_ring_overflows(void **state)
{
    int file = memfd_create("disk", MFD_CLOEXEC), ring = -1;
    struct io_uring_params params;
    struct uring_old *old = NULL;
    struct uring *u = NULL;
    static char bytes[512];
    struct iovec iov = { bytes, sizeof bytes };

    (void)state;
    if (ring_make(RING_DISK, ENTRIES, &params, &ring) < 0)
        skip();
    assert_int_equal(uring_old_new(&old, dup(ring), &params), 0);
    assert_int_equal(uring_new(&u, ring, &params, &file, 1), 0);
    for (unsigned i = 0; i <= 2 * params.cq_entries; i++) {
        assert_true(uring_rw(u, 0, true, &iov, 1, 0, 0, NULL));
        if (uring_submit(u) < 0)
            break;
    }
    assert_true(uring_old_drained(old));
    uring_old_free(old, false);
    uring_free(u);
    close(file);
}

/* Whatever program inherits the ring, also one that never meant to fence it. */
static void the_fence_is_there_before_the_ring_is_enabled(void **state)
{
    struct io_uring_restriction more = { .opcode = IORING_RESTRICTION_SQE_OP,
                                         .sqe_op = IORING_OP_OPENAT };
    struct io_uring_sqe open_it = { .opcode = IORING_OP_OPENAT, .fd = AT_FDCWD };
    struct made made = { 0 };
    struct raw raw;
    int fd = -1;

    (void)state;
    if (ring_make(RING_DISK, ENTRIES, &made.params, &fd) < 0)
        skip();
    open_it.addr = (uintptr_t) "/etc/passwd";
    assert_true(syscall(SYS_io_uring_register, fd, IORING_REGISTER_RESTRICTIONS, &more, 1) < 0);
    assert_int_equal(uring_new(&made.u, fd, &made.params, &fd, 0), -EINVAL);
    assert_int_equal(ring_make(RING_DISK, ENTRIES, &made.params, &fd), 0);
    assert_int_equal(syscall(SYS_io_uring_register, fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0), 0);
    made.file = memfd_create("disk", MFD_CLOEXEC);
    raw.fd = fd;
    raw.p = made.params;
    raw.rings = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQ_RING);
    raw.sqes = mmap(NULL, ENTRIES * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE, MAP_SHARED,
                    fd, IORING_OFF_SQES);
    assert_int_equal(raw_submit(&raw, &open_it), -EACCES);
    raw_close(&raw);
    close(fd);
    close(made.file);
}

static void a_layout_is_one_word(void **state)
{
    static const char *const bad[] = { "",           "1",    "1,2",
                                       "x",          "1,,2", "1,2,3,4,5,6,7,8,9,a,b,c,d,e,f",
                                       "/etc/passwd" };
    struct io_uring_params params, got;
    char text[RING_TEXT_BYTES], longer[RING_TEXT_BYTES + 2];

    (void)state;
    memset(&params, 0xff, sizeof params);
    ring_print(&params, text);
    assert_true(strlen(text) < RING_TEXT_BYTES - 1);
    assert_int_equal(ring_parse(text, &got), 0);
    assert_memory_equal(&params, &got, sizeof params);
    snprintf(longer, sizeof longer, "%s,1", text);
    assert_int_equal(ring_parse(longer, &got), -EINVAL);
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(ring_parse(bad[i], &got), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_listed_operations_pass),
        cmocka_unit_test(only_the_registered_file_and_no_flags),
        cmocka_unit_test(nothing_more_can_be_registered),
        cmocka_unit_test(writes_to_each_of_its_files),
        cmocka_unit_test(does_its_work),
        cmocka_unit_test(an_old_ring_drains),
        cmocka_unit_test(an_old_ring_overflows),
        cmocka_unit_test(the_fence_is_there_before_the_ring_is_enabled),
        cmocka_unit_test(a_layout_is_one_word),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
