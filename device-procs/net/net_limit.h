/* SPDX-License-Identifier: Apache-2.0 */
/* net_limit.h - the rate limit of a network device, each direction with buckets of its own. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/compiler.h"
#include "control.pb-c.h"

struct net_limit;

/* limit: NULL for none; it is copied. 0 or negative errno. */
int net_limit_new(struct net_limit **ret_limit, const Bulkhead__RateLimit *limit) must_check;
/* Another limit from now on, with full buckets. */
void net_limit_set(struct net_limit *limit, const Bulkhead__RateLimit *to);
/* 0: a frame may pass; else when, by now_ns(). A frame is charged when its size is known, so a bucket
 * may go below zero by one frame and makes up for it. */
uint64_t net_limit_until_ns(struct net_limit *limit, bool rx);
void net_limit_charge(struct net_limit *limit, bool rx, size_t bytes);
