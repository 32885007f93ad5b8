/* SPDX-License-Identifier: Apache-2.0 */
/* quota.c - see quota.h. */
#include "hostd/rules/quota.h"

#include <errno.h>
#include <string.h>

static const Bulkhead__TenantQuota none = BULKHEAD__TENANT_QUOTA__INIT;

static const Bulkhead__TenantQuota *of(const Bulkhead__Tenant *tenant)
{
    return tenant->quota ? tenant->quota : &none;
}

/* Without that one VM, if it isn't NULL. */
static struct usage usage_without(const struct host *host, const Bulkhead__Tenant *tenant,
                                  const struct host_vm *without)
{
    struct usage u = { 0 };

    for (unsigned i = 0; i < host->n_vms; i++) {
        const struct host_vm *vm = host->vms[i];

        if (vm == without || strcmp(vm->tenant, tenant->name) != 0)
            continue;
        u.vms++;
        if (!host_vm_is_up(vm))
            continue;
        u.vcpus += vm->cost.vcpus;
        u.memory += vm->cost.memory;
        u.disks += MAX(vm->cost.disks, vm->disks);
    }
    return u;
}

struct usage quota_usage(const struct host *host, const Bulkhead__Tenant *tenant)
{
    struct usage u = usage_without(host, tenant, NULL);

    for (unsigned i = 0; i < HOST_MAX_SESSIONS; i++)
        if (host->sessions[i].serial != 0 && host->sessions[i].tenant == tenant)
            u.connections++;
    return u;
}

static int over(const Bulkhead__Tenant *t, const char *what, uint64_t would, uint64_t may,
                const char *cure, struct fault *f)
{
    fault_host(f, EDQUOT, "tenant %s would have %llu %s, and may have %llu: %s", t->name,
               (unsigned long long)would, what, (unsigned long long)may, cure);
    f->bad_input = true;
    return -EDQUOT;
}

int quota_check_create(const struct host *host, const Bulkhead__Tenant *t, struct fault *f)
{
    struct usage u = usage_without(host, t, NULL);

    if (of(t)->vms != 0 && u.vms >= of(t)->vms)
        return over(t, "VMs", u.vms + 1ull, of(t)->vms, "remove one", f);
    return 0;
}

int quota_check_start(const struct host *host, const Bulkhead__Tenant *t, const struct host_vm *vm,
                      const struct cost *cost, struct fault *f)
{
    const Bulkhead__TenantQuota *q = of(t);
    struct usage u = usage_without(host, t, vm);

    if (q->vcpus != 0 && u.vcpus + (uint64_t)cost->vcpus > q->vcpus)
        return over(t, "vCPUs in VMs that run", u.vcpus + (uint64_t)cost->vcpus, q->vcpus,
                    "stop a VM, or give this one fewer", f);
    if (q->memory != 0 && (u.memory > q->memory || cost->memory > q->memory - u.memory))
        return over(t, "MiB of memory in VMs that run", (u.memory + cost->memory) >> 20,
                    q->memory >> 20, "stop a VM, or give this one less", f);
    if (q->disks != 0 && u.disks + (uint64_t)cost->disks > q->disks)
        return over(t, "disks in VMs that run", u.disks + (uint64_t)cost->disks, q->disks,
                    "stop a VM, or give this one fewer", f);
    return 0;
}
