/* SPDX-License-Identifier: Apache-2.0 */
/* net_tx.h - frames from the guest to the host. */
#pragma once

#include "net_device.h"

/* A batch. 0 or VQ_E_GUEST; *ret_wait: for what the queue waits then. With NET_WAITS_LOST there may be
 * more to take off the queue. */
int net_tx(struct net_pair *pair, struct net_wait *ret_wait) must_check;
