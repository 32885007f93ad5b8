/* SPDX-License-Identifier: Apache-2.0 */
/* deadline.h - every wait has an end: one table of what is waited for, until when, and what follows when
 * that has passed. */
#pragma once

#include "vm/vm.h"

/* The earliest of all, in ns of the monotonic clock; 0: nothing is waited for. */
uint64_t deadline_next(const struct vm *vm);
/* Carries out those that have passed at vm->now; false: none. */
bool deadline_pass(struct vm *vm);
