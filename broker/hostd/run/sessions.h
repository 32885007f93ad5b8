/* SPDX-License-Identifier: Apache-2.0 */
/* sessions.h - who is connected to the service's command socket. Nothing that a client does keeps others waiting: his
 * requests are read as fast as his tenant's quota says and while he takes his answers, a few at a time; who doesn't take
 * events misses some, and is told how many. */
#pragma once

#include "hostd/run/service.h"

/* listen_fd: of the caller; nobody is let in before sessions_listen(). */
int sessions_new(struct service *s, int listen_fd) must_check;
int sessions_listen(struct service *s) must_check;
void sessions_free(struct service *s);
/* A guest's line, on which something has come: takes fd over. False: it may not come now, or goes at once. */
bool sessions_take_guest(struct service *s, uint64_t vm, int fd) must_check;
/* The closer has closed what that one was connected by. */
void sessions_closed(struct service *s, uint64_t session);
/* HOST_REPLY; with the descriptors that were reported, if it says so. */
void sessions_reply(struct service *s, const struct host_action *action);
/* HOST_ANSWER. */
void sessions_answer(struct service *s, const struct host_action *action);
/* HOST_NOTICE: to all who follow and may know. */
void sessions_notice(struct service *s, const struct host_action *action);
/* HOST_CLOSE. */
void sessions_close(struct service *s, uint64_t session);
