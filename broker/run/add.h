/* SPDX-License-Identifier: Apache-2.0 */
/* add.h - a device more for a VM that runs, and its end: configuration, plan, back end and the spawner's slot,
 * all of them or none. The rules (vm/hotplug.h) come after. */
#pragma once

#include "run/instance.h"

/* Whether that one device may be added: a configuration of the VM with it in *ret_config, filled, which is the
 * caller's; where it is there in *ret_role, *ret_index. 0, or a negative errno with one line in *ret_fault. */
int add_check(struct instance *in, const Bulkhead__VmConfig *device,
              Bulkhead__VmConfig **ret_config, Bulkhead__Role *ret_role, unsigned *ret_index,
              struct fault *ret_fault) must_check;
/* Checks again, and takes over the descriptors: its number, whose place in the VM is taken, in *ret_number. */
int add_take(struct instance *in, const Bulkhead__AddDevice *message, int *fds, size_t n_fds,
             unsigned *ret_number, struct fault *ret_fault) must_check;
/* Closes all of it and frees its place: no process of it is left. */
void add_undo(struct instance *in, unsigned number);
