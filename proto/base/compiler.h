/* SPDX-License-Identifier: Apache-2.0 */
/* compiler.h - attributes and small value helpers used everywhere. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define cleanup_(fn) __attribute__((cleanup(fn)))
#define must_check __attribute__((warn_unused_result))
#define printf_like(fmt, args) __attribute__((format(printf, fmt, args)))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#define PAGE_BYTES 4096u

/* Rounds v up to a multiple of align, which is a power of two; v + align must not wrap. */
static inline uint64_t align_up(uint64_t v, uint64_t align)
{
    return (v + align - 1) & ~(align - 1);
}

static inline int is_power_of_two(uint64_t v)
{
    return v != 0 && (v & (v - 1)) == 0;
}
