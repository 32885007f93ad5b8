/* SPDX-License-Identifier: Apache-2.0 */
/* vm_owed.h - what children were told and have not answered, as they see it: nobody is told twice. */
#pragma once

#include "vm/vm.h"

void owed_clear(void);
/* It was told; false: not now, it owes an answer that must come first. */
bool owed_told(const struct vm *vm, uint32_t child, Bulkhead__Envelope__BodyCase body);
/* It says so. */
void owed_said(uint32_t child, const Bulkhead__Envelope *envelope);
bool owed_by(uint32_t child, Bulkhead__Envelope__BodyCase body);
/* Another broker asks everybody anew where he stands. */
void owed_adopted(void);
