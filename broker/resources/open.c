/* SPDX-License-Identifier: Apache-2.0 */
/* open.c - see open.h. */
#include "resources/open.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"

const char *resources_kind_name(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return "a directory";
    case S_IFIFO:
        return "a fifo";
    case S_IFSOCK:
        return "a socket";
    case S_IFCHR:
        return "a character device";
    case S_IFBLK:
        return "a block device";
    case S_IFREG:
        return "a regular file";
    default:
        return "not a file";
    }
}

static int open_fault(const char *what, const char *path, int error, bool writing, struct fault *f)
{
    switch (error) {
    case ENOENT:
        return fault_input(f, "%s: %s does not exist: check the path", what, path);
    case EACCES:
    case EPERM:
        return fault_input(f, "%s: no permission to %s %s: change its mode or owner%s", what,
                           writing ? "write" : "read", path,
                           writing ? ", or use readonly=on where that is enough" : "");
    case EROFS:
        return fault_input(f, "%s: %s is on a read-only file system: use readonly=on", what, path);
    case ELOOP:
        return fault_input(f,
                           "%s: %s goes through a link that can't be followed safely: give the "
                           "file's own path",
                           what, path);
    case EXDEV:
        return fault_input(f, "%s: can't open %s: %s: give another path", what, path,
                           trees_error_text(error));
    case ENOTDIR:
        return fault_input(f, "%s: a part of %s is not a directory: check the path", what, path);
    default:
        return fault_host(f, error, "%s: opening %s: %s", what, path, strerror(error));
    }
}

/* Stands for a file that may be opened: nothing of it was touched, and no name leads elsewhere any more. */
static int open_handle(const struct trees_way *way, const char *what, const char *path,
                       unsigned kinds, int *ret_handle, struct fault *f)
{
    cleanup_(fd_closep) int handle = trees_open(way, way->rest, O_PATH, 0);
    struct stat st;
    int r;

    if (handle < 0)
        return handle;
    if (fstat(handle, &st) < 0)
        return fault_host(f, errno, "%s: looking at %s: %s", what, path, strerror(errno));
    if (!(RESOURCES_KIND(st.st_mode) & kinds))
        return fault_input(f, "%s: %s is %s: give a regular file%s", what, path,
                           resources_kind_name(st.st_mode),
                           kinds & RESOURCES_KIND(S_IFBLK) ? " or a block device" : "");
    r = trees_check_file(way, what, path, &st, f);
    if (r < 0)
        return r;
    *ret_handle = fd_take(&handle);
    return 0;
}

/* -1: errno says why. */
static int open_again(int handle, int flags)
{
    char link[48];

    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    /* Not O_NONBLOCK: io_uring would answer EAGAIN where the disk below has no NOWAIT (dm-crypt). */
    return open(link, flags | O_CLOEXEC | O_NOCTTY);
}

int resources_open(const struct trees *trees, const char *what, const char *path, int flags,
                   unsigned kinds, int *ret_fd, struct fault *f)
{
    bool writing = (flags & O_ACCMODE) != O_RDONLY;
    cleanup_(fd_closep) int handle = -1;
    struct trees_way way;
    int fd, r = trees_find(trees, what, path, &way, f);

    if (r < 0)
        return r;
    f->error = 0;
    r = open_handle(&way, what, path, kinds, &handle, f);
    if (r < 0)
        return f->error != 0 ? r : open_fault(what, path, -r, writing, f);
    fd = open_again(handle, flags);
    if (fd < 0 && errno == EINVAL && (flags & O_DIRECT))
        return fault_input(f, "%s: the file system of %s has no direct I/O: remove direct=on", what,
                           path);
    if (fd < 0)
        return open_fault(what, path, errno, writing, f);
    *ret_fd = fd;
    return 0;
}

enum { APPEND = O_WRONLY | O_APPEND, MAX_TRIES = 100 };

static int cannot_write(const char *what, const char *path, int error, struct fault *f)
{
    return fault_input(f, "%s: can't write %s: %s: choose another path", what, path,
                       trees_error_text(error));
}

/* Others may make and take away the name meanwhile. */
static int append_in(const struct trees_way *way, const char *what, const char *path, int *ret_fd,
                     struct fault *f)
{
    for (int i = 0; i < MAX_TRIES; i++) {
        cleanup_(fd_closep) int handle = -1;
        int fd, r;

        f->error = 0;
        r = open_handle(way, what, path, RESOURCES_KIND(S_IFREG), &handle, f);
        if (f->error != 0)
            return r;
        if (r == 0) {
            fd = open_again(handle, APPEND);
            r = fd < 0 ? -errno : 0;
        } else if (r == -ENOENT && !way->only_devices) {
            fd = trees_open(way, way->rest, APPEND | O_CREAT | O_EXCL | O_NOCTTY, 0600);
            r = MIN(fd, 0);
        }
        if (r == 0) {
            *ret_fd = fd;
            return 0;
        }
        if (r != -EEXIST)
            return cannot_write(what, path, -r, f);
    }
    return cannot_write(what, path, EEXIST, f);
}

int resources_append(const struct trees *trees, const char *what, const char *path, int *ret_fd,
                     struct fault *f)
{
    struct trees_way way;
    int fd, r;

    if (trees) {
        r = trees_find(trees, what, path, &way, f);
        return r < 0 ? r : append_in(&way, what, path, ret_fd, f);
    }
    /* O_NONBLOCK keeps a fifo without a reader from holding us up. */
    fd = open(path, APPEND | O_CREAT | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0600);
    if (fd < 0 && errno == ENXIO)
        return fault_input(f, "%s: %s is a fifo without a reader: start the reader first", what,
                           path);
    if (fd < 0)
        return cannot_write(what, path, errno, f);
    *ret_fd = fd;
    return 0;
}

void resources_wait_a_little(void)
{
    struct pollfd none = { .fd = -1 };

    (void)poll(&none, 1, RESOURCES_RETRY_MS);
}

int resources_lock(int fd, short type)
{
    struct flock lock = { .l_type = type, .l_whence = SEEK_SET };

    for (int waited_ms = 0; waited_ms <= RESOURCES_PATIENCE_MS; waited_ms += RESOURCES_RETRY_MS) {
        if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
            return 0;
        if (errno != EAGAIN && errno != EACCES)
            return -errno;
        resources_wait_a_little();
    }
    return -EAGAIN;
}

int resources_kernel(const struct trees *trees, const char *what, const char *path, int *ret_fd,
                     struct fault *f)
{
    struct stat st;
    int fd = -1;
    int r = resources_open(trees, what, path, O_RDONLY, RESOURCES_KIND(S_IFREG), &fd, f);

    if (r < 0)
        return r;
    if (fstat(fd, &st) == 0 && st.st_size == 0) {
        close(fd);
        return fault_input(f, "%s: %s is empty: give a built file", what, path);
    }
    *ret_fd = fd;
    return 0;
}

int resources_kvm(int *ret_fd, struct fault *f)
{
    struct stat st;
    int fd;

    /* Whether a character device is KVM is the core's to find out: it knows KVM's calls. */
    if (stat("/dev/kvm", &st) == 0 && !S_ISCHR(st.st_mode))
        return fault_input(f,
                           "no KVM: /dev/kvm is %s: delete it, then load kvm_intel or kvm_amd, "
                           "which makes the right one",
                           resources_kind_name(st.st_mode));
    fd = open("/dev/kvm", O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd >= 0) {
        *ret_fd = fd;
        return 0;
    }
    switch (errno) {
    case ENOENT:
        return fault_input(f, "no KVM: /dev/kvm is missing: load kvm_intel or kvm_amd, and enable "
                              "virtualization in the firmware or in the outer VM");
    case ENODEV:
    case ENXIO:
        return fault_input(f,
                           "no KVM: no driver is behind /dev/kvm: load kvm_intel or kvm_amd, and "
                           "enable virtualization in the firmware or in the outer VM");
    case EACCES:
    case EPERM:
        return fault_input(f, "no permission for /dev/kvm: add this user to the group kvm "
                              "(usermod -aG kvm USER, then log in again) or run as root");
    default:
        return fault_host(f, errno, "opening /dev/kvm: %s", strerror(errno));
    }
}
