/* SPDX-License-Identifier: Apache-2.0 */
/* vcon.h - virtio-console; its functions are those of struct worker_ops. */
#pragma once

#include "console_device.h"

/* Sets the console's front end; the announced configuration lives as long. 0 or negative errno. */
int vcon_new(struct console *console, Bulkhead__Announce *announce) must_check;
int vcon_activate(void *front, uint64_t features, bool resume) must_check;
int vcon_on_queue(void *front, unsigned q) must_check;
/* What the guest has sent already, before a reset, a pause, the end: as far as the turn goes. */
void vcon_drain(void *front);
void vcon_reset(void *front);
