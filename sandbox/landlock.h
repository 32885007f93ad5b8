/* SPDX-License-Identifier: Apache-2.0 */
/* landlock.h - landlock rulesets (landlock(7)). Both calls are for this thread and return 0 or a negative
 * errno with an origin, -ENOSYS or -EOPNOTSUPP where the kernel has no landlock. */
#pragma once

#include "base/compiler.h"

/* Handles all that the running kernel's ABI knows and allows nothing. */
int landlock_enter(void) must_check;

/* For the broker: it may read what its uid may, and change nothing by its path. */
int landlock_enter_reader(void) must_check;
