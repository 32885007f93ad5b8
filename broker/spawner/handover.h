/* SPDX-License-Identifier: Apache-2.0 */
/* handover.h - a successor of the broker is told what the spawner has kept: never waits for it. */
#pragma once

#include "base/compiler.h"
#include "spawner/state.h"

void handover_begin(struct state *state);
/* Sends what the socket has room for. 0, or a negative errno: that broker is gone too. */
int handover_send(struct state *state) must_check;
