/* SPDX-License-Identifier: Apache-2.0 */
/* net_passt.c - the port of a device without a tap: passt's stream. */
#include "net_passt.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "net_hdr.h"
#include "net_port.h"
#include "net_stream.h"

enum {
    STREAM_IN_BYTES = 4 * (NET_STREAM_PREFIX_BYTES + NET_MAX_FRAME_BYTES),
    /* Up to here the kernel makes one buffer of a frame, which is taken as a whole or not at all. */
    STREAM_ONE_BUFFER_BYTES = 32768,
    /* A socket is writable when at most a quarter of its room is used. In the rest of this much, the
     * largest frame fits with all the kernel adds to it. */
    STREAM_ROOM_BYTES = 2 * NET_MAX_FRAME_BYTES,
};

struct net_passt {
    int fd;
    struct stats_page *stats;
    bool gone;
    struct net_stream_in in;
    size_t peeked; /* bytes at its end that the socket still has */
    uint8_t *out;  /* rest of a frame that the socket took only in part */
    size_t out_at, out_end;
    uint64_t id;      /* its inode */
    bool takes_whole; /* frames are not cut once it is writable */
};

static int look_at_stream(struct net_passt *passt, int fd)
{
    struct stat st;
    int room;
    socklen_t len = sizeof(room);

    if (fstat(fd, &st) < 0 || getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, &len) < 0)
        return err_origin(-errno, "stream");
    passt->id = st.st_ino;
    passt->takes_whole = room >= STREAM_ROOM_BYTES;
    return 0;
}

int net_passt_new(struct net_passt **ret_passt, int fd, struct stats_page *stats)
{
    struct net_passt *passt = calloc(1, sizeof(*passt));
    uint8_t *in = malloc(STREAM_IN_BYTES);
    uint8_t *out = malloc(NET_STREAM_PREFIX_BYTES + NET_MAX_FRAME_BYTES);
    int r = passt && in && out ? 0 : err_origin(-ENOMEM, "net stream");

    if (r == 0)
        r = fd_expect(fd, FD_TYPE_STREAM, "stream");
    if (r == 0)
        r = fd_set_nonblock(fd); /* made for this device, shared with nobody */
    if (r == 0 && signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        r = err_origin(-errno, "signal");
    if (r == 0) {
        *passt = (struct net_passt){ .fd = fd, .stats = stats, .out = out };
        net_stream_in_init(&passt->in, in, STREAM_IN_BYTES);
        r = look_at_stream(passt, fd);
    }
    if (r < 0) {
        free(passt);
        free(in);
        free(out);
        return err_trace(r);
    }
    *ret_passt = passt;
    return 0;
}

/* ---- frames in ---- */

static int stream_broken(struct net_passt *passt, const char *why)
{
    if (!passt->gone)
        log_error("the network's stream is lost: %s", why);
    passt->gone = true;
    return NET_PORT_GONE;
}

/* Takes len bytes off the socket that were looked at before: they read the same again. */
static int take(struct net_passt *passt, uint8_t *at, size_t len)
{
    ssize_t n = len ? read(passt->fd, at, len) : 0;

    return n < 0 || (size_t)n != len ? stream_broken(passt, "bytes went away") : 0;
}

/* The next bytes are only looked at: they leave the socket when their frames have been handed to
 * the guest, so that a successor of this process finds the beginning of a frame. */
static int refill(struct net_passt *passt)
{
    struct net_stream_in *in = &passt->in;
    size_t peeked = passt->peeked, room;
    uint8_t *dst;
    ssize_t n;
    int r = take(passt, in->data + in->end - peeked, peeked);

    passt->peeked = 0;
    if (r != 0)
        return r;
    room = net_stream_room(in, &dst);
    n = recv(passt->fd, dst, room, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return NET_PORT_EMPTY;
    if (n <= 0)
        return stream_broken(passt, n < 0 ? strerror(errno) : "the other side closed it");
    net_stream_received(in, (size_t)n);
    passt->peeked = (size_t)n;
    return 0;
}

int net_passt_commit(struct net_passt *passt, size_t pending_bytes)
{
    struct net_stream_in *in = &passt->in;
    size_t keep = in->end - in->start;
    int r;

    if (passt->gone)
        return NET_PORT_GONE;
    if (pending_bytes)
        keep += pending_bytes - NET_HDR_BYTES + NET_STREAM_PREFIX_BYTES;
    if (keep >= passt->peeked)
        return 0;
    r = take(passt, in->data + in->end - passt->peeked, passt->peeked - keep);
    if (r == 0)
        passt->peeked = keep;
    return r;
}

int net_passt_read(struct net_passt *passt, uint8_t *to, size_t *ret_bytes)
{
    struct net_stream_in *in = &passt->in;
    const uint8_t *frame;
    size_t len;
    int r;

    if (passt->gone)
        return NET_PORT_GONE;
    r = net_stream_next(in, &frame, &len);
    if (r == NET_STREAM_EMPTY) {
        r = refill(passt);
        if (r != 0)
            return r;
        r = net_stream_next(in, &frame, &len);
    }
    if (r == NET_STREAM_EMPTY) { /* a part of a frame would wake us again and again: take it */
        r = take(passt, in->data + in->end - passt->peeked, passt->peeked);
        passt->peeked = 0;
        return r != 0 ? r : NET_PORT_EMPTY;
    }
    if (r == NET_STREAM_LIES)
        return stream_broken(passt, "a frame's length is impossible");
    memset(to, 0, NET_HDR_BYTES);
    memcpy(to + NET_HDR_BYTES, frame, len);
    *ret_bytes = NET_HDR_BYTES + len;
    return 0;
}

/* ---- frames out ---- */

/* The rest of a frame that the socket took in part is in this process alone, and dies with it. The
 * counters' page outlives it: a replacement doesn't write where a frame was cut, but has the stream
 * replaced. */
static void mark_cut(struct net_passt *passt, bool cut)
{
    __atomic_store_n(&passt->stats->cut_stream, cut ? passt->id : 0, __ATOMIC_SEQ_CST);
}

static bool cut_by_predecessor(const struct net_passt *passt)
{
    return !net_passt_has_rest(passt) &&
           __atomic_load_n(&passt->stats->cut_stream, __ATOMIC_SEQ_CST) == passt->id;
}

bool net_passt_has_rest(const struct net_passt *passt)
{
    return passt->out_at < passt->out_end;
}

/* Whether a frame of this size will be taken as a whole, or not now. Connections of the guest live in
 * the far end of the stream: so it is not put at risk where that can be helped. */
static bool is_room_for(const struct net_passt *passt, size_t frame_bytes)
{
    struct pollfd p = { .fd = passt->fd, .events = POLLOUT };

    return frame_bytes + NET_STREAM_PREFIX_BYTES <= STREAM_ONE_BUFFER_BYTES || poll(&p, 1, 0) != 0;
}

int net_passt_flush(struct net_passt *passt)
{
    while (passt->out_at < passt->out_end) {
        ssize_t n = write(passt->fd, passt->out + passt->out_at, passt->out_end - passt->out_at);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return NET_PORT_FULL;
        if (n <= 0)
            return stream_broken(passt, n < 0 ? strerror(errno) : "no progress");
        passt->out_at += (size_t)n;
        mark_cut(passt, net_passt_has_rest(passt));
    }
    return 0;
}

/* The socket took `done` bytes of a frame: the rest is copied, so that the guest's buffer can be
 * given back and the stream stays whole. */
static void keep_rest(struct net_passt *passt, const struct iovec *iov, int n_iov, size_t done)
{
    passt->out_at = passt->out_end = 0;
    for (int i = 0; i < n_iov; i++) {
        size_t skip = MIN(done, iov[i].iov_len);
        size_t len = iov[i].iov_len - skip;

        memcpy(passt->out + passt->out_end, (const uint8_t *)iov[i].iov_base + skip, len);
        passt->out_end += len;
        done -= skip;
    }
}

int net_passt_write(struct net_passt *passt, struct iovec *iov, int n_iov, size_t frame_bytes)
{
    uint8_t prefix[NET_STREAM_PREFIX_BYTES];
    size_t total = NET_STREAM_PREFIX_BYTES + frame_bytes;
    ssize_t n;
    int r;

    if (passt->gone)
        return NET_PORT_GONE;
    if (cut_by_predecessor(passt))
        return stream_broken(passt, "a frame was cut when this device's last worker left");
    r = net_passt_flush(passt);
    if (r != 0)
        return r;
    if (!is_room_for(passt, frame_bytes))
        return NET_PORT_FULL;
    if (!passt->takes_whole)
        mark_cut(passt, true); /* in time, should this be the last that this process does */
    net_stream_prefix(prefix, (uint32_t)frame_bytes);
    iov[0] = (struct iovec){ .iov_base = prefix, .iov_len = sizeof(prefix) }; /* not the header */
    n = writev(passt->fd, iov, n_iov);
    mark_cut(passt, n >= 0 && (size_t)n < total);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return NET_PORT_FULL;
    if (n < 0)
        return stream_broken(passt, strerror(errno));
    if ((size_t)n < total)
        keep_rest(passt, iov, n_iov, (size_t)n);
    return 0;
}
