/* SPDX-License-Identifier: Apache-2.0 */
/* adopt_test.c - a service that begins, and finds VMs: running, paused, ended meanwhile, half started, silent. */
#include "script.h"

#include <errno.h>
#include "hostd/rules/spec.h"

#define B(name) BULKHEAD__HOST_ENVELOPE__BODY_##name
#define C(name) BULKHEAD__CLIENT_ENVELOPE__BODY_##name
#define T(text) ((char *)(uintptr_t)(text))

static struct script s;

static int begin(void **state)
{
    (void)state;
    script_begin(&s, NULL);
    return 0;
}

static int end(void **state)
{
    (void)state;
    script_end(&s);
    return 0;
}

/* One that was started once, and has not ended as far as is known. */
static bool reboots;
static uint64_t ended_ns; /* not 0: it has ended */

static const char *disk, *tap, *socket_path; /* that it has */

static void kept(const char *name, bool lives, bool autostart, uint64_t started_ns)
{
    Bulkhead__VmDetails d = BULKHEAD__VM_DETAILS__INIT;
    Bulkhead__VmStatus status = BULKHEAD__VM_STATUS__INIT;
    Bulkhead__VmSpec spec = BULKHEAD__VM_SPEC__INIT, *filled;
    Bulkhead__VmConfig config = BULKHEAD__VM_CONFIG__INIT;
    Bulkhead__DiskConfig d0 = BULKHEAD__DISK_CONFIG__INIT, *disks[] = { &d0 };
    Bulkhead__NetConfig n0 = BULKHEAD__NET_CONFIG__INIT, *nets[] = { &n0 };
    Bulkhead__VsockConfig vsock = BULKHEAD__VSOCK_CONFIG__INIT;

    config.name = T(name);
    config.kernel = T("/acme/vmlinuz");
    if (disk) {
        d0.path = T(disk);
        config.disks = disks;
        config.n_disks = 1;
    }
    if (tap) {
        n0.tap = T(tap);
        config.nets = nets;
        config.n_nets = 1;
    }
    if (socket_path) {
        vsock.enabled = true;
        vsock.cid = 3;
        vsock.socket = T(socket_path);
        config.vsock = &vsock;
    }
    spec.config = &config;
    spec.autostart = autostart;
    filled = spec_copy(&spec);
    d.spec = filled;
    d.status = &status;
    status.created_ns = 1;
    status.started_ns = started_ns;
    status.starts = 3;
    status.starts_again = reboots;
    status.ended_ns = ended_ns;
    script_kept(&s, "acme", name, lives, &d);
    bulkhead__vm_spec__free_unpacked(filled, NULL);
}

static const Bulkhead__VmStatus *status_of(const char *name)
{
    static uint64_t acme;

    acme = script_connect(&s, UID_ACME);
    script_ask(&s, acme, B(INSPECT_VM), name);
    assert_non_null(script_answered(&s, acme));
    script_leave(&s, acme);
    return s.answer->vm_details->status;
}

static void running_and_paused_are_listed_as_before(void **state)
{
    (void)state;
    kept("a", true, false, 5);
    kept("b", true, false, 5);
    kept("off", false, false, 0);
    script_does(&s, ASK_LOAD, 0);
    assert_false(
        script_happened(&s, HOST_READY)); /* nobody is told less than is known in a moment */
    script_joins(&s, script_vm(&s, "acme", "a"), "running");
    script_joins(&s, script_vm(&s, "acme", "b"), "paused");
    assert_true(script_happened(&s, HOST_READY));
    assert_int_equal(status_of("a")->state, BULKHEAD__HOST_VM_STATE__HOST_VM_RUNNING);
    assert_int_equal(status_of("b")->state, BULKHEAD__HOST_VM_STATE__HOST_VM_PAUSED);
    assert_int_equal(status_of("off")->state, BULKHEAD__HOST_VM_STATE__HOST_VM_STOPPED);
    assert_int_equal(status_of("a")->starts, 3);
    assert_int_equal(script_asked(&s, ASK_START), 0);
    script_does(&s, ASK_CONSOLE, 0); /* for the starter to watch it: there is one */
    script_does(&s, ASK_CONSOLE, 0);
    assert_int_equal(host_next_deadline(&s.host), 0);
}

/* Which VM has which disk, interface and socket is written down nowhere: descriptions of those that live say it, and their
 * brokers, which know what was added. */
static void what_they_have_is_theirs_as_before(void **state)
{
    Bulkhead__ClientEnvelope e = BULKHEAD__CLIENT_ENVELOPE__INIT;
    Bulkhead__Plan plan = BULKHEAD__PLAN__INIT;
    Bulkhead__VmPlan vm_plan = BULKHEAD__VM_PLAN__INIT;
    Bulkhead__ProcessPlan p = BULKHEAD__PROCESS_PLAN__INIT, *processes[] = { &p };
    Bulkhead__FdPlan fd = BULKHEAD__FD_PLAN__INIT, *fds[] = { &fd };
    const char *const others[][3] = { { "/acme/disk", NULL, NULL },
                                      { NULL, "web0", NULL },
                                      { NULL, NULL, "/acme/vsock" },
                                      { "/acme/added", NULL, NULL } };
    uint64_t acme;

    (void)state;
    disk = "/acme/disk";
    tap = "web0";
    socket_path = "/acme/vsock";
    kept("a", true, false, 5);
    disk = tap = socket_path = NULL;
    script_does(&s, ASK_LOAD, 0);
    script_joins(&s, script_vm(&s, "acme", "a"), "running");
    fd.what = T("/acme/added");
    fd.type = T("file");
    fd.dev = 9;
    fd.ino = 5;
    p.role = BULKHEAD__ROLE__ROLE_BLK;
    p.fds = fds;
    p.n_fds = 1;
    vm_plan.processes = processes;
    vm_plan.n_processes = 1;
    plan.plan = &vm_plan;
    e.body_case = C(PLAN);
    e.plan = &plan;
    script_says(&s, script_vm(&s, "acme", "a"), &e);
    acme = script_connect(&s, UID_ACME);
    for (unsigned i = 0; i < 4; i++) {
        script_create_with(&s, acme, "b", others[i][0], others[i][1], others[i][2], true);
        assert_int_equal(script_replied(&s, acme, s.request), EBUSY);
    }
}

static void ended_meanwhile(void **state)
{
    (void)state;
    kept("a", false, false, 5);
    script_does(&s, ASK_LOAD, 0);
    assert_true(script_happened(&s, HOST_READY));
    script_saves(&s);
    assert_int_equal(status_of("a")->state, BULKHEAD__HOST_VM_STATE__HOST_VM_STOPPED);
    assert_true(status_of("a")->how_ended->host_failure);
    assert_int_not_equal(status_of("a")->ended_ns, 0);
}

/* It lived when the run directories were looked at. */
static void ends_while_it_is_found(void **state)
{
    (void)state;
    kept("a", true, false, 5);
    script_does(&s, ASK_LOAD, 0);
    script_is_gone(&s, script_vm(&s, "acme", "a"));
    assert_true(script_happened(&s, HOST_READY));
    assert_int_equal(status_of("a")->state, BULKHEAD__HOST_VM_STATE__HOST_VM_STOPPED);
}

static void half_started(void **state)
{
    struct host_vm *vm;
    Bulkhead__ClientEnvelope e = BULKHEAD__CLIENT_ENVELOPE__INIT;
    Bulkhead__Event event = BULKHEAD__EVENT__INIT;

    (void)state;
    kept("a", true, false, 5);
    vm = script_vm(&s, "acme", "a");
    script_does(&s, ASK_LOAD, 0);
    script_does(&s, ASK_CONNECT, ECONNREFUSED); /* its broker does not listen yet */
    script_wait_deadline(&s);
    script_joins(&s, vm, "starting");
    assert_true(script_happened(&s, HOST_READY));
    assert_int_equal(status_of("a")->state, BULKHEAD__HOST_VM_STATE__HOST_VM_STARTING);
    event.source = T("vm");
    event.event = T("booted");
    e.body_case = C(EVENT);
    e.event = &event;
    script_says(&s, vm, &e);
    assert_int_equal(status_of("a")->state, BULKHEAD__HOST_VM_STATE__HOST_VM_RUNNING);
}

/* Nobody waits for it for long, and it can be halted all the same. */
static void a_broker_that_does_not_answer(void **state)
{
    struct host_vm *vm;
    uint64_t acme;

    (void)state;
    kept("a", true, false, 5);
    vm = script_vm(&s, "acme", "a");
    script_does(&s, ASK_LOAD, 0);
    script_does(&s, ASK_CONNECT, 0);
    script_wait(&s, 3001);
    assert_true(script_happened(&s, HOST_READY));
    script_wait(&s, 7001);
    assert_true(script_happened(&s, HOST_UNLINK));
    assert_true(script_wait_deadline(&s));
    script_does(&s, ASK_CONNECT, 0); /* it is tried again */
    acme = script_connect(&s, UID_ACME);
    script_halt(&s, acme, "a", 1000);
    script_wait(&s, 1001);
    script_wait(&s, 20001);
    script_does(&s, ASK_KILL, 0);
    script_is_gone(&s, vm);
    assert_int_equal(script_replied(&s, acme, s.request), 0);
}

static void one_without_a_description_is_stopped(void **state)
{
    struct host_vm *vm;

    (void)state;
    script_kept(&s, "acme", "ghost", true, NULL);
    vm = script_vm(&s, "acme", "ghost");
    script_does(&s, ASK_LOAD, 0);
    assert_true(script_happened(&s, HOST_READY));
    script_joins(&s, vm, "running");
    assert_true(script_told(&s, vm, C(STOP_VM)));
    script_guest_ends(&s, vm);
    script_is_gone(&s, vm);
    script_does(&s, ASK_REMOVE, 0);
    assert_null(script_vm(&s, "acme", "ghost"));
}

static void names_that_are_none_are_not_taken(void **state)
{
    (void)state;
    script_kept(&s, "acme", "../x", true, NULL);
    script_kept(&s, "..", "x", true, NULL);
    assert_int_equal(s.host.n_vms, 0);
}

/* Not by a service that was away for a moment: the VM may have been halted. */
static void started_with_the_host(void **state)
{
    (void)state;
    s.host.booted_realtime = UINT64_C(1600000000000000000);
    for (unsigned i = 0; i < 12; i++) {
        char name[8] = { (char)('a' + i), 0 };

        kept(name, false, true, 5);
    }
    kept("later", false, true, UINT64_C(1650000000000000000));
    script_does(&s, ASK_LOAD, 0);
    assert_true(script_happened(&s, HOST_READY));
    for (unsigned i = 0; i < 8; i++)
        assert_int_not_equal(script_asked(&s, ASK_START), 0);
    assert_int_equal(script_asked(&s, ASK_START), 0); /* not all at once */
    script_launched(&s, script_vm(&s, "acme", "a"), 0);
    assert_int_not_equal(script_asked(&s, ASK_START), 0);
    assert_int_equal(script_vm(&s, "acme", "later")->life, LIFE_STOPPED);
}

/* Whether its VM had been stopped by then or not. */
static void a_reboot_goes_on(void **state)
{
    struct host_vm *vm;

    (void)state;
    reboots = true;
    kept("a", true, false, 5);
    kept("b", false, false, 5);
    reboots = false;
    vm = script_vm(&s, "acme", "a");
    script_does(&s, ASK_LOAD, 0);
    assert_true(script_happened(&s, HOST_READY));
    assert_int_equal(script_asked(&s, ASK_START), 0); /* b's end is kept first */
    script_saves(&s);
    assert_int_not_equal(script_asked(&s, ASK_START), 0);
    script_joins(&s, vm, "running");
    assert_true(script_told(&s, vm, C(STOP_VM)));
    script_guest_ends(&s, vm);
    script_is_gone(&s, vm);
    script_runs(&s, "acme", "a");
    script_saves(&s);
    assert_false(vm->again);
}

/* The service before this one had asked for the start: what lives is not the run that was to be stopped. It may be about to
 * fail, for want of that service. */
static void a_reboot_that_was_on_its_way_up(void **state)
{
    struct host_vm *a, *b;

    (void)state;
    reboots = true;
    ended_ns = 7;
    kept("a", true, false, 5);
    kept("b", true, false, 5);
    reboots = false;
    ended_ns = 0;
    a = script_vm(&s, "acme", "a");
    b = script_vm(&s, "acme", "b");
    script_does(&s, ASK_LOAD, 0);
    script_joins(&s, a, "running");
    assert_false(script_told(&s, a, C(STOP_VM)));
    assert_int_equal(a->life, LIFE_RUNNING);
    script_saves(&s);
    assert_false(a->again || a->has_end);
    script_is_gone(&s, b);
    script_saves(&s);
    assert_true(script_happened(&s, HOST_READY));
    assert_int_not_equal(script_asked(&s, ASK_START), 0);
    script_launched(&s, b, EACCES); /* once is enough */
    script_is_gone(&s, b);
    script_saves(&s);
    assert_false(b->again || b->want_start);
}

static void the_starter_does_not_answer_at_all(void **state)
{
    struct host_event e = { .kind = HOST_DEADLINE };

    (void)state;
    s.now += UINT64_C(31000000000);
    e.now = s.now;
    host_step(&s.host, &e);
    assert_int_equal(s.host.phase, HOST_ENDED);
    assert_int_equal(s.host.actions.list[s.host.actions.n - 1].kind, HOST_QUIT);
    assert_true(s.host.actions.list[s.host.actions.n - 1].flag);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(running_and_paused_are_listed_as_before, begin, end),
        cmocka_unit_test_setup_teardown(what_they_have_is_theirs_as_before, begin, end),
        cmocka_unit_test_setup_teardown(ended_meanwhile, begin, end),
        cmocka_unit_test_setup_teardown(ends_while_it_is_found, begin, end),
        cmocka_unit_test_setup_teardown(half_started, begin, end),
        cmocka_unit_test_setup_teardown(a_broker_that_does_not_answer, begin, end),
        cmocka_unit_test_setup_teardown(one_without_a_description_is_stopped, begin, end),
        cmocka_unit_test_setup_teardown(names_that_are_none_are_not_taken, begin, end),
        cmocka_unit_test_setup_teardown(started_with_the_host, begin, end),
        cmocka_unit_test_setup_teardown(a_reboot_goes_on, begin, end),
        cmocka_unit_test_setup_teardown(a_reboot_that_was_on_its_way_up, begin, end),
        cmocka_unit_test_setup_teardown(the_starter_does_not_answer_at_all, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
