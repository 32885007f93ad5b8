/* SPDX-License-Identifier: Apache-2.0 */
/* deadline.h - every wait has an end: one table of what is waited for, until when, and what follows when that has
 * passed. */
#pragma once

#include "hostd/rules/facts.h"

/* The earliest of all, in ns of the monotonic clock; 0: nothing is waited for. */
uint64_t deadline_next(const struct host *host);
/* Carries out those that have passed at host->now; false: none. */
bool deadline_pass(struct host *host);
