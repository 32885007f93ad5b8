/* SPDX-License-Identifier: Apache-2.0 */
/* group.h - the rate limits that disks share. */
#pragma once

#include "client.pb-c.h"

/* NULL: there is no such group. */
Bulkhead__RateLimitGroup *group_find(const Bulkhead__VmConfig *config, const char *id);
/* The group whose limit a disk shares, NULL: none. */
Bulkhead__RateLimitGroup *group_of_disk(const Bulkhead__VmConfig *config,
                                        const Bulkhead__DiskConfig *disk);
