/* SPDX-License-Identifier: Apache-2.0 */
/* manifest.h - a file that describes a fleet, or a part of it, from the tree that was loaded. Opens nothing itself. */
#pragma once

#include <jansson.h>
#include "fleet/fleet.h"
#include "fleet/source.h"

/* Appends its VMs to the fleet, and what is wrong with it to the fleet's faults. */
void manifest_read(struct fleet *fleet, const struct manifest_source *source, const json_t *root);
void manifest_free(struct fleet *fleet);
