/* SPDX-License-Identifier: Apache-2.0 */
/* item.h - what a manifest says of one VM. */
#pragma once

#include <jansson.h>
#include "fleet/fleet.h"
#include "fleet/source.h"

/* All but its name and tenant, which are in `vm` already. `what` names it in messages. */
void item_read(struct fleet *fleet, struct fleet_vm *vm, const struct manifest_source *source,
               const char *what, const json_t *item);
void item_deinit(struct fleet_vm *vm);
