/* SPDX-License-Identifier: Apache-2.0 */
/* token_bucket.c - see token_bucket.h. */
#include "token_bucket.h"

#define MAX_TOKENS (1ull << 60)
#define MAX_REFILL_MS (1ull << 40)
#define MAX_EMPTY_NS (1ull << 63) /* debts end here: no sum wraps */
/* A neighbour may free a shared bucket at any time: asked again this often. */
#define MAX_SHARED_WAIT_NS 100000000ull

static struct token_bucket_level *level_of(struct token_bucket *b)
{
    return b->shared ? b->shared : &b->own;
}

/* What so many tokens cost in time. */
static uint64_t cost_ns(struct token_bucket *b, uint64_t tokens)
{
    unsigned __int128 v = (unsigned __int128)tokens * b->refill_ns + b->rest;
    unsigned __int128 ns = v / b->size;

    b->rest = (uint64_t)(v % b->size);
    return ns > MAX_EMPTY_NS / 4 ? MAX_EMPTY_NS / 4 : (uint64_t)ns;
}

void token_bucket_init(struct token_bucket *b, uint64_t size, uint64_t one_time_burst,
                       uint64_t refill_time_ms, uint64_t now_ns, struct token_bucket_level *shared)
{
    uint64_t now = now_ns + TOKEN_BUCKET_BIAS_NS;

    *b = (struct token_bucket){ .shared = shared };
    if (size == 0 || refill_time_ms == 0)
        return;
    b->size = MIN(size, MAX_TOKENS);
    b->burst = MIN(one_time_burst, MAX_TOKENS);
    b->refill_ns = MIN(refill_time_ms, MAX_REFILL_MS) * 1000000;
    b->one_ns = (b->refill_ns + b->size - 1) / b->size;
    b->own.empty_ns = now - b->refill_ns;
    if (shared && __atomic_load_n(&shared->empty_ns, __ATOMIC_RELAXED) > now)
        __atomic_store_n(&shared->empty_ns, now, __ATOMIC_RELAXED);
}

/* More than the bucket holds is spilled. Returns the time at which it is empty. */
static uint64_t spill(struct token_bucket *b, uint64_t now)
{
    struct token_bucket_level *level = level_of(b);
    uint64_t empty = __atomic_load_n(&level->empty_ns, __ATOMIC_RELAXED);

    if (empty >= now - b->refill_ns)
        return empty;
    /* Who loses against a neighbour reads what that one has taken. */
    if (__atomic_compare_exchange_n(&level->empty_ns, &empty, now - b->refill_ns, false,
                                    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        return now - b->refill_ns;
    return empty;
}

uint64_t token_bucket_wait_ns(struct token_bucket *b, uint64_t now_ns)
{
    uint64_t now = now_ns + TOKEN_BUCKET_BIAS_NS;
    uint64_t empty, wait;

    if (b->size == 0 || __atomic_load_n(&level_of(b)->burst_used, __ATOMIC_RELAXED) < b->burst)
        return 0;
    empty = spill(b, now);
    if (empty <= now && now - empty >= b->one_ns)
        return 0;
    wait = empty > now ? empty - now + b->one_ns : b->one_ns - (now - empty);
    return b->shared ? MIN(wait, MAX_SHARED_WAIT_NS) : wait;
}

/* How many of the tokens the burst pays for. */
static uint64_t take_burst(struct token_bucket *b, uint64_t tokens)
{
    uint64_t *used = &level_of(b)->burst_used;
    uint64_t before;

    if (__atomic_load_n(used, __ATOMIC_RELAXED) >= b->burst)
        return 0;
    before = __atomic_fetch_add(used, tokens, __ATOMIC_RELAXED);
    return before < b->burst ? MIN(tokens, b->burst - before) : 0;
}

void token_bucket_take(struct token_bucket *b, uint64_t tokens)
{
    uint64_t *empty = &level_of(b)->empty_ns;

    if (b->size == 0)
        return;
    tokens = MIN(tokens, MAX_TOKENS);
    tokens -= take_burst(b, tokens);
    if (tokens > 0 && __atomic_load_n(empty, __ATOMIC_RELAXED) < MAX_EMPTY_NS)
        __atomic_fetch_add(empty, cost_ns(b, tokens), __ATOMIC_RELAXED);
}

static void set_bucket(struct token_bucket *b, const Bulkhead__TokenBucket *m, uint64_t now_ns,
                       struct token_bucket_level *shared)
{
    if (m)
        token_bucket_init(b, m->size, m->one_time_burst, m->refill_time_ms, now_ns, shared);
    else
        *b = (struct token_bucket){ 0 };
}

void rate_limit_set(struct rate_limit *limit, const Bulkhead__RateLimit *m, uint64_t now_ns)
{
    struct rate_limit_group *group = limit->group;

    set_bucket(&limit->bandwidth, m ? m->bandwidth : NULL, now_ns,
               group ? &group->bandwidth : NULL);
    set_bucket(&limit->ops, m ? m->ops : NULL, now_ns, group ? &group->ops : NULL);
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
