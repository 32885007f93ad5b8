/* SPDX-License-Identifier: Apache-2.0 */
/* arena.h - a fixed block that protobuf-c unpacks into; nothing is freed one by one. What doesn't
 * fit fails the unpack: the bound on what a hostile peer can make us allocate. */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

struct arena {
    uint8_t *base;
    size_t size_bytes;
    size_t used_bytes;
    ProtobufCAllocator allocator; /* give &arena->allocator to protobuf-c */
};

void arena_init(struct arena *arena, void *base, size_t size_bytes);
void arena_reset(struct arena *arena);
