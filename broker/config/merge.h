/* SPDX-License-Identifier: Apache-2.0 */
/* merge.h - a configuration with a device more, or less. */
#pragma once

#include "client.pb-c.h"
#include "config/fault.h"

/* Takes the one device that `from` holds over into config, which is then to be filled and checked; `from` is
 * freed in any case. *ret_index: its place among config.disks or config.nets. 0, or -EINVAL with one line in
 * *ret_fault: none or several devices, or one of a kind of which there is one already. */
int config_add(Bulkhead__VmConfig *config, Bulkhead__VmConfig *from, Bulkhead__Role *ret_role,
               unsigned *ret_index, struct fault *ret_fault) must_check;
void config_remove(Bulkhead__VmConfig *config, Bulkhead__Role role, unsigned index);
/* Exchanges the devices of both, which are filled; the serial port stays. */
void config_swap_devices(Bulkhead__VmConfig *a, Bulkhead__VmConfig *b);
