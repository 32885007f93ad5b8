/* SPDX-License-Identifier: Apache-2.0 */
/* landlock.h - landlock rulesets (landlock(7)). The call is for this thread and returns 0 or a negative
 * errno with an origin, -ENOSYS or -EOPNOTSUPP where the kernel has no landlock. */
#pragma once

#include "base/compiler.h"

enum landlock_right { LANDLOCK_READ = 1 << 2, LANDLOCK_REMOVE = 1 << 5 }; /* LANDLOCK_ACCESS_FS_* */

/* Handles all that the running kernel's ABI knows and allows nothing, but for one right to the files in these n
 * folders (-1: none). */
int landlock_enter(const int *folders, unsigned n, enum landlock_right right) must_check;
