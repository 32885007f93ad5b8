/* SPDX-License-Identifier: Apache-2.0 */
/* places.h - which VM has which of the starter's processes. */
#pragma once

#include "hostd/starter/state.h"

/* NULL: it has none. */
struct place *places_find(struct starter *s, const char *tenant, const char *vm);
/* That, or a new one: 0. With an origin, -ENOSPC: there is no room; -EAGAIN: the tenant has STATE_MAX_LEAVING places with
 * nothing but launchers that don't end, and those of others are not for him. */
int places_take(struct starter *s, const char *tenant, const char *vm,
                struct place **ret_place) must_check;
/* The same for a VM that runs, whatever else its tenant has. */
int places_take_running(struct starter *s, const char *tenant, const char *vm,
                        struct place **ret_place) must_check;
/* The place is free if nothing is left there. */
void places_settle(struct place *place);
/* Processes of the VM itself are there, as far as is known: its broker, before it holds its run directory, or whoever holds that; or who kills them. */
bool places_lives(struct starter *s, const char *tenant, const char *vm);
/* Something is to be looked at in STATE_TICK_MS. */
void places_tick(struct starter *s);
