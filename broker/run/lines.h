/* SPDX-License-Identifier: Apache-2.0 */
/* lines.h - the host's service at one port of a guest's vsock (service_port): what the service has handed in for that, one
 * end of a pair of sockets for each connection to come. Nothing is kept of it: where this broker or the service dies, the
 * next of either hands in, or is handed, others. */
#pragma once

#include "run/instance.h"

/* One more, which is taken over. Where there are enough the oldest goes. */
void lines_put(struct instance *in, int fd);
/* Does that port end there? */
bool lines_are_for(const struct instance *in, uint32_t port);
/* For a connection: the caller's. -ECONNREFUSED: there is none just now. */
int lines_take(struct instance *in);
