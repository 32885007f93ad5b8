/* SPDX-License-Identifier: Apache-2.0 */
/* messages.h - what the core says to the broker, for the control thread alone. All of them: 0, or a
 * negative errno at once; -EAGAIN when the socket is full, -EPIPE when the broker's end is closed. */
#pragma once

#include "base/compiler.h"
#include "core.h"
#include "ipc/channel.h"

int core_send(struct core *core, const Bulkhead__Envelope *envelope) must_check;
/* missing_layers: SANDBOX_LAYER_* bits. */
int core_say_ready(struct core *core, unsigned missing_layers) must_check;
/* Activate, Reset, ConfigUpdate or DeviceGone. */
int core_say_item(struct core *core, unsigned slot, struct virtio_due_item *item) must_check;
int core_say_guest_state(struct core *core, Bulkhead__GuestStateKind kind) must_check;
/* Of an attached slot. */
int core_say_device_snapshot(struct core *core, unsigned slot) must_check;
/* With the GuestStates that are due: they need not be said any more. */
int core_say_snapshot(struct core *core) must_check;
