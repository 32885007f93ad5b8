/* SPDX-License-Identifier: Apache-2.0 */
/* control.h - named rights in a manifest: which other VMs the guest of this one may drive, and how; and which of its devices it
 * has to ask for. */
#pragma once

#include <jansson.h>
#include "fleet/fleet.h"

/* After its configuration was read. `what` names the VM in messages. */
void control_read(struct fleet *fleet, struct fleet_vm *vm, const char *what,
                  const json_t *control);
/* on_request: ids of its own disks and networks. After the configuration was read. */
void control_read_devices(struct fleet *fleet, struct fleet_vm *vm, const char *what,
                          const json_t *list);
/* Adds a fault for each VM that a right names and that isn't in the manifests, or is its own. */
void control_check(struct fleet *fleet);
