/* SPDX-License-Identifier: Apache-2.0 */
/* vm_undone.h - what a broker had written down when it died, and not done: its children know nothing of that. */
#pragma once

#include "vm/vm.h"

/* The vm is the dead broker's. What others before it have not done still counts for who was not heard since. */
void undone_note(const struct vm *vm, const struct action *actions, unsigned n);
void undone_clear(void);
bool undone_start(uint32_t child);
/* The child's state without what it was not told. */
enum child_state undone_state(const struct child *child);
bool undone_tell(uint32_t child, Bulkhead__Envelope__BodyCase body);
/* To the core, about that device. */
bool undone_tell_of(uint32_t core, Bulkhead__Envelope__BodyCase body, unsigned device);
