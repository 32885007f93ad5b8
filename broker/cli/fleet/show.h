/* SPDX-License-Identifier: Apache-2.0 */
/* show.h - a fleet's order, printed. */
#pragma once

#include <jansson.h>
#include "fleet/fleet.h"

/* What each VM waits for, as in "db (ready), net"; in the bag, "" for nothing. */
const char *show_after(struct fleet *fleet, const struct fleet_vm *vm);
/* The same as a list of objects: vm, when. A new reference. */
/* A line for each that has one: after a table. */
void show_rights(struct fleet *fleet);
json_t *show_after_json(const struct fleet_vm *vm);
/* Waves, and what each VM has. */
void show_plan(struct fleet *fleet);
json_t *show_plan_json(const struct fleet *fleet);
