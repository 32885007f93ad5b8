/* SPDX-License-Identifier: Apache-2.0 */
/* consoles.h - a VM's bulkhead-console: made with all that it is to have open, found again when another starter has made
 * it. Its folder has a socket where the VM's serial port listens, a fifo into which the VM's broker logs, a socket at which one
 * attaches, and a lock that tells whether there is one. */
#pragma once

#include "base/compiler.h"
#include "hostd/starter/state.h"

/* For a run of the VM that begins: *ret_serial listens, *ret_fifo is to be the broker's log, which needs no
 * reader: both of this run alone. 0, or a negative errno with an origin. */
int consoles_begin(struct place *place, int *ret_serial, int *ret_fifo) must_check;
/* And its console, when what is left of the last run's has ended, which it does soon. */
int consoles_start(struct place *place) must_check;
/* The fifo for who only writes. */
int consoles_open_log(const struct place *place) must_check;
/* Starts the console unless there is one. 0, or a negative errno with an origin. */
int consoles_ensure(struct place *place) must_check;
bool consoles_is_there(struct starter *s, const char *tenant, const char *vm);
/* A stream to it, or a negative errno with an origin. */
int consoles_connect(const struct folders *folders, const char *tenant, const char *vm) must_check;
/* Kills it where it should have ended by now. True: that is still to be looked at. */
bool consoles_enforce(struct place *place, uint64_t now);
/* At the starter's end: it goes on. */
void consoles_forget(struct place *place);
