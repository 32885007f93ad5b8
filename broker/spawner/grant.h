/* SPDX-License-Identifier: Apache-2.0 */
/* grant.h - the slots that a broker asks for and gives back, before the seal and after it. */
#pragma once

#include "spawner/state.h"

/* SPAWNER_SLOT. 0, or a negative errno with an origin, which who starts in it is told too (slots_why()). */
int grant_slot(struct state *state, const struct spawner_request *request) must_check;
/* SPAWNER_FREE: nobody is alive in it. */
int grant_free(struct state *state, uint32_t slot) must_check;
