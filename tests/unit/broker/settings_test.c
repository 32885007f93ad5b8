/* SPDX-License-Identifier: Apache-2.0 */
/* settings_test.c - a balloon's size that is set while another worker starts reaches that one too.
 * Rate limits go the same way. */
#include "rig.h"

#define B(name) BULKHEAD__ENVELOPE__BODY_##name
enum { NOBODY = 99, WISH_BYTES = 32 << 20 };

static struct rig rig;

static struct device *balloon(bool active)
{
    struct device *d;
    Bulkhead__Activate a = BULKHEAD__ACTIVATE__INIT;
    Bulkhead__QueueState state = BULKHEAD__QUEUE_STATE__INIT, *queues[] = { &state };
    ENVELOPE(e, ACTIVATE, activate, &a);

    rig_run(&rig, 5);
    d = rig_device(&rig, BULKHEAD__ROLE__ROLE_BALLOON);
    a.slot = d->plan->pci_slot;
    state.size = 64;
    a.queues = queues;
    a.n_queues = 1;
    if (active) {
        rig_say(&rig, rig.vm.core, &e);
        assert_int_equal(rig_heard(&rig, d->worker, NULL), B(ACTIVATE));
        rig_say_bare(&rig, d->worker, B(ACTIVATED));
    }
    return d;
}

static void wish(struct device *d)
{
    d->balloon_bytes = WISH_BYTES;
    settings_changed(d);
}

static void hears_wish(struct child *child)
{
    struct message msg;

    assert_int_equal(rig_heard(&rig, child, &msg), B(BALLOON_TARGET));
    assert_int_equal(msg.envelope->balloon_target->size, WISH_BYTES);
}

static void it_is_told_at_once_and_once(void **state)
{
    struct device *d = balloon(false);

    (void)state;
    wish(d);
    hears_wish(d->worker);
    settings_tell(d);
    assert_int_equal(rig_heard(&rig, d->worker, NULL), B(_NOT_SET));
    rig_end(&rig);
}

/* The candidate of an upgrade was configured before. */
static void it_is_told_who_takes_over(void **state)
{
    struct device *d = balloon(true);
    struct child *old = d->worker, *next;
    struct fault f;

    (void)state;
    assert_int_equal(upgrade_begin(d, "/bin/true", NOBODY, 0, &f), 0);
    rig_spawn(&rig);
    next = d->next;
    rig_make_ready(&rig, next);
    assert_int_equal(rig_heard(&rig, old, NULL), B(QUIESCE));
    wish(d);
    hears_wish(old); /* it may have to run on */
    rig_say_bare(&rig, old, B(QUIESCED));
    assert_ptr_equal(d->worker, next);
    hears_wish(next);
    assert_int_equal(rig_heard(&rig, next, NULL), B(ACTIVATE));
    rig_end(&rig);
}

/* One that replaces a dead one is configured, but can't be told yet. */
static void it_is_told_who_just_starts(void **state)
{
    struct device *d = balloon(false);

    (void)state;
    rig_exit(&rig, d->worker);
    rig_spawn(&rig);
    rig_configure(&rig, d->worker);
    wish(d);
    assert_int_equal(rig_heard(&rig, d->worker, NULL), B(_NOT_SET));
    rig_say_ready(&rig, d->worker);
    hears_wish(d->worker);
    rig_end(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_told_at_once_and_once),
        cmocka_unit_test(it_is_told_who_takes_over),
        cmocka_unit_test(it_is_told_who_just_starts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
