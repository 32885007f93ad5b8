/* SPDX-License-Identifier: Apache-2.0 */
/* run_flags.h - the flags of `bulkhead run`, `plan` and `create`, turned into a VmConfig.
 *
 * Flag and option names are Cloud Hypervisor's. What can be judged from the text alone is judged
 * here; what needs the host (does the file exist, is there so much memory) is the broker's. */
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include "base/compiler.h"
#include "options/flags.h"
#include "options/keyvalue.h"
#include "options/vm_options.h"

/* argv[0] is the verb. 0, or -1 with *err; call vm_options_deinit() either way. */
int vm_options_parse(struct vm_options *o, int argc, char **argv,
                     struct option_error *err) must_check;
void vm_options_deinit(struct vm_options *o);
extern const struct flag_list vm_options_flags, vm_options_create_flags;
/* What the values of those flags are made of. */
void vm_options_print_values(FILE *out);
bool vm_options_uses_tty(const struct vm_options *o);
