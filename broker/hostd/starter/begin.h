/* SPDX-License-Identifier: Apache-2.0 */
/* begin.h - START: what a run of a VM begins with; and GIVE: what it is given while it runs. */
#pragma once

#include "base/compiler.h"
#include "hostd/starter/state.h"

/* channel_fd: hostd's, to the launcher; the caller's. 0, or a negative errno with an origin: nothing was started. */
int begin_run(struct starter *s, const char *tenant, const char *vm, int channel_fd) must_check;
/* GIVE: a device for one that runs. broker_fd: a session with its broker, the caller's. */
int begin_give(struct starter *s, const char *tenant, const char *vm, int channel_fd,
               int broker_fd) must_check;
/* Of places whose broker has ended: have its processes all? True: that is still to be looked at. */
bool begin_look(struct place *place, uint64_t now);
