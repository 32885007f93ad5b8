/* SPDX-License-Identifier: Apache-2.0 */
/* namespaces.h - which namespaces a process has of its own, and whether this host makes any. */
#pragma once

#include "base/compiler.h"

/* The SANDBOX_LAYER_*NS bits (layers.h) of the namespaces that are this process's own, as far as
 * /proc tells. The user namespace is its own when it maps one id alone. */
unsigned namespaces_own(void);

/* Can this process make user namespaces? Makes one and ends it: 0, or a negative errno with an
 * origin. For a process with one thread. */
int sandbox_try_userns(void) must_check;
/* Which setting such an error comes from, and what an ordinary user can do about it. */
const char *sandbox_userns_cure(int error);
