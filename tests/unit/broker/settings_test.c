/* SPDX-License-Identifier: Apache-2.0 */
/* settings_test.c - a balloon's size that is set while another worker starts reaches that one too. Rate
 * limits go the same way. */
#include "script.h"

#define B(name) BULKHEAD__ENVELOPE__BODY_##name
enum { WISH_BYTES = 32 << 20 };

static struct script s;

static struct device *balloon(bool active)
{
    struct device *d;

    script_run(&s, 5);
    d = script_device(&s, BULKHEAD__ROLE__ROLE_BALLOON);
    if (active)
        script_use(&s, d);
    return d;
}

static void wish(void)
{
    script_ask(&s, (struct command){ .kind = COMMAND_SET_BALLOON, .size_bytes = WISH_BYTES });
    assert_int_equal(script_replied(&s), 0);
}

static void it_is_told_at_once_and_once(void **state)
{
    struct device *d = balloon(false);

    (void)state;
    wish();
    assert_int_equal(script_heard(&s, d->worker, NULL), B(BALLOON_TARGET));
    assert_int_equal(d->balloon_bytes, WISH_BYTES);
    script_wait(&s, 1);
    assert_int_equal(script_heard(&s, d->worker, NULL), B(_NOT_SET));
    script_end(&s);
}

/* The candidate of an upgrade was configured before. */
static void it_is_told_who_takes_over(void **state)
{
    struct device *d = balloon(true);
    uint32_t old = d->worker, next = script_upgrade(&s, d);

    (void)state;
    script_make_ready(&s, next);
    assert_int_equal(script_heard(&s, old, NULL), B(QUIESCE));
    wish();
    assert_int_equal(script_heard(&s, old, NULL), B(BALLOON_TARGET)); /* it may have to run on */
    script_answer(&s, old, B(QUIESCED));
    assert_int_equal(d->worker, next);
    assert_int_equal(script_heard(&s, next, NULL), B(BALLOON_TARGET));
    assert_int_equal(script_heard(&s, next, NULL), B(ACTIVATE));
    script_end(&s);
}

/* One that replaces a dead one is configured, but can't be told yet. */
static void it_is_told_who_just_starts(void **state)
{
    struct device *d = balloon(false);

    (void)state;
    script_exit(&s, d->worker, false);
    script_spawned(&s, d->worker);
    script_hello(&s, d->worker);
    assert_int_equal(script_heard(&s, d->worker, NULL), B(CONFIGURE));
    wish();
    assert_int_equal(script_heard(&s, d->worker, NULL), B(_NOT_SET));
    script_ready(&s, d->worker);
    assert_int_equal(script_heard(&s, d->worker, NULL), B(BALLOON_TARGET));
    script_end(&s);
}

static void what_does_not_fit_is_refused(void **state)
{
    struct device *d = balloon(false);

    (void)state;
    script_ask(&s, (struct command){ .kind = COMMAND_SET_BALLOON, .size_bytes = 4097 });
    assert_true(script_replied(&s) > 0);
    script_ask(&s, (struct command){ .kind = COMMAND_SET_BALLOON, .size_bytes = 1ull << 40 });
    assert_true(script_replied(&s) > 0);
    assert_int_equal(script_heard(&s, d->worker, NULL), B(_NOT_SET));
    script_end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_told_at_once_and_once),
        cmocka_unit_test(it_is_told_who_takes_over),
        cmocka_unit_test(it_is_told_who_just_starts),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
