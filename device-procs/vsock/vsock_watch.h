/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_watch.h - the device's own watches: the listening socket, and the timer of all deadlines. Their
 * handlers are in vsock.c. */
#pragma once

#include "vsock_device.h"

/* Whether host programs are let in; never when the worker is parting. */
void vsock_watch_listen(struct vsock *v, bool on);
/* The timer runs until no connection is left. */
void vsock_watch_sweep(struct vsock *v);
/* From now, in milliseconds; over it, the connection is finished by the timer. */
void vsock_watch_deadline(struct vsock_conn *conn, uint64_t ms);
