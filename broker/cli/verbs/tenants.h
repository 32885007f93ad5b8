/* SPDX-License-Identifier: Apache-2.0 */
/* tenants.h - `bulkhead tenants`: who may have VMs of the host's service, and what each has of what it may have. */
#pragma once

#include "verbs/verb.h"

extern const struct verb verb_tenants;
