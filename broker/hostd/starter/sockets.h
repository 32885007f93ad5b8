/* SPDX-License-Identifier: Apache-2.0 */
/* sockets.h - unix sockets in a folder that is open: an address has no room for their paths. */
#pragma once

#include "base/compiler.h"

/* Each a descriptor (SOCK_NONBLOCK), or a negative errno with an origin. type: SOCK_STREAM, SOCK_SEQPACKET. */
/* In place of what has that name. */
int sockets_listen(int dir_fd, const char *name, int type, int backlog) must_check;
/* Doesn't wait: -EAGAIN when too many do. -EPERM: who listens there is not of the service's own uid. */
int sockets_connect(int dir_fd, const char *name, int type) must_check;
