/* SPDX-License-Identifier: Apache-2.0 */
/* vm_device_true.h - what must be true of a device that is here while the VM runs, whatever came in which order. */
#pragma once

#include "vm/vm.h"

/* Who asked is answered by something that is on its way. */
bool device_is_answered(const struct vm *vm, const struct device *device);
/* Somebody serves the device, or somebody is on the way. */
bool device_is_served(const struct vm *vm, const struct device *device);
/* What a dead one left in flight is watched by the one that is to go on. */
bool device_ring_is_watched(const struct vm *vm, const struct device *device);
/* Something is on its way that may never come: there must be a deadline. */
bool vm_waits(const struct vm *vm);
