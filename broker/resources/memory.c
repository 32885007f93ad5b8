/* SPDX-License-Identifier: Apache-2.0 */
/* memory.c - anonymous memory and eventfds. */
#include "resources/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"

int resources_check_size(const char *what, uint64_t bytes, struct fault *f)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_FSIZE, &limit) < 0 || limit.rlim_cur >= bytes)
        return 0;
    return fault_input(f,
                       "%s needs a file of %llu bytes, and the limit is %llu: raise the hard limit "
                       "(ulimit -Hf, LimitFSIZE=)",
                       what, (unsigned long long)bytes, (unsigned long long)limit.rlim_cur);
}

int resources_memfd(const char *name, uint64_t size_bytes, bool hugepages, int *ret_fd)
{
    cleanup_(fd_closep) int fd = fd_memfd(name, hugepages ? MFD_HUGETLB | MFD_HUGE_2MB : 0);

    if (fd < 0)
        return err_origin(-errno, "memory for %s", name);
    if (ftruncate(fd, (off_t)size_bytes) < 0)
        return err_origin(-errno, "sizing memory for %s", name);
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return err_origin(-errno, "sealing memory for %s", name);
    *ret_fd = fd_take(&fd);
    return 0;
}

int resources_ram(const Bulkhead__MemoryConfig *memory, int *ret_fd, struct fault *f)
{
    cleanup_(fd_closep) int fd = -1;
    int r = resources_memfd("guest-ram", memory->size, memory->hugepages, &fd);

    if (r < 0)
        return fault_host(f, r, "%s", err_text());
    /* Huge pages are reserved now or the guest would die of SIGBUS later. */
    if ((memory->prefault || memory->hugepages) && fallocate(fd, 0, 0, (off_t)memory->size) < 0)
        return errno == ENOMEM || errno == ENOSPC
                   ? fault_input(f, "the host has not enough free %s for %llu MiB: %s",
                                 memory->hugepages ? "huge pages" : "memory",
                                 (unsigned long long)(memory->size >> 20),
                                 memory->hugepages ? "raise vm.nr_hugepages or drop hugepages=on"
                                                   : "use less or drop prefault=on")
                   : fault_host(f, errno, "reserving guest memory: %s", strerror(errno));
    *ret_fd = fd_take(&fd);
    return 0;
}

int resources_eventfd(int *ret_fd)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    if (fd < 0)
        return err_origin(-errno, "eventfd");
    *ret_fd = fd;
    return 0;
}

uint64_t resources_host_memory(void)
{
    struct sysinfo info;

    if (sysinfo(&info) < 0)
        return 0;
    return (uint64_t)info.totalram * info.mem_unit;
}
