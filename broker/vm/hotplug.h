/* SPDX-License-Identifier: Apache-2.0 */
/* hotplug.h - a device comes to a guest that runs, and goes.
 *
 * | stage   | event -> next |
 * | ADD     | its first worker is ready, and passt has settled -> the core gets the device, SERVED; one of them is
 * |         | gone, or can't be started -> it is given up, and nothing is left of it |
 * | any but | removal asked -> the guest is asked; it lets go -> LEAVING; deadline -> who asked is told, the
 * | these   | device stays, and the guest may still let go of it later |
 * |         | removal forced -> the core takes it away, and has the worker reset; done -> LEAVING; deadline ->
 * |         | its worker is killed, LEAVING |
 * | LEAVING | the core has let go of it and its last process has ended -> its place is free |
 *
 * A guest that reboots has let go: what was to be removed is not there any more, nor what was being added. */
#pragma once

#include "vm/vm.h"

enum { HOTPLUG_EJECT_MS = 20000, HOTPLUG_FORCE_MS = 5000 };

/* All three: 0, or -EINVAL with one line in *ret_fault. */
int hotplug_check_add(const struct vm *vm, struct fault *ret_fault) must_check;
/* Its place was taken by vm_take_place(). */
int hotplug_add(struct vm *vm, struct device *device, struct ticket ticket,
                struct fault *ret_fault) must_check;
int hotplug_remove(struct vm *vm, struct device *device, bool force, struct ticket ticket,
                   struct fault *ret_fault) must_check;
/* The guest did not let go of it in time. */
void hotplug_asked_in_vain(struct vm *vm, struct device *device);
/* passt gives no sign that all is well: it is taken for well, as at the VM's start. */
void hotplug_waited_for_passt(struct vm *vm, struct device *device);
/* Its worker did not finish in time what a device that is taken away has in flight. */
void hotplug_wait_no_more(struct vm *vm, struct device *device);
bool hotplug_settle(struct vm *vm, struct device *device);
/* The same, of a guest that reboots. */
bool hotplug_settle_end(struct vm *vm);
