/* SPDX-License-Identifier: Apache-2.0 */
/* profile.h - what one kind of thread may ask of the kernel, as a table.
 *
 * A row allows one system call, for one reason, with all of its argument conditions met; several
 * rows for one call are alternatives. What no row allows kills the process. Rows are compiled to
 * BPF by sandbox/gen when Bulkhead is built: to let a program make one more call, add one row.
 */
#pragma once

#include <stdint.h>
#include <sys/syscall.h>
#include "sandbox/seccomp.h"

enum { PROFILE_MAX_ARGS = 4, PROFILE_MAX_SETS = 7 };

struct profile_arg { /* (arg & mask) == value */
    unsigned index;
    uint64_t mask, value; /* mask 0: this and the following are not used */
};

struct profile_rule {
    int nr;
    int deny_errno; /* 0: allow; else the call fails with it instead of killing */
    const char *name;
    const char *reason;
    struct profile_arg args[PROFILE_MAX_ARGS];
};

struct profile_set {
    const struct profile_rule *rules;
    unsigned n_rules;
};

struct profile {
    enum sandbox_profile_id id;
    const char *name;
    unsigned max_syscalls;                            /* distinct numbers; a test fails above it */
    const struct profile_set *sets[PROFILE_MAX_SETS]; /* base first, NULL ends the list */
};

#define ALLOW(call, why, ...)                                                                      \
    {                                                                                              \
        .nr = SYS_##call, .name = #call, .reason = (why), .args = { __VA_ARGS__ }                  \
    }
#define DENY(call, err, why)                                                                       \
    {                                                                                              \
        .nr = SYS_##call, .deny_errno = (err), .name = #call, .reason = (why)                      \
    }
/* Arguments that the kernel takes as int: the upper half is ignored, so it is not compared. */
#define ARG_IS(i, v)                                                                               \
    {                                                                                              \
        .index = (i), .mask = 0xffffffffu, .value = (uint32_t)(v)                                  \
    }
/* No bit outside of `bits` (32-bit argument). */
#define ARG_ONLY(i, bits)                                                                          \
    {                                                                                              \
        .index = (i), .mask = (uint32_t) ~(uint32_t)(bits), .value = 0                             \
    }
/* Exactly `want` of the bits in `bits`. */
#define ARG_BITS(i, bits, want)                                                                    \
    {                                                                                              \
        .index = (i), .mask = (uint64_t)(bits), .value = (uint64_t)(want)                          \
    }
#define ARG_NULL(i)                                                                                \
    {                                                                                              \
        .index = (i), .mask = UINT64_MAX, .value = 0                                               \
    }
#define PROFILE_SET(set_name, table)                                                               \
    const struct profile_set set_name = { .rules = (table), .n_rules = ARRAY_SIZE(table) }
