/* SPDX-License-Identifier: Apache-2.0 */
/* worker_say.h - what a worker says to the broker. Nothing here waits for anybody: the broker may be slow,
 * or dead with its end of the socket held open by another process, and the guest is served all the
 * same. What doesn't fit into the socket is kept as facts, not as messages, and said when there is room:
 * each answer once, of changes what they came to.
 *
 * Everything but worker_send() is said for sure, now or later, and in an order that the table of
 * legal messages allows. A socket that is closed ends the talk, not the worker. */
#pragma once

#include <stdbool.h>
#include "base/compiler.h"
#include "control.pb-c.h"
#include "worker_state.h"

/* At once, or not: 0, -EAGAIN when there is no room now, -ETOOMANYREFS when too many descriptors are
 * on their way, or another negative errno. 0 also when the socket is closed. For the start, and for
 * say() of worker_ops. */
int worker_send(struct worker *w, const Bulkhead__Envelope *envelope) must_check;
/* With a descriptor, which stays the caller's; -1: none. */
int worker_send_fd(struct worker *w, const Bulkhead__Envelope *envelope, int fd) must_check;
/* One of the skeleton's own. */
void worker_say(struct worker *w, enum worker_word word);
/* The answer to a message about guest RAM, of which the caller lets no more than
 * WORKER_MAX_REGION_ANSWERS come that are unanswered. error: an errno value, positive. */
void worker_say_region(struct worker *w, enum worker_region_word what, unsigned number, int error);
/* The device has something of its own to say: say() of worker_ops is called, soon or at once. */
void worker_say_more(struct worker *w);
/* The device changed these bytes of the configuration space that it announced. */
void worker_config_changed(struct worker *w, unsigned offset, unsigned len);
/* Called by the skeleton: when there is room in the socket, and when the broker's end is closed. */
void worker_say_on_room(struct worker *w);
void worker_say_no_more(struct worker *w);
/* In the skeleton's start: the watches for room. */
int worker_say_watch(struct worker *w) must_check;
