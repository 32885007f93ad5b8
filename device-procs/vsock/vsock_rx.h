/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_rx.h - packets to the guest. */
#pragma once

#include "vsock_device.h"

/* Sends what waits, as far as there are buffers and the turn goes. 0 or VQ_E_GUEST. */
int vsock_rx(struct vsock *v) must_check;
