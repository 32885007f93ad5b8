/* SPDX-License-Identifier: Apache-2.0 */
/* net_link.c - the link that the guest sees. It is down when the user wants it so, and while the port
 * carries nothing: a tap whose interface is down, one that was deleted, a stream that ended. Each
 * such state is told to the broker once, and nothing is tried again and again meanwhile. */
#include "net_link.h"

#include <stddef.h>
#include "base/err.h"
#include "base/log.h"
#include "common/worker.h"
#include "ipc/channel.h"

static void say(struct net *net, const Bulkhead__Envelope *e)
{
    if (worker_send(net->worker, e) < 0)
        log_warn("%s", err_text());
}

static void update(struct net *net)
{
    bool up = net->link_wanted && !net->port_gone && !net->port_down;

    if (net->link_up == up)
        return;
    net->link_up = up;
    if (up)
        net->config.status |= VIRTIO_NET_S_LINK_UP;
    else
        net->config.status &= (uint16_t)~VIRTIO_NET_S_LINK_UP;
    if (worker_config_update(net->worker, offsetof(struct virtio_net_config, status),
                             &net->config.status, sizeof(net->config.status)) < 0)
        log_warn("link state: %s", err_text());
    for (unsigned p = 0; p < net->n_enabled; p++)
        worker_rerun(net->worker, 2 * p);
}

void net_link_want(struct net *net, bool up)
{
    net->link_wanted = up;
    update(net);
}

void net_link_lost(struct net *net, bool gone)
{
    Bulkhead__LinkLost lost = BULKHEAD__LINK_LOST__INIT;
    ENVELOPE(e, LINK_LOST, link_lost, &lost);

    if (net->port_gone || (net->port_down && !gone))
        return;
    net->port_gone = gone;
    net->port_down = !gone;
    update(net);
    lost.returns = !gone;
    say(net, &e);
}

void net_link_found(struct net *net)
{
    Bulkhead__LinkFound found = BULKHEAD__LINK_FOUND__INIT;
    ENVELOPE(e, LINK_FOUND, link_found, &found);

    net->port_gone = net->port_down = false;
    update(net);
    say(net, &e);
}
