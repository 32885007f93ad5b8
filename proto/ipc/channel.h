/* SPDX-License-Identifier: Apache-2.0 */
/* channel.h - one end of a SOCK_SEQPACKET pair that carries Envelopes; or of a stream.
 *
 * Receiving: the datagram lands in the channel's own 64 KiB buffer, descriptors in a fixed array;
 * it is unpacked into a bounded arena (arena.h) that lives in the channel, so a received message
 * costs no heap. Descriptors the handler does not take are closed at the next receive.
 * Truncated data or control data, unknown bodies and more than CHANNEL_MAX_FDS are -EBADMSG.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include "base/compiler.h"
#include "control.pb-c.h"

enum { CHANNEL_MAX_BYTES = 65536, CHANNEL_MAX_FDS = 160 };
enum { CHANNEL_EMPTY = 1, CHANNEL_CLOSED = 2 }; /* positive: caller must handle */

struct channel;

struct message {
    const Bulkhead__Envelope *envelope; /* valid until the next channel_receive() */
    int *fds;                           /* take one with fd_take(&msg.fds[i]) */
    size_t n_fds;
};

/* arena_bytes: what one unpacked message may need; children use CHANNEL_ARENA_CHILD. The buffers
 * are mapped on first use. The fd is owned by the channel. */
enum {
    CHANNEL_ARENA_CHILD = 16384,
    CHANNEL_ARENA_BROKER = 131072,
    CHANNEL_ARENA_CLIENT =
        1 << 20, /* either end of the command socket: a plan has many small texts */
};
int channel_new(struct channel **ret_channel, int fd, size_t arena_bytes) must_check;
/* The same over a stream: four bytes of length, the lowest first, before each message, and no descriptors. Of a message that
 * the socket took a part of without `block` the rest is lost: -EIO, and the channel is of no more use. */
int channel_new_stream(struct channel **ret_channel, int fd, size_t arena_bytes) must_check;
void channel_free(struct channel *channel);
void channel_freep(struct channel **channel);
/* The same; and the socket of one that refuses descriptors is closed all the same, if none are left in it. */
void channel_end(struct channel **channel);
int channel_fd(const struct channel *channel);

/* block: wait for a message. 0, CHANNEL_EMPTY (not block), CHANNEL_CLOSED, or negative errno. */
int channel_receive(struct channel *channel, bool block, struct message *ret_msg) must_check;
/* From now on no descriptor is taken: the kernel lets go of what comes, by itself, and the message is an error. Who is sent
 * one has to close it, and a close may wait for the server of its file. For the same reason the socket is shut down by
 * channel_free(), and closed by the end of the process alone. */
void channel_refuse_fds(struct channel *channel);
/* The same where somebody else has a copy of this end, and keeps it until this one is closed, as channel_free() does: that lets
 * go of nothing. */
void channel_leave_fds(struct channel *channel);
/* From now on a message stays in the socket until channel_done(), so that whoever has a copy of this end finds it there if
 * this process dies before it has dealt with it. */
void channel_peek(struct channel *channel);
void channel_done(struct channel *channel);
/* Gives back the memory of the last message, for a channel that seldom has one so large. */
void channel_trim(struct channel *channel);
/* Packs into the channel's buffer and sends; fds stay the caller's. Never raises SIGPIPE.
 * -EAGAIN when the socket is full and !block, -EMSGSIZE, -EPIPE. */
int channel_send(struct channel *channel, const Bulkhead__Envelope *envelope, const int *fds,
                 size_t n_fds, bool block) must_check;
/* Is most of the socket's room free? Not when the other end is behind with reading. */
bool channel_has_room(const struct channel *channel);
/* The same framing for the command socket; used by the broker and its clients only. */
int channel_receive_raw(struct channel *channel, bool block, const ProtobufCMessageDescriptor *type,
                        ProtobufCMessage **ret_msg, int **ret_fds, size_t *ret_n_fds) must_check;
int channel_send_raw(struct channel *channel, const ProtobufCMessage *msg, const int *fds,
                     size_t n_fds, bool block) must_check;

/* Statement form of an Envelope with one body: ENVELOPE(e, READY, ready, &ready_msg). */
#define ENVELOPE(name, CASE, field, ptr)                                                           \
    Bulkhead__Envelope name = BULKHEAD__ENVELOPE__INIT;                                            \
    (name).body_case = BULKHEAD__ENVELOPE__BODY_##CASE;                                            \
    (name).field = (ptr)
