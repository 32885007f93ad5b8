/* SPDX-License-Identifier: Apache-2.0 */
/* step.h - one event becomes facts, then settles: what follows from the facts is worked out until nothing
 * moves any more. */
#pragma once

#include "vm/vm.h"

/* vm->actions holds what is to be done, in this order. now: ns of the monotonic clock, never 0. */
void vm_step(struct vm *vm, const struct event *event, uint64_t now);
/* When to call with EVENT_DEADLINE, at the latest; 0: nothing is waited for. */
uint64_t vm_next_deadline(const struct vm *vm);
