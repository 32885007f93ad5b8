/* SPDX-License-Identifier: Apache-2.0 */
/* vm_options.h - what the command line of `bulkhead run`, `plan` or `create` says, parsed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include "client.pb-c.h"
#include "options/bag.h"

enum { VM_OPTIONS_MAX_FDS = 32 };

enum vm_options_verb { VM_OPTIONS_RUN, VM_OPTIONS_PLAN, VM_OPTIONS_CREATE };

/* Whether who is to open it can make a tap: where --net says nothing else a tap is made, or there is a user network. */
enum vm_options_taps { VM_OPTIONS_TAPS_LOOK, VM_OPTIONS_TAPS_YES, VM_OPTIONS_TAPS_NO };

struct vm_options {
    enum vm_options_verb verb;
    Bulkhead__VmConfig config;
    struct bag bag;
    bool help, json, verbose;
    bool serial_given;
    enum vm_options_taps taps;
    unsigned n_flags;       /* so far */
    const char *event_path; /* --event-monitor path=, or NULL */
    int event_fd;           /* --event-monitor fd=, or -1 */
    const char *api_path;   /* --api-socket PATH, or NULL */
    int api_fd;             /* --api-socket fd=, or -1 */
    char *log_path;         /* --log-file, or NULL */
    int net_fds[VM_OPTIONS_MAX_FDS];
    size_t n_net_fds;
    Bulkhead__KeyValue **labels; /* of create, as the two below */
    size_t n_labels;
    bool autostart, start;
};
