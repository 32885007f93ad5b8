/* SPDX-License-Identifier: Apache-2.0 */
/* token_bucket.h - rate limits of a device: bytes and operations, each a bucket of `size` tokens
 * that refills evenly over refill_time_ms, plus a burst that is granted once.
 *
 * A request is let through as long as the bucket isn't empty, and may leave it in debt by what it
 * costs: one that is larger than the bucket is not stuck for ever, and the mean rate holds.
 *
 * How full a bucket is follows from one number, the time at which it was or will be empty: tokens
 * that are taken move it forward. Disks of one group share that number in memory that each of their
 * workers maps; size and refill time are each worker's own. A worker that was taken over can
 * ignore its limit (as it could alone) or starve its group, and nothing else. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "base/compiler.h"
#include "control.pb-c.h"

/* All zero: full, no burst used. Accessed atomically; any content is harmless. */
struct token_bucket_level {
    uint64_t empty_ns;   /* CLOCK_MONOTONIC + TOKEN_BUCKET_BIAS_NS */
    uint64_t burst_used; /* tokens; may overshoot the burst */
};
#define TOKEN_BUCKET_BIAS_NS (1ull << 62)

struct token_bucket {
    uint64_t size; /* 0: no limit */
    uint64_t refill_ns;
    uint64_t one_ns; /* what one token costs, rounded up */
    uint64_t rest;   /* of what was taken, tokens * refill_ns: what made no whole nanosecond yet */
    uint64_t burst;
    struct token_bucket_level own, *shared; /* shared: NULL, or used in place of own */
};

/* A size or a refill time of 0 means no limit. Both are bounded so that no sum can wrap. A shared
 * level loses its debt, which a slower limit may have left; a bucket of its own starts full. */
void token_bucket_init(struct token_bucket *b, uint64_t size, uint64_t one_time_burst,
                       uint64_t refill_time_ms, uint64_t now_ns, struct token_bucket_level *shared);
/* 0: go on; else nanoseconds after which to ask again. Takes nothing. */
uint64_t token_bucket_wait_ns(struct token_bucket *b, uint64_t now_ns);
void token_bucket_take(struct token_bucket *b, uint64_t tokens);

/* What the workers of a group map, at the start of a page. */
struct rate_limit_group {
    struct token_bucket_level bandwidth, ops;
};

struct rate_limit {
    struct token_bucket bandwidth, ops;
    struct rate_limit_group *group; /* NULL: this device alone; set before the first limit */
};

/* m or a part of it may be NULL: no limit. */
void rate_limit_set(struct rate_limit *limit, const Bulkhead__RateLimit *m, uint64_t now_ns);
/* 0: one operation of so many bytes was taken; else how long to wait, and nothing was taken. */
uint64_t rate_limit_take(struct rate_limit *limit, uint64_t bytes, uint64_t now_ns);
bool rate_limit_active(const struct rate_limit *limit);
