/* SPDX-License-Identifier: Apache-2.0 */
/* add.h - a device for a VM that runs. The broker says whether it may be added; a bulkhead-broker --open that the starter
 * starts, with the rights of who serves this socket, opens what the client has asked for; the broker is given that. What
 * the broker says decides nothing of what is opened. Each takes a call that it frees when it is done. */
#pragma once

#include "api/call.h"

void add_disk(struct call *call);
void add_net(struct call *call);
void add_vsock(struct call *call);
