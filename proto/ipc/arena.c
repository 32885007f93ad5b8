/* SPDX-License-Identifier: Apache-2.0 */
/* arena.c - see arena.h. */
#include "ipc/arena.h"

#include <stdalign.h>

static void *arena_alloc(void *data, size_t size)
{
    struct arena *arena = data;
    size_t align = alignof(max_align_t);
    size_t at = (arena->used_bytes + align - 1) & ~(align - 1);

    if (at > arena->size_bytes || size > arena->size_bytes - at)
        return NULL;
    arena->used_bytes = at + size;
    return arena->base + at;
}

static void arena_free(void *data, void *p)
{
    (void)data;
    (void)p; /* the whole arena is reset at once */
}

void arena_init(struct arena *arena, void *base, size_t size_bytes)
{
    *arena = (struct arena){
        .base = base,
        .size_bytes = size_bytes,
        .allocator = { .alloc = arena_alloc, .free = arena_free, .allocator_data = arena },
    };
}

void arena_reset(struct arena *arena)
{
    arena->used_bytes = 0;
}
