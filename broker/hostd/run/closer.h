/* SPDX-License-Identifier: Apache-2.0 */
/* closer.h - closes sockets that somebody else has a hand in. A socket in whose queue a tenant has put a descriptor of his may have
 * the last reference to that, and its close may wait: for a file's server, or for a connection that lingers. So threads do
 * it that may wait for ever: one for what tenants have connected, one for what leads to VM brokers. */
#pragma once

#include <stdbool.h>
#include "base/compiler.h"
#include "base/loop.h"
#include "sandbox/seccomp.h"

enum closer_of { CLOSER_OF_TENANTS, CLOSER_OF_BROKERS, CLOSER__MAX };

struct closer;

/* on_closed: that many of tenants' are closed since it was last called. */
int closer_new(struct closer **ret_closer, struct loop *loop,
               void (*on_closed)(void *arg, unsigned n), void *arg) must_check;
/* Makes the threads, each in that filter: in the process's sandbox, before the caller's own filter. */
int closer_start(struct closer *closer, const struct sandbox_filter *filter) must_check;
/* Takes over a socket that nobody is to hear of any more. True: nothing was in it, and it is closed; else a thread
 * closes it. */
bool closer_close(struct closer *closer, enum closer_of of, int fd);
/* Lets go of a descriptor that somebody else has by now, or may have. */
void closer_drop(struct closer *closer, enum closer_of of, int fd);
/* The threads are left to themselves: the process ends. */
void closer_free(struct closer *closer);
