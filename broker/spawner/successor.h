/* SPDX-License-Identifier: Apache-2.0 */
/* successor.h - the broker has died: its program is started again, and takes over. Only one broker is
 * listened to, and the next is not started before the last is dead. */
#pragma once

#include "base/compiler.h"
#include "spawner/state.h"

/* Opens the broker's program, so that a successor is what was installed when the VM started. */
void successor_init(struct state *state);
/* The connection is gone: another broker is wanted, or none. state->fd is closed. */
void successor_lost(struct state *state);
/* The dead one's pidfd is readable: starts the next. */
void successor_start(struct state *state);
/* The broker wants to be followed by the build that is installed now. 0: it is being killed; or a
 * negative errno with an origin. A build that does not take over, or dies within a moment, is given up for
 * the one before. */
int successor_renew(struct state *state) must_check;
/* The successor says that it has taken over. */
void successor_adopted(struct state *state);
/* In how many ms to look again; -1: never. Kills a successor that does not take over in time, and a broker that doesn't
 * end when its VM has, or when that was told to; closes what was kept for one that there won't be. */
int successor_enforce(struct state *state);
/* The VM is over: waits, not for ever, until its broker is dead, so that nobody has what is free for others then. */
void successor_await_end(struct state *state);
