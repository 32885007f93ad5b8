/* SPDX-License-Identifier: Apache-2.0 */
/* limits.c - see limits.h. */
#include "plan/limits.h"

#include <stdint.h>
#include <stdio.h>
#include "base/compiler.h"
#include "sandbox/cgroup.h"

enum { PERIOD_US = 100000 }; /* the kernel's own */

unsigned plan_vm_limits(const Bulkhead__LimitsConfig *l,
                        struct plan_vm_limit ret_limits[PLAN_VM_LIMITS])
{
    const struct {
        struct plan_vm_limit limit;
        uint64_t value;
    } all[] = {
        { { SANDBOX_CGROUP_CPU, "cpu_max", "cpu.max", "" },
          (uint64_t)l->cpu_max * (PERIOD_US / 100) },
        { { SANDBOX_CGROUP_CPU, "cpu_weight", "cpu.weight", "" }, l->cpu_weight },
        { { SANDBOX_CGROUP_MEMORY, "memory_max", "memory.max", "" },
          l->memory_max & ~(uint64_t)(PAGE_BYTES - 1) }, /* as the kernel rounds it */
        { { SANDBOX_CGROUP_IO, "io_weight", "io.weight", "" }, l->io_weight },
        { { SANDBOX_CGROUP_PIDS, "pids_max", "pids.max", "" }, l->pids_max },
    };
    unsigned n = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(all); i++) {
        struct plan_vm_limit *limit = &ret_limits[n];

        if (all[i].value == 0)
            continue;
        *limit = all[i].limit;
        if (i == 0)
            snprintf(limit->value, sizeof limit->value, "%llu %d", (unsigned long long)all[i].value,
                     PERIOD_US);
        else
            snprintf(limit->value, sizeof limit->value, "%llu", (unsigned long long)all[i].value);
        n++;
    }
    if (l->cpuset.len > 0) {
        ret_limits[n] =
            (struct plan_vm_limit){ SANDBOX_CGROUP_CPUSET, "cpuset", "cpuset.cpus", "" };
        cpu_bits_say(&l->cpuset, ret_limits[n].value, sizeof ret_limits[n].value);
        n++;
    }
    return n;
}
