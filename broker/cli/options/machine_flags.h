/* SPDX-License-Identifier: Apache-2.0 */
/* machine_flags.h - the flags that describe processors and memory, and what of the host a VM may take. */
#pragma once

#include "base/compiler.h"
#include "options/keyvalue.h"
#include "options/vm_options.h"

enum { VM_MACHINE_FLAGS = 3 };
extern const struct option_flag vm_machine_flags[VM_MACHINE_FLAGS];

/* One flag's value each; 0 or -1 with *err. */
int vm_cpus_parse(struct vm_options *o, const char *arg, struct option_error *err) must_check;
int vm_memory_parse(struct vm_options *o, const char *arg, struct option_error *err) must_check;
int vm_limits_parse(struct vm_options *o, const char *arg, struct option_error *err) must_check;
