/* SPDX-License-Identifier: Apache-2.0 */
/* net_limit.c - the rate limit of a network device, each direction with buckets of its own. */
#include "net_limit.h"

#include <errno.h>
#include <stdlib.h>
#include "base/err.h"
#include "base/loop.h"
#include "common/token_bucket.h"

struct net_limit {
    struct rate_limit ways[2]; /* to the host, to the guest */
};

int net_limit_new(struct net_limit **ret_limit, const Bulkhead__RateLimit *to)
{
    struct net_limit *limit = calloc(1, sizeof(*limit));

    if (!limit)
        return err_origin(-ENOMEM, "rate limit");
    net_limit_set(limit, to);
    *ret_limit = limit;
    return 0;
}

void net_limit_set(struct net_limit *limit, const Bulkhead__RateLimit *to)
{
    uint64_t now = now_ns();

    for (unsigned way = 0; way < ARRAY_SIZE(limit->ways); way++)
        rate_limit_set(&limit->ways[way], to, now);
}

uint64_t net_limit_until_ns(struct net_limit *limit, bool rx)
{
    struct rate_limit *way = &limit->ways[rx];
    uint64_t now, bytes_ns, ops_ns;

    if (!rate_limit_active(way))
        return 0;
    now = now_ns();
    bytes_ns = token_bucket_wait_ns(&way->bandwidth, now);
    ops_ns = token_bucket_wait_ns(&way->ops, now);
    return bytes_ns == 0 && ops_ns == 0 ? 0 : now + MAX(bytes_ns, ops_ns);
}

void net_limit_charge(struct net_limit *limit, bool rx, size_t bytes)
{
    struct rate_limit *way = &limit->ways[rx];

    if (!rate_limit_active(way))
        return;
    token_bucket_take(&way->bandwidth, bytes);
    token_bucket_take(&way->ops, 1);
}
