/* SPDX-License-Identifier: Apache-2.0 */
/* vm_config.h - the VMs of vm_step and record; freed by config_free(). */
#pragma once

#include "client.pb-c.h"

/* A network, a disk, entropy, a balloon, and the consoles of a terminal. */
Bulkhead__VmConfig *vm_config_plain(const char *net_mode);
/* A device of each kind, and no console. */
Bulkhead__VmConfig *vm_config_make(const char *net_mode);
