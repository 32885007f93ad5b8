/* SPDX-License-Identifier: Apache-2.0 */
/* host_json.h - what the host's service says, as JSON. */
#pragma once

#include <jansson.h>
#include "host.pb-c.h"

/* New references. */
json_t *host_status_json(const Bulkhead__VmStatus *status);
/* "running". */
const char *host_state_word(Bulkhead__HostVmState state);
