/* SPDX-License-Identifier: Apache-2.0 */
/* command.h - what a client asks of the running VM. Each gets exactly one reply, at once or later. */
#pragma once

#include "vm/vm.h"

/* Takes over command->limit if it is accepted; *ret_taken says so. */
void command_take(struct vm *vm, const struct command *command, bool *ret_taken);
/* The answer to ACTION_ATTACH_TAP, which a repair asked for. */
void command_tap_attached(struct vm *vm, struct device *device, const struct fault *fault);
