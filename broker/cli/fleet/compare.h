/* SPDX-License-Identifier: Apache-2.0 */
/* compare.h - is a VM that the service keeps the one that a manifest describes? */
#pragma once

#include "host.pb-c.h"
#include "options/bag.h"

/* What is another there, as "config.memory.size"; in the bag. NULL: nothing. What the manifest leaves to the service (ids of
 * devices, sizes of queues, MAC addresses, limits of deaths) is the service's. */
const char *compare_specs(struct bag *bag, const Bulkhead__VmSpec *ours,
                          const Bulkhead__VmSpec *kept);
