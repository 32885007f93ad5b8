/* SPDX-License-Identifier: Apache-2.0 */
/* private_vms.h - what can be said of a VM of `bulkhead run`, which no service knows. */
#pragma once

#include <jansson.h>

/* In the shape of host_status_json(), with null for what is not known. A new reference. */
json_t *private_vm_json(const char *vm);
