/* SPDX-License-Identifier: Apache-2.0 */
/* devices_test.c - a guest that asks for devices of its own VM: those of its description, by name, and nothing else. */
#include "script.h"

#include <errno.h>
#include <stdio.h>
#include "config/config.h"
#include "hostd/rules/brokers.h"
#include "hostd/rules/devices.h"
#include "hostd/rules/rights.h"

#define B(name) BULKHEAD__HOST_ENVELOPE__BODY_##name
#define C(name) BULKHEAD__CLIENT_ENVELOPE__BODY_##name
#define T(text) ((char *)(uintptr_t)(text))

static struct script s;
static uint64_t acme, guest;
static struct host_vm *vm;

/* root and data, disks, and the networks lan1 (a tap) and out (a user network). */
static void create(const char *first, const char *second, bool vsock_too)
{
    Bulkhead__HostEnvelope e = BULKHEAD__HOST_ENVELOPE__INIT;
    Bulkhead__CreateVm c = BULKHEAD__CREATE_VM__INIT;
    Bulkhead__VmSpec spec = BULKHEAD__VM_SPEC__INIT;
    Bulkhead__VmConfig config = BULKHEAD__VM_CONFIG__INIT;
    Bulkhead__VsockConfig vsock = BULKHEAD__VSOCK_CONFIG__INIT;
    Bulkhead__DiskConfig root = BULKHEAD__DISK_CONFIG__INIT, data = root,
                         *disks[] = { &root, &data };
    Bulkhead__NetConfig lan = BULKHEAD__NET_CONFIG__INIT, out = lan, *nets[] = { &lan, &out };
    char *on_request[] = { T(first), T(second) };

    config.name = T("web");
    config.kernel = T("/acme/kernel");
    root.id = T("root");
    root.path = T("/acme/root");
    data.id = T("data");
    data.path = T("/acme/data");
    config.disks = disks;
    config.n_disks = 2;
    lan.id = T("lan1");
    lan.tap = T("web1");
    out.id = T("out");
    out.mode = T("user");
    config.nets = nets;
    config.n_nets = second && strcmp(second, "out") == 0 ? 2 : 1;
    s.host.config->tenants[0]->user_net = true;
    vsock.enabled = vsock_too;
    vsock.cid = 3;
    vsock.socket = T("/acme/vsock");
    config.vsock = &vsock;
    spec.config = &config;
    spec.on_request = on_request;
    spec.n_on_request = (first != NULL) + (second != NULL);
    c.spec = &spec;
    c.start = true;
    e.body_case = B(CREATE_VM);
    e.create_vm = &c;
    script_send(&s, acme, &e);
}

static int begin(void **state)
{
    (void)state;
    script_open(&s);
    acme = script_connect(&s, UID_ACME);
    return 0;
}

static int begin_running(void **state)
{
    begin(state);
    create("data", "lan1", true);
    script_runs(&s, "acme", "web");
    vm = script_vm(&s, "acme", "web");
    script_saves(&s);
    guest = 0;
    script_happen(
        &s, (struct host_event){ .kind = HOST_CONNECTED, .vm = vm->serial, .ret_session = &guest });
    assert_int_not_equal(guest, 0);
    s.n_log = 0;
    return 0;
}

static int end(void **state)
{
    (void)state;
    script_end(&s);
    return 0;
}

/* Its answer; -1: there is none yet. */
static int ask(uint64_t session, const char *device, bool back)
{
    Bulkhead__HostEnvelope e = BULKHEAD__HOST_ENVELOPE__INIT;
    Bulkhead__AskDevice asked = BULKHEAD__ASK_DEVICE__INIT;
    Bulkhead__ReturnDevice returned = BULKHEAD__RETURN_DEVICE__INIT;

    asked.device = returned.device = T(device);
    e.body_case = back ? B(RETURN_DEVICE) : B(ASK_DEVICE);
    if (back)
        e.return_device = &returned;
    else
        e.ask_device = &asked;
    script_send(&s, session, &e);
    return script_replied(&s, session, s.request);
}

static int answer(void)
{
    return script_replied(&s, guest, s.request);
}

static void broker_replies(uint32_t id, int error)
{
    Bulkhead__ClientEnvelope e = BULKHEAD__CLIENT_ENVELOPE__INIT;
    Bulkhead__Reply reply = BULKHEAD__REPLY__INIT;

    reply.error = error;
    reply.text = T(error ? "/acme/data is gone" : "");
    e.id = id;
    e.body_case = C(REPLY);
    e.reply = &reply;
    script_says(&s, vm, &e);
}

/* What it starts with is the rest; what it counts as is all of it. */
static void it_starts_without(void **state)
{
    Bulkhead__VmConfig *start = devices_at_start(vm->spec), one;

    (void)state;
    assert_int_equal(start->n_disks, 1);
    assert_string_equal(start->disks[0]->id, "root");
    assert_int_equal(start->n_nets, 0);
    config_free(start);
    assert_int_equal(vm->cost.disks, 2);
    assert_int_equal(vm->claims.n, 4); /* two disks, a tap, the vsock's socket */
    assert_true(devices_find(vm->spec, "data", &one));
    assert_true(one.n_disks == 1 && one.n_nets == 0);
    assert_string_equal(one.disks[0]->path, "/acme/data");
    assert_true(devices_find(vm->spec, "lan1", &one));
    assert_true(one.n_disks == 0 && one.n_nets == 1);
    assert_false(devices_find(vm->spec, "root", &one)); /* it is there */
    assert_int_equal(vm->spec->config->vsock->service_port, HOSTDIR_SERVICE_PORT);
}

static void it_is_given_and_given_back(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 2; round++) {
        assert_int_equal(ask(guest, "data", false), -1);
        script_does(&s, ASK_GIVE, 0);
        assert_int_equal(answer(), -1);
        script_launched(&s, vm, 0);
        assert_int_equal(answer(), 0);
        assert_true(script_happened(&s, HOST_DROP_LAUNCH));
        assert_int_equal(ask(guest, "data", true), -1);
        assert_true(script_told(&s, vm, C(REMOVE_DEVICE)));
        broker_replies(BROKERS_STOP, 0); /* of something else */
        assert_int_equal(answer(), -1);
        broker_replies(BROKERS_REMOVE, 0);
        assert_int_equal(answer(), 0);
        broker_replies(BROKERS_REMOVE, 0); /* nobody asked */
        assert_int_equal(s.n_log, 0);
    }
}

static void nothing_else_is(void **state)
{
    static const char *const others[] = { "root", "vsock0", "", "/acme/data", "data2", "web" };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(others); i++)
        for (unsigned back = 0; back < 2; back++) {
            assert_int_equal(ask(guest, others[i], back), ENOENT);
            assert_non_null(strstr(s.text, "no device that this VM may ask for"));
            assert_int_equal(s.n_log, 0);
        }
    assert_int_equal(ask(acme, "data", false), EPERM); /* a client has no VM */
    script_ask(&s, guest, B(LIST_VMS), NULL);          /* it drives nobody */
    assert_int_equal(script_replied(&s, guest, s.request), EPERM);
    assert_int_equal(ask(guest, "data", false), -1);
    (void)script_asked(&s, ASK_GIVE);
    assert_int_equal(ask(guest, "lan1", false), EAGAIN); /* one at a time */
    assert_int_equal(ask(guest, "data", true), EAGAIN);
}

/* However it fails: it is told that it did, who follows hears why, and the next one may be asked for. */
static void what_fails_is_said(void **state)
{
    enum { STARTER, LAUNCHER, GONE, LATE, BROKER, LOST, WAYS };
    const char *notice = "not_given";

    (void)state;
    for (unsigned way = 0; way < WAYS; way++) {
        bool back = way == BROKER || way == LOST;

        assert_int_equal(ask(guest, "data", back), -1);
        if (way == STARTER)
            script_does(&s, ASK_GIVE, EAGAIN);
        else if (!back)
            script_does(&s, ASK_GIVE, 0);
        else
            assert_true(script_told(&s, vm, C(REMOVE_DEVICE)));
        if (way == LAUNCHER)
            script_launched(&s, vm, EACCES);
        else if (way == GONE)
            script_happen(&s, (struct host_event){ .kind = HOST_LAUNCHER_GONE, .vm = vm->serial });
        else if (way == LATE)
            assert_true(script_wait_deadline(&s));
        else if (way == BROKER)
            broker_replies(BROKERS_REMOVE, EBUSY);
        else if (way == LOST)
            script_happen(&s, (struct host_event){ .kind = HOST_LINK_LOST, .vm = vm->serial });
        assert_true(answer() > 0);
        assert_null(strstr(s.text, "acme"));
        assert_true(script_noticed(&s, back ? "not_given_back" : notice));
        assert_int_equal(vm->moving, MOVING_NONE);
        assert_int_equal(vm->life, LIFE_RUNNING);
    }
    assert_int_equal(ask(guest, "data", false), EAGAIN); /* there is no broker to give it to */
}

static void its_end_is_an_answer(void **state)
{
    (void)state;
    assert_int_equal(ask(guest, "data", false), -1);
    script_does(&s, ASK_GIVE, 0);
    script_guest_ends(&s, vm);
    assert_int_equal(answer(), ECANCELED);
    script_launched(&s, vm, 0); /* too late */
    assert_int_equal(vm->life, LIFE_LEAVING);
    assert_int_equal(ask(guest, "data", false), EPERM);
}

/* Who asked has left: it is given all the same, and nobody is told. */
static void who_leaves_is_not_told(void **state)
{
    (void)state;
    assert_int_equal(ask(guest, "data", false), -1);
    script_leave(&s, guest);
    script_does(&s, ASK_GIVE, 0);
    script_launched(&s, vm, 0);
    assert_int_equal(vm->moving, MOVING_NONE);
    assert_int_equal(script_count(&s, HOST_REPLY), 0);
}

/* What would be opened with the service's own rights. */
static void the_hosts_own_have_none(void **state)
{
    (void)state;
    s.host.config->tenants[0]->host = true;
    create("data", NULL, true);
    assert_int_equal(script_replied(&s, acme, s.request), EINVAL);
    assert_non_null(strstr(s.text, "the host's own"));
}

static void what_is_refused_at_create(void **state)
{
    static const struct {
        const char *first, *second;
        bool vsock;
        const char *part;
    } cases[] = {
        { "data", NULL, false, "no vsock" },
        { "data", "data", true, "named twice" },
        { "dat", NULL, true, "'dat' is no disk or network" },
        { "vsock0", NULL, true, "is no disk or network" },
        { "data", "out", true, "user network" },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        create(cases[i].first, cases[i].second, cases[i].vsock);
        assert_int_equal(script_replied(&s, acme, s.request), EINVAL);
        if (!strstr(s.text, cases[i].part))
            fail_msg("%s, not: %s", s.text, cases[i].part);
        assert_int_equal(s.host.n_vms, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_starts_without, begin_running, end),
        cmocka_unit_test_setup_teardown(it_is_given_and_given_back, begin_running, end),
        cmocka_unit_test_setup_teardown(nothing_else_is, begin_running, end),
        cmocka_unit_test_setup_teardown(what_fails_is_said, begin_running, end),
        cmocka_unit_test_setup_teardown(its_end_is_an_answer, begin_running, end),
        cmocka_unit_test_setup_teardown(who_leaves_is_not_told, begin_running, end),
        cmocka_unit_test_setup_teardown(the_hosts_own_have_none, begin, end),
        cmocka_unit_test_setup_teardown(what_is_refused_at_create, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
