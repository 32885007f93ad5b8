/* SPDX-License-Identifier: Apache-2.0 */
/* ring.c - the io_uring of a disk or a tap, of which seccomp sees nothing but io_uring_enter():
 * operations outside of the list, files that are not registered, flags. The ring's memory is mapped a
 * second time, before the sandbox, and written by hand, as a program that was taken over would. */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/fd.h"
#include "device-procs/common/worker.h"
#include "device-procs/common/worker_state.h"
#include "hostile.h"

enum { TURNS = 20, ENTER_FLAGS = IORING_ENTER_GETEVENTS };
#define MARK 0x484f5354494c45ull

static struct {
    uint8_t *rings;
    struct io_uring_sqe *sqes;
    struct io_sqring_offsets sq;
    struct io_cqring_offsets cq;
    int fd;
} ring;

static char text[64] = "/etc/passwd";
static char bytes[512];
static struct iovec iov = { bytes, sizeof bytes };
static struct msghdr message;

static int find_ring(const struct worker *w)
{
    for (unsigned i = 0; i < w->n_keep; i++)
        if (fd_type(w->keep[i]) == FD_TYPE_IO_URING)
            return w->keep[i];
    return -1;
}

int hostile_fence_map(void)
{
    const struct io_uring_params *p = &hostile_worker->own_ring.params; /* stays when fd is taken */
    const size_t entries = p->sq_entries;
    size_t bytes_of_rings = MAX(p->sq_off.array + entries * sizeof(uint32_t),
                                p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe));
    int fd = find_ring(hostile_worker);
    uint8_t *rings;

    if (fd < 0)
        return 0;
    ring.sq = p->sq_off;
    ring.cq = p->cq_off;
    rings = mmap(NULL, bytes_of_rings, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQ_RING);
    ring.sqes = mmap(NULL, entries * sizeof *ring.sqes, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                     IORING_OFF_SQES);
    if (rings == MAP_FAILED || ring.sqes == MAP_FAILED)
        return -errno;
    ring.fd = fd;
    ring.rings = rings;
    return 0;
}

bool hostile_has_fence(void)
{
    return ring.rings != NULL;
}

static uint32_t *cell(uint32_t offset)
{
    return (uint32_t *)(void *)(ring.rings + offset);
}

static void put(const struct io_uring_sqe *sqe)
{
    uint32_t mask = *cell(ring.sq.ring_mask), tail = *cell(ring.sq.tail);

    ring.sqes[tail & mask] = *sqe;
    cell(ring.sq.array)[tail & mask] = tail & mask;
    __atomic_store_n(cell(ring.sq.tail), tail + 1, __ATOMIC_RELEASE);
}

/* The completion that bears our mark; others are the device's own. */
static bool take(int *ret_res)
{
    uint32_t mask = *cell(ring.cq.ring_mask), head = *cell(ring.cq.head);
    uint32_t tail = __atomic_load_n(cell(ring.cq.tail), __ATOMIC_ACQUIRE);

    for (; head != tail; head++) {
        const struct io_uring_cqe *cqes = (const void *)(ring.rings + ring.cq.cqes);
        struct io_uring_cqe cqe = cqes[head & mask];

        __atomic_store_n(cell(ring.cq.head), head + 1, __ATOMIC_RELEASE);
        if (cqe.user_data == MARK) {
            *ret_res = cqe.res;
            return true;
        }
    }
    return false;
}

static long submit(struct io_uring_sqe *sqe)
{
    int res = 0;

    if (!ring.rings)
        return -ENOSYS;
    sqe->user_data = MARK;
    put(sqe);
    for (int turn = 0; turn < TURNS; turn++) {
        /* Always one completion: a refused submission completes at once, with an error. */
        long r = syscall(SYS_io_uring_enter, ring.fd, turn == 0 ? 1 : 0, 1, ENTER_FLAGS, NULL, 0);

        if (take(&res))
            return res;
        if (r < 0 && errno != EINTR)
            return -errno;
    }
    return -ETIME;
}

/* What the fence lets through on file 0, the disk or the tap. */
static uint8_t permitted(const struct worker *w)
{
    return w->ops->role == BULKHEAD__ROLE__ROLE_NET ? IORING_OP_WRITEV : IORING_OP_READV;
}

/* Submits for ever and takes no completion: the kernel keeps those for which there is no room. Its heart beats.
 * An operation that is refused would do, but ends its submission: what is permitted, of no bytes, is faster. */
static long never_reap(struct worker *w, unsigned unused)
{
    const uint32_t entries = *cell(ring.sq.ring_mask) + 1;

    (void)unused;
    for (;;) {
        struct io_uring_sqe sqe = { .opcode = permitted(w), .flags = IOSQE_FIXED_FILE };
        long r;

        for (uint32_t i = 0; i < entries; i++)
            put(&sqe);
        r = syscall(SYS_io_uring_enter, ring.fd, entries, 0, 0, NULL, 0);
        __atomic_fetch_add(&w->stats->heartbeat, 1, __ATOMIC_RELAXED);
        if (r <= 0)
            return r < 0 ? -errno : -EBUSY;
        __atomic_store_n(cell(ring.sq.tail), *cell(ring.sq.tail) - (entries - (uint32_t)r),
                         __ATOMIC_RELEASE);
    }
}

/* Any operation with arguments that make sense for it. */
static long try_op(struct worker *w, unsigned op)
{
    struct io_uring_sqe sqe = { .opcode = (uint8_t)op, .flags = IOSQE_FIXED_FILE };

    (void)w;
    switch (op) {
    case IORING_OP_OPENAT:
    case IORING_OP_OPENAT2:
    case IORING_OP_STATX:
    case IORING_OP_UNLINKAT:
    case IORING_OP_MKDIRAT:
        sqe.fd = AT_FDCWD;
        sqe.addr = ADDRESS(text);
        break;
    case IORING_OP_SENDMSG:
    case IORING_OP_RECVMSG:
        sqe.addr = ADDRESS(&message);
        sqe.len = 1;
        break;
    case IORING_OP_SOCKET:
        sqe.fd = AF_INET;
        sqe.off = SOCK_STREAM;
        break;
    case IORING_OP_READV:
        sqe.addr = ADDRESS(&iov);
        sqe.len = 1;
        break;
    case IORING_OP_READ:
        sqe.addr = ADDRESS(bytes);
        sqe.len = sizeof bytes;
        break;
    default:
        break;
    }
    return submit(&sqe);
}

long hostile_ring_write(const struct iovec *from, uint64_t offset)
{
    struct io_uring_sqe sqe = { .opcode = IORING_OP_WRITEV,
                                .addr = ADDRESS(from),
                                .len = 1,
                                .off = offset,
                                .flags = IOSQE_FIXED_FILE };

    return submit(&sqe);
}

long hostile_ring_allocate(int mode, uint64_t offset, uint64_t len_bytes)
{
    struct io_uring_sqe sqe = { .opcode = IORING_OP_FALLOCATE,
                                .addr = len_bytes,
                                .len = (uint32_t)mode,
                                .off = offset,
                                .flags = IOSQE_FIXED_FILE };

    return submit(&sqe);
}

/* A permitted operation, on a descriptor that is not registered. */
static long try_plain_file(struct worker *w, unsigned fd)
{
    struct io_uring_sqe sqe = {
        .opcode = permitted(w), .fd = (int)fd, .addr = ADDRESS(&iov), .len = 1
    };

    return submit(&sqe);
}

static long try_flags(struct worker *w, unsigned flags)
{
    struct io_uring_sqe sqe = { .opcode = permitted(w), .addr = ADDRESS(&iov), .len = 1 };

    sqe.flags = (uint8_t)(flags | IOSQE_FIXED_FILE);
    return submit(&sqe);
}

static long try_index(struct worker *w, unsigned index)
{
    struct io_uring_sqe sqe = { .opcode = permitted(w),
                                .fd = (int)index,
                                .addr = ADDRESS(&iov),
                                .len = 1,
                                .flags = IOSQE_FIXED_FILE };

    return submit(&sqe);
}

static long try_personality(struct worker *w, unsigned personality)
{
    struct io_uring_sqe sqe = {
        .opcode = permitted(w), .addr = ADDRESS(&iov), .len = 1, .flags = IOSQE_FIXED_FILE
    };

    sqe.personality = (uint16_t)personality;
    return submit(&sqe);
}

/* Registering is a system call: a kind of its own, the filter kills. */
static long try_register(struct worker *w, unsigned what)
{
    long r = syscall(SYS_io_uring_register, ring.fd, what, NULL, 0);

    (void)w;
    return r < 0 ? -errno : r;
}

static long try_enter(struct worker *w, unsigned flags)
{
    long r = syscall(SYS_io_uring_enter, ring.fd, 0, 0, flags, NULL, 0);

    (void)w;
    return r < 0 ? -errno : r;
}

#define FENCED .roles = HOSTILE_ONLY(BLK) | HOSTILE_ONLY(NET)
#define NET .roles = HOSTILE_ONLY(NET)
#define OP(what, op)                                                                               \
    {                                                                                              \
        .name = "ring-" what, .kind = HOSTILE_RING, FENCED, .run = try_op, .arg = op               \
    }
#define RUN(what, function, value)                                                                 \
    {                                                                                              \
        .name = "ring-" what, .kind = HOSTILE_RING, FENCED, .run = function, .arg = value          \
    }
#define CALL(what, function, value)                                                                \
    {                                                                                              \
        .name = "ring-" what, .kind = HOSTILE_SYSCALL, FENCED, .run = function, .arg = value       \
    }

static const struct hostile_action actions[] = {
    { .name = "ring-permitted", .kind = HOSTILE_CONTROL, FENCED, .run = try_index, .arg = 0 },
    { .name = "ring-readv", .kind = HOSTILE_RING, NET, .run = try_op, .arg = IORING_OP_READV },
    { .name = "ring-fsync", .kind = HOSTILE_RING, NET, .run = try_op, .arg = IORING_OP_FSYNC },
    { .name = "ring-fallocate",
      .kind = HOSTILE_RING,
      NET,
      .run = try_op,
      .arg = IORING_OP_FALLOCATE },
    OP("nop", IORING_OP_NOP),
    OP("openat", IORING_OP_OPENAT),
    OP("openat2", IORING_OP_OPENAT2),
    OP("statx", IORING_OP_STATX),
    OP("unlinkat", IORING_OP_UNLINKAT),
    OP("mkdirat", IORING_OP_MKDIRAT),
    OP("close", IORING_OP_CLOSE),
    OP("socket", IORING_OP_SOCKET),
    OP("connect", IORING_OP_CONNECT),
    OP("accept", IORING_OP_ACCEPT),
    OP("send", IORING_OP_SEND),
    OP("recv", IORING_OP_RECV),
    OP("sendmsg", IORING_OP_SENDMSG),
    OP("recvmsg", IORING_OP_RECVMSG),
    OP("shutdown", IORING_OP_SHUTDOWN),
    OP("read", IORING_OP_READ),
    OP("write", IORING_OP_WRITE),
    OP("read-fixed", IORING_OP_READ_FIXED),
    OP("splice", IORING_OP_SPLICE),
    OP("tee", IORING_OP_TEE),
    OP("epoll-ctl", IORING_OP_EPOLL_CTL),
    OP("poll", IORING_OP_POLL_ADD),
    OP("timeout", IORING_OP_TIMEOUT),
    OP("files-update", IORING_OP_FILES_UPDATE),
    OP("provide-buffers", IORING_OP_PROVIDE_BUFFERS),
    OP("madvise", IORING_OP_MADVISE),
    OP("fadvise", IORING_OP_FADVISE),
    OP("async-cancel", IORING_OP_ASYNC_CANCEL),
    OP("msg-ring", IORING_OP_MSG_RING),
    OP("uring-cmd", IORING_OP_URING_CMD),
    OP("sync-file-range", IORING_OP_SYNC_FILE_RANGE),
    OP("unknown-op", 250),
    RUN("plain-file-0", try_plain_file, FD_STDIN),
    RUN("plain-file-control", try_plain_file, FD_CONTROL),
    RUN("fixed-file-1", try_index, 1),
    RUN("fixed-file-far", try_index, 1u << 20),
    RUN("flag-link", try_flags, IOSQE_IO_LINK),
    RUN("flag-drain", try_flags, IOSQE_IO_DRAIN),
    RUN("flag-async", try_flags, IOSQE_ASYNC),
    RUN("flag-select-buffer", try_flags, IOSQE_BUFFER_SELECT),
    RUN("personality", try_personality, 1),
    { .name = "ring-never-reap",
      .kind = HOSTILE_NUISANCE,
      FENCED,
      .run = never_reap,
      .by_name = true },
    CALL("register-files", try_register, IORING_REGISTER_FILES),
    CALL("unregister-files", try_register, IORING_UNREGISTER_FILES),
    CALL("register-buffers", try_register, IORING_REGISTER_BUFFERS),
    CALL("register-personality", try_register, IORING_REGISTER_PERSONALITY),
    CALL("register-restrictions", try_register, IORING_REGISTER_RESTRICTIONS),
    CALL("enter-unknown-flag", try_enter, 1u << 20),
};
HOSTILE_TABLE(hostile_ring, actions);
