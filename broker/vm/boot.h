/* SPDX-License-Identifier: Apache-2.0 */
/* boot.h - from "everything is open" until the core was told to run, and again after a reboot. */
#pragma once

#include "vm/vm.h"

enum { BOOT_MS = 60000 }; /* slow hosts: emulated KVM */

void boot_begin(struct vm *vm);
void boot_made(struct vm *vm);
void boot_failed(struct vm *vm, const struct fault *fault);
void boot_late(struct vm *vm);
/* A child of a VM that starts is gone. */
void boot_child_gone(struct vm *vm, struct child *child, bool clean, const char *how);
/* Once, when the guest runs: tells of the points if the configuration asks for them. */
void boot_report_trace(struct vm *vm);
bool boot_settle(struct vm *vm);
