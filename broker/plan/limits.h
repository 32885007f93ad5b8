/* SPDX-License-Identifier: Apache-2.0 */
/* limits.h - a VM's limits as files of its control group. */
#pragma once

#include "client.pb-c.h"
#include "ipc/cpu_bits.h"

enum { PLAN_VM_LIMITS = 6, PLAN_VM_LIMIT_BYTES = CPU_BITS_TEXT_BYTES };

struct plan_vm_limit {
    unsigned controller; /* SANDBOX_CGROUP_* */
    const char *option;  /* of --limits */
    const char *file;
    char value[PLAN_VM_LIMIT_BYTES];
};

/* Those that are given; how many these are. */
unsigned plan_vm_limits(const Bulkhead__LimitsConfig *limits,
                        struct plan_vm_limit ret_limits[PLAN_VM_LIMITS]);
