/* SPDX-License-Identifier: Apache-2.0 */
/* requests.h - what hostd asks: one table of operations, each field checked before any of them begins. */
#pragma once

#include "hostd/starter/state.h"

/* A datagram of hostd's, n bytes in s->datagram; fds are closed by the caller, but for those that are taken. */
void requests_take(struct starter *s, size_t n, struct handed *fds);
/* More of what a LOAD has to tell, as far as hostd takes it. */
void requests_go_on(struct starter *s);
