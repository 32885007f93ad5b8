/* SPDX-License-Identifier: Apache-2.0 */
/* loader.c - see loader.h. */
#include "loader.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>
#include "base/err.h"
#include "shm/layout.h"

void loader_init(struct loader *l, struct gmem *mem, uint64_t ram_size)
{
    uint64_t low = MIN(ram_size, LAYOUT_LOW_RAM_MAX);

    *l = (struct loader){
        .mem = mem,
        .low_ram_end = low,
        .high_ram_bytes = ram_size - low,
        .kernel_fd = -1,
        .initramfs_fd = -1,
        .cmdline = "",
        .vcpus = 1,
    };
}

int loader_bad(struct loader *l, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(l->why, sizeof l->why, fmt, args);
    va_end(args);
    return LOADER_E_INPUT;
}

int loader_size(int fd, uint64_t *ret_size)
{
    off_t end = lseek(fd, 0, SEEK_END);

    if (end < 0)
        return err_origin(-errno, "size of a boot file");
    *ret_size = (uint64_t)end;
    return 0;
}

int loader_pread(struct loader *l, int fd, uint64_t off, void *dst, size_t len, const char *what)
{
    size_t done = 0;

    if (off > INT64_MAX - len)
        return loader_bad(l, "%s is truncated: it ends before byte %#llx", what,
                          (unsigned long long)off);
    while (done < len) {
        ssize_t n = pread(fd, (uint8_t *)dst + done, len - done, (off_t)(off + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_origin(-errno, "reading the %s", what);
        if (n == 0)
            return loader_bad(l, "the %s is truncated: it ends at byte %llu of %llu", what,
                              (unsigned long long)(off + done), (unsigned long long)(off + len));
        done += (size_t)n;
    }
    return 0;
}

int loader_pread_guest(struct loader *l, int fd, uint64_t off, gpa_t addr, uint64_t len,
                       const char *what)
{
    struct gslice slice;
    struct iovec iov;
    int r;

    if (gmem_slice(l->mem, addr, len, &slice) != 0)
        return loader_bad(l,
                          "the %s doesn't fit in memory at %#llx: give the guest more (--memory)",
                          what, (unsigned long long)addr.v);
    iov = gslice_iovec(slice);
    r = loader_pread(l, fd, off, iov.iov_base, iov.iov_len, what);
    gmem_mark_written(l->mem, &iov, 1, iov.iov_len);
    return r;
}
