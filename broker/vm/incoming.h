/* SPDX-License-Identifier: Apache-2.0 */
/* incoming.h - what children say, and how they end, becomes facts. Every message has passed the table of
 * legal messages (ipc/rules.h) before it is looked at; a child that breaks it is killed. */
#pragma once

#include "vm/vm.h"

void incoming_message(struct vm *vm, struct child *child, const struct event *event);
void incoming_broken(struct vm *vm, struct child *child, const char *why);
void incoming_closed(struct vm *vm, struct child *child);
void incoming_started(struct vm *vm, struct child *child, const struct event *event);
void incoming_start_failed(struct vm *vm, struct child *child, const struct fault *fault);
/* The kernel has killed it for want of memory: said before its end is. */
void incoming_oom(struct vm *vm, const struct child *child);
void incoming_exited(struct vm *vm, struct child *child, bool clean, const char *how);
