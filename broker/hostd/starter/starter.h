/* SPDX-License-Identifier: Apache-2.0 */
/* starter.h - the privileged half of bulkhead-hostd: obeys a hostd that it doesn't believe (wire.h). It is not what keeps a
 * VM alive: what it starts outlives it. */
#pragma once

#include <sys/types.h>
#include "base/compiler.h"
#include "config/fault.h"

struct starter;

/* First thing, in the service's only process: makes its folders and sees that no other service has them. */
int starter_new(struct starter **ret_starter, struct fault *ret_fault) must_check;
/* fd: to hostd, a child of the caller's. Until hostd has ended, or the service is told to end (SIGTERM, SIGINT), and hostd
 * with it. An exit status. */
int starter_serve(struct starter *starter, int fd, pid_t hostd);
/* Closes what is open: also in a child that is to become hostd. */
void starter_free(struct starter *starter);
