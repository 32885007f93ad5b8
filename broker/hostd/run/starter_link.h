/* SPDX-License-Identifier: Apache-2.0 */
/* starter_link.h - the socket to the starter: requests go out, reports become events. Neither waits. */
#pragma once

#include "hostd/run/service.h"

/* fd: owned if it succeeds. */
int starter_link_new(struct service *s, int fd) must_check;
void starter_link_free(struct service *s);
/* HOST_ASK. vm: whom it is about; NULL: nobody. fd: goes with it, and is taken over; -1: none. */
void starter_link_ask(struct service *s, const struct host_action *action, const struct host_vm *vm,
                      int fd);
/* Whether it has answered what was asked here before; it is asked again. */
bool starter_link_answers(struct service *s);
