/* SPDX-License-Identifier: Apache-2.0 */
/* excess.h - ends a worker that has more memory than its control group is to have.
 *
 * From memory.high on the kernel makes a worker wait, ever longer, but lets it take more: some 100 KiB a second. At
 * memory.max it kills, though not for what can't wait (the completions of an io_uring that nobody takes), and
 * then memory.high holds nothing back either. So whoever is a quarter of the way from the one to the other is killed here.
 *
 * The kernel tells of that by poll(), of which there is no end, unlike of inotify instances: 128 for each user of a host. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "spawner/state.h"

void excess_init(struct excess *excess);
/* Somebody is about to start in that slot, whose group is there, perhaps anew. False: nobody would be seen to have too much. */
bool excess_watch(struct state *s, uint32_t slot);
/* fd: POLLPRI of it says that something has happened to the memory of those in its group. False: it is none of state's
 * excess.events. */
bool excess_look(struct state *state, int fd);
