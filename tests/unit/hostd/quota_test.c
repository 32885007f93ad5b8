/* SPDX-License-Identifier: Apache-2.0 */
/* quota_test.c - how much a tenant may have, and what no two VMs have. */
#include "script.h"

#include <errno.h>
#include <stdio.h>
#include "hostd/rules/life.h"

#define B(name) BULKHEAD__HOST_ENVELOPE__BODY_##name
#define T(text) ((char *)(uintptr_t)(text))

static struct script s;
static uint64_t acme, beta, ops;

static int begin(void **state)
{
    (void)state;
    script_open(&s);
    acme = script_connect(&s, UID_ACME);
    beta = script_connect(&s, UID_BETA);
    ops = script_connect(&s, UID_ROOT);
    return 0;
}

static int end(void **state)
{
    (void)state;
    script_end(&s);
    return 0;
}

static void begin_with(const Bulkhead__TenantQuota *quota)
{
    script_end(&s);
    script_begin(&s, quota);
    script_does(&s, ASK_LOAD, 0);
    acme = script_connect(&s, UID_ACME);
    beta = script_connect(&s, UID_BETA);
    ops = script_connect(&s, UID_ROOT);
}

static int create(uint64_t session, const char *name, bool start)
{
    script_create_with(&s, session, name, NULL, NULL, NULL, start);
    script_saves(&s);
    return script_replied(&s, session, s.request);
}

static void quotas_hold_at_their_limits(void **state)
{
    Bulkhead__TenantQuota quota = BULKHEAD__TENANT_QUOTA__INIT;

    (void)state;
    quota.vms = 3;
    quota.vcpus = 2;
    quota.devices = 2;
    begin_with(&quota);
    assert_int_equal(create(acme, "a", false), 0);
    assert_int_equal(create(acme, "b", false), 0);
    assert_int_equal(create(acme, "c", false), 0);
    assert_int_equal(create(acme, "d", false), EDQUOT);
    assert_non_null(strstr(s.text, "would have 4 VMs, and may have 3"));
    assert_int_equal(create(beta, "d", false), 0); /* another's is not the matter */
    script_ask(&s, acme, B(START_VM), "a");
    script_runs(&s, "acme", "a");
    script_ask(&s, acme, B(START_VM), "b"); /* it counts from now on, not when it runs */
    script_ask(&s, acme, B(START_VM), "c");
    assert_int_equal(script_replied(&s, acme, s.request), EDQUOT);
    script_halt(&s, acme, "b", 0);
    script_does(&s, ASK_KILL, 0);
    script_is_gone(&s, script_vm(&s, "acme", "b"));
    script_ask(&s, acme, B(START_VM), "c");
    assert_int_equal(script_replied(&s, acme, s.request), -1);
    script_remove(&s, acme, "b", false);
    script_saves(&s);
    script_does(&s, ASK_REMOVE, 0);
    script_create_with(&s, acme, "e", "/acme/disk", "web0", NULL, false); /* and an rng */
    assert_int_equal(script_replied(&s, acme, s.request), EDQUOT);
    assert_non_null(strstr(s.text, "3 devices"));
    script_create_with(&s, acme, "e", "/acme/disk", NULL, NULL, false);
    script_saves(&s);
    assert_int_equal(script_replied(&s, acme, s.request), 0);
}

static void memory_and_disks_too(void **state)
{
    Bulkhead__TenantQuota quota = BULKHEAD__TENANT_QUOTA__INIT;

    (void)state;
    quota.memory = (UINT64_C(1024) << 20) + 4096; /* each has 512 MiB */
    quota.disks = 1;
    begin_with(&quota);
    script_create_with(&s, acme, "a", "/acme/a", NULL, NULL, true);
    script_runs(&s, "acme", "a");
    script_create_with(&s, acme, "b", "/acme/b", NULL, NULL, true);
    assert_int_equal(script_replied(&s, acme, s.request), EDQUOT);
    assert_null(script_vm(&s, "acme", "b")); /* nothing half created */
    assert_int_equal(create(acme, "b", true), -1);
    assert_int_equal(create(acme, "c", true), EDQUOT);
    assert_non_null(strstr(s.text, "1536 MiB"));
}

static void connections_are_counted(void **state)
{
    Bulkhead__TenantQuota quota = BULKHEAD__TENANT_QUOTA__INIT;

    (void)state;
    quota.connections = 2;
    begin_with(&quota);
    assert_int_not_equal(script_connect(&s, UID_ACME), 0);
    assert_int_equal(script_connect(&s, UID_ACME), 0);
    assert_int_not_equal(script_connect(&s, UID_BETA), 0);
    script_leave(&s, acme);
    assert_int_not_equal(script_connect(&s, UID_ACME), 0);
}

static void tenants_are_read_again(void **state)
{
    Bulkhead__TenantQuota quota = BULKHEAD__TENANT_QUOTA__INIT;
    bool replied = false;

    (void)state;
    quota.vms = 1;
    assert_int_equal(create(acme, "a", false), 0);
    script_ask(&s, ops, B(RELOAD_TENANTS), NULL);
    script_terms(&s, &quota);
    assert_int_equal(script_replied(&s, ops, s.request), 0);
    assert_int_equal(script_count(&s, HOST_CLOSE), 0);
    assert_int_equal(create(acme, "b", false), EDQUOT);
    s.host.sessions[ops % HOST_MAX_SESSIONS].uid =
        UID_BETA; /* who asks speaks for another by then, */
    script_ask(&s, ops, B(RELOAD_TENANTS), NULL);
    script_terms(&s, &quota);
    for (unsigned i = 0; i < s.n_log && s.log[i].kind != HOST_CLOSE; i++)
        replied = replied || s.log[i].kind == HOST_REPLY;
    assert_true(replied); /* and is told before his session ends */
    assert_true(script_happened(&s, HOST_CLOSE));
    assert_int_equal(script_replied(&s, ops, s.request), 0);
    ops = script_connect(&s, UID_ROOT);
    script_ask(&s, ops, B(RELOAD_TENANTS), NULL); /* a file that is none: as before */
    script_does(&s, ASK_TERMS, EINVAL);
    assert_int_equal(script_replied(&s, ops, s.request), EINVAL);
    assert_int_equal(create(acme, "b", false), EDQUOT);
}

/* ---- what two VMs can't have ---- */

/* The starter writes so many descriptions at once, and refuses others. Who creates many has them wait, and nobody else. */
static void descriptions_are_written_in_turn(void **state)
{
    enum { MANY = 50 };
    uint32_t asks[LIFE_MAX_SAVES], first = 0;
    uint64_t sessions[2] = { acme, script_connect(&s, UID_ACME) };
    unsigned done = 0;

    (void)state;
    for (unsigned i = 0; i < MANY; i++) {
        char name[8];

        snprintf(name, sizeof name, "a%u", i);
        script_create(&s, sessions[i % 2], name, false);
        first = i == 0 ? s.request : first;
    }
    for (unsigned i = 0; i < LIFE_MAX_SAVES; i++)
        assert_int_not_equal(asks[i] = script_asked(&s, ASK_SAVE), 0);
    assert_int_equal(script_asked(&s, ASK_SAVE), 0);
    script_create(&s, beta, "b", false);
    assert_int_equal(script_asked(&s, ASK_SAVE), 0);
    script_done(&s, asks[0], 0, 0);
    assert_int_equal(script_replied(&s, acme, first), 0);
    script_does(&s, ASK_SAVE, 0); /* beta's, and none of the others that were there before */
    assert_int_equal(script_replied(&s, beta, s.request), 0);
    for (unsigned i = 1; i < LIFE_MAX_SAVES; i++)
        script_done(&s, asks[i], 0, 0);
    script_saves(&s);
    for (unsigned i = 0; i < s.host.n_vms; i++)
        done += s.host.vms[i]->saved;
    assert_int_equal(done, MANY + 1);
}

/* However long the service lives, and whoever asks. */
static void what_was_asked_keeps_no_memory(void **state)
{
    uint32_t last = 0;

    (void)state;
    script_create(&s, acme, "web", false);
    script_saves(&s);
    for (unsigned i = 0; i < 3 * HOST_FEW_ASKS; i++) {
        uint32_t ask;

        script_open_channel(&s, acme, "web", BULKHEAD__VM_CHANNEL__VM_BROKER_LOG);
        ask = script_asked(&s, ASK_LOGS);
        assert_true(ask > last);
        assert_in_range(ask % HOST_MAX_ASKS, 1, HOST_FEW_ASKS + 1);
        last = ask;
        script_done(&s, ask, 0, 1);
        assert_int_equal(script_replied(&s, acme, s.request), 0);
        s.n_log = 0;
    }
    s.host.last_ask = UINT32_MAX - 5; /* numbers begin again, too */
    s.host.first_ask = UINT32_MAX - 4;
    script_open_channel(&s, acme, "web", BULKHEAD__VM_CHANNEL__VM_BROKER_LOG);
    last = script_asked(&s, ASK_LOGS);
    script_open_channel(&s, acme, "web", BULKHEAD__VM_CHANNEL__VM_BROKER_LOG);
    script_done(&s, script_asked(&s, ASK_LOGS), 0, 1);
    assert_int_equal(script_replied(&s, acme, s.request), 0);
    script_done(&s, last, 0, 1);
    assert_int_equal(s.host.n_asks, 0);
    assert_int_equal(host_next_deadline(&s.host), 0);
}

static void a_disk_is_one_vms(void **state)
{
    (void)state;
    script_create_with(&s, acme, "a", "/acme/disk", NULL, NULL, true);
    script_runs(&s, "acme", "a");
    script_create_with(&s, acme, "b", "/acme/disk", NULL, NULL, false);
    script_saves(&s);
    script_ask(&s, acme, B(START_VM), "b");
    assert_int_equal(script_replied(&s, acme, s.request), EBUSY);
    assert_string_equal(s.text,
                        "the disk /acme/disk is in use by VM a: stop that one first, or use "
                        "another");
    script_guest_ends(&s, script_vm(&s, "acme", "a"));
    script_is_gone(&s, script_vm(&s, "acme", "a"));
    script_ask(&s, acme, B(START_VM), "b");
    assert_int_equal(script_replied(&s, acme, s.request), -1);
    assert_int_not_equal(script_asked(&s, ASK_START), 0);
}

static void taps_and_sockets_too(void **state)
{
    (void)state;
    script_create_with(&s, acme, "a", NULL, "web0", "/acme/vsock", true);
    script_runs(&s, "acme", "a");
    script_create_with(&s, acme, "b", NULL, "web0", NULL, true);
    assert_int_equal(script_replied(&s, acme, s.request), EBUSY);
    script_create_with(&s, acme, "b", NULL, NULL, "/acme/vsock", true);
    assert_int_equal(script_replied(&s, acme, s.request), EBUSY);
    script_create_with(&s, ops, "c", NULL, "web0", NULL, true); /* ops sees whose it is */
    assert_int_equal(script_replied(&s, ops, s.request), EBUSY);
    assert_non_null(strstr(s.text, "VM a"));
}

/* Two VMs on one interface of the host's, each by a macvtap of its own, would hear each other's frames. */
static void macvtaps_too(void **state)
{
    Bulkhead__HostEnvelope e = BULKHEAD__HOST_ENVELOPE__INIT;
    Bulkhead__CreateVm create_vm = BULKHEAD__CREATE_VM__INIT;
    Bulkhead__VmSpec spec = BULKHEAD__VM_SPEC__INIT;
    Bulkhead__VmConfig config = BULKHEAD__VM_CONFIG__INIT;
    Bulkhead__NetConfig n = BULKHEAD__NET_CONFIG__INIT, *nets[] = { &n };

    (void)state;
    n.mode = T("macvtap");
    n.tap = T("web0");
    config.nets = nets;
    config.n_nets = 1;
    config.kernel = T("/acme/vmlinuz");
    config.name = T("a");
    spec.config = &config;
    create_vm.spec = &spec;
    create_vm.start = true;
    e.body_case = B(CREATE_VM);
    e.create_vm = &create_vm;
    script_send(&s, acme, &e);
    script_runs(&s, "acme", "a");
    config.name = T("b");
    script_send(&s, acme, &e);
    assert_int_equal(script_replied(&s, acme, s.request), EBUSY);
    assert_non_null(strstr(s.text, "the interface web0 is in use by VM a"));
}

/* What a broker says of the file, under whatever name, counts for those that come later. */
static void says_plan(struct host_vm *vm, const char *path, uint64_t ino)
{
    Bulkhead__ClientEnvelope e = BULKHEAD__CLIENT_ENVELOPE__INIT;
    Bulkhead__Plan plan = BULKHEAD__PLAN__INIT;
    Bulkhead__VmPlan vm_plan = BULKHEAD__VM_PLAN__INIT;
    Bulkhead__ProcessPlan p = BULKHEAD__PROCESS_PLAN__INIT, *processes[] = { &p };
    Bulkhead__FdPlan fd = BULKHEAD__FD_PLAN__INIT, *fds[] = { &fd };

    fd.what = T(path);
    fd.type = T("file");
    fd.why = T("the disk");
    fd.dev = 9;
    fd.ino = ino;
    p.role = BULKHEAD__ROLE__ROLE_BLK;
    p.fds = fds;
    p.n_fds = 1;
    vm_plan.processes = processes;
    vm_plan.n_processes = 1;
    plan.plan = &vm_plan;
    e.body_case = BULKHEAD__CLIENT_ENVELOPE__BODY_PLAN;
    e.plan = &plan;
    script_says(&s, vm, &e);
}

static void one_file_by_two_names(void **state)
{
    struct host_vm *b;

    (void)state;
    script_create_with(&s, acme, "a", "/acme/disk", NULL, NULL, true);
    script_runs(&s, "acme", "a");
    says_plan(script_vm(&s, "acme", "a"), "/acme/disk", 5);
    script_create_with(&s, acme, "b", "/acme/link", NULL, NULL, true);
    script_runs(&s, "acme", "b");
    b = script_vm(&s, "acme", "b");
    says_plan(b, "/acme/link", 6); /* another file */
    assert_int_equal(b->life, LIFE_RUNNING);
    says_plan(b, "/acme/link", 5);
    assert_true(script_told(&s, b, BULKHEAD__CLIENT_ENVELOPE__BODY_STOP_VM));
    assert_true(script_noticed(&s, "conflict"));
    assert_int_equal(script_vm(&s, "acme", "a")->life, LIFE_RUNNING);
}

/* A broker may say so for ever: the host's log has one line of it, and who follows one event. */
static void a_conflict_is_told_once(void **state)
{
    struct host_vm *b;
    char path[32];
    unsigned before;

    (void)state;
    script_create_with(&s, acme, "a", "/acme/disk", NULL, NULL, true);
    script_runs(&s, "acme", "a");
    script_create_with(&s, acme, "b", "/acme/other", NULL, NULL, true);
    script_runs(&s, "acme", "b");
    b = script_vm(&s, "acme", "b");
    before = script_count(&s, HOST_LOG);
    for (unsigned i = 0; i < 10; i++)
        says_plan(b, "/acme/disk", 5);
    assert_int_equal(script_count(&s, HOST_LOG), before + 1);
    for (unsigned i = 0; i < 300; i++) { /* more than is remembered */
        snprintf(path, sizeof path, "/acme/%u", i);
        says_plan(b, path, 100 + i);
    }
    assert_int_equal(script_count(&s, HOST_LOG), before + 2);
}

static void added_disks_count(void **state)
{
    Bulkhead__ClientEnvelope e = BULKHEAD__CLIENT_ENVELOPE__INIT;
    Bulkhead__Event event = BULKHEAD__EVENT__INIT;
    struct host_vm *a;

    (void)state;
    script_create(&s, acme, "a", true);
    script_runs(&s, "acme", "a");
    a = script_vm(&s, "acme", "a");
    event.source = T("device");
    event.event = T("added");
    e.body_case = BULKHEAD__CLIENT_ENVELOPE__BODY_EVENT;
    e.event = &event;
    script_says(&s, a, &e);
    assert_true(script_told(&s, a, BULKHEAD__CLIENT_ENVELOPE__BODY_GET_PLAN));
    says_plan(a, "/acme/disk", 5);
    script_create_with(&s, acme, "b", "/acme/disk", NULL, NULL, true);
    assert_int_equal(script_replied(&s, acme, s.request), EBUSY);
}

/* A broker that was taken over names what is another tenant's. */
static void a_lie_about_files_is_its_own_tenants_trouble(void **state)
{
    struct host_vm *liar, *victim;

    (void)state;
    script_create_with(&s, beta, "victim", "/beta/disk", NULL, NULL, true);
    script_runs(&s, "beta", "victim");
    victim = script_vm(&s, "beta", "victim");
    says_plan(victim, "/beta/disk", 5);
    script_create_with(&s, acme, "liar", "/acme/disk", NULL, NULL, true);
    script_runs(&s, "acme", "liar");
    liar = script_vm(&s, "acme", "liar");
    says_plan(liar, "/acme/disk", 5);
    says_plan(liar, "/beta/disk", 5);
    says_plan(liar, "/beta/other", 7);
    says_plan(victim, "/beta/disk", 5); /* a device was added, say */
    assert_int_equal(victim->life, LIFE_RUNNING);
    script_create_with(&s, beta, "late", "/beta/other", NULL, NULL, true);
    assert_int_equal(script_replied(&s, beta, s.request), -1);
    assert_non_null(script_vm(&s, "beta", "late"));
}

/* Those that were added, too: for what is started later. */
static void added_disks_are_of_the_quota(void **state)
{
    Bulkhead__TenantQuota quota = BULKHEAD__TENANT_QUOTA__INIT;

    (void)state;
    quota.disks = 1;
    begin_with(&quota);
    script_create(&s, acme, "a", true);
    script_runs(&s, "acme", "a");
    says_plan(script_vm(&s, "acme", "a"), "/acme/added", 5);
    script_create_with(&s, acme, "b", "/acme/other", NULL, NULL, true);
    assert_int_equal(script_replied(&s, acme, s.request), EDQUOT);
    script_guest_ends(&s, script_vm(&s, "acme", "a"));
    script_is_gone(&s, script_vm(&s, "acme", "a"));
    script_create_with(&s, acme, "b", "/acme/other", NULL, NULL, true);
    assert_int_equal(script_replied(&s, acme, s.request), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(quotas_hold_at_their_limits, begin, end),
        cmocka_unit_test_setup_teardown(memory_and_disks_too, begin, end),
        cmocka_unit_test_setup_teardown(connections_are_counted, begin, end),
        cmocka_unit_test_setup_teardown(tenants_are_read_again, begin, end),
        cmocka_unit_test_setup_teardown(descriptions_are_written_in_turn, begin, end),
        cmocka_unit_test_setup_teardown(what_was_asked_keeps_no_memory, begin, end),
        cmocka_unit_test_setup_teardown(a_disk_is_one_vms, begin, end),
        cmocka_unit_test_setup_teardown(taps_and_sockets_too, begin, end),
        cmocka_unit_test_setup_teardown(macvtaps_too, begin, end),
        cmocka_unit_test_setup_teardown(one_file_by_two_names, begin, end),
        cmocka_unit_test_setup_teardown(a_conflict_is_told_once, begin, end),
        cmocka_unit_test_setup_teardown(added_disks_count, begin, end),
        cmocka_unit_test_setup_teardown(added_disks_are_of_the_quota, begin, end),
        cmocka_unit_test_setup_teardown(a_lie_about_files_is_its_own_tenants_trouble, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
