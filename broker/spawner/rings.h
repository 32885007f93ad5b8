/* SPDX-License-Identifier: Apache-2.0 */
/* rings.h - duplicates of disks' io_urings, held beyond the death of the workers that use them
 * until their successors have seen them drain. */
#pragma once

#include <stdint.h>
#include "base/compiler.h"
#include "sandbox/ring.h"
#include "spawner/wire.h"

enum { RINGS_MAX = SPAWNER_MAX_CHILDREN + SPAWNER_MAX_SLOTS }; /* of the living and of the dead */

struct held_ring {
    uint32_t id; /* of the child it was made for; 0: place is free */
    uint32_t slot;
    int fd;
    struct io_uring_params params;
};

struct rings {
    struct held_ring held[RINGS_MAX];
};

/* A ring for child `id`, held until rings_drop(). A negative errno with an origin: the host has none
 * for us, or too many are held; the worker then does without. */
int rings_make(struct rings *rings, uint32_t id, uint32_t slot, enum ring_purpose purpose,
               struct held_ring **ret_ring) must_check;
/* The one of child `id`, if that was of `slot`; else NULL with an origin. */
struct held_ring *rings_find(struct rings *rings, uint32_t id, uint32_t slot);
/* Nothing is done when there is none. */
void rings_drop(struct rings *rings, uint32_t id);
void rings_drop_slot(struct rings *rings, uint32_t slot);
