/* SPDX-License-Identifier: Apache-2.0 */
/* orders_test.c - orders of events that are rare: an old worker that fails while a new build waits, a guest
 * that reboots in the midst of something, a process that does not die. */
#include "script.h"

#include "config/config.h"
#include "vm/boot.h"

#define B(name) BULKHEAD__ENVELOPE__BODY_##name

enum { ENOUGH_DEATHS = 5, DIE_MS = 10000, LEAVE_MS = 1000, A_SECOND_NS = 1000000000 };

static struct script s;

static struct device *running(Bulkhead__Role role)
{
    struct device *d = script_device(&s, role);

    script_use(&s, d);
    return d;
}

static struct device *running_rng(void)
{
    script_run(&s, ENOUGH_DEATHS);
    return running(BULKHEAD__ROLE__ROLE_RNG);
}

static void fails(uint32_t child)
{
    Bulkhead__Failed failed = BULKHEAD__FAILED__INIT;
    ENVELOPE(e, FAILED, failed, &failed);
    char what[] = "the host's memory is gone";

    failed.what = what;
    script_say(&s, child, &e);
}

/* The guest reboots, and all but `stays` leave. */
static void reboot(uint32_t stays)
{
    script_state(&s, BULKHEAD__GUEST_STATE_KIND__GUEST_REBOOT);
    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
        if (s.vm.children[i].id != 0 && s.vm.children[i].id != s.vm.core &&
            s.vm.children[i].id != stays)
            script_exit(&s, s.vm.children[i].id, true);
    if (stays == 0)
        script_exit(&s, s.vm.core, true);
}

/* What it had in flight is not over: nobody else may be on its rings before it has ended. */
static void is_not_replaced_before_its_end(struct device *d, uint32_t old, uint32_t next)
{
    assert_int_equal(script_heard(&s, next, NULL), B(_NOT_SET));
    assert_int_equal(d->worker, old);
    script_exit(&s, old, false);
    assert_true(script_replied(&s) > 0);
    assert_true(script_killed(&s, next));
    script_make_ready(&s, d->worker);
    assert_int_equal(script_heard(&s, d->worker, NULL), B(ACTIVATE));
    script_end(&s);
}

static void an_old_worker_that_fails_while_it_drains(void **state)
{
    struct device *d = running_rng();
    uint32_t old = d->worker, next = script_upgrade(&s, d);

    (void)state;
    script_make_ready(&s, next);
    assert_int_equal(script_heard(&s, old, NULL), B(QUIESCE));
    fails(old);
    is_not_replaced_before_its_end(d, old, next);
}

static void an_old_worker_that_fails_before(void **state)
{
    struct device *d = running_rng();
    uint32_t old = d->worker, next = script_upgrade(&s, d);

    (void)state;
    fails(old);
    script_make_ready(&s, next);
    is_not_replaced_before_its_end(d, old, next);
}

/* ---- of a kind that is exclusive ---- */

static struct device *running_vsock(void)
{
    script_run_vsock(&s);
    return running(BULKHEAD__ROLE__ROLE_VSOCK);
}

static void a_candidate_of_another_release(void **state)
{
    struct device *d = running_vsock();
    uint32_t old = d->worker, next = script_upgrade(&s, d);
    Bulkhead__Hello hello = BULKHEAD__HELLO__INIT;
    ENVELOPE(e, HELLO, hello, &hello);

    (void)state;
    hello.protocol_min = hello.protocol_max = PROTOCOL_MAX + 1;
    hello.role = d->plan->role;
    script_spawned(&s, next);
    script_say(&s, next, &e);
    assert_true(script_killed(&s, next));
    assert_int_equal(script_heard(&s, old, NULL), B(_NOT_SET)); /* it need not make way */
    script_exit(&s, next, false);
    assert_true(script_replied(&s) > 0);
    assert_int_equal(d->worker, old);
    assert_int_equal(d->stage, STAGE_SERVED);
    script_end(&s);
}

/* The time for which it waited is not held against the new build. */
static void an_old_one_that_is_long_in_dying(void **state)
{
    struct device *d = running_vsock();
    uint32_t old = d->worker, next = script_upgrade(&s, d);

    (void)state;
    script_spawned(&s, next);
    script_hello(&s, next);
    script_wait(&s, LEAVE_MS);
    assert_true(script_killed(&s, old));
    script_wait(&s, CHILD_READY_MS + 1000);
    script_exit(&s, old, false);
    assert_int_equal(script_heard(&s, next, NULL), B(CONFIGURE));
    assert_false(script_killed(&s, next));
    script_ready(&s, next);
    script_answer(&s, next, B(ACTIVATED));
    assert_int_equal(script_replied(&s), 0);
    script_end(&s);
}

/* ---- reboots ---- */

static void one_during_an_upgrade_of_all(void **state)
{
    struct event opened = { .kind = EVENT_PROGRAM_OPENED };
    struct device *d;

    (void)state;
    script_run(&s, ENOUGH_DEATHS);
    script_ask(&s, (struct command){ .kind = COMMAND_UPGRADE_ALL });
    d = &s.vm.devices[opened.device];
    script_happen(&s, &opened);
    reboot(0);
    assert_true(script_replied(&s) > 0);
    script_boot(&s);
    script_make_ready(&s, script_upgrade(&s, d));
    assert_int_equal(script_replied(&s), 0);
    assert_int_equal(s.vm.devices[1].stage, STAGE_SERVED); /* nobody asks for that any more */
    script_end(&s);
}

/* It may still write to the disk, and has the uid of the one that would serve it. */
static void one_with_a_worker_that_does_not_die(void **state)
{
    struct device *d = running_rng();
    uint32_t old = d->worker;

    (void)state;
    reboot(old);
    script_wait(&s, LEAVE_MS);
    assert_true(script_killed(&s, old));
    script_wait(&s, DIE_MS);
    if (s.vm.core != 0)
        script_exit(&s, s.vm.core, true);
    assert_int_equal(s.vm.phase, VM_GONE);
    assert_int_equal(s.vm.end.by, END_BY_HOST);
    assert_int_equal(script_count(&s, ACTION_ENDED), 1);
    script_end(&s);
}

/* What the user is to do about it is not to correct hostfwd=. */
static void a_passt_that_is_not_there(void **state)
{
    const struct event made = { .kind = EVENT_BOOT_MADE };
    struct event failed = { .kind = EVENT_START_FAILED, .fault = { .bad_input = true } };
    const char *text = "user networking needs passt: apt-get install passt";

    (void)state;
    script_run_net(&s, "user");
    reboot(0);
    script_happen(&s, &made);
    failed.child = script_device(&s, BULKHEAD__ROLE__ROLE_NET)->passt;
    snprintf(failed.fault.text, sizeof failed.fault.text, "%s", text);
    script_happen(&s, &failed);
    assert_int_equal(s.vm.phase, VM_ENDING);
    assert_non_null(strstr(s.vm.end.detail, text));
    assert_null(strstr(s.vm.end.detail, "hostfwd"));
    assert_true(s.vm.end.fault.bad_input);
    script_end(&s);
}

/* ---- a start that takes too long ---- */

/* All but `late` (NULL: nobody) and the loader are ready. */
static void starts_without(const struct device *late)
{
    const struct event made = { .kind = EVENT_BOOT_MADE };

    reboot(0);
    script_happen(&s, &made);
    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++) {
        const struct child *c = &s.vm.children[i];

        if (c->id != 0 && c->id != s.vm.loader && c->role != BULKHEAD__ROLE__ROLE_PASST &&
            (!late || c->id != late->worker))
            script_make_ready(&s, c->id);
    }
}

/* The reason names who is missing, and nobody else. */
static void is_told_of(const char *names)
{
    char text[200];

    snprintf(text, sizeof text, "the start took over %d s; still not ready: %s", BOOT_MS / 1000,
             names);
    script_wait(&s, BOOT_MS - 1000);
    assert_int_equal(s.vm.phase, VM_STARTING);
    script_wait(&s, 1000);
    assert_int_equal(s.vm.phase, VM_ENDING);
    assert_string_equal(s.vm.end.fault.text, text);
    assert_false(s.vm.end.fault.bad_input);
    script_end(&s);
}

static void a_worker_that_is_late(void **state)
{
    struct device *d;

    (void)state;
    script_run(&s, ENOUGH_DEATHS);
    d = script_device(&s, BULKHEAD__ROLE__ROLE_RNG);
    starts_without(d);
    script_load(&s);
    is_told_of(d->plan->name);
}

/* It reads a kernel from a server that doesn't answer. */
static void a_loader_that_is_late(void **state)
{
    (void)state;
    script_run(&s, ENOUGH_DEATHS);
    starts_without(NULL);
    script_make_ready(&s, s.vm.loader);
    is_told_of("loader");
}

/* A host that is busy gives it time to leave; one that stays has the guest's memory, and the start fails. */
static void a_loader_that_stays(void **state)
{
    struct device *d;
    uint32_t loader;

    (void)state;
    for (int leaves = 0; leaves < 2; leaves++) {
        script_run(&s, ENOUGH_DEATHS);
        d = script_device(&s, BULKHEAD__ROLE__ROLE_RNG);
        starts_without(d);
        loader = s.vm.loader;
        script_loaded(&s);
        script_wait(&s, CHILD_LOADED_LEAVE_MS - 1000);
        assert_false(script_killed(&s, loader));
        if (leaves) {
            script_exit(&s, loader, true);
            assert_int_equal(s.vm.phase, VM_STARTING);
        } else {
            script_wait(&s, 1000);
            assert_true(script_killed(&s, loader));
            script_exit(&s, loader, false);
            assert_int_equal(s.vm.phase, VM_ENDING);
        }
        script_end(&s);
    }
}

/* passt never says that it is ready: what counts is whether its ports are open. */
static void a_worker_that_is_late_and_a_passt_that_is_not(void **state)
{
    struct event settled = { .kind = EVENT_PASST_SETTLED };
    struct device *d;

    (void)state;
    script_run_net(&s, "user");
    d = script_device(&s, BULKHEAD__ROLE__ROLE_RNG);
    starts_without(d);
    script_load(&s);
    settled.device = script_device(&s, BULKHEAD__ROLE__ROLE_NET)->number;
    script_happen(&s, &settled);
    is_told_of(d->plan->name);
}

static void a_passt_that_is_late(void **state)
{
    (void)state;
    script_run_net(&s, "user");
    starts_without(NULL);
    script_load(&s);
    is_told_of("net0-passt");
}

/* One that left without a word, as those do who see the core go; but the core is there. */
static void a_worker_that_left(void **state)
{
    struct device *d;

    (void)state;
    script_run(&s, ENOUGH_DEATHS);
    d = script_device(&s, BULKHEAD__ROLE__ROLE_RNG);
    starts_without(d);
    script_load(&s);
    script_exit(&s, d->worker, true);
    is_told_of(d->plan->name);
}

/* ---- disks ---- */

static void spawned_with_ring(uint32_t child)
{
    const struct event e = {
        .kind = EVENT_STARTED, .child = child, .pid = 1000 + (int)child, .has_ring = true
    };

    script_happen(&s, &e);
}

static void start_again(struct device *d)
{
    uint32_t w = d->worker;

    spawned_with_ring(w);
    script_hello(&s, w);
    script_ready(&s, w);
}

/* A candidate knows nothing of a dead one's ring. */
static void no_upgrade_before_the_ring_is_still(void **state)
{
    Bulkhead__RingDrained drained = BULKHEAD__RING_DRAINED__INIT;
    ENVELOPE(e, RING_DRAINED, ring_drained, &drained);
    struct device *d;

    (void)state;
    script_run_disk(&s);
    d = script_device(&s, BULKHEAD__ROLE__ROLE_BLK);
    script_exit(&s, d->worker, false);
    start_again(d);
    script_exit(&s, d->worker, false); /* this one has a ring */
    start_again(d);
    assert_int_not_equal(vm_worker(&s.vm, d)->old_ring, 0);
    script_ask_device(&s, COMMAND_UPGRADE, d);
    assert_true(script_replied(&s) > 0);
    script_say(&s, d->worker, &e);
    assert_int_equal(script_count(&s, ACTION_DROP_RING), 1);
    script_make_ready(&s, script_upgrade(&s, d));
    assert_int_equal(script_replied(&s), 0);
    script_end(&s);
}

/* The one that fails every request was to be replaced, and was never there. */
static void a_repair_by_hand_without_room(void **state)
{
    struct event no_room = { .kind = EVENT_START_FAILED };
    struct device *d;

    (void)state;
    script_run_disk(&s);
    d = script_device(&s, BULKHEAD__ROLE__ROLE_BLK);
    for (unsigned i = 0; i < ENOUGH_DEATHS; i++) {
        assert_false(d->failed);
        script_exit(&s, d->worker, false);
    }
    assert_true(d->failed);
    no_room.child = d->worker;
    script_ask_device(&s, COMMAND_REPAIR, d);
    script_happen(&s, &no_room);
    assert_true(script_wait_deadline(&s));
    script_make_ready(&s, d->worker);
    assert_false(d->failed);
    assert_int_equal(script_replied(&s), 0);
    script_end(&s);
}

/* ---- time ---- */

/* What it has said meanwhile is not read yet. */
static void a_broker_that_was_not_run_itself(void **state)
{
    struct event tick = { .kind = EVENT_TICK };
    struct device *d, *other;

    (void)state;
    script_run(&s, ENOUGH_DEATHS);
    d = script_device(&s, BULKHEAD__ROLE__ROLE_RNG);
    other = script_device(&s, BULKHEAD__ROLE__ROLE_BALLOON);
    script_use(&s, other);
    script_activate(&s, d);
    script_reset(&s, other);
    s.now += UINT64_C(50) * A_SECOND_NS;
    tick.lost_ns = UINT64_C(50) * A_SECOND_NS;
    script_answer(&s, other->worker, B(RESET_DONE)); /* is read first */
    script_happen(&s, &tick);
    script_wait(&s, 100);
    assert_false(script_killed(&s, d->worker));
    script_wait(&s, 5000);
    assert_true(script_killed(&s, d->worker));
    script_end(&s);
}

/* ---- what is told ---- */

static void a_long_reason_is_told_whole(void **state)
{
    struct device *d = running_rng();
    struct event e = { .kind = EVENT_EXITED, .child = d->worker };
    const char *text = "killed by signal 7 (Bus error): it touched memory that the host can't "
                       "supply or has lost, which is a long story";
    bool whole = false;

    (void)state;
    snprintf(e.fault.text, sizeof e.fault.text, "%s", text);
    script_happen(&s, &e);
    for (unsigned i = 0; i < s.n_log; i++)
        if (s.log[i].kind == ACTION_NOTICE && strcmp(s.log[i].name, "died") == 0)
            whole = strstr(s.log[i].text + strlen(d->plan->name) + 1, text) != NULL;
    assert_true(whole);
    script_end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_old_worker_that_fails_while_it_drains),
        cmocka_unit_test(an_old_worker_that_fails_before),
        cmocka_unit_test(a_candidate_of_another_release),
        cmocka_unit_test(an_old_one_that_is_long_in_dying),
        cmocka_unit_test(one_during_an_upgrade_of_all),
        cmocka_unit_test(one_with_a_worker_that_does_not_die),
        cmocka_unit_test(a_passt_that_is_not_there),
        cmocka_unit_test(a_worker_that_is_late),
        cmocka_unit_test(a_loader_that_is_late),
        cmocka_unit_test(a_loader_that_stays),
        cmocka_unit_test(a_worker_that_is_late_and_a_passt_that_is_not),
        cmocka_unit_test(a_passt_that_is_late),
        cmocka_unit_test(a_worker_that_left),
        cmocka_unit_test(no_upgrade_before_the_ring_is_still),
        cmocka_unit_test(a_repair_by_hand_without_room),
        cmocka_unit_test(a_broker_that_was_not_run_itself),
        cmocka_unit_test(a_long_reason_is_told_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
