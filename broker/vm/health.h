/* SPDX-License-Identifier: Apache-2.0 */
/* health.h - is a worker alive, and how often did a device lose one? */
#pragma once

#include "vm/vm.h"

/* A worker whose loop turns writes its heartbeat; one that is stopped or spins doesn't. Nor does one that
 * the host's disk keeps waiting, but a new one would be in the same place soon. */
void health_pulse(struct vm *vm, struct device *device, uint64_t beat, enum pulse pulse);
/* Time in which the broker did not run itself is not held against workers. */
void health_excuse(struct vm *vm, uint64_t lost_ns);
void health_note_death(struct device *device, uint64_t now, uint64_t window_ns);
bool health_limit_reached(const struct vm *vm, const struct device *device);
/* Of a new build that took over a short time ago. */
bool health_on_probation(const struct vm *vm, const struct device *device);
