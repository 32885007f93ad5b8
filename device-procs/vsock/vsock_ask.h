/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_ask.h - the broker opens the host's side of what a guest's program connects to. */
#pragma once

#include "vsock_device.h"

/* Whether another question may be put: VSOCK_MAX_ASKED at once. */
bool vsock_ask_may(const struct vsock *v);
void vsock_ask(struct vsock_conn *conn); /* which is opening */
/* Whatever the answer is, and whether or not the connection is still there. */
void vsock_ask_answered(struct vsock *v);
/* Of struct worker_ops. */
int vsock_ask_say(void *device) must_check;
void vsock_ask_snapshot(void *device, Bulkhead__Snapshot *snapshot);
