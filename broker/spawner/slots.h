/* SPDX-License-Identifier: Apache-2.0 */
/* slots.h - what the spawner may start: the table that the broker fills before the seal. */
#pragma once

#include <stdbool.h>
#include "base/compiler.h"
#include "spawner/wire.h"

struct slots {
    bool sealed;
    bool known[SPAWNER_MAX_SLOTS];
    struct spawner_slot of[SPAWNER_MAX_SLOTS];
};

/* Checks each field. A slot can be set once. 0, or a negative errno with an origin. */
int slots_set(struct slots *slots, uint32_t slot, const struct spawner_slot *setup) must_check;
/* The entry for a start in that slot; NULL with an origin: not sealed yet, or none. */
const struct spawner_slot *slots_find(const struct slots *slots, uint32_t slot);
/* A worker's slot: it may be replaced by a program that is handed over. */
bool slots_is_device(const struct spawner_slot *slot);
/* 0, or -EPERM with an origin: what starts in `slot` never has the uid of uid_slot. */
int slots_check_uid(const struct slots *slots, uint32_t slot, uint32_t uid_slot) must_check;
