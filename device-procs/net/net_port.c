/* SPDX-License-Identifier: Apache-2.0 */
/* net_port.c - the host's side of a queue pair: a tap's descriptor, whose frames carry the
 * virtio header as the kernel made it, or passt's stream, which has none. */
#include <errno.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "ipc/channel.h"
#include "net.h"

#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

enum {
    STREAM_IN_BYTES = 4 * (NET_STREAM_PREFIX_BYTES + NET_MAX_FRAME_BYTES),
    RETRY_MAX_MS = 1024, /* after a read that failed; the first time at once */
};
enum {
    /* Up to here the kernel makes one buffer of a frame, which is taken as a whole or not at all. */
    STREAM_ONE_BUFFER_BYTES = 32768,
    /* A socket is writable when at most a quarter of its room is used. In the rest of this much, the
     * largest frame fits with all the kernel adds to it. */
    STREAM_ROOM_BYTES = 2 * NET_MAX_FRAME_BYTES,
};

static int look_at_stream(struct net *net, int fd)
{
    struct stat st;
    int room;
    socklen_t len = sizeof(room);

    if (fstat(fd, &st) < 0 || getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, &len) < 0)
        return err_origin(-errno, "stream");
    net->stream_id = st.st_ino;
    net->stream_takes_whole = room >= STREAM_ROOM_BYTES;
    return 0;
}

static int setup_stream(struct net *net, int fd)
{
    uint8_t *in = malloc(STREAM_IN_BYTES);

    net->stream_out = malloc(NET_STREAM_PREFIX_BYTES + NET_MAX_FRAME_BYTES);
    if (!in || !net->stream_out) {
        free(in);
        return err_origin(-ENOMEM, "net stream");
    }
    net_stream_in_init(&net->stream_in, in, STREAM_IN_BYTES);
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return err_origin(-errno, "signal");
    return look_at_stream(net, fd);
}

int net_port_setup(struct net *net, unsigned p, int fd)
{
    struct net_pair *pair = &net->pairs[p];
    struct loop *loop = worker_loop(net->worker);
    int r;

    *pair = (struct net_pair){ .net = net, .index = p, .fd = fd, .enabled = p == 0 };
    worker_keep_fd(net->worker, fd);
    r = fd_expect(fd, net->stream ? FD_TYPE_STREAM : FD_TYPE_CHAR, net->stream ? "stream" : "tap");
    if (r == 0)
        r = fd_set_nonblock(fd); /* made for this device, shared with nobody */
    if (r == 0 && net->stream)
        r = setup_stream(net, fd);
    if (r < 0)
        return err_trace(r);
    pair->frame = malloc(NET_HDR_BYTES + NET_MAX_FRAME_BYTES);
    if (!pair->frame)
        return err_origin(-ENOMEM, "net frame");
    r = loop_add_fd(loop, fd, LOOP_READ, net_on_rx_ready, pair, &pair->rx_event);
    if (r == 0)
        r = loop_add_fd(loop, fd, LOOP_WRITE, net_on_tx_ready, pair, &pair->tx_event);
    if (r < 0)
        return err_trace(r);
    net_rx_watch(pair, false);
    net_tx_watch(pair, false);
    return 0;
}

/* Is the queue attached? The kernel tells only by refusing what is done already. */
static bool find_attached(int fd)
{
    struct ifreq req = { .ifr_flags = IFF_DETACH_QUEUE };

    if (ioctl(fd, TUNSETQUEUE, &req) < 0)
        return false;
    req.ifr_flags = IFF_ATTACH_QUEUE;
    return ioctl(fd, TUNSETQUEUE, &req) == 0;
}

static int attach(const struct net_pair *pair, bool on)
{
    struct ifreq req = { .ifr_flags = on ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE };

    /* EINVAL: it is as we want it. */
    if (ioctl(pair->fd, TUNSETQUEUE, &req) < 0 && errno != EINVAL)
        return err_origin(-errno, "tap queue %u", pair->index);
    return 0;
}

static unsigned offloads_for(uint64_t features)
{
    static const struct {
        unsigned bit, flag;
    } map[] = {
        { VIRTIO_NET_F_GUEST_TSO4, TUN_F_TSO4 },   { VIRTIO_NET_F_GUEST_TSO6, TUN_F_TSO6 },
        { VIRTIO_NET_F_GUEST_ECN, TUN_F_TSO_ECN }, { VIRTIO_NET_F_GUEST_UFO, TUN_F_UFO },
        { VIRTIO_NET_F_GUEST_USO4, TUN_F_USO4 },   { VIRTIO_NET_F_GUEST_USO6, TUN_F_USO6 },
    };
    unsigned flags = 0;

    if (!(features & NET_BIT(VIRTIO_NET_F_GUEST_CSUM)))
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(map); i++)
        if (features & NET_BIT(map[i].bit))
            flags |= map[i].flag;
    return flags | TUN_F_CSUM;
}

/* 0, or an errno. A tap's interface may be deleted at any time, with the descriptor left over. */
static int set_offloads(const struct net *net)
{
    return ioctl(net->pairs[0].fd, TUNSETOFFLOAD, offloads_for(net->features)) < 0 ? errno : 0;
}

static bool is_gone(int error)
{
    return error == EBADFD || error == ENOLINK; /* of a tap, of a macvtap */
}

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

int net_port_activate(struct net *net, bool resume)
{
    int r;

    if (net->stream)
        return 0;
    r = set_offloads(net);
    if (is_gone(r)) {
        activate_without_tap(net, resume);
        return 0;
    }
    if (r != 0)
        return err_origin(-r, "tap offloads");
    if (!resume)
        return net_port_enable(net, 1);
    net->n_enabled = 1;
    for (unsigned p = 1; p < net->n_pairs; p++) {
        net->pairs[p].enabled = p == net->n_enabled && find_attached(net->pairs[p].fd);
        if (net->pairs[p].enabled)
            net->n_enabled++;
        else if ((r = attach(&net->pairs[p], false)) < 0)
            return err_trace(r);
    }
    return 0;
}

int net_port_enable(struct net *net, unsigned n_pairs)
{
    int r;

    for (unsigned p = 1; p < net->n_pairs; p++) {
        struct net_pair *pair = &net->pairs[p];
        bool on = p < n_pairs;

        if (!on) {
            net_rx_watch(pair, false); /* a detached queue would report an error for ever */
            net_tx_watch(pair, false);
            pair->frame_bytes = pair->short_until_ns = 0;
        }
        r = attach(pair, on);
        if (r < 0)
            return err_trace(r);
        pair->enabled = on;
    }
    net->n_enabled = n_pairs;
    return 0;
}

/* ---- what becomes of the port ---- */

enum tap_state { TAP_UP, TAP_DOWN, TAP_GONE };

/* A tap without a limit to what it has under way is writable whenever its interface is up. Of a queue
 * that is detached, all fails as of one whose interface was deleted; the first pair's never is. */
static enum tap_state look_at_tap(const struct net *net)
{
    struct pollfd p = { .fd = net->pairs[0].fd, .events = POLLOUT };

    if (poll(&p, 1, 0) == 1 && (p.revents & POLLERR))
        return TAP_GONE;
    return p.revents & POLLOUT ? TAP_UP : TAP_DOWN;
}

void net_port_failed(struct net_pair *pair, int error)
{
    struct net *net = pair->net;
    enum tap_state state = look_at_tap(net);

    if (is_gone(error) && state == TAP_GONE)
        net_link_lost(net, true);
    else if ((error == EIO || error == ENETDOWN) && state == TAP_DOWN)
        net_link_lost(net, false);
    if (net->port_down)
        net_tx_watch(&net->pairs[0], true); /* until it takes frames again */
}

bool net_port_look_again(struct net *net)
{
    enum tap_state state;

    if (net->stream)
        return false; /* another one comes with another worker */
    state = look_at_tap(net);
    if (state == TAP_GONE)
        net_link_lost(net, true);
    else if (state == TAP_UP && !net->port_gone)
        return true;
    else if (net->port_gone &&
             state != TAP_GONE) /* the broker has it again, with all queues attached */
        return set_offloads(net) == 0 && net_port_enable(net, net->n_enabled) == 0;
    return false;
}

/* ---- frames in ---- */

/* A tap that is there and still can't be read: one frame was bad, or each will be. */
static void read_failed(struct net_pair *pair, int error)
{
    net_port_failed(pair, error);
    if (pair->net->port_gone)
        return;
    if (!pair->rx_warned)
        log_warn("tap queue %u: %s", pair->index,
                 error ? strerror(error) : "a frame without bytes");
    pair->rx_warned = true;
    pair->net->stats->errors++;
    pair->rx_broken = true;
    net_retry_after(pair->net, MIN(1u << MIN(pair->rx_errors++, 10u), (unsigned)RETRY_MAX_MS));
}

static int read_tap(struct net_pair *pair)
{
    ssize_t n = read(pair->fd, pair->frame, NET_HDR_BYTES + NET_MAX_FRAME_BYTES);

    if (n > NET_HDR_BYTES) {
        pair->frame_bytes = (size_t)n;
        pair->rx_errors = 0;
        return 0;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return PORT_EMPTY;
    read_failed(pair, n < 0 ? errno : 0);
    return PORT_BROKEN;
}

static int stream_broken(struct net *net, const char *why)
{
    if (!net->port_gone)
        log_error("the network's stream is lost: %s", why);
    net_link_lost(net, true);
    return PORT_BROKEN;
}

/* Takes len bytes off the socket that were looked at before: they read the same again. */
static int take(struct net *net, uint8_t *at, size_t len)
{
    ssize_t n = len ? read(net->pairs[0].fd, at, len) : 0;

    return n < 0 || (size_t)n != len ? stream_broken(net, "bytes went away") : 0;
}

/* The next bytes are only looked at: they leave the socket when their frames have been handed to
 * the guest, so that a successor of this process finds the beginning of a frame. */
static int refill(struct net *net)
{
    struct net_stream_in *in = &net->stream_in;
    size_t peeked = net->stream_peeked, room;
    uint8_t *dst;
    ssize_t n;
    int r = take(net, in->data + in->end - peeked, peeked);

    net->stream_peeked = 0;
    if (r != 0)
        return r;
    room = net_stream_room(in, &dst);
    n = recv(net->pairs[0].fd, dst, room, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return PORT_EMPTY;
    if (n <= 0)
        return stream_broken(net, n < 0 ? strerror(errno) : "the other side closed it");
    net_stream_received(in, (size_t)n);
    net->stream_peeked = (size_t)n;
    return 0;
}

void net_port_commit(struct net *net)
{
    struct net_stream_in *in = &net->stream_in;
    size_t pending = net->pairs[0].frame_bytes; /* handed out, but not to the guest yet */
    size_t keep = in->end - in->start;

    if (!net->stream || net->port_gone)
        return;
    if (pending)
        keep += pending - NET_HDR_BYTES + NET_STREAM_PREFIX_BYTES;
    if (keep >= net->stream_peeked)
        return;
    if (take(net, in->data + in->end - net->stream_peeked, net->stream_peeked - keep) == 0)
        net->stream_peeked = keep;
}

static int read_stream(struct net_pair *pair)
{
    struct net *net = pair->net;
    struct net_stream_in *in = &net->stream_in;
    const uint8_t *frame;
    size_t len;
    int r = net_stream_next(in, &frame, &len);

    if (r == NET_STREAM_EMPTY) {
        r = refill(net);
        if (r != 0)
            return r;
        r = net_stream_next(in, &frame, &len);
    }
    if (r == NET_STREAM_EMPTY) { /* a part of a frame would wake us again and again: take it */
        r = take(net, in->data + in->end - net->stream_peeked, net->stream_peeked);
        net->stream_peeked = 0;
        return r != 0 ? r : PORT_EMPTY;
    }
    if (r == NET_STREAM_LIES)
        return stream_broken(net, "a frame's length is impossible");
    memset(pair->frame, 0, NET_HDR_BYTES);
    memcpy(pair->frame + NET_HDR_BYTES, frame, len);
    pair->frame_bytes = NET_HDR_BYTES + len;
    return 0;
}

int net_port_read(struct net_pair *pair)
{
    if (!pair->net->stream)
        return read_tap(pair);
    return pair->net->port_gone ? PORT_BROKEN : read_stream(pair);
}

/* ---- frames out ---- */

static int write_tap(struct net_pair *pair, const struct iovec *iov, int n_iov)
{
    ssize_t n = writev(pair->fd, iov, n_iov);

    if (n >= 0)
        return 0;
    if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS)
        return PORT_FULL;
    net_port_failed(pair, errno);
    return PORT_BROKEN;
}

/* The rest of a frame that the socket took in part is in this process alone, and dies with it. The
 * counters' page outlives it: a replacement doesn't write where a frame was cut, but has the stream
 * replaced. */
static void mark_cut(struct net *net, bool cut)
{
    __atomic_store_n(&net->stats->cut_stream, cut ? net->stream_id : 0, __ATOMIC_SEQ_CST);
}

static bool cut_by_predecessor(const struct net *net)
{
    return !net_port_has_rest(net) &&
           __atomic_load_n(&net->stats->cut_stream, __ATOMIC_SEQ_CST) == net->stream_id;
}

/* Whether a frame of this size will be taken as a whole, or not now. Connections of the guest live in
 * the far end of the stream: so it is not put at risk where that can be helped. */
static bool is_room_for(const struct net *net, size_t frame_bytes)
{
    struct pollfd p = { .fd = net->pairs[0].fd, .events = POLLOUT };

    return frame_bytes + NET_STREAM_PREFIX_BYTES <= STREAM_ONE_BUFFER_BYTES || poll(&p, 1, 0) != 0;
}

int net_port_flush(struct net *net)
{
    while (net->stream_out_at < net->stream_out_end) {
        ssize_t n = write(net->pairs[0].fd, net->stream_out + net->stream_out_at,
                          net->stream_out_end - net->stream_out_at);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return PORT_FULL;
        if (n <= 0)
            return stream_broken(net, n < 0 ? strerror(errno) : "no progress");
        net->stream_out_at += (size_t)n;
        mark_cut(net, net_port_has_rest(net));
    }
    return 0;
}

/* The socket took `done` bytes of a frame: the rest is copied, so that the guest's buffer can be
 * given back and the stream stays whole. */
static void keep_rest(struct net *net, const struct iovec *iov, int n_iov, size_t done)
{
    net->stream_out_at = net->stream_out_end = 0;
    for (int i = 0; i < n_iov; i++) {
        size_t skip = MIN(done, iov[i].iov_len);
        size_t len = iov[i].iov_len - skip;

        memcpy(net->stream_out + net->stream_out_end, (const uint8_t *)iov[i].iov_base + skip, len);
        net->stream_out_end += len;
        done -= skip;
    }
}

static int write_stream(struct net *net, struct iovec *iov, int n_iov, size_t frame_bytes)
{
    uint8_t prefix[NET_STREAM_PREFIX_BYTES];
    size_t total = NET_STREAM_PREFIX_BYTES + frame_bytes;
    ssize_t n;
    int r;

    if (net->port_gone)
        return PORT_BROKEN;
    if (cut_by_predecessor(net))
        return stream_broken(net, "a frame was cut when this device's last worker left");
    r = net_port_flush(net);
    if (r != 0)
        return r;
    if (!is_room_for(net, frame_bytes))
        return PORT_FULL;
    if (!net->stream_takes_whole)
        mark_cut(net, true); /* in time, should this be the last that this process does */
    net_stream_prefix(prefix, (uint32_t)frame_bytes);
    iov[0] = (struct iovec){ .iov_base = prefix, .iov_len = sizeof(prefix) }; /* not the header */
    n = writev(net->pairs[0].fd, iov, n_iov);
    mark_cut(net, n >= 0 && (size_t)n < total);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return PORT_FULL;
    if (n < 0)
        return stream_broken(net, strerror(errno));
    if ((size_t)n < total)
        keep_rest(net, iov, n_iov, (size_t)n);
    return 0;
}

int net_port_write(struct net_pair *pair, struct iovec *iov, int n_iov, size_t frame_bytes)
{
    return pair->net->stream ? write_stream(pair->net, iov, n_iov, frame_bytes)
                             : write_tap(pair, iov, n_iov);
}
