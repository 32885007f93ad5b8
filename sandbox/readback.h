/* SPDX-License-Identifier: Apache-2.0 */
/* readback.h - the seccomp programs that a live thread really has, from the kernel. Needs root
 * (CAP_SYS_ADMIN in the initial user namespace) and a caller without a filter of its own. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>
#include "base/compiler.h"
#include "sandbox/bpf.h"

/* systemd gives a hardened service one filter for each of its directives, a dozen. */
enum { READBACK_MAX_FILTERS = 32, READBACK_MAX_CALL = 1024 };

struct readback_filter {
    struct sock_filter *code; /* heap */
    unsigned n;
};

struct readback {
    struct readback_filter filters[READBACK_MAX_FILTERS]; /* the newest first */
    unsigned n_filters;
};

/* Stops the thread for a moment (PTRACE_SEIZE), copies, lets it go on. 0; -EACCES without the
 * right, -ESRCH, -E2BIG for more filters than READBACK_MAX_FILTERS, -ETIMEDOUT for one that doesn't stop within two
 * seconds: it goes on when the caller ends. */
int readback_thread(pid_t tid, struct readback *ret_readback) must_check;
void readback_deinit(struct readback *readback);
/* How many of the call numbers 0..1023 the thread may make: all filters must let a call through.
 * ret_calls: NULL or the numbers, ascending. No filter: 1024. */
unsigned readback_calls(const struct readback *readback, int ret_calls[READBACK_MAX_CALL]);
