/* SPDX-License-Identifier: Apache-2.0 */
/* control.h - the thread that talks to the broker. Nothing here is for another thread. */
#pragma once

#include <stdbool.h>
#include "base/compiler.h"
#include "core.h"
#include "ipc/channel.h"

/* After core_start_threads(): Ready, then the life of the VM. missing_layers: SANDBOX_LAYER_*
 * bits. 0 at its end, or a negative errno. */
int core_control_run(struct core *core, unsigned missing_layers);
/* The next legal message; -ESHUTDOWN when the broker is gone or says Stop, CHANNEL_EMPTY when none is
 * there and block is false. */
int core_control_next(struct core *core, bool block, struct message *ret_msg) must_check;
