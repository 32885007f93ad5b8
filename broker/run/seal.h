/* SPDX-License-Identifier: Apache-2.0 */
/* seal.h - what this VM may start, told to the spawner before the broker's sandbox. */
#pragma once

#include "run/instance.h"

/* Tells what each slot of the plan starts, and seals that. */
int seal_spawner(struct instance *in, struct fault *ret_fault) must_check;
