/* SPDX-License-Identifier: Apache-2.0 */
/* device_flags.h - the flags that describe devices. */
#pragma once

#include <stdio.h>
#include "base/compiler.h"
#include "options/keyvalue.h"
#include "options/vm_options.h"

/* One flag's value each; 0 or -1 with *err. */
int vm_disk_parse(struct vm_options *o, const char *arg, struct option_error *err) must_check;
int vm_net_parse(struct vm_options *o, const char *arg, struct option_error *err) must_check;
int vm_vsock_parse(struct vm_options *o, const char *arg, struct option_error *err) must_check;
int vm_balloon_parse(struct vm_options *o, const char *arg, struct option_error *err) must_check;
int vm_rng_parse(struct vm_options *o, const char *arg, struct option_error *err) must_check;
int vm_console_parse(struct vm_options *o, const char *flag, const char *arg,
                     Bulkhead__ConsoleConfig *console, struct option_error *err) must_check;
int vm_limit_group_parse(struct vm_options *o, const char *arg,
                         struct option_error *err) must_check;
/* Whether this process can make a tap. */
bool vm_net_makes_taps(void);
/* Whether the descriptors of --net fd= are open. */
int vm_net_fds_check(const struct vm_options *o, struct option_error *err) must_check;
/* The options bw_size=... alone, for `bulkhead set`. */
int vm_limit_parse(const char *what, const char *arg, struct bag *bag,
                   Bulkhead__RateLimit **ret_limit, struct option_error *err) must_check;
/* Every option of every flag of the machine (machine_flags.h) and its devices, for the help. */
void vm_devices_print_help(FILE *out);
/* What a value of that flag ("--disk") is made of; NULL: not of options. */
const struct option_spec *vm_devices_specs(const char *flag, size_t *ret_n);
/* What needs the whole command line: groups that exist. */
int vm_devices_check(const struct vm_options *o, struct option_error *err) must_check;
