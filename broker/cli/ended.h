/* SPDX-License-Identifier: Apache-2.0 */
/* ended.h - how a VM ended: as an exit status, and in words. */
#pragma once

#include <stddef.h>
#include "client.pb-c.h"

/* The exit status of whoever stayed with it; prints what the status alone doesn't say. */
int ended_status(const Bulkhead__VmEnded *ended);
/* One word, for programs. */
const char *ended_word(const Bulkhead__VmEnded *ended);
/* "shut down", "crashed: triple fault"; returns dst. */
const char *ended_text(char *dst, size_t size, const Bulkhead__VmEnded *ended);
