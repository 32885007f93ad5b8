/* SPDX-License-Identifier: Apache-2.0 */
/* link_test.c - what the rules make of a tap that goes and comes again, and of a passt that dies. */
#include "script.h"

#define B(name) BULKHEAD__ENVELOPE__BODY_##name
enum { STATUS_OFFSET = 6, STATUS_LINK_UP = 1 };
#define SECOND UINT64_C(1000000000)

static struct script s;

static struct device *net(const char *mode)
{
    script_run_net(&s, mode);
    return script_device(&s, BULKHEAD__ROLE__ROLE_NET);
}

static void say_lost(struct device *d, bool returns)
{
    Bulkhead__LinkLost lost = BULKHEAD__LINK_LOST__INIT;
    ENVELOPE(e, LINK_LOST, link_lost, &lost);

    lost.returns = returns;
    script_say(&s, d->worker, &e);
}

static void say_found(struct device *d)
{
    Bulkhead__LinkFound found = BULKHEAD__LINK_FOUND__INIT;
    ENVELOPE(e, LINK_FOUND, link_found, &found);

    script_say(&s, d->worker, &e);
}

/* The last that the core was told of the link; -1: nothing. */
static int guest_was_told(struct device *d)
{
    Bulkhead__Envelope__BodyCase body;
    int up = -1;

    while ((body = script_heard(&s, s.vm.core, NULL)) != B(_NOT_SET))
        if (body == B(CONFIG_UPDATE))
            up = d->config[STATUS_OFFSET] & STATUS_LINK_UP;
    return up;
}

static void set_link(struct device *d, bool up)
{
    script_ask(&s, (struct command){ .kind = COMMAND_SET_LINK, .device = d->number, .up = up });
    assert_int_equal(script_replied(&s), 0);
}

static void lost_and_found(void **state)
{
    struct device *d = net("tap");

    (void)state;
    assert_int_equal(guest_was_told(d), -1);
    say_lost(d, true);
    assert_int_equal(guest_was_told(d), 0);
    assert_int_equal(d->tap_told, TAP_DOWN);
    script_ask_device(&s, COMMAND_REPAIR, d);
    assert_true(script_replied(&s) > 0); /* it comes up again by itself */
    say_found(d);
    assert_int_equal(guest_was_told(d), 1);
    say_lost(d, false);
    assert_int_equal(guest_was_told(d), 0);
    set_link(d, true); /* it is no better for it */
    assert_int_equal(guest_was_told(d), -1);
    script_end(&s);
}

/* How often the worker was told of the link, which has it look at the tap. */
static unsigned worker_was_told(const struct device *d)
{
    Bulkhead__Envelope__BodyCase body;
    unsigned n = 0;

    while ((body = script_heard(&s, d->worker, NULL)) != B(_NOT_SET))
        n += body == B(LINK_STATE);
    return n;
}

/* Its interface was made again: `repair` takes it. */
static void taken_again(void **state)
{
    struct device *d = net("tap");
    struct event attached = { .kind = EVENT_TAP_ATTACHED, .device = d->number };

    (void)state;
    say_lost(d, false);
    script_ask_device(&s, COMMAND_REPAIR, d);
    assert_int_equal(script_count(&s, ACTION_ATTACH_TAP), 1);
    assert_int_equal(script_replied(&s), -1);
    (void)worker_was_told(d);
    script_happen(&s, &attached);
    assert_int_equal(script_replied(&s), 0);
    assert_int_equal(worker_was_told(d), 1);
    assert_true(vm_worker(&s.vm, d)->link_up);
    script_ask_device(&s, COMMAND_REPAIR, d);
    fault_input(&attached.fault, "there is no interface");
    script_happen(&s, &attached);
    assert_true(script_replied(&s) > 0);
    script_end(&s);
}

/* A worker that was taken over may say so as often as it likes. */
static void events_are_a_second_apart(void **state)
{
    const struct event tick = { .kind = EVENT_TICK };
    struct device *d = net("tap");

    (void)state;
    say_lost(d, true);
    assert_true(script_noticed(&s, "link_lost"));
    for (unsigned i = 0; i < 100; i++) {
        say_found(d);
        assert_int_equal(d->tap_told, TAP_DOWN);
        say_lost(d, true);
        s.n_log = 0;
    }
    say_found(d);
    assert_int_equal(d->tap_told, TAP_DOWN);
    s.now = d->tap_told_ns + SECOND - 2000;
    script_happen(&s, &tick);
    assert_int_equal(d->tap_told, TAP_DOWN);
    s.now = d->tap_told_ns + SECOND;
    script_happen(&s, &tick);
    assert_int_equal(d->tap_told, TAP_WELL); /* and the last state is told in any case */
    script_end(&s);
}

/* What the one before found says nothing about the tap now. */
static void a_replacement_finds_out_for_itself(void **state)
{
    struct device *d = net("tap");

    (void)state;
    say_lost(d, false);
    assert_int_equal(guest_was_told(d), 0);
    script_exit(&s, d->worker, false);
    script_make_ready(&s, d->worker);
    assert_int_equal(guest_was_told(d), 1);
    say_lost(d, false);
    assert_int_equal(guest_was_told(d), 0);
    script_end(&s);
}

/* The candidate was configured before the interface went down, and before the user pulled the cable; it hears
 * of both when it takes over. */
static void an_upgrade_meanwhile(void **state)
{
    struct device *d = net("tap");
    uint32_t old, next;
    struct action a;

    (void)state;
    script_use(&s, d);
    old = d->worker;
    next = script_upgrade(&s, d);
    script_make_ready(&s, next);
    say_lost(d, true);
    set_link(d, false);
    script_answer(&s, old, B(QUIESCED));
    assert_int_equal(d->worker, next);
    assert_int_equal(script_heard(&s, next, &a), B(LINK_STATE));
    assert_false(a.flag);
    assert_int_equal(script_heard(&s, next, NULL), B(ACTIVATE));
    script_answer(&s, next, B(ACTIVATED));
    script_exit(&s, old, true);
    assert_int_equal(guest_was_told(d), 0);
    set_link(d, true);
    assert_int_equal(guest_was_told(d), 1); /* the new one has found nothing wrong */
    script_end(&s);
}

/* Of a macvtap only the host can tell. */
static void the_host_tells_of_a_macvtap(void **state)
{
    struct device *d = net("tap");
    struct event tap = { .kind = EVENT_TAP, .device = d->number, .tap = TAP_DOWN };

    (void)state;
    d->is_macvtap = true;
    script_happen(&s, &tap);
    assert_int_equal(guest_was_told(d), 0);
    say_found(d); /* it can't know */
    assert_int_equal(guest_was_told(d), -1);
    script_exit(&s, d->worker, false);
    script_make_ready(&s, d->worker);
    assert_false(vm_worker(&s.vm, d)->link_up); /* nor is a replacement told otherwise */
    tap.tap = TAP_WELL;
    script_happen(&s, &tap);
    assert_int_equal(guest_was_told(d), 1);
    tap.tap = TAP_GONE;
    script_happen(&s, &tap);
    assert_int_equal(guest_was_told(d), 0);
    tap.tap = TAP_WELL; /* that is another one */
    script_happen(&s, &tap);
    assert_int_equal(guest_was_told(d), -1);
    script_end(&s);
}

/* A worker that says so in a loop doesn't fill the core's socket. */
static void the_core_is_not_flooded(void **state)
{
    const struct event tick = { .kind = EVENT_TICK };
    struct device *d = net("tap");
    struct action a;
    unsigned told = 0, last = 0;

    (void)state;
    script_use(&s, d);
    s.n_log = 0;
    for (unsigned i = 0; i < 101; i++) {
        if (i % 2 == 0)
            say_lost(d, true);
        else
            say_found(d);
        while (script_heard(&s, s.vm.core, &a) == BULKHEAD__ENVELOPE__BODY_CONFIG_UPDATE)
            told++;
        s.n_log = 0;
    }
    assert_in_range(told, 1, 8);
    script_happen(&s, &tick);
    while (script_heard(&s, s.vm.core, &a) == BULKHEAD__ENVELOPE__BODY_CONFIG_UPDATE)
        last++;
    assert_int_equal(last, 1);
    assert_int_equal(d->config[6] & 1, 0);
    script_end(&s);
}

/* ---- passt ---- */

static void a_new_passt_gets_a_new_worker(void **state)
{
    struct device *d = net("user");
    uint32_t passt = d->passt, old = d->worker;

    (void)state;
    script_use(&s, d);
    script_exit(&s, passt, false);
    assert_true(script_noticed(&s, "passt_died"));
    assert_int_not_equal(d->passt, 0);
    assert_int_not_equal(d->passt, passt);
    assert_int_equal(script_heard(&s, old, NULL), B(STOP));
    script_exit(&s, old, true);
    assert_int_not_equal(d->worker, 0);
    script_make_ready(&s, d->worker);
    assert_int_equal(vm_worker(&s.vm, d)->stream, d->stream);
    assert_int_equal(script_heard(&s, d->worker, NULL), B(ACTIVATE));
    script_wait(&s, 1);
    assert_int_equal(d->stage, STAGE_SERVED);
    assert_int_equal(guest_was_told(d), -1); /* the guest keeps its link */
    script_end(&s);
}

static void a_passt_that_dies_too_often(void **state)
{
    struct device *d = net("user");

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        script_exit(&s, d->passt, false);
        if (d->passt == 0)
            break;
        script_exit(&s, d->worker, true);
        script_make_ready(&s, d->worker);
    }
    assert_int_equal(d->passt, 0);
    assert_true(script_noticed(&s, "passt_failed"));
    assert_int_equal(guest_was_told(d), 0);
    script_ask_device(&s, COMMAND_REPAIR, d);
    assert_int_equal(script_replied(&s), 0);
    assert_int_not_equal(d->passt, 0);
    assert_int_equal(guest_was_told(d), 1);
    script_end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lost_and_found),
        cmocka_unit_test(taken_again),
        cmocka_unit_test(events_are_a_second_apart),
        cmocka_unit_test(a_replacement_finds_out_for_itself),
        cmocka_unit_test(an_upgrade_meanwhile),
        cmocka_unit_test(the_host_tells_of_a_macvtap),
        cmocka_unit_test(the_core_is_not_flooded),
        cmocka_unit_test(a_new_passt_gets_a_new_worker),
        cmocka_unit_test(a_passt_that_dies_too_often),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
