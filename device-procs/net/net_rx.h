/* SPDX-License-Identifier: Apache-2.0 */
/* net_rx.h - frames from the host to the guest. */
#pragma once

#include "net_device.h"

/* A batch. 0 or VQ_E_GUEST; *ret_wait: for what the queue waits then (with NET_WAITS_BUFFERS until_ns is
 * when a frame that is too long for the buffers is given up). */
int net_rx(struct net_pair *pair, struct net_wait *ret_wait) must_check;
