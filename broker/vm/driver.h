/* SPDX-License-Identifier: Apache-2.0 */
/* driver.h - the guest's driver of a device: what the core said of it, and what the worker must be told
 * again when it is replaced. driver_settle() is the one place from which workers are activated, reset
 * and quiesced: it works that out of the facts, and nothing is remembered. */
#pragma once

#include "vm/vm.h"

/* Is that within what the device offers? */
bool driver_is_offered(const struct device *device, uint64_t features,
                       Bulkhead__QueueState *const *queues, size_t n_queues);
void driver_activate(struct vm *vm, const Bulkhead__Activate *activate);
/* The core has let go of the device, as it was told to. */
void driver_gone(struct vm *vm, uint32_t slot);
void driver_reset(struct vm *vm, uint32_t slot);
/* A driver may write as often as it likes: a worker that is behind with reading is told of the last
 * state in one piece, with a later tick. */
void driver_config_from_core(struct vm *vm, const Bulkhead__ConfigUpdate *update);
void driver_no_room(struct device *device, size_t from, size_t to);
/* A worker may change its configuration space as often as it likes: the core hears of a few changes a
 * tick, and of the rest in one piece with the next tick. */
void driver_config_from_worker(struct vm *vm, struct device *device, struct child *worker,
                               const Bulkhead__ConfigUpdate *update);
/* What the device itself has changed: device->for_core; of a few changes a tick, as above. */
void driver_tell_core(struct vm *vm, struct device *device);
void driver_on_tick(struct vm *vm, struct device *device);
void driver_needs_reset(struct device *device, const char *why);
/* True: something was done, look again. */
bool driver_settle(struct vm *vm, struct device *device);
