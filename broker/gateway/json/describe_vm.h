/* SPDX-License-Identifier: Apache-2.0 */
/* describe_vm.h - what a broker says of its VM, as Cloud Hypervisor's clients read it. Each a new reference. */
#pragma once

#include <jansson.h>
#include "client.pb-c.h"

/* Of vm.info; it has a configuration. */
json_t *describe_vm(const Bulkhead__VmDescription *vm);
/* Of vm.counters. */
json_t *describe_counters(const Bulkhead__Stats *stats);
