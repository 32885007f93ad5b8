/* SPDX-License-Identifier: Apache-2.0 */
/* fd_file.c - see fd_file.h. */
#include "base/fd_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

int fd_file(int fd, struct fd_file *ret_file)
{
    struct statx stx;

    if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO, &stx) < 0)
        return -errno;
    *ret_file = (struct fd_file){ .dev = makedev(stx.stx_dev_major, stx.stx_dev_minor),
                                  .ino = stx.stx_ino,
                                  .mode = stx.stx_mode };
    return 0;
}
