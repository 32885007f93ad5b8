/* SPDX-License-Identifier: Apache-2.0 */
/* tenants_test.c - two tenants who don't trust each other: what each may see, name and have. */
#include "script.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "hostd/rules/requests.h"
#include "hostd/rules/spec.h"
#include "hostd/rules/tenants.h"

#define B(name) BULKHEAD__HOST_ENVELOPE__BODY_##name
#define T(text) ((char *)(uintptr_t)(text))
enum { FIRST_ANSWER = 40 }; /* host.proto: the bodies below are requests */

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

static bool is_request(const ProtobufCFieldDescriptor *f)
{
    return f->id >= 10 && f->id < FIRST_ANSWER;
}

static void each_request_has_a_row(void **state)
{
    const ProtobufCMessageDescriptor *d = &bulkhead__host_envelope__descriptor;

    (void)state;
    for (unsigned i = 0; i < d->n_fields; i++)
        assert_int_equal(is_request(&d->fields[i]),
                         request_is_known((Bulkhead__HostEnvelope__BodyCase)d->fields[i].id));
}

/* Everything that the rules left for that session about its last request, as one line. */
static void all_said(uint64_t session, char *ret, size_t size)
{
    snprintf(ret, size, "%d ", script_replied(&s, session, s.request));
    snprintf(ret + strlen(ret), size - strlen(ret), "%s", s.text);
    assert_null(script_answered(&s, session));
}

/* Of each request that names a VM, whichever there are: another's is answered as one that isn't there, whether it runs or
 * not, and nothing comes of it. */
static void anothers_vm_is_not_there(void **state)
{
    const ProtobufCMessageDescriptor *d = &bulkhead__host_envelope__descriptor;
    static const char *const names[] = { "web", "acme/web" };
    char none[512], theirs[512];
    unsigned tried = 0;

    (void)state;
    for (unsigned run = 0; run < 2; run++) {
        script_create(&s, acme, "web", run == 1);
        if (run == 1)
            script_runs(&s, "acme", "web");
        else
            script_saves(&s);
        s.n_log = 0;
        for (unsigned i = 0; i < d->n_fields; i++) {
            Bulkhead__HostEnvelope__BodyCase body =
                (Bulkhead__HostEnvelope__BodyCase)d->fields[i].id;

            if (!is_request(&d->fields[i]) ||
                !protobuf_c_message_descriptor_get_field_by_name(d->fields[i].descriptor, "vm"))
                continue;
            for (unsigned n = 0; n < ARRAY_SIZE(names); n++) {
                script_ask(&s, beta, body, n == 0 ? "xyz" : "acme/xyz");
                all_said(beta, none, sizeof none);
                script_ask(&s, beta, body, names[n]);
                all_said(beta, theirs, sizeof theirs);
                memcpy(strstr(theirs, "web"), "xyz", 3);
                assert_string_equal(none, theirs);
                assert_int_equal(s.n_log, 0);
                tried++;
            }
        }
        script_remove(&s, acme, "web", true);
        if (run == 1) {
            script_guest_ends(&s, script_vm(&s, "acme", "web"));
            script_is_gone(&s, script_vm(&s, "acme", "web"));
        }
        script_saves(&s);
        script_does(&s, ASK_REMOVE, 0);
        s.n_log = 0;
    }
    assert_int_equal(tried, 2 * 2 * 7);
}

static void lists_and_counts_show_ones_own(void **state)
{
    const Bulkhead__HostEnvelope *e;

    (void)state;
    script_create(&s, acme, "web", false);
    script_saves(&s);
    script_create(&s, beta, "web", false); /* the same name is free to another */
    script_saves(&s);
    assert_int_equal(script_replied(&s, beta, s.request), 0);
    script_ask(&s, beta, B(LIST_VMS), NULL);
    e = script_answered(&s, beta);
    assert_int_equal(e->vm_list->n_vms, 1);
    assert_string_equal(e->vm_list->vms[0]->tenant, "beta");
    script_ask(&s, ops, B(LIST_VMS), NULL);
    assert_int_equal(script_answered(&s, ops)->vm_list->n_vms, 2);
    script_ask(&s, beta, B(GET_HOST), NULL);
    assert_int_equal(script_answered(&s, beta)->host_info->vms, 1);
    script_ask(&s, beta, B(LIST_TENANTS), NULL);
    e = script_answered(&s, beta);
    assert_int_equal(e->tenant_list->n_tenants, 1);
    assert_string_equal(e->tenant_list->tenants[0]->tenant->name, "beta");
    script_ask(&s, ops, B(LIST_TENANTS), NULL);
    assert_int_equal(script_answered(&s, ops)->tenant_list->n_tenants, 3);
    script_ask(&s, beta, B(RELOAD_TENANTS), NULL);
    assert_int_equal(script_replied(&s, beta, s.request), EPERM);
}

static void a_list_comes_in_pages(void **state)
{
    Bulkhead__HostEnvelope e = BULKHEAD__HOST_ENVELOPE__INIT;
    Bulkhead__ListVms list = BULKHEAD__LIST_VMS__INIT;
    const Bulkhead__HostEnvelope *page;
    char after[100] = "", last[100] = "";
    unsigned seen = 0, pages = 0;

    (void)state;
    for (unsigned i = 0; i < 600; i++) {
        char name[16];

        snprintf(name, sizeof name, "vm%03u", i);
        script_create(&s, acme, name, false);
        script_saves(&s);
        s.n_log = 0;
    }
    e.body_case = B(LIST_VMS);
    e.list_vms = &list;
    do {
        list.after = after;
        script_send(&s, acme, &e);
        page = script_answered(&s, acme);
        for (size_t i = 0; i < page->vm_list->n_vms; i++) {
            assert_true(strcmp(page->vm_list->vms[i]->name, last) > 0);
            snprintf(last, sizeof last, "%s", page->vm_list->vms[i]->name);
            seen++;
        }
        snprintf(after, sizeof after, "acme/%s", last);
        pages++;
    } while (page->vm_list->more);
    assert_int_equal(seen, 600);
    assert_true(pages > 1);
}

static void the_hosts_own_names_anothers(void **state)
{
    (void)state;
    script_create(&s, ops, "acme/web", false);
    script_saves(&s);
    assert_int_equal(script_replied(&s, ops, s.request), 0);
    assert_string_equal(script_vm(&s, "acme", "web")->spec->config->name, "web");
    script_ask(&s, acme, B(INSPECT_VM), "web");
    assert_non_null(script_answered(&s, acme));
    script_ask(&s, ops, B(INSPECT_VM), "acme/web");
    assert_non_null(script_answered(&s, ops));
    script_create(&s, beta, "acme/other", false);
    assert_int_equal(script_replied(&s, beta, s.request), EINVAL);
    script_create(&s, beta, "nobody/other", false); /* the same, were there no such tenant */
    assert_int_equal(script_replied(&s, beta, s.request), EINVAL);
}

static void who_speaks_for_nobody_is_told_so(void **state)
{
    uint64_t strangers[TENANTS_STRANGERS];

    (void)state;
    for (unsigned i = 0; i < TENANTS_STRANGERS; i++)
        assert_int_not_equal(strangers[i] = script_connect(&s, UID_NOBODY + i), 0);
    assert_int_equal(script_connect(&s, UID_NOBODY), 0);
    assert_int_not_equal(script_connect(&s, UID_ACME), 0); /* no place of anybody else's */
    script_ask(&s, strangers[0], B(LIST_VMS), NULL);
    assert_int_equal(script_replied(&s, strangers[0], s.request), EACCES);
    assert_non_null(strstr(s.text, "4242"));
}

static void a_group_speaks_where_no_uid_does(void **state)
{
    const uint32_t gids[] = { 7, 50, 60 };
    uint32_t of_acme[] = { 60 }, of_beta[] = { 50 };
    Bulkhead__HostConfig *c = s.host.config;

    (void)state;
    c->tenants[0]->gids = of_acme;
    c->tenants[0]->n_gids = 1;
    c->tenants[1]->gids = of_beta;
    c->tenants[1]->n_gids = 1;
    assert_string_equal(tenants_who(c, 77, gids, 3)->name, "beta"); /* the first of his groups */
    assert_string_equal(tenants_who(c, UID_ACME, gids, 3)->name, "acme");
    assert_null(tenants_who(c, 77, gids, 1));
    for (unsigned i = 0; i < 2; i++) {
        c->tenants[i]->gids = NULL;
        c->tenants[i]->n_gids = 0;
    }
}

/* The next notice; NULL: there is none. */
static const struct host_action *next_notice(unsigned *at)
{
    while (*at < s.n_log)
        if (s.log[(*at)++].kind == HOST_NOTICE)
            return &s.log[*at - 1];
    return NULL;
}

/* From gaps in the numbers of his events a tenant would hear how much happens at the others'. */
static void events_are_counted_by_tenant(void **state)
{
    uint64_t all = s.host.events.all, of[2] = { 0 };
    const struct host_action *a;
    unsigned at = 0;

    (void)state;
    s.n_log = 0;
    for (unsigned i = 0; i < 3; i++) {
        const char name[] = { (char)('a' + i), '\0' };

        script_create(&s, acme, name, false);
        script_create(&s, beta, name, false);
        script_saves(&s);
    }
    while ((a = next_notice(&at)) != NULL) {
        assert_int_equal(a->sequence, ++all);
        assert_int_equal(a->of_tenant, ++of[strcmp(a->tenant, "beta") == 0]);
    }
    assert_true(of[0] >= 3 && of[1] == of[0]);
}

/* However many there were: who had an event goes on where he was, and makes way for the next only when he is the oldest. */
static void more_tenants_than_are_counted(void **state)
{
    static struct tally tally;

    (void)state;
    for (unsigned i = 0; i < 3 * TALLY_MAX; i++) {
        char name[16];

        assert_int_equal(tally_next(&tally, "acme"), i + 1);
        snprintf(name, sizeof name, "t%u", i);
        assert_int_equal(tally_next(&tally, name), 1);
    }
    assert_int_equal(tally_next(&tally, "t0"), 1);
    assert_int_equal(tally.n, TALLY_MAX);
}

/* ---- what may be described ---- */

static void refused(const char *part)
{
    int error = script_replied(&s, acme, s.request);

    if (error <= 0 || !strstr(s.text, part))
        fail_msg("%d %s, not: %s", error, s.text, part);
    assert_int_equal(s.host.n_vms, 0);
    assert_int_equal(script_asked(&s, ASK_SAVE), 0);
}

static void paths_below_ones_trees(void **state)
{
    static const char *const outside[] = {
        "/beta/disk",   "/acme/../beta/disk", "/acme",       "/acmee/disk", "/acme//disk",
        "/acme/./disk", "/acme/x/../../beta", "/acme/disk/", "/etc/shadow"
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(outside); i++) {
        script_create_with(&s, acme, "web", outside[i], NULL, NULL, false);
        refused("is not below /acme");
        script_create_with(&s, acme, "web", NULL, NULL, outside[i], false);
        refused("is not below /acme");
    }
    script_create_with(&s, acme, "web", "disk", NULL, NULL, false);
    refused("is not absolute");
    script_create_with(&s, acme, "web", "/acme/a/disk", "web0", "/acme/vsock", false);
    script_saves(&s);
    assert_int_equal(script_replied(&s, acme, s.request), 0);
}

static void interfaces_that_one_may_use(void **state)
{
    (void)state;
    script_create_with(&s, acme, "web", NULL, "eth0", NULL, false);
    refused("may not use interface eth0");
    script_create_with(&s, acme, "web", NULL, "", NULL, false);
    refused("name the interface");
    script_create_with(&s, acme, "web", NULL, "we", NULL, false);
    refused("may not use interface we");
}

/* The broker hears it of each session that is handed out. */
static bool may_add_user_net(uint64_t session, const char *vm)
{
    const struct host_action *reply = NULL;

    script_open_channel(&s, session, vm, BULKHEAD__VM_CHANNEL__VM_COMMAND);
    script_done(&s, script_asked(&s, ASK_CONNECT), 0, 1);
    for (unsigned i = 0; i < s.n_log; i++)
        if (s.log[i].kind == HOST_REPLY)
            reply = &s.log[i];
    assert_non_null(reply);
    assert_true(reply->flag && reply->limits.limited);
    return !reply->limits.no_user_net;
}

/* What a tenant's VM may not have from its start is not added to it either, whoever asks. */
static void user_networks_that_are_added(void **state)
{
    (void)state;
    script_create(&s, acme, "web", true);
    script_runs(&s, "acme", "web");
    script_create(&s, ops, "own", true);
    script_runs(&s, "ops", "own");
    assert_false(may_add_user_net(acme, "web"));
    assert_false(may_add_user_net(ops, "acme/web"));
    assert_true(may_add_user_net(ops, "own"));
    s.host.config->tenants[0]->user_net = true;
    assert_true(may_add_user_net(acme, "web"));
    assert_false(spec_may_have_user_net(NULL)); /* it is no tenant any more */
}

static void is_told(const char *part)
{
    assert_true(script_replied(&s, acme, s.request) > 0);
    assert_non_null(strstr(s.text, part));
}

/* The starter is asked to write down that he wants it, with his words as they are. */
static void a_tenant_adds_a_user_network(void **state)
{
    uint8_t words[HOST_MAX_NOTE_BYTES + 1] = "net1";
    const struct host_action *reply = NULL;
    uint32_t ask;

    (void)state;
    s.note = (ProtobufCBinaryData){ 4, words };
    script_create(&s, acme, "off", false);
    script_open_channel(&s, acme, "off", BULKHEAD__VM_CHANNEL__VM_USER_NET);
    assert_int_equal(script_replied(&s, acme, s.request), ENOTCONN);
    script_create(&s, acme, "web", true);
    script_runs(&s, "acme", "web");
    script_open_channel(&s, acme, "web", BULKHEAD__VM_CHANNEL__VM_USER_NET);
    is_told("tenant acme may have no user network");
    script_open_channel(&s, ops, "acme/web", BULKHEAD__VM_CHANNEL__VM_USER_NET);
    assert_int_equal(script_replied(&s, ops, s.request), EPERM);
    s.host.config->tenants[0]->user_net = true;
    script_open_channel(&s, beta, "acme/web", BULKHEAD__VM_CHANNEL__VM_USER_NET);
    assert_int_equal(script_replied(&s, beta, s.request), ENOENT);
    s.note.len = 0;
    script_open_channel(&s, acme, "web", BULKHEAD__VM_CHANNEL__VM_USER_NET);
    is_told("a note of 0 bytes");
    s.note.len = sizeof words;
    script_open_channel(&s, acme, "web", BULKHEAD__VM_CHANNEL__VM_USER_NET);
    is_told("a note of 4097 bytes");
    assert_int_equal(script_asked(&s, ASK_NOTE), 0);
    s.note.len = 4;
    script_open_channel(&s, acme, "web", BULKHEAD__VM_CHANNEL__VM_USER_NET);
    for (unsigned i = 0; i < s.n_log; i++)
        if (s.log[i].kind == HOST_ASK && s.log[i].asks == ASK_NOTE)
            assert_ptr_equal(s.log[i].note->data, words);
    ask = script_asked(&s, ASK_NOTE);
    assert_int_not_equal(ask, 0);
    assert_int_equal(script_replied(&s, acme, s.request), -1);
    script_done(&s, ask, 0, 1);
    for (unsigned i = 0; i < s.n_log; i++)
        if (s.log[i].kind == HOST_REPLY)
            reply = &s.log[i];
    assert_true(reply && reply->flag && !reply->limits.limited);
    assert_int_equal(script_replied(&s, acme, s.request), 0);
}

static void config_of(const char *name, void (*change)(Bulkhead__VmSpec *spec))
{
    Bulkhead__HostEnvelope e = BULKHEAD__HOST_ENVELOPE__INIT;
    Bulkhead__CreateVm create = BULKHEAD__CREATE_VM__INIT;
    Bulkhead__VmSpec spec = BULKHEAD__VM_SPEC__INIT;
    Bulkhead__VmConfig config = BULKHEAD__VM_CONFIG__INIT;

    config.name = T(name);
    config.kernel = T("/acme/vmlinuz");
    spec.config = &config;
    create.spec = &spec;
    e.body_case = B(CREATE_VM);
    e.create_vm = &create;
    change(&spec);
    script_send(&s, acme, &e);
}

static void nothing(Bulkhead__VmSpec *spec)
{
    (void)spec;
}

static void insecure(Bulkhead__VmSpec *spec)
{
    spec->config->insecure = true;
}

static void no_config(Bulkhead__VmSpec *spec)
{
    spec->config = NULL;
}

static void network(Bulkhead__VmSpec *spec, const char *mode)
{
    static Bulkhead__NetConfig net, *nets[] = { &net };

    bulkhead__net_config__init(&net);
    net.mode = T(mode);
    net.num_fds = 1;
    spec->config->nets = nets;
    spec->config->n_nets = 1;
}

static void by_descriptor(Bulkhead__VmSpec *spec)
{
    network(spec, "fd");
}

static void of_the_user(Bulkhead__VmSpec *spec)
{
    network(spec, "user");
}

static void label(Bulkhead__VmSpec *spec, const char *key, const char *value)
{
    static Bulkhead__KeyValue l, *labels[] = { &l, &l };

    bulkhead__key_value__init(&l);
    l.key = T(key);
    l.value = T(value);
    spec->labels = labels;
    spec->n_labels = 1;
}

static void bad_label(Bulkhead__VmSpec *spec)
{
    label(spec, "a b", "c");
}

static void control_in_label(Bulkhead__VmSpec *spec)
{
    label(spec, "a", "c\n");
}

static void label_twice(Bulkhead__VmSpec *spec)
{
    label(spec, "a", "c");
    spec->n_labels = 2;
}

static void what_is_refused_at_create(void **state)
{
    static const struct {
        const char *name;
        void (*change)(Bulkhead__VmSpec *spec);
        const char *part;
    } cases[] = {
        { "web", insecure, "for who runs the host" },
        { "web", no_config, "needs a configuration" },
        { "web", by_descriptor, "takes no descriptors" },
        { "web", of_the_user, "may have no user network" },
        { "web", bad_label, "label 'a b'" },
        { "web", control_in_label, "control character" },
        { "web", label_twice, "given twice" },
        { "", nothing, "VM name ''" },
        { "a/b", nothing, "VM name 'a/b'" },
        { "..", nothing, "VM name '..'" },
        { "a\nb", nothing, "VM name 'a?b'" },
        { "0123456789012345678901234567890123456789012345678901234567890123456789", nothing,
          "VM name '0123" },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        config_of(cases[i].name, cases[i].change);
        refused(cases[i].part);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_request_has_a_row),
        cmocka_unit_test_setup_teardown(anothers_vm_is_not_there, begin, end),
        cmocka_unit_test_setup_teardown(lists_and_counts_show_ones_own, begin, end),
        cmocka_unit_test_setup_teardown(a_list_comes_in_pages, begin, end),
        cmocka_unit_test_setup_teardown(the_hosts_own_names_anothers, begin, end),
        cmocka_unit_test_setup_teardown(who_speaks_for_nobody_is_told_so, begin, end),
        cmocka_unit_test_setup_teardown(a_group_speaks_where_no_uid_does, begin, end),
        cmocka_unit_test_setup_teardown(events_are_counted_by_tenant, begin, end),
        cmocka_unit_test_setup_teardown(more_tenants_than_are_counted, begin, end),
        cmocka_unit_test_setup_teardown(paths_below_ones_trees, begin, end),
        cmocka_unit_test_setup_teardown(interfaces_that_one_may_use, begin, end),
        cmocka_unit_test_setup_teardown(user_networks_that_are_added, begin, end),
        cmocka_unit_test_setup_teardown(a_tenant_adds_a_user_network, begin, end),
        cmocka_unit_test_setup_teardown(what_is_refused_at_create, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
