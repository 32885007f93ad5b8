/* SPDX-License-Identifier: Apache-2.0 */
/* settings.h - what can be set while the VM runs, rate limits and the balloon's size, reaches each
 * worker: it is in the configuration that a worker starts with, and who was configured before the change
 * and serves the device since then is told. */
#pragma once

#include "vm/vm.h"

/* Takes over the limit (NULL: none). */
void settings_limit(struct vm *vm, struct device *device, Bulkhead__RateLimit *limit);
void settings_group_limit(struct vm *vm, Bulkhead__RateLimitGroup *group,
                          Bulkhead__RateLimit *limit);
void settings_balloon(struct device *device, uint64_t bytes);
bool settings_settle(struct vm *vm, struct device *device);
