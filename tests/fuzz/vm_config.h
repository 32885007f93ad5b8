/* SPDX-License-Identifier: Apache-2.0 */
/* vm_config.h - the VM of vm_step: a device of each kind. */
#pragma once

#include "client.pb-c.h"

/* Freed by config_free(). */
Bulkhead__VmConfig *vm_config_make(const char *net_mode);
