/* SPDX-License-Identifier: Apache-2.0 */
/* lines.h - how the guest of a VM that has a named right comes to the service. For each such VM there are a few pairs of stream
 * sockets, made here: one end is the service's, the other its broker's, which gives it to the next connection that the guest
 * makes to HOSTDIR_SERVICE_PORT. So who speaks is known by the descriptor, and whatever a guest, a worker or a broker that was
 * taken over says there is said for that VM. On which something comes becomes a session (sessions.h). */
#pragma once

#include "hostd/run/service.h"

int lines_new(struct service *s) must_check;
void lines_free(struct service *s);
/* There is a session with the VM's broker: it is given what it lacks, if the VM has a right at all. */
void lines_supply(struct service *s, uint64_t vm);
/* The VM has ended: those that nobody uses go. */
void lines_drop(struct service *s, uint64_t vm);
