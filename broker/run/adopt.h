/* SPDX-License-Identifier: Apache-2.0 */
/* adopt.h - this broker takes over from one that died: what the spawner has kept becomes this instance. */
#pragma once

#include "run/instance.h"

struct adoption; /* what came of the spawner and is not placed yet */

/* Before the sandbox: hears what was sealed, and nothing that anybody could have changed since. *ret_adoption is on the heap. 0,
 * or a negative errno with an origin. */
int adopt_hear_sealed(struct instance *in, struct adoption **ret_adoption) must_check;
/* In it: the rest. Descriptors and children have their places, and the facts are those of the record. */
int adopt_hear_rest(struct instance *in, struct adoption *adoption) must_check;
/* The connection of who asked for the VM, the file that kills its control group: the caller's; -1: none. */
int adopt_take_client(struct adoption *adoption) must_check;
int adopt_take_group_kill(struct adoption *adoption) must_check;
/* Everything is watched: from here on this is the broker. */
void adopt_act(struct instance *in, struct adoption *adoption);
void adopt_free(struct adoption *adoption);
