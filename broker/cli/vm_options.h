/* SPDX-License-Identifier: Apache-2.0 */
/* vm_options.h - the flags of `bulkhead run` and `bulkhead plan`, turned into a VmConfig.
 *
 * Flag and option names are Cloud Hypervisor's. What can be judged from the text alone is judged
 * here; what needs the host (does the file exist, is there so much memory) is the broker's. */
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include "bag.h"
#include "client.pb-c.h"
#include "option_table.h"

enum { VM_OPTIONS_MAX_FDS = 32 };

struct vm_options {
    Bulkhead__VmConfig config;
    struct bag bag;
    bool help, json, verbose;
    bool serial_given;
    const char *event_path; /* --event-monitor path=, or NULL */
    int event_fd;           /* --event-monitor fd=, or -1 */
    char *log_path;         /* --log-file, or NULL */
    int net_fds[VM_OPTIONS_MAX_FDS];
    size_t n_net_fds;
};

/* argv[0] is the verb. 0, or -1 with *err; call vm_options_deinit() either way. */
int vm_options_parse(struct vm_options *o, int argc, char **argv,
                     struct option_error *err) must_check;
void vm_options_deinit(struct vm_options *o);
void vm_options_print_help(FILE *out);
bool vm_options_uses_tty(const struct vm_options *o);

/* vm_devices.c: one flag's value each; 0 or -1 with *err. */
int vm_cpus_parse(struct vm_options *o, const char *arg, struct option_error *err) must_check;
int vm_memory_parse(struct vm_options *o, const char *arg, struct option_error *err) must_check;
int vm_disk_parse(struct vm_options *o, const char *arg, struct option_error *err) must_check;
int vm_net_parse(struct vm_options *o, const char *arg, struct option_error *err) must_check;
int vm_vsock_parse(struct vm_options *o, const char *arg, struct option_error *err) must_check;
int vm_balloon_parse(struct vm_options *o, const char *arg, struct option_error *err) must_check;
int vm_rng_parse(struct vm_options *o, const char *arg, struct option_error *err) must_check;
int vm_console_parse(struct vm_options *o, const char *flag, const char *arg,
                     Bulkhead__ConsoleConfig *console, struct option_error *err) must_check;
int vm_limit_group_parse(struct vm_options *o, const char *arg,
                         struct option_error *err) must_check;
/* The options bw_size=... alone, for `bulkhead set`. */
int vm_limit_parse(const char *what, const char *arg, struct bag *bag,
                   Bulkhead__RateLimit **ret_limit, struct option_error *err) must_check;
/* Every option of every device flag, for the help. */
void vm_devices_print_help(FILE *out);
/* What needs the whole command line: groups that exist. */
int vm_devices_check(const struct vm_options *o, struct option_error *err) must_check;
