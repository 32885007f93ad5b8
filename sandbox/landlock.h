/* SPDX-License-Identifier: Apache-2.0 */
/* landlock.h - landlock rulesets (landlock(7)). Both calls are for this thread and return 0 or a negative
 * errno with an origin, -ENOSYS or -EOPNOTSUPP where the kernel has no landlock. */
#pragma once

#include <stdbool.h>
#include "base/compiler.h"

/* Handles all that the running kernel's ABI knows and allows nothing. */
int landlock_enter(void) must_check;

struct sandbox_removable {
    int dir_fd;   /* O_PATH will do; not owned; negative: none */
    bool folders; /* folders at any depth below may be removed; else files */
};
/* For the broker: it may read what its uid may, and change nothing but by removing from `dirs`. */
int landlock_enter_reader(const struct sandbox_removable *dirs, unsigned n) must_check;
