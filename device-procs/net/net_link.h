/* SPDX-License-Identifier: Apache-2.0 */
/* net_link.h - the link that the guest sees. */
#pragma once

#include <stdbool.h>
#include "net_device.h"

/* The user's wish. */
void net_link_want(struct net *net, bool up);
/* The port carries nothing any more. gone: not by itself again. Told to the broker once. */
void net_link_lost(struct net *net, bool gone);
/* The port carries frames again. */
void net_link_found(struct net *net);
/* Of struct worker_ops. */
int net_link_say(void *device) must_check;
void net_link_snapshot(void *device, Bulkhead__Snapshot *snapshot);
