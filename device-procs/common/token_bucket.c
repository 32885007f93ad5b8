/* SPDX-License-Identifier: Apache-2.0 */
/* token_bucket.c - see token_bucket.h. */
#include "token_bucket.h"

#define MAX_TOKENS (1ull << 60)
#define MAX_REFILL_MS (1ull << 40)

void token_bucket_init(struct token_bucket *b, uint64_t size, uint64_t one_time_burst,
                       uint64_t refill_time_ms, uint64_t now_ns)
{
    *b = (struct token_bucket){ 0 };
    if (size == 0 || refill_time_ms == 0)
        return;
    b->size = MIN(size, MAX_TOKENS);
    b->burst = MIN(one_time_burst, MAX_TOKENS);
    b->refill_ns = MIN(refill_time_ms, MAX_REFILL_MS) * 1000000;
    b->level = (int64_t)b->size;
    b->last_ns = now_ns;
}

static uint64_t mul_div(uint64_t a, uint64_t b, uint64_t c)
{
    unsigned __int128 v = (unsigned __int128)a * b / c;

    return v > MAX_TOKENS ? MAX_TOKENS : (uint64_t)v;
}

static void refill(struct token_bucket *b, uint64_t now_ns)
{
    uint64_t elapsed = now_ns > b->last_ns ? now_ns - b->last_ns : 0;
    uint64_t tokens = mul_div(elapsed, b->size, b->refill_ns);

    if (tokens == 0)
        return;
    if (b->level + (int64_t)tokens >= (int64_t)b->size) {
        b->level = (int64_t)b->size;
        b->last_ns = now_ns;
        return;
    }
    b->level += (int64_t)tokens;
    /* Only the time that made whole tokens is used up, rounded up: never more than the rate. */
    b->last_ns += (uint64_t)(((unsigned __int128)tokens * b->refill_ns + b->size - 1) / b->size);
}

uint64_t token_bucket_wait_ns(struct token_bucket *b, uint64_t now_ns)
{
    uint64_t missing;

    if (b->size == 0 || b->burst > 0)
        return 0;
    refill(b, now_ns);
    if (b->level > 0)
        return 0;
    missing = (uint64_t)(1 - b->level);
    return mul_div(missing, b->refill_ns, b->size) + 1;
}

void token_bucket_take(struct token_bucket *b, uint64_t tokens)
{
    uint64_t from_burst;

    if (b->size == 0)
        return;
    tokens = MIN(tokens, MAX_TOKENS);
    from_burst = MIN(tokens, b->burst);
    b->burst -= from_burst;
    b->level -= (int64_t)(tokens - from_burst);
    if (b->level < -(int64_t)MAX_TOKENS)
        b->level = -(int64_t)MAX_TOKENS;
}

static void set_bucket(struct token_bucket *b, const Bulkhead__TokenBucket *m, uint64_t now_ns)
{
    if (m)
        token_bucket_init(b, m->size, m->one_time_burst, m->refill_time_ms, now_ns);
    else
        *b = (struct token_bucket){ 0 };
}

void rate_limit_set(struct rate_limit *limit, const Bulkhead__RateLimit *m, uint64_t now_ns)
{
    set_bucket(&limit->bandwidth, m ? m->bandwidth : NULL, now_ns);
    set_bucket(&limit->ops, m ? m->ops : NULL, now_ns);
}

uint64_t rate_limit_take(struct rate_limit *limit, uint64_t bytes, uint64_t now_ns)
{
    uint64_t wait = token_bucket_wait_ns(&limit->bandwidth, now_ns);
    uint64_t wait_ops = token_bucket_wait_ns(&limit->ops, now_ns);

    wait = MAX(wait, wait_ops);
    if (wait > 0)
        return wait;
    token_bucket_take(&limit->bandwidth, bytes);
    token_bucket_take(&limit->ops, 1);
    return 0;
}

bool rate_limit_active(const struct rate_limit *limit)
{
    return limit->bandwidth.size != 0 || limit->ops.size != 0;
}
