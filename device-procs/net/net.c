/* SPDX-License-Identifier: Apache-2.0 */
/* net.c - a network device at work: what happens, which part answers it, and what is waited for then.
 * Only here are watches and timers armed. */
#include "net.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include "base/err.h"
#include "base/log.h"
#include "common/worker.h"
#include "common/worker_say.h"
#include "common/worker_stop.h"
#include "net_ctrl.h"
#include "net_link.h"
#include "net_pair.h"
#include "net_port.h"
#include "net_rx.h"
#include "net_tx.h"

enum { DRAIN_MS = 300, LOOKS_PER_READ = 16, ANSWERS_MISSING_MAX = 8 };

/* ---- watches and the timer ---- */

static void watch(struct loop_event *event, bool *stopped, bool on)
{
    if (!event || *stopped == !on)
        return;
    *stopped = !on;
    if (on)
        (void)loop_event_resume(event);
    else
        (void)loop_event_pause(event);
}

static void rx_watch(struct net_pair *pair, bool on)
{
    watch(pair->rx_event, &pair->rx_stopped, on);
}

static void tx_watch(struct net_pair *pair, bool on)
{
    watch(pair->tx_event, &pair->tx_stopped, on);
}

static void retry_after(struct net *net, uint64_t ms)
{
    uint64_t due = now_ns() + ms * 1000000;

    if (net->retry_due_ns != 0 && net->retry_due_ns <= due)
        return;
    net->retry_due_ns = due;
    (void)loop_timer_arm(net->retry, ms, false);
}

static void retry_at(struct net *net, uint64_t at_ns)
{
    uint64_t now = now_ns();

    retry_after(net, at_ns > now ? (at_ns - now) / 1000000 + 1 : 0);
}

/* ---- the port is lost, and found ---- */

static void lose_port(struct net *net, bool gone)
{
    net_link_lost(net, gone);
    if (net->port_down)
        tx_watch(&net->pairs[0], true); /* until it takes frames again */
}

static int enable(struct net *net, unsigned n_pairs)
{
    int r;

    for (unsigned p = 1; p < net->n_pairs; p++) {
        struct net_pair *pair = &net->pairs[p];
        bool on = p < n_pairs;

        if (!on) {
            rx_watch(pair, false); /* a detached queue would report an error for ever */
            tx_watch(pair, false);
            pair->frame_bytes = pair->short_until_ns = 0;
            pair->rx_broken = false; /* nobody asks it again before the driver wants it */
        }
        r = net_tap_attach(&pair->tap, on);
        if (r < 0)
            return err_trace(r);
        pair->enabled = on;
    }
    net->n_enabled = n_pairs;
    return 0;
}

/* A port that was lost: whether it carries frames again, set up as the driver wants it. */
static bool look_again(struct net *net)
{
    enum net_tap_state state;

    if (net->passt)
        return false; /* another one comes with another worker */
    state = net_tap_look(&net->pairs[0].tap);
    if (state == NET_TAP_GONE)
        net_link_lost(net, true);
    else if (state == NET_TAP_UP && !net->port_gone)
        return true;
    else if (net->port_gone) /* the broker has it again, with all queues attached */
        return net_tap_set_offloads(&net->pairs[0].tap, net->features) == 0 &&
               enable(net, net->n_enabled) == 0;
    return false;
}

/* ---- queues ---- */

static int run_rx(struct net_pair *pair)
{
    struct net *net = pair->net;
    struct net_wait wait;
    int r;

    if (!worker_running(net->worker) || !pair->enabled || pair->rx_broken ||
        (!net->link_up && !net->port_down)) {
        rx_watch(pair, false);
        return 0;
    }
    r = net_rx(pair, &wait);
    if (wait.what == NET_WAITS_AGAIN && (net->passt || pair->frame_bytes > 0))
        worker_rerun(net->worker, 2 * pair->index); /* whole frames may lie in our own buffers */
    else
        rx_watch(pair, wait.what == NET_WAITS_AGAIN || wait.what == NET_WAITS_PORT);
    if (wait.what == NET_WAITS_LOST)
        lose_port(net, wait.gone);
    if (wait.until_ns != 0)
        retry_at(net, wait.until_ns);
    return r;
}

static void on_rx_ready(int fd, unsigned what, void *arg)
{
    struct net_pair *pair = arg;

    (void)fd;
    (void)what;
    worker_poll_woken(pair->net->worker);
    if (run_rx(pair) == VQ_E_GUEST)
        worker_needs_reset(pair->net->worker, 2 * pair->index, "receive queue");
}

/* The host's stack takes a frame and queues its answer (TCP: an acknowledgement) within our write().
 * So the tap is asked at once: a guest that sends and sends must not wait for its answers until it
 * has nothing left to send, and no sleep is needed for what is there already. Who gets no answers is
 * asked for less often. */
static void take_answers(struct net_pair *pair, uint64_t sent_before)
{
    struct net *net = pair->net;
    uint64_t read_before = net->stats->read_ops;

    if (net->passt || pair->rx_stopped || net->stats->write_ops == sent_before)
        return;
    if (pair->answers_missing >= ANSWERS_MISSING_MAX &&
        ++pair->sent_unasked % ANSWERS_MISSING_MAX != 0)
        return;
    on_rx_ready(-1, 0, pair);
    if (net->stats->read_ops != read_before)
        pair->answers_missing = 0;
    else if (pair->answers_missing < ANSWERS_MISSING_MAX)
        pair->answers_missing++;
}

static bool has_rest(const struct net *net)
{
    return net->passt && net_passt_has_rest(net->passt);
}

static int run_tx(struct net_pair *pair)
{
    struct net *net = pair->net;
    uint64_t sent_before = net->stats->write_ops;
    struct net_wait wait;
    int r;

    if (!worker_running(net->worker))
        return 0;
    r = net_tx(pair, &wait);
    if (wait.what == NET_WAITS_LOST)
        lose_port(net, wait.gone);
    tx_watch(pair,
             wait.what == NET_WAITS_PORT || has_rest(net) || (net->port_down && pair->index == 0));
    if (r == 0 && (wait.what == NET_WAITS_AGAIN || wait.what == NET_WAITS_LOST))
        worker_rerun(net->worker,
                     2 * pair->index + 1); /* what a lost port doesn't take is dropped */
    if (wait.until_ns != 0)
        retry_at(net, wait.until_ns);
    take_answers(pair, sent_before);
    return r;
}

static void rerun_all(struct net *net)
{
    for (unsigned p = 0; p < net->n_pairs; p++) {
        worker_rerun(net->worker, 2 * p);
        worker_rerun(net->worker, 2 * p + 1);
    }
}

static uint8_t set_pairs(struct net *net, unsigned pairs)
{
    if (pairs < 1 || pairs > net->n_pairs)
        return VIRTIO_NET_ERR;
    for (unsigned p = 0; p < pairs; p++)
        if (!vq_active(worker_vq(net->worker, 2 * p)) ||
            !vq_active(worker_vq(net->worker, 2 * p + 1)))
            return VIRTIO_NET_ERR;
    if (enable(net, pairs) < 0) {
        log_warn("%s", err_text());
        return VIRTIO_NET_ERR;
    }
    rerun_all(net); /* what waits in those that were taken away is dropped */
    return VIRTIO_NET_OK;
}

static uint8_t set_mac(struct net *net, const uint8_t mac[NET_MAC_BYTES])
{
    /* With the filter the address is the tenant's identity: it stays what the host said. */
    if (net->mac_filter && memcmp(mac, net->config.mac, NET_MAC_BYTES) != 0)
        return VIRTIO_NET_ERR;
    memcpy(net->config.mac, mac, NET_MAC_BYTES);
    worker_config_changed(net->worker, offsetof(struct virtio_net_config, mac), NET_MAC_BYTES);
    return VIRTIO_NET_OK;
}

static uint8_t obey(struct net *net, const struct net_command *command)
{
    switch (command->kind) {
    case NET_COMMAND_NOTHING:
        return VIRTIO_NET_OK;
    case NET_COMMAND_PAIRS:
        return set_pairs(net, command->n_pairs);
    case NET_COMMAND_MAC:
        return set_mac(net, command->mac);
    case NET_COMMAND_BAD:
    default:
        return VIRTIO_NET_ERR;
    }
}

static int run_ctrl(struct net *net)
{
    struct vq *vq = worker_vq(net->worker, net->ctrl_queue);
    struct vq_chain chain;
    uint8_t req[NET_CTRL_MAX_BYTES];
    int r = 0;

    /* The clock is read with each: a change of the pairs waits for all of the host's interfaces. */
    for (unsigned i = 0; i < NET_BATCH && !turn_over(worker_turn(net->worker)); i++) {
        struct net_command command;
        uint8_t ack;

        r = vq_pop(vq, &chain);
        if (r != 0)
            break;
        command = net_ctrl_parse(req, vq_chain_read(&chain, 0, req, sizeof(req)), net->features);
        ack = obey(net, &command);
        vq_push(vq, chain.head, (uint32_t)vq_chain_write(&chain, 0, &ack, sizeof(ack)));
    }
    if (r == 0)
        worker_rerun(net->worker, net->ctrl_queue);
    vq_notify(vq);
    return r == VQ_EMPTY ? 0 : r;
}

int net_on_queue(void *device, unsigned q)
{
    struct net *net = device;

    if (q == net->ctrl_queue)
        return run_ctrl(net);
    if (q / 2 >= net->n_pairs)
        return 0;
    return q % 2 == 0 ? run_rx(&net->pairs[q / 2]) : run_tx(&net->pairs[q / 2]);
}

enum worker_found net_poll(void *device)
{
    struct net *net = device;
    uint64_t before = net->stats->read_ops + net->stats->dropped;

    if (net->passt || ++net->n_looks % LOOKS_PER_READ != 0)
        return WORKER_FOUND_NOTHING;
    for (unsigned p = 0; p < net->n_enabled; p++)
        if (!net->pairs[p].rx_stopped)
            on_rx_ready(-1, 0, &net->pairs[p]);
    return net->stats->read_ops + net->stats->dropped != before ? WORKER_FOUND_SOME
                                                                : WORKER_FOUND_NOTHING;
}

/* ---- the driver comes and goes ---- */

/* The pairs can't be asked: those that the driver has set up. */
static void activate_without_tap(struct net *net, bool resume)
{
    net->n_enabled = 1;
    for (unsigned p = 1; p < net->n_pairs; p++) {
        struct net_pair *pair = &net->pairs[p];

        pair->enabled =
            resume && p == net->n_enabled && vq_active(net_rxq(pair)) && vq_active(net_txq(pair));
        net->n_enabled += pair->enabled;
    }
    net_link_lost(net, true);
}

/* Finds out which pairs are attached: a predecessor of this process had enabled them. */
static int find_enabled(struct net *net)
{
    int r;

    net->n_enabled = 1;
    for (unsigned p = 1; p < net->n_pairs; p++) {
        struct net_pair *pair = &net->pairs[p];

        pair->enabled = p == net->n_enabled && net_tap_find_attached(&pair->tap);
        if (pair->enabled)
            net->n_enabled++;
        else if ((r = net_tap_attach(&pair->tap, false)) < 0)
            return err_trace(r);
    }
    return 0;
}

int net_activate(void *device, uint64_t features, bool resume)
{
    struct net *net = device;
    int r;

    net->features = features;
    net->mac_inherited = resume; /* its driver may have set one while a predecessor ran */
    net->ctrl_queue = features & NET_BIT(VIRTIO_NET_F_MQ) ? 2 * net->n_pairs : 2;
    if (net->passt)
        return 0;
    r = net_tap_set_offloads(&net->pairs[0].tap, features);
    if (net_tap_is_gone(-r)) {
        activate_without_tap(net, resume);
        return 0;
    }
    if (r < 0)
        return err_origin(r, "tap offloads");
    r = resume ? find_enabled(net) : enable(net, 1);
    return r < 0 ? err_trace(r) : 0;
}

static void drained(struct net *net)
{
    if (!net->draining)
        return;
    net->draining = false;
    worker_drained(net->worker); /* frames are moved at once, none is in flight */
}

/* What is left of a frame goes out first, or its time runs out: stats->cut_stream tells whoever comes
 * after this worker. The timer may also have been armed for something else. */
static void drain_later(struct net *net)
{
    uint64_t now = now_ns();

    if (!has_rest(net) || now >= net->drain_until_ns)
        drained(net);
    else
        retry_at(net, net->drain_until_ns);
}

void net_drain(void *device)
{
    struct net *net = device;

    for (unsigned p = 0; p < net->n_pairs; p++) {
        rx_watch(&net->pairs[p], false);
        tx_watch(&net->pairs[p], has_rest(net));
    }
    net->draining = true;
    net->drain_until_ns = now_ns() + DRAIN_MS * 1000000ull;
    drain_later(net);
}

/* The address that a driver set goes with it: the next one begins with the host's. */
static void restore_mac(struct net *net)
{
    if (!net->mac_inherited && memcmp(net->config.mac, net->mac, NET_MAC_BYTES) == 0)
        return;
    net->mac_inherited = false;
    memcpy(net->config.mac, net->mac, NET_MAC_BYTES);
    worker_config_changed(net->worker, offsetof(struct virtio_net_config, mac), NET_MAC_BYTES);
}

void net_reset(void *device)
{
    struct net *net = device;

    net->features = 0;
    for (unsigned p = 0; p < net->n_pairs; p++)
        net->pairs[p].frame_bytes = net->pairs[p].short_until_ns = 0;
    restore_mac(net);
    if (!net->passt && enable(net, 1) < 0)
        log_warn("%s", err_text());
}

int net_on_message(void *device, const Bulkhead__Envelope *e, int *fds, unsigned n_fds)
{
    struct net *net = device;

    (void)fds;
    (void)n_fds;
    switch ((int)e->body_case) {
    case BULKHEAD__ENVELOPE__BODY_LINK_STATE:
        net_link_want(net, e->link_state->up);
        if (net->port_gone && look_again(net))
            net_link_found(net);
        return 0;
    case BULKHEAD__ENVELOPE__BODY_SET_RATE_LIMIT:
        net_limit_set(net->limit, e->set_rate_limit->limit);
        retry_after(net, 0); /* what waits for the old buckets */
        return 0;
    case BULKHEAD__ENVELOPE__BODY_CONFIG_UPDATE:
        return 0; /* nothing in this configuration space is the driver's to write */
    default:
        return err_origin(-EPROTO, "message %d is nothing for net", (int)e->body_case);
    }
}

/* ---- events ---- */

static void on_retry(int fd, unsigned what, void *arg)
{
    struct net *net = arg;

    (void)fd;
    (void)what;
    net->retry_due_ns = 0;
    if (net->draining)
        drain_later(net);
    for (unsigned p = 0; p < net->n_enabled; p++)
        net->pairs[p].rx_broken = false;
    rerun_all(net);
}

static void on_tx_ready(int fd, unsigned what, void *arg)
{
    struct net_pair *pair = arg;
    struct net *net = pair->net;
    int r = 0;

    (void)fd;
    (void)what;
    tx_watch(pair, false);
    if (net->port_down && look_again(net))
        net_link_found(net);
    if (net->passt)
        r = net_passt_flush(net->passt);
    if (r == NET_PORT_FULL) {
        tx_watch(pair, true);
        return;
    }
    if (r == NET_PORT_GONE)
        lose_port(net, true);
    drained(net);
    if (run_tx(pair) == VQ_E_GUEST)
        worker_needs_reset(net->worker, 2 * pair->index + 1, "transmit queue");
}

int net_watch(struct net *net)
{
    struct loop *loop = worker_loop(net->worker);
    int r = loop_add_timer(loop, on_retry, net, &net->retry);

    for (unsigned p = 0; r == 0 && p < net->n_pairs; p++) {
        struct net_pair *pair = &net->pairs[p];

        r = loop_add_fd(loop, pair->fd, LOOP_READ, on_rx_ready, pair, &pair->rx_event);
        if (r == 0)
            r = loop_add_fd(loop, pair->fd, LOOP_WRITE, on_tx_ready, pair, &pair->tx_event);
        rx_watch(pair, false);
        tx_watch(pair, false);
    }
    return r < 0 ? err_trace(r) : 0;
}
