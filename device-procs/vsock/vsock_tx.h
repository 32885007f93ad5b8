/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_tx.h - packets from the guest. */
#pragma once

#include "vsock_device.h"

/* Takes a batch. 0 or VQ_E_GUEST. There may be something for the guest afterwards: vsock_rx(). */
int vsock_tx(struct vsock *v) must_check;
/* What the guest has sent already, before a reset, a pause, the end: in full, up to a question for a
 * new connection. */
void vsock_tx_rest(struct vsock *v);
