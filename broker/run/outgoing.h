/* SPDX-License-Identifier: Apache-2.0 */
/* outgoing.h - what a child is told, as a message: its content follows from the facts. The order of the
 * descriptors is docs/protocol.md's "Descriptor order". */
#pragma once

#include "run/instance.h"

enum { OUTGOING_NO_ROOM = 1 };

/* 0; OUTGOING_NO_ROOM: a change of a configuration space must wait; or a negative errno with an origin: the
 * child does not take messages. A child that has gone is no error: its exit is on the way. */
int outgoing_send(struct instance *in, const struct action *action) must_check;
/* The answer to a connection that the guest wants; fd: stays the caller's. */
int outgoing_connected(struct instance *in, const struct action *action, int error,
                       int fd) must_check;
