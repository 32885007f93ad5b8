/* SPDX-License-Identifier: Apache-2.0 */
/* seal.h - what this VM may start, told to the spawner before the broker's sandbox. */
#pragma once

#include "run/instance.h"

/* Tells what each slot of the plan starts, and seals that. */
int seal_spawner(struct instance *in, struct fault *ret_fault) must_check;
/* The same for one device more, of a VM that runs; the spawner takes from this what is safe. */
int seal_add(struct instance *in, unsigned number, struct fault *ret_fault) must_check;
/* What passt of that network is started with: as the broker has it, and the user (spawner/note.h). */
void seal_describe_passt(const Bulkhead__NetConfig *net, struct spawner_slot *ret_slot);
/* Its slots are free again: nobody is left in them. */
void seal_free(struct instance *in, unsigned number);
