/* SPDX-License-Identifier: Apache-2.0 */
/* group.h - an audit's look at control groups: a process's, and its VM's. */
#pragma once

#include "audit/findings.h"

/* Which one it is in, and whether the limits that the plan has are in force there. */
void audit_group(const struct audit_target *t);
/* The same for the VM's group, which is found by its core. */
void audit_vm_group(const struct audit_target *core, const Bulkhead__VmPlan *plan);
