/* SPDX-License-Identifier: Apache-2.0 */
/* vm_options.h - what the command line of `bulkhead run` says, parsed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include "client.pb-c.h"
#include "options/bag.h"

enum { VM_OPTIONS_MAX_FDS = 32 };

struct vm_options {
    Bulkhead__VmConfig config;
    struct bag bag;
    bool help, json, verbose;
    bool serial_given;
    unsigned n_flags;       /* so far */
    const char *event_path; /* --event-monitor path=, or NULL */
    int event_fd;           /* --event-monitor fd=, or -1 */
    char *log_path;         /* --log-file, or NULL */
    int net_fds[VM_OPTIONS_MAX_FDS];
    size_t n_net_fds;
};
