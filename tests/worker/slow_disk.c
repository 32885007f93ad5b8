/* SPDX-License-Identifier: Apache-2.0 */
/* slow_disk.c - see slow_disk.h. The FUSE file system is one file, its root. Its server is a process
 * of its own: a test that is killed in the middle of I/O on it can only end when that is answered. */
#include "slow_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/fd.h"
#include "harness.h"
#include "loop_disk.h"

enum { MAX_WRITE = 128 << 10, REQUEST_BYTES = MAX_WRITE + 4096 };

/* In memory that test and server share. */
struct slow_disk {
    uint64_t bytes;
    int fuse_fd, file_fd, slow_fd, loop_fd;
    char loop_path[LOOP_DISK_PATH_BYTES], slow_path[64], file_path[64];
    pid_t server;
    uint64_t release_ns; /* when held writes go on */
    uint64_t arrived;
    uint8_t request[REQUEST_BYTES];
    uint8_t data[MAX_WRITE];
};

/* ---- FUSE ---- */

static void answer(struct slow_disk *d, uint64_t unique, int error, const void *data, size_t len)
{
    struct fuse_out_header out = { .len = (uint32_t)(sizeof out + len),
                                   .error = -error,
                                   .unique = unique };
    struct iovec iov[] = { { &out, sizeof out }, { (void *)(uintptr_t)data, len } };

    (void)!writev(d->fuse_fd, iov, len > 0 ? 2 : 1); /* fails for one that was interrupted */
}

static void on_init(struct slow_disk *d, const struct fuse_in_header *in)
{
    struct fuse_init_out out = { .major = FUSE_KERNEL_VERSION,
                                 .minor = FUSE_KERNEL_MINOR_VERSION,
                                 .max_readahead = 0,
                                 .max_write = MAX_WRITE,
                                 .flags = FUSE_BIG_WRITES,
                                 .max_background = 16 };

    answer(d, in->unique, 0, &out, sizeof out);
}

static void on_getattr(struct slow_disk *d, const struct fuse_in_header *in)
{
    struct fuse_attr_out out = { .attr_valid = 3600 };

    out.attr.ino = FUSE_ROOT_ID;
    out.attr.size = d->bytes;
    out.attr.blocks = d->bytes / 512;
    out.attr.mode = S_IFREG | 0600;
    out.attr.nlink = 1;
    out.attr.blksize = 4096;
    answer(d, in->unique, 0, &out, sizeof out);
}

static void on_open(struct slow_disk *d, const struct fuse_in_header *in)
{
    struct fuse_open_out out = { .open_flags = FOPEN_DIRECT_IO };

    answer(d, in->unique, 0, &out, sizeof out);
}

static void on_read(struct slow_disk *d, const struct fuse_in_header *in)
{
    const struct fuse_read_in *r = (const void *)(in + 1);
    size_t len = r->size < sizeof d->data ? r->size : sizeof d->data;
    ssize_t n = pread(d->file_fd, d->data, len, (off_t)r->offset);

    answer(d, in->unique, n < 0 ? errno : 0, d->data, n < 0 ? 0 : (size_t)n);
}

static void wait_for_release(const struct slow_disk *d)
{
    while (wh_now_ns() < __atomic_load_n(&d->release_ns, __ATOMIC_ACQUIRE))
        nanosleep(&(struct timespec){ .tv_nsec = 500000 }, NULL);
}

static void on_write(struct slow_disk *d, const struct fuse_in_header *in)
{
    const struct fuse_write_in *w = (const void *)(in + 1);
    struct fuse_write_out out = { 0 };
    ssize_t n;

    wait_for_release(d);
    n = pwrite(d->file_fd, w + 1, w->size, (off_t)w->offset);
    out.size = n < 0 ? 0 : (uint32_t)n;
    __atomic_fetch_add(&d->arrived, out.size, __ATOMIC_RELEASE);
    answer(d, in->unique, n < 0 ? errno : 0, &out, n < 0 ? 0 : sizeof out);
}

_Noreturn static void serve(struct slow_disk *d)
{
    for (;;) {
        ssize_t n = read(d->fuse_fd, d->request, sizeof d->request);
        const struct fuse_in_header *in = (const void *)d->request;

        if (n < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN))
            continue;
        if (n < (ssize_t)sizeof *in)
            _exit(0); /* unmounted */
        switch (in->opcode) {
        case FUSE_INIT:
            on_init(d, in);
            break;
        case FUSE_GETATTR:
            on_getattr(d, in);
            break;
        case FUSE_OPEN:
            on_open(d, in);
            break;
        case FUSE_READ:
            on_read(d, in);
            break;
        case FUSE_WRITE:
            on_write(d, in);
            break;
        case FUSE_STATFS:
            answer(d, in->unique, 0, &(struct fuse_statfs_out){ 0 },
                   sizeof(struct fuse_statfs_out));
            break;
        case FUSE_FSYNC:
        case FUSE_RELEASE:
            answer(d, in->unique, 0, NULL, 0);
            break;
        case FUSE_FORGET:
        case FUSE_BATCH_FORGET:
        case FUSE_INTERRUPT:
            break; /* no answer is due */
        default:
            answer(d, in->unique, ENOSYS, NULL, 0);
            break;
        }
    }
}

/* ---- making it ---- */

/* A file with a name, which is taken away again: what is opened through it stays. */
static int mount_and_open(struct slow_disk *d, const char **ret_why)
{
    char point[] = "/tmp/bulkhead-slow-XXXXXX", options[128];
    int fd = mkostemp(point, O_CLOEXEC);

    *ret_why = "no temporary file";
    if (fd < 0)
        return -1;
    fd_closep(&fd);
    snprintf(options, sizeof options, "fd=%d,rootmode=%o,user_id=0,group_id=0,allow_other",
             d->fuse_fd, (unsigned)S_IFREG);
    *ret_why = "FUSE can't be mounted";
    if (mount("bulkhead-slow", point, "fuse", MS_NODEV | MS_NOSUID, options) == 0) {
        pid_t pid = fork();

        if (pid == 0)
            serve(d);
        d->server = pid;
        fd = open(point, O_RDWR | O_CLOEXEC);
        umount2(point, MNT_DETACH);
        *ret_why = "the FUSE file can't be opened";
    }
    unlink(point);
    return fd;
}

static int open_file(uint64_t bytes)
{
    const char *dir = getenv("TMPDIR");
    char path[256];
    int fd;

    snprintf(path, sizeof path, "%s/bulkhead-disk-XXXXXX", dir ? dir : "/var/tmp");
    fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0)
        wh_die("disk %s: %s", path, strerror(errno));
    unlink(path);
    return fd;
}

struct slow_disk *slow_disk_new(uint64_t bytes, const char **ret_why)
{
    struct slow_disk *d =
        mmap(NULL, sizeof *d, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (d == MAP_FAILED)
        wh_die("no memory");
    d->bytes = bytes;
    d->loop_fd = d->slow_fd = -1;
    d->fuse_fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    *ret_why = "no /dev/fuse";
    if (d->fuse_fd < 0) {
        munmap(d, sizeof *d);
        return NULL;
    }
    d->file_fd = open_file(bytes);
    snprintf(d->file_path, sizeof d->file_path, "/proc/%d/fd/%d", (int)getpid(), d->file_fd);
    d->slow_fd = mount_and_open(d, ret_why);
    snprintf(d->slow_path, sizeof d->slow_path, "/proc/%d/fd/%d", (int)getpid(), d->slow_fd);
    if (d->slow_fd >= 0) {
        d->loop_fd = loop_disk_attach(d->slow_fd, 0, 0, d->loop_path);
        *ret_why = "no loop device";
    }
    if (d->loop_fd >= 0)
        return d;
    slow_disk_free(d);
    return NULL;
}

void slow_disk_free(struct slow_disk *d)
{
    slow_disk_release(d, 0);
    if (d->loop_fd >= 0)
        (void)fsync(d->loop_fd);
    /* Its last close detaches it; that of the FUSE file ends the file system. */
    fd_closep(&d->loop_fd);
    fd_closep(&d->slow_fd);
    fd_closep(&d->fuse_fd);
    fd_closep(&d->file_fd);
    if (d->server > 0)
        (void)waitpid(d->server, NULL, 0);
    munmap(d, sizeof *d);
}

const char *slow_disk_path(const struct slow_disk *d)
{
    return d->loop_path;
}

const char *slow_disk_fuse_path(const struct slow_disk *d)
{
    return d->slow_path;
}

const char *slow_disk_fast_path(const struct slow_disk *d)
{
    return d->file_path;
}

void slow_disk_hold(struct slow_disk *d)
{
    __atomic_store_n(&d->arrived, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&d->release_ns, wh_now_ns() + WH_PATIENCE_MS * 1000000ull, __ATOMIC_RELEASE);
}

void slow_disk_release(struct slow_disk *d, unsigned delay_ms)
{
    __atomic_store_n(&d->release_ns, wh_now_ns() + delay_ms * 1000000ull, __ATOMIC_RELEASE);
}

uint64_t slow_disk_arrived(struct slow_disk *d)
{
    return __atomic_load_n(&d->arrived, __ATOMIC_ACQUIRE);
}
