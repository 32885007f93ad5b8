/* SPDX-License-Identifier: Apache-2.0 */
/* oom.h - whom the kernel's OOM killer has ended, for want of memory in a group or on the host: each group counts its own. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "spawner/state.h"

/* A process is about to be started in that slot's group. */
void oom_begin(struct state *s, uint32_t slot);
/* One of that group was killed, and its group is still there: was it for want of memory? Each kill counts once. */
bool oom_took(struct state *s, uint32_t slot);
