/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_msg.c - any bytes as a control or client message: decoded in the bounded arena, then asked
 * of the rules in every role and state. */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "client.pb-c.h"
#include "host.pb-c.h"
#include "ipc/arena.h"
#include "ipc/channel.h"
#include "ipc/rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The same bytes as a stream, as a guest sends them to the service, cut where the first one says: messages, or an end. */
static void as_stream(const uint8_t *data, size_t size)
{
    size_t cut = size > 0 ? data[0] % (size + 1) : 0;
    struct channel *channel;
    int pair[2], *fds, r = 0;
    ProtobufCMessage *msg;
    size_t n_fds;

    if (size > CHANNEL_MAX_BYTES || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return;
    if (channel_new_stream(&channel, pair[0], CHANNEL_ARENA_BROKER) < 0)
        abort();
    for (unsigned part = 0; part < 2 && r >= 0; part++) {
        const uint8_t *from = part == 0 ? data : data + cut;
        size_t len = part == 0 ? cut : size - cut;

        if (len > 0 && send(pair[1], from, len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)len)
            break;
        do
            r = channel_receive_raw(channel, false, &bulkhead__host_envelope__descriptor, &msg,
                                    &fds, &n_fds);
        while (r == 0 && n_fds == 0);
        if (r >= 0 && r != CHANNEL_EMPTY)
            abort();
    }
    close(pair[1]);
    channel_free(channel);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t base[CHANNEL_ARENA_BROKER] __attribute__((aligned(16)));
    const Bulkhead__Envelope *e;
    struct arena arena;

    if (size > CHANNEL_MAX_BYTES)
        return 0;
    arena_init(&arena, base, CHANNEL_ARENA_CHILD);
    e = (const Bulkhead__Envelope *)protobuf_c_message_unpack(&bulkhead__envelope__descriptor,
                                                              &arena.allocator, size, data);
    for (int role = 0; e && role <= BULKHEAD__ROLE__ROLE_PASST; role++)
        for (int state = 0; state < CHILD_STATE__MAX; state++)
            for (int dir = 0; dir < 2; dir++) {
                int r = rules_check((enum rule_dir)dir, (Bulkhead__Role)role,
                                    (enum child_state)state, e, 0);

                if (r == 0 && (unsigned)rules_next((enum rule_dir)dir, (Bulkhead__Role)role,
                                                   (enum child_state)state, e) >= CHILD_STATE__MAX)
                    abort();
            }
    arena_init(&arena, base, CHANNEL_ARENA_BROKER);
    (void)protobuf_c_message_unpack(&bulkhead__client_envelope__descriptor, &arena.allocator, size,
                                    data);
    if (arena.used_bytes > CHANNEL_ARENA_BROKER)
        abort();
    as_stream(data, size);
    return 0;
}
