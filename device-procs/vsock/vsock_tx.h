/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_tx.h - packets from the guest. */
#pragma once

#include "vsock_device.h"

/* Takes a batch. 0 or VQ_E_GUEST. There may be something for the guest afterwards: vsock_rx(). */
int vsock_tx(struct vsock *v) must_check;
