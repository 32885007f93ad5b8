/* SPDX-License-Identifier: Apache-2.0 */
/* root.h - the file system of a child: one empty directory, in which nothing can be made. */
#pragma once

#include <stdbool.h>
#include "base/compiler.h"

/* An empty read-only tmpfs becomes the root, the old root is detached. For a process in a mount
 * namespace of its own. 0, or a negative errno with an origin. */
int root_enter(void) must_check;
bool root_is_empty(void); /* it is what root_enter() makes */
