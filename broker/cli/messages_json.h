/* SPDX-License-Identifier: Apache-2.0 */
/* messages_json.h - the broker's answers as JSON; each function returns a new reference. */
#pragma once

#include <jansson.h>
#include "client.pb-c.h"

json_t *plan_json(const Bulkhead__VmPlan *plan);
/* [{"vcpu": 0, "host_cpus": [2, 3]}], as Cloud Hypervisor has it. */
json_t *affinity_json(Bulkhead__VcpuAffinity *const *affinity, size_t n);
/* Of a broker's, which may have been taken over: where it is not UTF-8, which JSON has no other of, with '?' for each byte that
 * is no letter of ASCII. */
json_t *text_json(const char *text);
json_t *key_values_json(Bulkhead__KeyValue *const *values, size_t n);
