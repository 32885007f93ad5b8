/* SPDX-License-Identifier: Apache-2.0 */
/* limits.h - resource limits, soft and hard, and no memory that is both written and run. All return 0
 * or a negative errno with an origin. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "base/compiler.h"

enum {
    /* How far the private memory of a process may grow beyond what it has when it enters; for the
     * allocator's steps and the loop's events. A thread's stack comes on top. */
    SANDBOX_DATA_SPARE_BYTES = 1 << 20,
    SANDBOX_STACK_BYTES = 1 << 20,
};
#define SANDBOX_FILE_UNLIMITED UINT64_MAX

struct limits_plan {
    uint64_t max_files;     /* one above the highest descriptor */
    uint64_t data_bytes;    /* 0: as it is */
    uint64_t address_bytes; /* of address space; 0: as it is */
    uint64_t file_bytes;    /* SANDBOX_FILE_UNLIMITED: as it is */
    bool no_new_threads;    /* RLIMIT_NPROC 0 */
};
/* Private writable memory of this process in bytes, a little rounded up. For a process with one
 * thread. */
int limits_data_now(uint64_t *ret_bytes) must_check;
/* The same of its whole address space, mapped or only reserved. */
int limits_addresses_now(uint64_t *ret_bytes) must_check;
/* No core file, and what the plan says; never more than before. */
int limits_enter(const struct limits_plan *plan) must_check;
int limits_no_core(void) must_check;
int limits_no_new_threads(void) must_check;
int limits_no_exec_memory(void) must_check; /* PR_SET_MDWE */
