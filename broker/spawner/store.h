/* SPDX-License-Identifier: Apache-2.0 */
/* store.h - copies of the broker's descriptors, by place (keep.h): their number is bounded by that. The
 * spawner never looks at one: what it is, is between a broker and its successor. */
#pragma once

#include <stdint.h>
#include "base/compiler.h"
#include "spawner/handed.h"
#include "spawner/keep.h"

struct store {
    int fds[KEEP_PLACES]; /* -1: empty */
};

void store_init(struct store *store);
/* Takes over fds for the places from `first` on, and leaves in fds what was there. 0, or a negative errno with an origin: no such places, or
 * after the seal one that is fixed. */
int store_put(struct store *store, bool sealed, uint32_t first, int *fds,
              unsigned n_fds) must_check;
/* Takes out what is in n places, as much as *ret_fds has room for, and says how many; of places that are fixed
 * and those that aren't there nothing. */
unsigned store_take(struct store *store, uint32_t first, uint32_t n, struct handed *ret_fds);
/* Can a successor be started at all? */
bool store_suffices(const struct store *store);
/* The next run of places that are full, from `first` on, `max` at most. Their number; 0: there is none. */
unsigned store_next(const struct store *store, uint32_t first, unsigned max, uint32_t *ret_first);
/* The same, of all places. */
unsigned store_take_all(struct store *store, struct handed *ret_fds);
