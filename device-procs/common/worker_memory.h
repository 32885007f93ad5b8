/* SPDX-License-Identifier: Apache-2.0 */
/* worker_memory.h - guest RAM of a worker: what Configure lists, what comes and goes later, and the
 * dirty log. What returns an int: 0, or a negative errno with an origin, and the worker can't go on. */
#pragma once

#include "base/compiler.h"
#include "control.pb-c.h"

struct worker;

void worker_memory_init(struct worker *w);
/* At the start. fds: of guest RAM, taken over. */
int worker_memory_take(struct worker *w, const Bulkhead__Configure *configure, int *fds) must_check;
/* The broker's messages, answered now or later; the descriptor is taken or stays the caller's. */
int worker_memory_add(struct worker *w, const Bulkhead__AddRegion *add, int *fd) must_check;
int worker_memory_log(struct worker *w, int fd, uint64_t size_bytes) must_check;
/* RemoveRegion: answered by worker_memory_remove(), which the caller's drain leads to. */
int worker_memory_will_remove(struct worker *w, unsigned number) must_check;
/* Drained: takes away what RemoveRegion named. A queue whose rings were there needs a reset. */
void worker_memory_remove(struct worker *w);
