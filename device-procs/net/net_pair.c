/* SPDX-License-Identifier: Apache-2.0 */
/* net_pair.c - one queue pair: its port, and what both of its queues need. */
#include "net_pair.h"

#include <errno.h>
#include <string.h>
#include "base/log.h"
#include "net_port.h"

int net_pair_failed(const struct net_pair *pair, int error)
{
    int r = net_tap_lost(&pair->net->pairs[0].tap, error);

    return r != 0 ? r : NET_PORT_BROKEN;
}

/* A tap that is there and still can't be read: one frame was bad, or each will be. */
static int read_failed(struct net_pair *pair, int error)
{
    int r = net_pair_failed(pair, error);

    if (r == NET_PORT_GONE)
        return r;
    if (!pair->rx_warned)
        log_warn("tap queue %u: %s", pair->index,
                 error == ENODATA ? "a frame without bytes" : strerror(error));
    pair->rx_warned = true;
    pair->net->stats->errors++;
    pair->rx_broken = true;
    return r;
}

int net_pair_read(struct net_pair *pair)
{
    int r;

    if (pair->net->passt)
        return net_passt_read(pair->net->passt, pair->frame, &pair->frame_bytes);
    r = net_tap_read(&pair->tap, pair->frame, &pair->frame_bytes);
    if (r < 0)
        return read_failed(pair, -r);
    if (r == 0)
        pair->rx_errors = 0;
    return r;
}

int net_pair_write(struct net_pair *pair, struct iovec *iov, int n_iov, size_t frame_bytes)
{
    int r;

    if (pair->net->passt)
        return net_passt_write(pair->net->passt, iov, n_iov, frame_bytes);
    r = net_tap_write(&pair->tap, iov, n_iov);
    return r < 0 ? net_pair_failed(pair, -r) : r;
}

void net_pair_count(struct net_pair *pair, bool sent, size_t frame_bytes)
{
    struct stats_page *stats = pair->net->stats;

    if (sent) {
        stats->write_ops++;
        stats->write_bytes += frame_bytes;
    } else {
        stats->dropped++;
        stats->errors++;
    }
}

uint64_t net_pair_took(struct net_pair *pair, uint64_t sent_before, uint64_t since_ns)
{
    struct stats_page *stats = pair->net->stats;
    uint64_t now, n = stats->write_ops - sent_before;

    if (n == 0)
        return since_ns;
    now = now_ns();
    stats_count_latency(stats, now - since_ns, n);
    return now;
}
