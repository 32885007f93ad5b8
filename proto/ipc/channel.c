/* SPDX-License-Identifier: Apache-2.0 */
/* channel.c - see channel.h. The buffers are one anonymous mapping: pages of it that no message
 * ever needs are never touched, so a channel costs a child a page or two. */
#include "ipc/channel.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "ipc/arena.h"

enum { MAX_LEFT = 4096 };  /* messages, more than a socket has room for */
enum { LENGTH_BYTES = 4 }; /* before each message of a stream */

struct channel {
    int fd;
    uint8_t *bytes; /* CHANNEL_MAX_BYTES, then the arena */
    size_t map_bytes;
    struct arena arena;
    int fds[CHANNEL_MAX_FDS];
    size_t n_fds;
    bool bare;          /* descriptors that come are nobody's */
    bool stays;         /* and the socket, in which they may be, isn't closed */
    bool peeks, peeked; /* the last message is in the socket still */
    uint8_t *coming;    /* of a stream, with its length: the message that comes, */
    size_t come;        /* of which so much is here; NULL: no stream */
};

union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int) * CHANNEL_MAX_FDS)];
};

static int make(struct channel **ret_channel, int fd, size_t arena_bytes, size_t more)
{
    struct channel *channel = calloc(1, sizeof *channel);

    if (!channel)
        return err_origin(-ENOMEM, "channel");
    channel->map_bytes = CHANNEL_MAX_BYTES + arena_bytes + more;
    channel->bytes =
        mmap(NULL, channel->map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (channel->bytes == MAP_FAILED) {
        free(channel);
        return err_origin(-ENOMEM, "channel buffers");
    }
    channel->fd = fd;
    arena_init(&channel->arena, channel->bytes + CHANNEL_MAX_BYTES, arena_bytes);
    *ret_channel = channel;
    return 0;
}

int channel_new(struct channel **ret_channel, int fd, size_t arena_bytes)
{
    return make(ret_channel, fd, arena_bytes, 0);
}

int channel_new_stream(struct channel **ret_channel, int fd, size_t arena_bytes)
{
    int r = make(ret_channel, fd, arena_bytes, LENGTH_BYTES + CHANNEL_MAX_BYTES);

    if (r == 0)
        (*ret_channel)->coming = (*ret_channel)->bytes + CHANNEL_MAX_BYTES + arena_bytes;
    return r;
}

static void close_untaken(struct channel *channel)
{
    for (size_t i = 0; i < channel->n_fds; i++)
        fd_closep(&channel->fds[i]);
    channel->n_fds = 0;
}

void channel_free(struct channel *channel)
{
    if (!channel)
        return;
    close_untaken(channel);
    /* What the peer has sent and nobody took would go with the last close, and with it perhaps the last reference to a
     * socket that lingers: the end of this process does not wait for those. */
    if (channel->stays)
        shutdown(channel->fd, SHUT_RDWR);
    else
        fd_closep(&channel->fd);
    munmap(channel->bytes, channel->map_bytes);
    free(channel);
}

void channel_freep(struct channel **channel)
{
    channel_free(*channel);
    *channel = NULL;
}

/* Of a socket that was shut down, so nothing comes any more. An empty message reads as an end; but a message brings its
 * sender's credentials, and an end doesn't. What brings descriptors, for which there is no room, stays. */
static bool nothing_is_left(int fd)
{
    const int on = 1;

    if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0)
        return false;
    for (unsigned i = 0; i < MAX_LEFT; i++) {
        union {
            struct cmsghdr header;
            char bytes[CMSG_SPACE(sizeof(struct ucred))];
        } control;
        struct msghdr msg = { .msg_control = control.bytes,
                              .msg_controllen = sizeof control.bytes };
        ssize_t n = recvmsg(fd, &msg, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

        if (n < 0 || (msg.msg_flags & MSG_CTRUNC))
            return false;
        if (n == 0 && msg.msg_controllen == 0)
            return true;
        msg = (struct msghdr){ 0 };
        if (recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0)
            return false;
    }
    return false;
}

void channel_end(struct channel **channel)
{
    int fd = *channel && (*channel)->stays ? (*channel)->fd : -1;

    channel_freep(channel);
    if (fd >= 0 && nothing_is_left(fd))
        close(fd);
}

int channel_fd(const struct channel *channel)
{
    return channel->fd;
}

/* Collects every descriptor of the datagram, whatever its shape, so that none leaks. */
static int collect_fds(struct channel *channel, struct msghdr *msg)
{
    int r = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        size_t n;

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
            r = -EBADMSG;
            continue;
        }
        n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd = -1;

            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
            if (channel->n_fds < CHANNEL_MAX_FDS)
                channel->fds[channel->n_fds++] = fd;
            else
                fd_closep(&fd);
        }
    }
    return r;
}

void channel_refuse_fds(struct channel *channel)
{
    channel->bare = channel->stays = true;
}

void channel_leave_fds(struct channel *channel)
{
    channel->bare = true;
}

void channel_peek(struct channel *channel)
{
    channel->peeks = true;
}

/* Without room for them descriptors are closed by the kernel. */
void channel_done(struct channel *channel)
{
    uint8_t byte;
    struct iovec iov = { .iov_base = &byte, .iov_len = sizeof byte };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    ssize_t n;

    if (!channel->peeked)
        return;
    channel->peeked = false;
    do
        n = recvmsg(channel->fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
}

/* What comes with descriptors stays where it is: who takes it, were it to let go of them, may have the last reference to a
 * socket that lingers. */
static int refuse_fds(struct channel *channel, struct msghdr *msg, bool block)
{
    ssize_t n;

    if (!channel->bare)
        return 0;
    do
        n = recvmsg(channel->fd, msg, MSG_CMSG_CLOEXEC | MSG_PEEK | (block ? 0 : MSG_DONTWAIT));
    while (n < 0 && errno == EINTR);
    if (n >= 0 && (msg->msg_flags & MSG_CTRUNC))
        return err_origin(-EBADMSG, "a message comes with descriptors that nobody asked for");
    return 0; /* whatever else it is is found once more */
}

static int receive_bytes(struct channel *channel, bool block, size_t *ret_len)
{
    union control control;
    struct iovec iov = { .iov_base = channel->bytes, .iov_len = CHANNEL_MAX_BYTES };
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = channel->bare ? NULL : control.bytes,
                          .msg_controllen = channel->bare ? 0 : sizeof control.bytes };
    ssize_t n;
    int r;

    close_untaken(channel);
    channel_done(channel);
    r = refuse_fds(channel, &msg, block);
    if (r != 0)
        return r;
    do
        n = recvmsg(channel->fd, &msg,
                    MSG_CMSG_CLOEXEC | (block ? 0 : MSG_DONTWAIT) |
                        (channel->peeks ? MSG_PEEK : 0));
    while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return CHANNEL_EMPTY;
    if (n < 0 && errno == ECONNRESET)
        return CHANNEL_CLOSED;
    if (n < 0)
        return err_origin(-errno, "receiving a message");
    channel->peeked = channel->peeks;
    if (collect_fds(channel, &msg) < 0 || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
        return err_origin(-EBADMSG, "message is truncated or has foreign control data");
    if (n == 0)
        return CHANNEL_CLOSED;
    *ret_len = (size_t)n;
    return 0;
}

/* ---- of a stream ---- */

static size_t length_of(const uint8_t *bytes)
{
    return (size_t)bytes[0] | (size_t)bytes[1] << 8 | (size_t)bytes[2] << 16 |
           (size_t)bytes[3] << 24;
}

/* Up to that much of the message. What is looked at first brings no descriptors then; what comes after it might. */
static int receive_some(struct channel *channel, bool block, size_t end)
{
    const int flags = MSG_CMSG_CLOEXEC | (block ? 0 : MSG_DONTWAIT);
    struct iovec iov = { .iov_base = channel->coming + channel->come,
                         .iov_len = end - channel->come };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    ssize_t n;

    do
        n = recvmsg(channel->fd, &msg, flags | (channel->bare ? MSG_PEEK : 0));
    while (n < 0 && errno == EINTR);
    if (n > 0 && (msg.msg_flags & MSG_CTRUNC))
        return err_origin(-EBADMSG, "a stream comes with descriptors that nobody asked for");
    if (n > 0 && channel->bare) {
        iov.iov_len = (size_t)n;
        n = recvmsg(channel->fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    }
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return CHANNEL_EMPTY;
    if (n == 0 || (n < 0 && errno == ECONNRESET))
        return CHANNEL_CLOSED;
    if (n < 0)
        return err_origin(-errno, "receiving of a stream");
    channel->come += (size_t)n;
    return 0;
}

static int receive_of_stream(struct channel *channel, bool block, size_t *ret_len)
{
    size_t len = 0;
    int r = 0;

    while (r == 0) {
        if (channel->come >= LENGTH_BYTES) {
            len = length_of(channel->coming);
            if (len == 0 || len > CHANNEL_MAX_BYTES)
                return err_origin(-EBADMSG, "a message of %zu bytes", len);
            if (channel->come == LENGTH_BYTES + len)
                break;
        }
        r = receive_some(channel, block, LENGTH_BYTES + len);
    }
    if (r == 0) {
        channel->come = 0;
        *ret_len = len;
    }
    return r < 0 ? err_trace(r) : r;
}

int channel_receive_raw(struct channel *channel, bool block, const ProtobufCMessageDescriptor *type,
                        ProtobufCMessage **ret_msg, int **ret_fds, size_t *ret_n_fds)
{
    const uint8_t *bytes = channel->coming ? channel->coming + LENGTH_BYTES : channel->bytes;
    ProtobufCMessage *msg;
    size_t len = 0;
    int r = channel->coming ? receive_of_stream(channel, block, &len)
                            : receive_bytes(channel, block, &len);

    if (r != 0)
        return r < 0 ? err_trace(r) : r;
    arena_reset(&channel->arena);
    msg = protobuf_c_message_unpack(type, &channel->arena.allocator, len, bytes);
    if (!msg)
        return err_origin(-EBADMSG, "message can't be decoded");
    *ret_msg = msg;
    *ret_fds = channel->fds;
    *ret_n_fds = channel->n_fds;
    return 0;
}

int channel_receive(struct channel *channel, bool block, struct message *ret_msg)
{
    ProtobufCMessage *msg = NULL;
    const Bulkhead__Envelope *envelope;
    size_t n_fds = 0;
    int *fds = NULL;
    int r =
        channel_receive_raw(channel, block, &bulkhead__envelope__descriptor, &msg, &fds, &n_fds);

    if (r != 0 || !msg)
        return r < 0 ? err_trace(r) : r;
    envelope = (const Bulkhead__Envelope *)msg;
    if (envelope->body_case == BULKHEAD__ENVELOPE__BODY__NOT_SET)
        return err_origin(-EBADMSG, "message of an unknown kind");
    *ret_msg = (struct message){ .envelope = envelope, .fds = fds, .n_fds = n_fds };
    return 0;
}

void channel_trim(struct channel *channel)
{
    arena_reset(&channel->arena);
    (void)madvise(channel->bytes, channel->map_bytes, MADV_DONTNEED);
}

static int wait_writable(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLOUT };

    return poll(&p, 1, -1) < 0 && errno != EINTR ? -errno : 0;
}

/* The kernel calls such a socket writable while at most a quarter of its buffer is taken. */
bool channel_has_room(const struct channel *channel)
{
    struct pollfd p = { .fd = channel->fd, .events = POLLOUT };

    return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) != 0;
}

static int send_bytes(struct channel *channel, size_t len, const int *fds, size_t n_fds, bool block)
{
    for (;;) {
        int r = fd_send(channel->fd, channel->bytes, len, fds, n_fds, MSG_DONTWAIT);

        if (r == 0)
            return 0;
        if ((r != -EAGAIN && r != -EWOULDBLOCK) || !block)
            return err_origin(r, "sending a message");
        if (wait_writable(channel->fd) < 0)
            return err_origin(-errno, "waiting to send");
    }
}

static int send_on_stream(struct channel *channel, size_t len, bool block)
{
    uint8_t length[LENGTH_BYTES] = { (uint8_t)len, (uint8_t)(len >> 8), (uint8_t)(len >> 16),
                                     (uint8_t)(len >> 24) };
    struct iovec iov[] = { { length, sizeof length }, { channel->bytes, len } };
    size_t left = sizeof length + len;

    for (unsigned at = 0; left > 0;) {
        struct msghdr msg = { .msg_iov = &iov[at], .msg_iovlen = ARRAY_SIZE(iov) - at };
        ssize_t n = sendmsg(channel->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) && block &&
            wait_writable(channel->fd) == 0)
            continue;
        if (n < 0 && errno != EINTR)
            return err_origin(left < sizeof length + len ? -EIO : -errno, "sending on a stream");
        for (left -= (size_t)MAX(n, 0); n > 0 && at < ARRAY_SIZE(iov);) {
            size_t part = MIN((size_t)n, iov[at].iov_len);

            iov[at].iov_base = (uint8_t *)iov[at].iov_base + part;
            iov[at].iov_len -= part;
            n -= (ssize_t)part;
            at += iov[at].iov_len == 0;
        }
    }
    return 0;
}

int channel_send_raw(struct channel *channel, const ProtobufCMessage *msg, const int *fds,
                     size_t n_fds, bool block)
{
    size_t len = protobuf_c_message_get_packed_size(msg);

    if (len > CHANNEL_MAX_BYTES || n_fds > CHANNEL_MAX_FDS)
        return err_origin(-EMSGSIZE, "message of %zu bytes with %zu fds", len, n_fds);
    protobuf_c_message_pack(msg, channel->bytes);
    if (channel->coming)
        return n_fds > 0 ? err_origin(-EINVAL, "descriptors on a stream")
                         : send_on_stream(channel, len, block);
    return send_bytes(channel, len, fds, n_fds, block);
}

int channel_send(struct channel *channel, const Bulkhead__Envelope *envelope, const int *fds,
                 size_t n_fds, bool block)
{
    return channel_send_raw(channel, &envelope->base, fds, n_fds, block);
}
