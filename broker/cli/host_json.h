/* SPDX-License-Identifier: Apache-2.0 */
/* host_json.h - what the host's service says, as JSON. */
#pragma once

#include <jansson.h>
#include "host.pb-c.h"

/* New references. */
json_t *host_status_json(const Bulkhead__VmStatus *status);
json_t *host_ended_json(const Bulkhead__VmEnded *ended);
/* With the names of tenants.yaml, and what is used of it. */
json_t *host_tenant_json(const Bulkhead__TenantUsage *usage);
/* "running". */
const char *host_state_word(Bulkhead__HostVmState state);
