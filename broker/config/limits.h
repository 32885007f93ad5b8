/* SPDX-License-Identifier: Apache-2.0 */
/* limits.h - what a VM may take of the host in all, and what it needs at least. */
#pragma once

#include <stdint.h>
#include "base/compiler.h"
#include "client.pb-c.h"
#include "config/fault.h"

/* What may count as the memory of each of its processes, but for pages of files: whoever touches a page of guest RAM
 * first has it, and the tables that map it. */
uint64_t limits_process_memory(const Bulkhead__VmConfig *config);
/* The configuration is filled. 0, or -EINVAL with one line in *ret_fault. */
int validate_limits(const Bulkhead__VmConfig *config, struct fault *ret_fault) must_check;
