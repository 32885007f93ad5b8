/* SPDX-License-Identifier: Apache-2.0 */
/* limits.c - see limits.h. */
#include "run/limits.h"

#include "plan/limits.h"
#include "sandbox/cgroup.h"
#include "spawner/cgroups.h"

static const char *name_of(unsigned controller)
{
    switch (controller) {
    case SANDBOX_CGROUP_CPU:
        return "cpu";
    case SANDBOX_CGROUP_MEMORY:
        return "memory";
    case SANDBOX_CGROUP_IO:
        return "io";
    case SANDBOX_CGROUP_CPUSET:
        return "cpuset";
    default:
        return "pids";
    }
}

static int refuse(const struct groups *groups, const struct plan_vm_limit *limit, struct fault *f)
{
    if (groups->vm_fd < 0)
        return fault_input(f,
                           "--limits %s=: no control group is delegated to this VM: start it where "
                           "one is (a service with Delegate=yes, `systemd-run --user --scope -p "
                           "Delegate=yes`), or leave it out",
                           limit->option);
    if (!(groups->limits & limit->controller))
        return fault_input(f,
                           "--limits %s=: the %s controller doesn't reach the VM's control group: "
                           "delegate it (Delegate=yes; see bulkhead doctor), or leave it out",
                           limit->option, name_of(limit->controller));
    return fault_input(f, "--limits %s=%.200s: this kernel doesn't take it in %s: leave it out",
                       limit->option, limit->value, limit->file);
}

int limits_set(struct groups *groups, const Bulkhead__LimitsConfig *limits, struct fault *f)
{
    struct plan_vm_limit all[PLAN_VM_LIMITS];
    const unsigned n = plan_vm_limits(limits, all);

    for (unsigned i = 0; i < n; i++)
        if (groups_limit(groups, all[i].controller, all[i].file, all[i].value) < 0)
            return refuse(groups, &all[i], f);
    return 0;
}
