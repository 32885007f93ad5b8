/* SPDX-License-Identifier: Apache-2.0 */
/* regions_map.h - guest RAM as a message names it, into the table of shm/gmem.h. */
#pragma once

#include "base/compiler.h"
#include "control.pb-c.h"
#include "shm/gmem.h"

/* Maps them all; those descriptors stay the caller's. 0 or a negative errno with an origin. */
int regions_map(struct gmem *mem, const Bulkhead__Configure *configure, const int *fds) must_check;
