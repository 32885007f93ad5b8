/* SPDX-License-Identifier: Apache-2.0 */
/* token_bucket_test.c - rate limits on a clock of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include "token_bucket.h"
#include <cmocka.h>

#define MS 1000000ull

/* Takes `tokens` at a time as fast as it may until end_ns: how many were had. */
static uint64_t run(struct token_bucket *b, uint64_t tokens, uint64_t start_ns, uint64_t end_ns)
{
    uint64_t now = start_ns, had = 0;

    for (;;) {
        uint64_t wait = token_bucket_wait_ns(b, now);

        if (wait == 0) {
            token_bucket_take(b, tokens);
            had += tokens;
            continue;
        }
        if (wait > end_ns - now)
            return had;
        now += wait;
    }
}

static void no_limit(void **state)
{
    struct token_bucket b;

    (void)state;
    token_bucket_init(&b, 0, 0, 100, 5, NULL);
    token_bucket_take(&b, UINT64_MAX);
    assert_int_equal(token_bucket_wait_ns(&b, 5), 0);
    token_bucket_init(&b, 100, 0, 0, 5, NULL);
    token_bucket_take(&b, UINT64_MAX);
    assert_int_equal(token_bucket_wait_ns(&b, 5), 0);
}

static void the_rate_holds(void **state)
{
    static const struct {
        uint64_t size, burst, refill_ms, request, for_ms, want;
    } cases[] = {
        { 100, 0, 1000, 1, 10000, 1100 },  /* full at first, then 100 a second  */
        { 100, 50, 1000, 1, 10000, 1150 }, /* the burst once                    */
        { 1 << 20, 0, 1000, 4096, 10000, 11 << 20 },
        { 1, 0, 1000, 1, 10000, 11 },
        { 1, 0, 1, 1, 1000, 1001 },
        { 1000000007, 0, 3, 4096, 300, 101000000707 },
        { 3, 0, 1000, 1, 100000, 303 }, /* no whole nanoseconds per token    */
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct token_bucket b;
        uint64_t start = 77 * MS;
        uint64_t had;

        token_bucket_init(&b, cases[i].size, cases[i].burst, cases[i].refill_ms, start, NULL);
        had = run(&b, cases[i].request, start, start + cases[i].for_ms * MS);
        /* one request may be overdrawn, one token may be under way; nanoseconds are rounded */
        if (had > cases[i].want + cases[i].request ||
            had + cases[i].request + 1 + cases[i].want / 10000 < cases[i].want)
            fail_msg("case %u: %llu instead of %llu", i, (unsigned long long)had,
                     (unsigned long long)cases[i].want);
    }
}

static void a_request_larger_than_the_bucket_pays_later(void **state)
{
    struct token_bucket b;
    uint64_t wait;

    (void)state;
    token_bucket_init(&b, 10, 0, 1000, 0, NULL);
    assert_int_equal(token_bucket_wait_ns(&b, 0), 0);
    token_bucket_take(&b, 110);
    wait = token_bucket_wait_ns(&b, 0);
    assert_in_range(wait, 10000 * MS, 10200 * MS);
    assert_true(token_bucket_wait_ns(&b, wait - 2 * MS) > 0);
    assert_int_equal(token_bucket_wait_ns(&b, wait + MS), 0);
}

static void numbers_do_not_wrap(void **state)
{
    struct token_bucket b;

    (void)state;
    token_bucket_init(&b, UINT64_MAX, UINT64_MAX, UINT64_MAX, 0, NULL);
    for (unsigned i = 0; i < 100; i++)
        token_bucket_take(&b, UINT64_MAX);
    assert_true(token_bucket_wait_ns(&b, 1) > 0);
    (void)token_bucket_wait_ns(&b, UINT64_MAX);
    token_bucket_init(&b, 10, 0, 10, 1000, NULL);
    token_bucket_take(&b, 10);
    assert_true(token_bucket_wait_ns(&b, 0) > 0); /* a clock that goes back fills nothing */
}

static void both_limits_count(void **state)
{
    Bulkhead__TokenBucket bytes = BULKHEAD__TOKEN_BUCKET__INIT, ops = BULKHEAD__TOKEN_BUCKET__INIT;
    Bulkhead__RateLimit m = BULKHEAD__RATE_LIMIT__INIT;
    struct rate_limit limit = { 0 };

    (void)state;
    bytes.size = 1000;
    bytes.refill_time_ms = 1000;
    ops.size = 2;
    ops.refill_time_ms = 1000;
    m.bandwidth = &bytes;
    m.ops = &ops;
    rate_limit_set(&limit, &m, 0);
    assert_true(rate_limit_active(&limit));
    assert_int_equal(rate_limit_take(&limit, 1, 0), 0);
    assert_int_equal(rate_limit_take(&limit, 1, 0), 0);
    assert_true(rate_limit_take(&limit, 1, 0) > 0); /* operations are used up */
    rate_limit_set(&limit, &m, 0);
    assert_int_equal(rate_limit_take(&limit, 1000, 0), 0);
    assert_true(rate_limit_take(&limit, 1, 0) > 0); /* bytes are */
    rate_limit_set(&limit, NULL, 0);
    assert_false(rate_limit_active(&limit));
    assert_int_equal(rate_limit_take(&limit, UINT64_MAX, 0), 0);
}

/* Two takers of one level have together what one would have, and either may be as greedy. */
static void a_group_shares_one_bucket(void **state)
{
    struct token_bucket_level level = { 0 };
    struct token_bucket a, b;
    uint64_t start = 5 * MS, had;

    (void)state;
    token_bucket_init(&a, 1000, 500, 1000, start, &level);
    token_bucket_init(&b, 1000, 500, 1000, start, &level);
    had = run(&a, 10, start, start);
    assert_in_range(had, 1500, 1510); /* the bucket and the burst, once for both */
    assert_int_equal(run(&b, 10, start, start), 0);
    for (unsigned ms = 0; ms < 10000; ms += 50) {
        had += run(&a, 10, start + ms * MS, start + ms * MS);
        had += run(&b, 10, start + ms * MS, start + ms * MS);
    }
    assert_in_range(had, 11400, 11510);
}

/* A neighbour that was taken over writes there what it likes: the group starves, for no longer
 * than until the limit is set again or a worker is replaced. */
static void a_hostile_neighbour_starves_its_group_alone(void **state)
{
    struct token_bucket_level level = { .empty_ns = UINT64_MAX, .burst_used = UINT64_MAX };
    struct token_bucket b, other;
    uint64_t wait;

    (void)state;
    token_bucket_init(&other, 10, 0, 1000, 0, NULL);
    token_bucket_init(&b, 10, 5, 1000, 0, &level);
    assert_int_equal(token_bucket_wait_ns(&b, 1000 * MS), 0); /* its debt was forgiven */
    level.empty_ns = UINT64_MAX;
    wait = token_bucket_wait_ns(&b, 1000 * MS);
    assert_in_range(wait, 1, 1000 * MS); /* it looks again soon */
    token_bucket_take(&b, 5);
    assert_int_equal(level.empty_ns, UINT64_MAX); /* nothing wraps to "free" */
    token_bucket_init(&b, 10, 5, 1000, 2000 * MS, &level);
    assert_int_equal(token_bucket_wait_ns(&b, 2100 * MS), 0);
    assert_int_equal(token_bucket_wait_ns(&other, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_limit),
        cmocka_unit_test(the_rate_holds),
        cmocka_unit_test(a_request_larger_than_the_bucket_pays_later),
        cmocka_unit_test(numbers_do_not_wrap),
        cmocka_unit_test(both_limits_count),
        cmocka_unit_test(a_group_shares_one_bucket),
        cmocka_unit_test(a_hostile_neighbour_starves_its_group_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
