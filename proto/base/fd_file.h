/* SPDX-License-Identifier: Apache-2.0 */
/* fd_file.h - a look at a file that asks nobody. */
#pragma once

#include <stdint.h>
#include <sys/types.h>
#include "base/compiler.h"

struct fd_file {
    uint64_t dev, ino; /* as of struct stat */
    mode_t mode;
};

/* Which file it is, and of what kind, as far as the kernel knows without the server of a file system (FUSE, NFS), which may never
 * answer. 0, or a negative errno without an origin. */
int fd_file(int fd, struct fd_file *ret_file) must_check;
