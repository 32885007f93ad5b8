/* SPDX-License-Identifier: Apache-2.0 */
/* note.h - a user's word, past the broker, for a passt in a VM that runs.
 *
 * passt has the host's network and opens ports of the host. Those of the VM's start are sealed before the broker's
 * sandbox; after that a broker may have been taken over, and its word is not enough. So who adds a user network
 * (bulkhead-broker --open, with that user's rights) writes down which passt it is to have, as a file of the VM's run
 * directory, and the spawner takes no other. A broker can write no file, nor can what it hands over, and root's can't
 * even reach that directory.
 *
 * A note counts once, and only while its writer lives, who holds a lock on it: one that was left behind by a process
 * that was killed is worth nothing. What is there is taken away by its writer, by who takes it, and with the
 * directory. */
#pragma once

#include "base/compiler.h"
#include "config/fault.h"
#include "resources/rundir.h"
#include "spawner/wire.h"

enum { NOTE_BYTES = 3 * 4 + SPAWNER_MAX_FORWARDS * 12 + SPAWNER_NAME_BYTES };

struct note {
    struct rundir_place place; /* without a lock */
    int fd;                    /* the lock on it; -1: there is none */
    char name[SPAWNER_NAME_BYTES];
};

void note_init(struct note *note);
/* What is in a note: with what passt is to be started, which is name, MTU, ports. */
int note_describe(const struct spawner_slot *setup, uint8_t ret_bytes[NOTE_BYTES],
                  struct fault *ret_fault) must_check;
/* Writes that down. run_dir: the VM's, by its path. */
int note_write(struct note *note, const char *run_dir, const struct spawner_slot *setup,
               struct fault *ret_fault) must_check;
/* The same with bytes that may be anybody's: nothing of them is believed but a name that is a note's. */
int note_write_bytes(struct note *note, const char *run_dir, const uint8_t bytes[NOTE_BYTES],
                     struct fault *ret_fault) must_check;
/* Takes away what is left of it. */
void note_withdraw(struct note *note);
/* Closes the descriptors; another process has them, and withdraws it. */
void note_forget(struct note *note);
/* In the spawner: is there such a note for what the broker asks for, and the same in each of these? It is gone then.
 * 0, or -EPERM with an origin. */
int note_take(const struct rundir_place *place, const struct spawner_slot *setup) must_check;
