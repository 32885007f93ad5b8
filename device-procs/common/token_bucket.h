/* SPDX-License-Identifier: Apache-2.0 */
/* token_bucket.h - rate limits of a device: bytes and operations, each a bucket of `size` tokens
 * that refills evenly over refill_time_ms, plus a burst that is granted once.
 *
 * A request is let through as long as the bucket isn't empty, and may leave it in debt by what it
 * costs: one that is larger than the bucket is not stuck for ever, and the mean rate holds. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "base/compiler.h"
#include "control.pb-c.h"

struct token_bucket {
    uint64_t size; /* 0: no limit */
    uint64_t refill_ns;
    uint64_t burst;    /* what is left of it */
    int64_t level;     /* < 0: debt */
    uint64_t last_ns;  /* refilled up to here */
};

/* A size or a refill time of 0 means no limit. Both are bounded so that no sum can wrap. */
void token_bucket_init(struct token_bucket *b, uint64_t size, uint64_t one_time_burst,
                       uint64_t refill_time_ms, uint64_t now_ns);
/* 0: go on; else nanoseconds after which to ask again. Takes nothing. */
uint64_t token_bucket_wait_ns(struct token_bucket *b, uint64_t now_ns);
void token_bucket_take(struct token_bucket *b, uint64_t tokens);

struct rate_limit {
    struct token_bucket bandwidth, ops;
};

/* m or a part of it may be NULL: no limit. */
void rate_limit_set(struct rate_limit *limit, const Bulkhead__RateLimit *m, uint64_t now_ns);
/* 0: one operation of so many bytes was taken; else how long to wait, and nothing was taken. */
uint64_t rate_limit_take(struct rate_limit *limit, uint64_t bytes, uint64_t now_ns);
bool rate_limit_active(const struct rate_limit *limit);
