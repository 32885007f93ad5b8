/* SPDX-License-Identifier: Apache-2.0 */
/* messages_json.h - the broker's answers as JSON; each function returns a new reference. */
#pragma once

#include <jansson.h>
#include "client.pb-c.h"

json_t *plan_json(const Bulkhead__VmPlan *plan);
json_t *key_values_json(Bulkhead__KeyValue *const *values, size_t n);
