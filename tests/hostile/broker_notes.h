/* SPDX-License-Identifier: Apache-2.0 */
/* broker_notes.h - what a broker that was taken over can make of a user's note for a passt (spawner/note.h), and of
 * what only looks like one. */
#pragma once

#include "broker.h"

/* Writes all of them into the VM's directory, before the sandbox, as users would. */
void broker_write_notes(const struct broker *b);
/* With a note there is one passt more, once. */
enum broker_verdict broker_use_note(struct broker *b);
extern const struct broker_table broker_notes;
