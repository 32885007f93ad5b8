/* SPDX-License-Identifier: Apache-2.0 */
/* quota.h - what a tenant has, and whether there is room for more. */
#pragma once

#include "config/fault.h"
#include "hostd/rules/facts.h"

struct usage {
    uint32_t vms, vcpus, disks, connections;
    uint64_t memory;
};

struct usage quota_usage(const struct host *host, const Bulkhead__Tenant *tenant);
/* One VM more? 0, or -EDQUOT with one line. */
int quota_check_create(const struct host *host, const Bulkhead__Tenant *tenant,
                       struct fault *f) must_check;
/* May that one run, beside those that do? */
int quota_check_start(const struct host *host, const Bulkhead__Tenant *tenant,
                      const struct host_vm *vm, const struct cost *cost,
                      struct fault *f) must_check;
