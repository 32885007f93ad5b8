/* SPDX-License-Identifier: Apache-2.0 */
/* link.h - a gateway's two connections: to who started it, and to its VM's broker, which that one hands it when it is needed,
 * and again when the broker has died and another has taken over. Nothing here waits. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include "base/loop.h"
#include "client.pb-c.h"

enum { LINK_MAX_ASKED = 128 };

struct link;

/* answer NULL: none will come, as base/err.h's text says. fds: take with fd_take(). */
typedef void (*link_fn)(void *arg, const Bulkhead__ClientEnvelope *answer, int *fds, size_t n_fds);

/* Owns starter_fd if it succeeds. on_serve: what is to be served; on_end: the starter has gone. */
int link_new(struct link **ret_link, struct loop *loop, int starter_fd,
             void (*on_serve)(void *arg, const Bulkhead__ServeVm *serve), void (*on_end)(void *arg),
             void *arg) must_check;
void link_free(struct link *link);
/* Has the starter hand it the broker's connection, before there is anything to ask. */
void link_begin(struct link *link);
/* Asks the broker, once there is a connection. request and what it points at are the caller's until fn was called. fds
 * too. fn may be called before it returns. */
void link_ask(struct link *link, Bulkhead__ClientEnvelope *request, const int *fds, size_t n_fds,
              link_fn fn, void *arg);
/* Asks the starter for a socket to a new opener. */
void link_ask_opener(struct link *link, link_fn fn, void *arg);
