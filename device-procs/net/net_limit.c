/* SPDX-License-Identifier: Apache-2.0 */
/* net_limit.c - the rate limit of a network device, each direction with buckets of its own. */
#include <errno.h>
#include <stdlib.h>
#include "base/err.h"
#include "common/token_bucket.h"
#include "net.h"

struct net_limit {
    struct rate_limit ways[2]; /* to the host, to the guest */
};

int net_limit_new(struct net *net, const Bulkhead__RateLimit *limit)
{
    net->limit = calloc(1, sizeof(*net->limit));
    if (!net->limit)
        return err_origin(-ENOMEM, "rate limit");
    net_limit_set(net, limit);
    return 0;
}

void net_limit_set(struct net *net, const Bulkhead__RateLimit *limit)
{
    uint64_t now = now_ns();

    for (unsigned way = 0; way < ARRAY_SIZE(net->limit->ways); way++)
        rate_limit_set(&net->limit->ways[way], limit, now);
}

bool net_limit_ready(struct net *net, bool rx)
{
    struct rate_limit *limit = &net->limit->ways[rx];
    uint64_t now, bytes_ns, ops_ns;

    if (!rate_limit_active(limit))
        return true;
    now = now_ns();
    bytes_ns = token_bucket_wait_ns(&limit->bandwidth, now);
    ops_ns = token_bucket_wait_ns(&limit->ops, now);
    if (bytes_ns == 0 && ops_ns == 0)
        return true;
    net->stats->throttled++;
    net_retry_after(net, MAX(bytes_ns, ops_ns) / 1000000 + 1);
    return false;
}

void net_limit_charge(struct net *net, bool rx, size_t bytes)
{
    struct rate_limit *limit = &net->limit->ways[rx];

    if (!rate_limit_active(limit))
        return;
    token_bucket_take(&limit->bandwidth, bytes);
    token_bucket_take(&limit->ops, 1);
}
