/* SPDX-License-Identifier: Apache-2.0 */
/* rotated.h - a log of two files that are open: the current one, and the one before it. Nothing is renamed, since who
 * writes it has no folder: when the current one is full, its bytes move to the older one, in place of what that had.
 * So the older one and then the current one are, at any moment at which nobody writes, the end of what was logged. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/compiler.h"

struct rotated {
    int fd, old_fd; /* O_RDWR | O_APPEND; the caller's */
    const char *name;
    uint64_t limit_bytes; /* of each */
    uint64_t size_bytes;  /* of the current one */
    uint64_t lost_bytes;  /* that neither took, since that was said last */
    bool failing;
};

/* Takes up what is in them, also a rotation that was interrupted. 0, or a negative errno with an origin. */
int rotated_init(struct rotated *log, const char *name, int fd, int old_fd,
                 uint64_t limit_bytes) must_check;
/* Never fails: what the file system doesn't take is lost, which is said once. */
void rotated_write(struct rotated *log, const void *bytes, size_t len);
