/* SPDX-License-Identifier: Apache-2.0 */
/* landlock.h - landlock rulesets (landlock(7)). Both calls are for this thread and return 0 or a negative
 * errno with an origin, -ENOSYS or -EOPNOTSUPP where the kernel has no landlock. */
#pragma once

#include "base/compiler.h"

/* Handles all that the running kernel's ABI knows and allows nothing. */
int landlock_enter(void) must_check;

/* For the broker: of all files only those in these n folders (-1: none) can be opened, for reading. */
int landlock_enter_reader(const int *folders, unsigned n) must_check;
