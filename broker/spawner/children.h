/* SPDX-License-Identifier: Apache-2.0 */
/* children.h - the spawner's children: who is alive, how a start went, how each ended. */
#pragma once

#include "spawner/state.h"

/* The one of that number that is alive; NULL: none. */
struct spawned *children_find(struct state *state, uint32_t id);
struct spawned *children_find_free(struct state *state);
bool children_any_left(const struct state *state); /* alive */
void children_kill(const struct spawned *child);
void children_kill_all(struct state *state, bool next_boot_too);
/* Nothing of that number will come to be. */
void children_say_not_started(struct state *state, uint32_t id, int error, const char *text);
/* error_fd is readable: the child has executed its program, or couldn't; or it was killed, which its pidfd
 * tells next. */
void children_hear(struct state *state, struct spawned *child);
void children_reap(struct state *state, struct spawned *child);
/* The broker knows of the end of `id`: what was kept of that child goes. */
void children_acknowledge(struct state *state, uint32_t id);
/* The disk's ring of that child is held here. */
bool children_has_ring(struct state *state, const struct spawned *child);
