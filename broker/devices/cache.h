/* SPDX-License-Identifier: Apache-2.0 */
/* cache.h - how many pages of a file may count as the memory of the worker that reads and writes it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "plan/plan.h"

/* Of a file that grows as its worker likes. In both, 0: fd is no file; PLAN_CACHE_ENDLESS: nothing bounds it. */
uint64_t cache_of_log(int fd);
/* Of a disk, which stays as long as it is. fd may be of O_PATH. */
uint64_t cache_of_disk(int fd, bool direct);
/* For a plan alone, for which nothing is opened: what the paths stand for now. */
void cache_look(const Bulkhead__VmConfig *config, struct plan *plan);
