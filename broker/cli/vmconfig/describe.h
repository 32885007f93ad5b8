/* SPDX-License-Identifier: Apache-2.0 */
/* describe.h - a VmConfig as a file has it: what translate.h reads, and makes the same VM of. */
#pragma once

#include <jansson.h>
#include "client.pb-c.h"

/* What was not said is left out. A new reference. */
json_t *describe_config(const Bulkhead__VmConfig *config);
