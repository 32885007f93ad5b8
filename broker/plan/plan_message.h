/* SPDX-License-Identifier: Apache-2.0 */
/* plan_message.h - the plan as `bulkhead plan` prints it and the audit checks it. */
#pragma once

#include "plan/plan.h"

/* The plan as a message, on the heap; NULL without memory. Free with
 * bulkhead__vm_plan__free_unpacked(plan, NULL). */
Bulkhead__VmPlan *plan_message(const struct plan *plan, const Bulkhead__VmConfig *config,
                               const struct plan_host *host);
