/* SPDX-License-Identifier: Apache-2.0 */
/* steps.h - places at which a broker kills itself, for tests/cli/broker-steps. Compiled in only with BH_FAILPOINTS;
 * otherwise each of these is nothing.
 *
 * An environment variable, of a broker BULKHEAD_BROKER_STEPS, names a file of a page (struct of steps.c) that a test and every broker of a VM share, from
 * before the broker's sandbox on. The test writes how many steps the broker has to live: it dies at the last of
 * them, and leaves there what that was. A step is a record that is decided upon, or written down; an action that was
 * performed; what the spawner was told in between; and what a taking over and an end consist of. */
#pragma once

#ifdef BH_FAILPOINTS
#include "run/instance.h"
#include "vm/record.h"

void steps_open(const char *variable);
void steps_pass(const char *what, unsigned number);
/* Another record than the one before it, or with something to do about it. */
void steps_noted(const struct instance *in, const struct record *before, const struct record *after,
                 const char *what);
void steps_performed(const struct instance *in, const struct action *action);
#else
#define steps_open(variable) ((void)0)
#define steps_pass(what, number) ((void)0)
#define steps_noted(in, before, after, what) ((void)0)
#define steps_performed(in, action) ((void)0)
#endif
