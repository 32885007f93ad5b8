/* SPDX-License-Identifier: Apache-2.0 */
/* landlock.h - landlock rulesets (landlock(7)). The call is for this thread and returns 0 or a negative
 * errno with an origin, -ENOSYS or -EOPNOTSUPP where the kernel has no landlock. */
#pragma once

#include "base/compiler.h"

/* LANDLOCK_ACCESS_FS_*; what is executed is read too, by the kernel in the caller's name. */
enum landlock_right {
    LANDLOCK_READ = 1 << 2,
    LANDLOCK_REMOVE = 1 << 5,
    LANDLOCK_RUN = LANDLOCK_READ | 1
};

/* Handles all that the running kernel's ABI knows and allows nothing, but for one right to these n files, or to the
 * files in them where they are folders (-1: none). -EBADFD: one is in no folder, as a memfd; it is out of landlock's
 * sight then, and needs no rule. */
int landlock_enter(const int *places, unsigned n, enum landlock_right right) must_check;
