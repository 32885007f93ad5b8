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
    uint32_t refused; /* of these the last, and why: who starts in it is told */
    char why[160];
};

/* Both check each field. A slot can be set once. 0, or a negative errno with an origin. Before the seal: */
int slots_set(struct slots *slots, uint32_t slot, const struct spawner_slot *setup) must_check;
/* After it, of a broker that may have been taken over: a device's worker in a free slot of a device, and passt in one
 * of passt's if a user has asked for it (note.h). Its limits are not the broker's to choose: the memory that the core
 * was given, the processes that its role needs. */
int slots_add(struct slots *slots, uint32_t slot, const struct spawner_slot *setup,
              bool asked) must_check;
/* The slot stays empty, for the reason that was given last (base/err.h). */
void slots_refuse(struct slots *slots, uint32_t slot);
/* That reason, while the slot is empty; NULL: another one was refused last, or none. */
const char *slots_why(const struct slots *slots, uint32_t slot);
/* A device's slot, or passt's, is empty again; the caller knows that nobody is alive in it. */
int slots_free(struct slots *slots, uint32_t slot) must_check;
/* The entry for a start in that slot; NULL with an origin: not sealed yet, or none. */
const struct spawner_slot *slots_find(const struct slots *slots, uint32_t slot);
/* A worker's slot: it may be replaced by a program that is handed over. */
bool slots_is_device(const struct spawner_slot *slot);
/* 0, or -EPERM with an origin: what starts in `slot` never has the uid of uid_slot. */
int slots_check_uid(const struct slots *slots, uint32_t slot, uint32_t uid_slot) must_check;
