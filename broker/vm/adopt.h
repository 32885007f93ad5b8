/* SPDX-License-Identifier: Apache-2.0 */
/* adopt.h - a broker takes over from one that died. The facts were loaded from its record (record.h); that
 * is what it was about to do, not what came of it. So the core is asked first, then the workers:
 *
 * - the core is right about the driver: what is active, which reset is waited for, does the guest run;
 * - a worker is right about what it serves and still owes; one that serves something else is replaced;
 * - a child that was not ready is killed, and started again; a candidate is given up;
 * - deadlines and heartbeats begin now.
 *
 * Until a child has said where it stands (child->unsure) nothing else that it says counts, and it is told
 * nothing but Stop. */
#pragma once

#include "vm/vm.h"

/* event: EVENT_ADOPTED; kept: the children that the spawner knows, dead ones whose end was not acknowledged
 * among them. */
void adopt_begin(struct vm *vm, const struct event *event);
/* Of the core, before its Snapshot. */
void adopt_device(struct vm *vm, struct child *core, const Bulkhead__DeviceSnapshot *snapshot);
/* Its state is the Snapshot's already. */
void adopt_core(struct vm *vm, struct child *core, const Bulkhead__Snapshot *snapshot);
void adopt_worker(struct vm *vm, struct child *worker, const Bulkhead__Snapshot *snapshot);
/* Devices wait until the core has said where it stands. */
bool adopt_waits(const struct vm *vm);
bool adopt_settle(struct vm *vm);
