/* SPDX-License-Identifier: Apache-2.0 */
/* rights_test.c - the guest of a VM with a named right: what it may ask for, of which VMs, and what it hears of all else. */
#include "script.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "hostd/rules/requests.h"
#include "hostd/rules/rights.h"

#define B(name) BULKHEAD__HOST_ENVELOPE__BODY_##name
#define V(name) BULKHEAD__CONTROL_VERB__CONTROL_##name
#define T(text) ((char *)(uintptr_t)(text))
enum { FIRST_ANSWER = 40, MAX_VERBS = 8 };

static struct script s;
static uint64_t acme, beta, guest;

/* ---- VMs ---- */

struct given {
    Bulkhead__ControlVerb verbs[MAX_VERBS];
    size_t n_verbs;
    const char *vms[3], *label; /* KEY; its value is "1" */
    bool no_vsock;
};

static void create(uint64_t session, const char *name, const char *label, const struct given *given)
{
    Bulkhead__HostEnvelope e = BULKHEAD__HOST_ENVELOPE__INIT;
    Bulkhead__CreateVm c = BULKHEAD__CREATE_VM__INIT;
    Bulkhead__VmSpec spec = BULKHEAD__VM_SPEC__INIT;
    Bulkhead__VmConfig config = BULKHEAD__VM_CONFIG__INIT;
    Bulkhead__VsockConfig vsock = BULKHEAD__VSOCK_CONFIG__INIT;
    Bulkhead__KeyValue own = BULKHEAD__KEY_VALUE__INIT, of = BULKHEAD__KEY_VALUE__INIT;
    Bulkhead__KeyValue *labels[] = { &own }, *covered[] = { &of };
    Bulkhead__ControlRight right = BULKHEAD__CONTROL_RIGHT__INIT;
    char socket[64], kernel[64];
    char *vms[3];

    snprintf(kernel, sizeof kernel, "/%s/kernel", session == beta ? "beta" : "acme");
    snprintf(socket, sizeof socket, "/%s/%s.vsock", session == beta ? "beta" : "acme", name);
    config.name = T(name);
    config.kernel = kernel;
    spec.config = &config;
    own.key = of.key = T("role");
    own.value = T(label ? label : "");
    of.value = T("1");
    if (label) {
        spec.labels = labels;
        spec.n_labels = 1;
    }
    vsock.enabled = true;
    vsock.cid = 3;
    vsock.socket = socket;
    vsock.service_port = 7; /* whatever it says */
    if (!given || !given->no_vsock)
        config.vsock = &vsock;
    if (given) {
        spec.control = &right;
        right.verbs = (Bulkhead__ControlVerb *)(uintptr_t)given->verbs;
        right.n_verbs = given->n_verbs;
        right.vms = vms;
        for (unsigned i = 0; i < ARRAY_SIZE(vms) && given->vms[i]; i++)
            vms[right.n_vms++] = T(given->vms[i]);
        of.key = T(given->label ? given->label : "");
        right.labels = covered;
        right.n_labels = given->label ? 1 : 0;
    }
    c.spec = &spec;
    e.body_case = B(CREATE_VM);
    e.create_vm = &c;
    script_send(&s, session, &e);
    script_saves(&s);
}

static void run(uint64_t session, const char *tenant, const char *name)
{
    script_ask(&s, session, B(START_VM), name);
    script_runs(&s, tenant, name);
}

static uint64_t come(const char *name)
{
    uint64_t session = 0;

    script_happen(&s, (struct host_event){ .kind = HOST_CONNECTED,
                                           .vm = script_vm(&s, "acme", name)->serial,
                                           .ret_session = &session });
    return session;
}

/* acme has ctl, whose right is for web and those with role=1: pool; and db. beta has a web and a pool of its own. */
static void stage(const struct given *given)
{
    create(acme, "ctl", NULL, given);
    create(acme, "web", NULL, NULL);
    create(acme, "pool", "1", NULL);
    create(acme, "db", "2", NULL);
    create(beta, "web", NULL, NULL);
    create(beta, "pool", "1", NULL);
    run(acme, "acme", "ctl");
    s.n_log = 0;
    guest = come("ctl");
    assert_int_not_equal(guest, 0);
}

static const struct given all = { .verbs = { V(START), V(STOP), V(REBOOT), V(INFO), V(WAIT),
                                             V(EVENTS) },
                                  .n_verbs = 6,
                                  .vms = { "web" },
                                  .label = "role" };

static int begin(void **state)
{
    (void)state;
    script_open(&s);
    acme = script_connect(&s, UID_ACME);
    beta = script_connect(&s, UID_BETA);
    return 0;
}

static int end(void **state)
{
    (void)state;
    script_end(&s);
    return 0;
}

static int ask(Bulkhead__HostEnvelope__BodyCase body, const char *vm)
{
    script_ask(&s, guest, body, vm);
    return script_replied(&s, guest, s.request);
}

/* ---- what it may ---- */

static void it_drives_what_it_is_for(void **state)
{
    static const char *const names[] = { "web", "pool", "acme/web" };
    struct host_vm *vm;

    (void)state;
    stage(&all);
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        vm = script_vm(&s, "acme", i == 1 ? "pool" : "web");
        assert_int_equal(ask(B(START_VM), names[i]), -1);
        assert_int_equal(vm->life, LIFE_STARTING);
        script_runs(&s, "acme", vm->name);
        assert_int_equal(script_replied(&s, guest, s.request), 0);
        assert_int_equal(ask(B(START_VM), names[i]), EALREADY);
        script_halt(&s, guest, names[i], 0);
        assert_true(script_told(&s, vm, BULKHEAD__CLIENT_ENVELOPE__BODY_STOP_VM));
        script_guest_ends(&s, vm);
        script_is_gone(&s, vm);
        assert_int_equal(script_replied(&s, guest, s.request), 0);
        script_saves(&s);
    }
}

/* How it stands, and not which files of the host it is made of. */
static void it_sees_what_it_is_for(void **state)
{
    const Bulkhead__HostEnvelope *e;

    (void)state;
    stage(&all);
    script_ask(&s, guest, B(LIST_VMS), NULL);
    e = script_answered(&s, guest);
    assert_int_equal(e->vm_list->n_vms, 2);
    assert_string_equal(e->vm_list->vms[0]->name, "pool");
    assert_string_equal(e->vm_list->vms[1]->name, "web");
    script_ask(&s, guest, B(INSPECT_VM), "web");
    e = script_answered(&s, guest);
    assert_string_equal(e->vm_details->status->name, "web");
    assert_null(e->vm_details->spec);
    script_ask(&s, guest, B(WAIT_VM), "web");
    assert_null(script_answered(&s, guest)->vm_details->spec);
    script_ask(&s, guest, B(GET_HOST), NULL);
    assert_int_equal(script_answered(&s, guest)->host_info->vms, 2);
    script_ask(&s, acme, B(INSPECT_VM), "web"); /* its tenant's people see all of it */
    assert_non_null(script_answered(&s, acme)->vm_details->spec);
}

/* ---- what it may not ---- */

/* Each request there is, by each name, under a right for each verb alone and for all: what isn't its own to ask for is refused in
 * the same words whatever it names, and another VM is not there; nothing comes of either. */
static void nothing_else(void **state)
{
    static const char *const others[] = {
        "db", "ctl", "acme/db", "beta/web", "beta/pool", "", "/"
    };
    const ProtobufCMessageDescriptor *d = &bulkhead__host_envelope__descriptor;
    char none[FAULT_TEXT_MAX];
    unsigned may = 0;

    (void)state;
    for (unsigned verb = 0; verb <= all.n_verbs; verb++) {
        struct given one = all;

        if (verb < all.n_verbs) {
            one.verbs[0] = all.verbs[verb];
            one.n_verbs = 1;
        }
        stage(&one);
        for (unsigned i = 0; i < d->n_fields; i++) {
            Bulkhead__HostEnvelope__BodyCase body =
                (Bulkhead__HostEnvelope__BodyCase)d->fields[i].id;
            bool allowed, names_one;
            int error;

            if (body < 10 || (int)body >= FIRST_ANSWER)
                continue;
            allowed = rights_allow(script_vm(&s, "acme", "ctl"), body);
            names_one = protobuf_c_message_descriptor_get_field_by_name(d->fields[i].descriptor,
                                                                        "vm") != NULL;
            may += allowed;
            if (allowed && !names_one)
                continue;
            error = ask(body, "xyz");
            assert_int_equal(error, allowed ? ENOENT : EPERM);
            snprintf(none, sizeof none, "%s", s.text);
            for (unsigned n = 0; n < ARRAY_SIZE(others); n++) {
                char *at;

                assert_int_equal(ask(body, others[n]), error);
                if (others[n][0] != '\0' && (at = strstr(none, "xyz")) != NULL) {
                    char want[2 * FAULT_TEXT_MAX];

                    snprintf(want, sizeof want, "%.*s%s%s", (int)(at - none), none, others[n],
                             at + 3);
                    assert_string_equal(s.text, want);
                } else if (!strstr(none, "xyz")) {
                    assert_string_equal(s.text, none);
                }
                assert_null(script_answered(&s, guest));
                assert_int_equal(s.n_log, 0);
            }
            if (!allowed) /* not of those that it is for, either */
                assert_int_equal(ask(body, "web"), EPERM);
            assert_int_equal(s.n_log, 0);
        }
        end(NULL);
        begin(NULL);
    }
    /* One request for each verb, and two more for info; twice: alone, and with all others. */
    assert_int_equal(may, 2 * 8);
}

/* Of a failure it hears that there was one: the reason has names of files, and of VMs, in it. */
static void a_failure_tells_nothing(void **state)
{
    (void)state;
    stage(&all);
    assert_int_equal(ask(B(START_VM), "web"), -1);
    script_launched(&s, script_vm(&s, "acme", "web"), EIO);
    script_guest_ends(&s, script_vm(&s, "acme", "web"));
    script_is_gone(&s, script_vm(&s, "acme", "web"));
    assert_int_equal(script_replied(&s, guest, s.request), EIO);
    assert_null(strstr(s.text, "acme"));
    assert_non_null(strstr(s.text, "could not do that"));
}

/* ---- how long ---- */

static void it_ends_with_the_vm(void **state)
{
    uint64_t next;

    (void)state;
    stage(&all);
    script_guest_ends(&s, script_vm(&s, "acme", "ctl"));
    assert_int_equal(ask(B(START_VM), "web"), EPERM); /* its last words */
    script_is_gone(&s, script_vm(&s, "acme", "ctl"));
    assert_true(script_happened(&s, HOST_CLOSE));
    assert_int_equal(ask(B(START_VM), "web"), EPERM);
    script_saves(&s);
    run(acme, "acme", "ctl");
    assert_int_equal(ask(B(START_VM), "web"), EPERM); /* of the run before */
    next = come("ctl");
    assert_int_not_equal(next, 0);
    script_ask(&s, next, B(LIST_VMS), NULL);
    assert_non_null(script_answered(&s, next));
}

static void a_few_come_at_once(void **state)
{
    (void)state;
    stage(&all);
    for (unsigned i = 1; i < RIGHTS_CONNECTIONS; i++)
        assert_int_not_equal(come("ctl"), 0);
    assert_int_equal(come("ctl"), 0);
    run(acme, "acme", "db");
    assert_int_equal(come("db"), 0); /* it has no right */
    script_leave(&s, guest);
    assert_int_not_equal(come("ctl"), 0);
}

/* What is kept of it says so, whatever it said itself, and the next service does as this one. */
static void it_is_kept(void **state)
{
    Bulkhead__VmDetails *kept;
    size_t len;
    uint8_t *bytes;

    (void)state;
    stage(&all);
    assert_int_equal(script_vm(&s, "acme", "ctl")->spec->config->vsock->service_port,
                     HOSTDIR_SERVICE_PORT);
    assert_int_equal(script_vm(&s, "acme", "web")->spec->config->vsock->service_port, 0);
    bytes = answers_description(script_vm(&s, "acme", "ctl"), &len);
    kept = bulkhead__vm_details__unpack(NULL, len, bytes);
    free(bytes);
    script_end(&s);
    script_begin(&s, NULL);
    script_kept(&s, "acme", "ctl", true, kept);
    bulkhead__vm_details__free_unpacked(kept, NULL);
    script_does(&s, ASK_LOAD, 0);
    script_joins(&s, script_vm(&s, "acme", "ctl"), "running");
    acme = script_connect(&s, UID_ACME);
    create(acme, "web", NULL, NULL);
    guest = come("ctl");
    assert_int_equal(ask(B(START_VM), "web"), -1);
    assert_int_equal(script_vm(&s, "acme", "web")->life, LIFE_STARTING);
}

static bool hears(const char *tenant, const char *vm)
{
    struct host_action notice = { .kind = HOST_NOTICE };

    snprintf(notice.tenant, sizeof notice.tenant, "%s", tenant);
    snprintf(notice.vm_name, sizeof notice.vm_name, "%s", vm);
    return request_may_hear(&s.host, host_session(&s.host, guest), &notice);
}

static void it_hears_of_what_it_is_for(void **state)
{
    struct given deaf = all;

    (void)state;
    stage(&all);
    assert_true(hears("acme", "web") && hears("acme", "pool"));
    assert_false(hears("acme", "db") || hears("acme", "ctl") || hears("beta", "web") ||
                 hears("beta", "pool") || hears("", ""));
    end(NULL);
    begin(NULL);
    deaf.n_verbs = 5;
    stage(&deaf);
    assert_int_equal(ask(B(FOLLOW_HOST), NULL), EPERM);
    assert_false(hears("acme", "web"));
}

/* ---- what may be given ---- */

static void what_is_refused_at_create(void **state)
{
    static const struct {
        struct given given;
        const char *part;
    } cases[] = {
        { { { V(STOP) }, 1, { "web" }, NULL, true }, "no vsock" },
        { { { V(STOP) }, 0, { "web" }, NULL, false }, "what it may do" },
        { { { (Bulkhead__ControlVerb)99 }, 1, { "web" }, NULL, false }, "verb 99 is not known" },
        { { { V(NONE) }, 1, { "web" }, NULL, false }, "verb 0 is not known" },
        { { { V(STOP) }, 1, { NULL }, NULL, false }, "which VMs" },
        { { { V(STOP) }, 1, { "beta/web" }, NULL, false }, "of its own tenant" },
        { { { V(STOP) }, 1, { "web", ".." }, NULL, false }, "no VM's name" },
        { { { V(STOP) }, 1, { "ctl" }, NULL, false }, "other VMs" },
        { { { V(STOP) }, 1, { NULL }, "a b", false }, "label 'a b'" },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        create(acme, "ctl", NULL, &cases[i].given);
        assert_int_equal(script_replied(&s, acme, s.request), EINVAL);
        if (!strstr(s.text, cases[i].part))
            fail_msg("%s, not: %s", s.text, cases[i].part);
        assert_int_equal(s.host.n_vms, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_drives_what_it_is_for, begin, end),
        cmocka_unit_test_setup_teardown(it_sees_what_it_is_for, begin, end),
        cmocka_unit_test_setup_teardown(nothing_else, begin, end),
        cmocka_unit_test_setup_teardown(a_failure_tells_nothing, begin, end),
        cmocka_unit_test_setup_teardown(it_ends_with_the_vm, begin, end),
        cmocka_unit_test_setup_teardown(a_few_come_at_once, begin, end),
        cmocka_unit_test_setup_teardown(it_is_kept, begin, end),
        cmocka_unit_test_setup_teardown(it_hears_of_what_it_is_for, begin, end),
        cmocka_unit_test_setup_teardown(what_is_refused_at_create, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
