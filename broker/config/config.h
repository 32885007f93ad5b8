/* SPDX-License-Identifier: Apache-2.0 */
/* config.h - the broker's own copy of a VmConfig, with what the user left out filled in. Defaults are
 * here alone: clients send what they were given. */
#pragma once

#include <stdbool.h>
#include "base/compiler.h"
#include "client.pb-c.h"

enum {
    CONFIG_CRASH_LIMIT = 5,
    CONFIG_CRASH_WINDOW_S = 60,
    CONFIG_HANG_TIMEOUT_MS = 900,
    CONFIG_STALL_TIMEOUT_MS = 30000,
    CONFIG_DISK_QUEUE_SIZE = 128,
    CONFIG_NET_QUEUE_SIZE = 256,
    CONFIG_MEMORY_BYTES = 512 << 20,
    CONFIG_MAX_PASST = 8,     /* user networks of a VM */
    CONFIG_MAX_FORWARDS = 64, /* of a user network */
};

/* A deep copy on the heap; NULL without memory. Freed by config_free(). */
Bulkhead__VmConfig *config_copy(const Bulkhead__VmConfig *from);
void config_free(Bulkhead__VmConfig *config);
/* Gives every field that may be left out its value: names and ids, sizes of queues, limits, MAC
 * addresses. `fallback_name` names a VM without a name. 0 or -ENOMEM. */
int config_fill(Bulkhead__VmConfig *config, const char *fallback_name) must_check;
/* Is it a disk's or a network's? */
bool config_has_id(const Bulkhead__VmConfig *config, const char *id);
