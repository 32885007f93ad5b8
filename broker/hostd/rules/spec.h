/* SPDX-License-Identifier: Apache-2.0 */
/* spec.h - may that tenant have a VM of that description? Looks at the description alone. */
#pragma once

#include "config/fault.h"
#include "hostd/rules/facts.h"

enum { SPEC_MAX_BYTES = 49152, SPEC_MAX_LABELS = 32 };

/* A deep copy on the heap, with all that was left out filled in. NULL: it has no configuration, or there is no memory. */
Bulkhead__VmSpec *spec_copy(const Bulkhead__VmSpec *from);
/* config_fill() has been over its configuration. 0, or -EINVAL or -EPERM with one line. */
int spec_check(const struct host *host, const Bulkhead__VmSpec *spec,
               const Bulkhead__Tenant *tenant, struct fault *f) must_check;
/* Whether that tenant's VMs may; NULL: nobody's VMs may. */
bool spec_may_have_user_net(const Bulkhead__Tenant *tenant);
/* What a VM of that description takes of the quota. */
struct cost spec_cost(const Bulkhead__VmConfig *config);
/* A label that is there twice has its last value. NULL: it hasn't that one. */
const char *spec_label(const Bulkhead__VmSpec *spec, const char *key);
