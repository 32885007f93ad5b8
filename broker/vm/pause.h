/* SPDX-License-Identifier: Apache-2.0 */
/* pause.h - pause and resume: vCPUs first, then every worker finishes what is in flight (driver.c works
 * out what each is told); back in the opposite order. */
#pragma once

#include "vm/vm.h"

enum { PAUSE_CORE_MS = 30000 }; /* for the core's answer */

int pause_begin(struct vm *vm, struct ticket ticket, struct fault *ret_fault) must_check;
/* Also of a VM that is on its way to a pause, which is then given up. */
int pause_end(struct vm *vm, struct ticket ticket, struct fault *ret_fault) must_check;
/* The core says that the guest runs. */
void pause_on_running(struct vm *vm);
/* Somebody does not get ready for it: the guest runs on. */
void pause_give_up(struct vm *vm, const char *why);
/* Before vCPUs are let go workers are told to go on: call it after the devices. */
bool pause_settle(struct vm *vm);
