/* SPDX-License-Identifier: Apache-2.0 */
/* layers.h - the steps of sandbox_enter(), one file each; private to sandbox/. Every function
 * returns 0 or a negative errno with an origin. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "base/compiler.h"
#include "sandbox.h"

/* layers.c: the SANDBOX_LAYER_*NS bits of the namespaces that are this process's own, as far as
 * /proc tells. The user namespace is its own when it maps one id alone. */
unsigned layers_own_namespaces(void);

/* root.c: an empty read-only tmpfs becomes the root, the old root is detached. */
int root_enter(void) must_check;
bool root_is_empty(void); /* it is what root_enter() makes */

/* caps.c: keeps only `keep` (bits 1 << CAP_*); bounding and ambient sets and securebits too. */
int caps_enter(uint64_t keep) must_check;
bool caps_none(void); /* of this thread */

/* limits.c */
struct limits_plan {
    uint64_t max_files;
    uint64_t data_bytes;
    uint64_t file_bytes; /* SANDBOX_FILE_UNLIMITED: as it is */
    bool no_new_threads; /* RLIMIT_NPROC 0 */
};
/* Private writable memory of this process in bytes, a little rounded up. For a process with one
 * thread. */
int limits_data_now(uint64_t *ret_bytes) must_check;
int limits_enter(const struct limits_plan *plan) must_check;
int limits_no_core(void) must_check;
int limits_no_new_threads(void) must_check;
int limits_no_exec_memory(void) must_check; /* PR_SET_MDWE */

/* landlock.c: handles all that the running kernel's ABI knows and allows nothing. */
int landlock_enter(void) must_check;
/* For the broker: it may read what its uid may, and change nothing but by removing from `dirs`. */
int landlock_enter_reader(void) must_check;

/* seccomp.c: this thread alone; from here on only what the profile lists. */
int seccomp_enter(const struct sandbox_filter *filter) must_check;
