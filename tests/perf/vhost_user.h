/* SPDX-License-Identifier: Apache-2.0 */
/* vhost_user.h - the front end of a vhost-user device, just enough to give a back end of others
 * the rings of a harness that has no worker: the same driver code then drives both. */
#pragma once

#include "harness.h"

/* Talks over fd, a connected stream socket: shares RAM, agrees on what the device offers out of
 * `wanted`, gives it all queues of wh, fresh. Returns the features. Ends the process on failure. */
uint64_t vhost_user_attach(struct wh *wh, int fd, uint64_t wanted);
