/* SPDX-License-Identifier: Apache-2.0 */
/* landlock.h - landlock rulesets (landlock(7)). The call is for this thread and returns 0 or a negative
 * errno with an origin, -ENOSYS or -EOPNOTSUPP where the kernel has no landlock. */
#pragma once

#include "base/compiler.h"

/* Handles all that the running kernel's ABI knows and allows nothing, but for opening files in these n
 * folders (-1: none) for reading. */
int landlock_enter(const int *folders, unsigned n) must_check;
