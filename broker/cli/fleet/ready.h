/* SPDX-License-Identifier: Apache-2.0 */
/* ready.h - waits for a VM's condition: for a line on its console, or for who takes connections at a port of its vsock. What
 * comes from there is the guest's, or its tenant's: it is looked at, and nothing more. */
#pragma once

#include "fleet/fleet.h"
#include "options/keyvalue.h"

struct ready;

enum ready_answer { READY_YES, READY_WAIT, READY_NO };

/* For a VM that has a condition and runs. up_ms: since when, or -1 if it was started just now, so that what it wrote to its
 * console before counts only as far as the service has it of this run. NULL: no memory. */
struct ready *ready_new(const struct fleet_vm *vm, int64_t now_ms, int64_t up_ms);
/* What to poll for reading, -1: nothing; and when to look again at the latest. */
int ready_fd(const struct ready *ready);
int64_t ready_next_ms(const struct ready *ready);
/* Looks, and never waits longer than the service takes to hand a console out. READY_NO: *why says so; READY_WAIT: it says
 * what is in the way, "" for nothing. */
enum ready_answer ready_look(struct ready *ready, int64_t now_ms, struct option_error *why);
void ready_free(struct ready *ready);
