/* SPDX-License-Identifier: Apache-2.0 */
/* regions.h - guest RAM as messages name it. */
#pragma once

#include <stddef.h>
#include "base/compiler.h"
#include "control.pb-c.h"
#include "shm/gmem.h"

/* 0 or -EBADMSG with an origin: their number, their sum, and whether n_fds are what they name. Where each
 * may be is checked by gmem_add(). */
int regions_check(const Bulkhead__Configure *configure, size_t n_fds) must_check;

struct gmem_region regions_of(const Bulkhead__MemoryRegion *region);
/* How many of the descriptors are guest RAM, the first ones. */
unsigned regions_fds(const Bulkhead__Configure *configure);
