/* SPDX-License-Identifier: Apache-2.0 */
/* successor.h - the broker has died: its program is started again, and takes over. Only one broker is
 * listened to, and the next is not started before the last is dead. */
#pragma once

#include "spawner/state.h"

/* Opens the broker's program, so that a successor is what was installed when the VM started. */
void successor_init(struct state *state);
/* The connection is gone: another broker is wanted, or none. state->fd is closed. */
void successor_lost(struct state *state);
/* The dead one's pidfd is readable: starts the next. */
void successor_start(struct state *state);
/* In how many ms to look again; -1: never. Kills a successor that does not take over in time. */
int successor_enforce(struct state *state);
