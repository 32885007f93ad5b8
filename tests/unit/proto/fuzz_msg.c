/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_msg.c - any bytes as a control or client message: decoded in the bounded arena, then asked
 * of the rules in every role and state. */
#include <stdlib.h>
#include "client.pb-c.h"
#include "ipc/arena.h"
#include "ipc/channel.h"
#include "ipc/rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
    return 0;
}
