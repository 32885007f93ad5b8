/* SPDX-License-Identifier: Apache-2.0 */
/* net_link.c - the link that the guest sees. It is down when the user wants it so, and while the port
 * carries nothing: a tap whose interface is down, one that was deleted, a stream that ended. Each
 * such state is told to the broker once, and nothing is tried again and again meanwhile. */
#include "net_link.h"

#include <stddef.h>
#include "base/err.h"
#include "common/worker.h"
#include "common/worker_say.h"
#include "ipc/channel.h"

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
    worker_config_changed(net->worker, offsetof(struct virtio_net_config, status),
                          sizeof(net->config.status));
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
    if (net->port_gone || (net->port_down && !gone))
        return;
    net->port_gone = gone;
    net->port_down = !gone;
    update(net);
    worker_say_more(net->worker);
}

void net_link_found(struct net *net)
{
    net->port_gone = net->port_down = false;
    update(net);
    worker_say_more(net->worker);
}

static int say_lost(struct net *net, bool returns)
{
    Bulkhead__LinkLost lost = BULKHEAD__LINK_LOST__INIT;
    ENVELOPE(e, LINK_LOST, link_lost, &lost);

    lost.returns = returns;
    return worker_send(net->worker, &e);
}

static int say_found(struct net *net)
{
    Bulkhead__LinkFound found = BULKHEAD__LINK_FOUND__INIT;
    ENVELOPE(e, LINK_FOUND, link_found, &found);

    return worker_send(net->worker, &e);
}

static enum net_port_word port_state(const struct net *net)
{
    return net->port_gone ? NET_PORT_IS_GONE : net->port_down ? NET_PORT_IS_DOWN : NET_PORT_IS_WELL;
}

/* What it came to since the last word; a port that was gone must have been found before it is down. */
int net_link_say(void *device)
{
    struct net *net = device;
    enum net_port_word now = port_state(net);
    int r = 0;

    if (net->port_said == NET_PORT_IS_GONE && now != NET_PORT_IS_GONE) {
        r = say_found(net);
        if (r < 0)
            return err_trace(r);
        net->port_said = NET_PORT_IS_WELL;
    }
    if (net->port_said == now)
        return 0;
    r = now == NET_PORT_IS_WELL ? say_found(net) : say_lost(net, now == NET_PORT_IS_DOWN);
    if (r < 0)
        return err_trace(r);
    net->port_said = now;
    return 0;
}

void net_link_snapshot(void *device, Bulkhead__Snapshot *snapshot)
{
    struct net *net = device;

    snapshot->link_lost = net->port_gone || net->port_down;
    snapshot->link_returns = net->port_down;
    net->port_said = port_state(net);
}
