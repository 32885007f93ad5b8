/* SPDX-License-Identifier: Apache-2.0 */
/* step.h - one event in; what is to be done about it is in host->actions after. */
#pragma once

#include "hostd/rules/facts.h"

void host_step(struct host *host, const struct host_event *event);
/* When HOST_DEADLINE is due, in ns of the monotonic clock; 0: nothing is waited for. */
uint64_t host_next_deadline(const struct host *host);
