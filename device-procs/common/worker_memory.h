/* SPDX-License-Identifier: Apache-2.0 */
/* worker_memory.h - guest RAM that comes and goes, and the dirty log: one change at a time, each answered
 * by RamChanged. What returns an int: 0, or a negative errno with an origin, and the worker can't go on. */
#pragma once

#include <stdint.h>
#include "base/compiler.h"
#include "control.pb-c.h"

struct worker;

/* The broker's messages. The descriptor stays the caller's; of a log -1: none any more. */
int worker_memory_add(struct worker *w, const Bulkhead__AddRegion *add, int fd) must_check;
int worker_memory_log(struct worker *w, int fd, uint64_t size_bytes) must_check;
/* RemoveRegion: w->want_remove, for which the caller drains. */
int worker_memory_will_remove(struct worker *w, unsigned number) must_check;
/* Drained: does it. A queue whose rings were there needs a reset. */
void worker_memory_remove(struct worker *w);
