/* SPDX-License-Identifier: Apache-2.0 */
/* loop_disk.c - see loop_disk.h. */
#include "loop_disk.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include "base/fd.h"

enum { TRIES = 20 };

/* Another process may take the free one that we were told of. */
int loop_disk_attach(int file_fd, uint32_t block_size, uint32_t flags,
                     char ret_path[LOOP_DISK_PATH_BYTES])
{
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), fd = -1;
    struct loop_config config = { .fd = (uint32_t)file_fd,
                                  .block_size = block_size,
                                  .info.lo_flags = flags | LO_FLAGS_AUTOCLEAR };

    for (unsigned i = 0; control >= 0 && i < TRIES && fd < 0; i++) {
        int n = ioctl(control, LOOP_CTL_GET_FREE);

        if (n < 0)
            break;
        snprintf(ret_path, LOOP_DISK_PATH_BYTES, "/dev/loop%d", n);
        fd = open(ret_path, O_RDWR | O_CLOEXEC);
        if (fd >= 0 && ioctl(fd, LOOP_CONFIGURE, &config) < 0)
            fd_closep(&fd);
    }
    fd_closep(&control);
    return fd;
}
