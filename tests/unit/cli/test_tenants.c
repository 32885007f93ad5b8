// SPDX-License-Identifier: Apache-2.0
// test_tenants.c - tenants.yaml: what it says is what the service reads; what is wrong in it is said in one line, and nothing
// is written; and what `bulkhead tenants` lists.
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_host.h"
#include "tenants/check.h"
#include "tenants/read.h"
#include "vmconfig/load.h"

#define BODY(name) BULKHEAD__HOST_ENVELOPE__BODY_##name

#define HOST "- {name: host, users: [root], trees: [/], host: true}\n"

/* ---- reading ---- */

static void test_all_fields(void **state)
{
    static const char text[] = "tenants:\n" HOST "- name: acme\n"
                               "  users: [1001, '1002']\n"
                               "  groups: [root, 50]\n"
                               "  run_as: '1003:1004'\n"
                               "  trees: [/usr, /usr/lib]\n"
                               "  uid_range: {first: 0x70010000, count: 128}\n"
                               "  quota: {vms: 1, vcpus: 2, memory: 16G, disks: 4, devices: 5,\n"
                               "          connections: 6, requests_per_s: 7}\n"
                               "  taps: [acme*, tap7]\n"
                               "  user_net: true\n"
                               "- {name: b, users: [root2], groups: null, quota: {memory: 4096},\n"
                               "   run_as: daemon, trees: [/tmp]}\n";
    char copy[sizeof(text)];
    Bulkhead__HostConfig config;
    struct option_error err = { "" };
    const struct lines lines = { 0 };
    struct bag bag = { 0 };
    const Bulkhead__Tenant *t;
    json_t *root;
    char *b;

    (void)state;
    memcpy(copy, text, sizeof(text));
    b = strstr(copy, "root2"); /* a name of which nothing else is known is none */
    memcpy(b, "70000", 5);
    root = load_text("t", copy, strlen(copy), NULL, &err);
    if (!root || tenants_read("t", &lines, root, &bag, &config, &err) < 0 ||
        tenants_check("t", &config, 0, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(config.n_tenants, 3);
    t = config.tenants[0];
    assert_string_equal(t->name, "host");
    assert_true(t->host);
    assert_int_equal(t->uids[0], 0);
    assert_int_equal(t->uid, 0); /* the one user, and his group */
    assert_int_equal(t->gid, 0);
    assert_null(t->quota);
    t = config.tenants[1];
    assert_int_equal(t->n_uids, 2);
    assert_int_equal(t->uids[1], 1002);
    assert_int_equal(t->n_gids, 2);
    assert_int_equal(t->gids[0], 0);
    assert_int_equal(t->uid, 1003);
    assert_int_equal(t->gid, 1004);
    assert_string_equal(t->trees[1], "/usr/lib");
    assert_int_equal(t->uid_first, 0x70010000);
    assert_int_equal(t->uid_count, 128);
    assert_int_equal(t->quota->vms, 1);
    assert_int_equal(t->quota->vcpus, 2);
    assert_int_equal(t->quota->memory, 16ull << 30);
    assert_int_equal(t->quota->disks, 4);
    assert_int_equal(t->quota->devices, 5);
    assert_int_equal(t->quota->connections, 6);
    assert_int_equal(t->quota->requests_per_s, 7);
    assert_string_equal(t->taps[0], "acme*");
    assert_true(t->user_net);
    assert_false(t->host);
    assert_int_equal(config.tenants[2]->uid, 1); /* daemon */
    assert_int_equal(config.tenants[2]->quota->memory, 4096);
    json_decref(root);
    bag_free(&bag);
}

static void is_refused(const char *text, const char *want)
{
    struct option_error err = { "" };
    Bulkhead__HostConfig config;
    struct bag bag = { 0 };
    struct lines lines = { 0 };
    json_t *root = load_text("t.yaml", text, strlen(text), &lines, &err);

    if (root && tenants_read("t.yaml", &lines, root, &bag, &config, &err) == 0 &&
        tenants_check("t.yaml", &config, 0, &err) == 0)
        fail_msg("it was taken: %s", text);
    if (!strstr(err.text, want) || strncmp(err.text, "t.yaml:", 7) != 0 || strchr(err.text, '\n'))
        fail_msg("'%s' for %s", err.text, text);
    lines_deinit(&lines);
    json_decref(root);
    bag_free(&bag);
}

#define ACME(more)                                                                                 \
    "tenants:\n" HOST "- {name: acme, users: [7001], run_as: '7001:1', trees: [/tmp]" more "}\n"
#define TWO(more_a, more_b)                                                                        \
    "tenants:\n" HOST "- {name: a, users: [7001], run_as: '7001:1', trees: [/tmp]" more_a "}\n"    \
    "- {name: b, users: [7002], run_as: '7002:1', trees: [/tmp]" more_b "}\n"

static void test_what_is_wrong(void **state)
{
    (void)state;
    is_refused("\n[]", "t.yaml:2: is to be an object: tenants");
    is_refused("tenants:\n- name: a\n  quota:\n    vms: 1\n    vcpu: 1\n",
               "t.yaml:5: tenants[0].quota.vcpu: there is no");
    is_refused("tenants:\n- name: x\n  users:\n  - 1\n  - no-such-user\n",
               "t.yaml:5: tenants[0].users[1]: this host");
    is_refused("tenats: []", "tenats: there is no such field: is 'tenants' meant?");
    is_refused("tenants: {}", "tenants: is to be a list");
    is_refused("tenants: []", "with one at least");
    is_refused("tenants: [acme]", "tenants[0]: is to be an object");
    is_refused("tenants: [{nam: x}]", "tenants[0].nam: there is no such field: is 'name' meant?");
    is_refused("tenants: [{users: [root]}]", "tenants[0]: name is missing");
    is_refused("tenants: [{name: 5}]", "tenants[0].name: is to be a text");
    is_refused("tenants: [{name: x, users: root}]", "tenants[0].users: is to be a list of users");
    is_refused("tenants: [{name: x, users: [{}]}]", "tenants[0].users[0]: is to be one of users");
    is_refused("tenants: [{name: x, users: [no-such-user]}]",
               "tenants[0].users[0]: this host knows no user 'no-such-user'");
    is_refused("tenants: [{name: x, users: ['-x']}]", "'-x' is no name of a user");
    is_refused("tenants: [{name: x, users: ['a b']}]", "'a b' is no name of a user");
    is_refused("tenants: [{name: x, users: [-1]}]", "'-1' is no name of a user");
    is_refused("tenants: [{name: x, groups: [no-such-group]}]", "this host knows no group");
    is_refused("tenants: [{name: x, users: [1, 2]}]", "tenants[0]: run_as is missing");
    is_refused("tenants: [{name: x, users: [7001]}]", "run_as is missing: say USER:GROUP");
    is_refused("tenants: [{name: x, run_as: [1]}]", "run_as: is to be a user, or USER:GROUP");
    is_refused("tenants: [{name: x, run_as: 'root:no-such-group'}]", "this host knows no group");
    is_refused(ACME(", user_net: 1"), "tenants[1].user_net: is to be true or false");
    is_refused(ACME(", quota: 5"), "tenants[1].quota: is to be an object");
    is_refused(ACME(", quota: {vm: 5}"), "quota.vm: there is no such field: is 'vms' meant?");
    is_refused(ACME(", quota: {vms: 0}"),
               "tenants[1].quota.vms: 0 would be nothing at all: leave it out for no limit");
    is_refused(ACME(", quota: {memory: 0}"), "quota.memory: 0 would be nothing at all");
    is_refused(ACME(", quota: {vcpus: many}"), "quota.vcpus: is to be a whole number");
    is_refused(ACME(", quota: {vcpus: -1}"), "quota.vcpus: is to be a whole number");
    is_refused(ACME(", quota: {disks: 4294967296}"), "4294967296 is more than 4294967295");
    is_refused(ACME(", quota: {memory: 1Q}"), "'1Q' is no size");
    is_refused(ACME(", uid_range: {first: 0x70000000}"),
               "uid_range: is to be an object: first, count");
    is_refused(ACME(", uid_range: {first: 0x70000000, count: 65}"), "multiples of 64");
    is_refused(ACME(", uid_range: {first: 0x70000001, count: 64}"), "multiples of 64");
    is_refused(ACME(", uid_range: {first: 1000, count: 64}"), "within 1879048192 to 2147483647");
    is_refused(ACME(", uid_range: {first: 0x7fffffc0, count: 128}"), "within 1879048192");
    is_refused(ACME(", taps: ['a*b']"), "'a*b' is no interface");
    is_refused(ACME(", taps: [a-name-that-is-too-long]"), "is no interface");
    is_refused("tenants: [{name: Acme, users: [root], trees: [/], host: true}]",
               "'Acme' is no tenant's name");
    is_refused("tenants: [{name: a/b, users: [root], trees: [/], host: true}]", "no tenant's name");
    is_refused("tenants: [{name: .a, users: [root], trees: [/], host: true}]", "no tenant's name");
    is_refused("tenants: [{name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, users: [root], trees: [/]}]",
               "no tenant's name: 1 to 32");
    is_refused("tenants: [{name: a, users: [root], trees: [/]}]",
               "root's rights are for a tenant with host: true");
    is_refused("tenants: [{name: a, run_as: daemon, trees: [/]}]", "users or groups are missing");
    is_refused("tenants: [{name: a, users: [daemon]}]", "trees are missing");
    is_refused("tenants: [{name: a, users: [daemon], trees: [srv]}]", "'srv' is no absolute path");
    is_refused("tenants: [{name: a, users: [daemon], trees: [/srv/../etc]}]", "has '..' in it");
    is_refused("tenants: [{name: a, users: [daemon], trees: [/nonexistent]}]",
               "the tree /nonexistent: No such file");
    is_refused("tenants: [{name: a, users: [daemon], trees: [/proc/self/root]}]",
               "a symbolic link is on the way");
    is_refused("tenants: [{name: a, users: [daemon], trees: [/etc/passwd]}]", "Not a directory");
    is_refused("tenants: [{name: a, users: [daemon], trees: [/tmp]}]", "no tenant has host: true");
}

static void test_of_two(void **state)
{
    (void)state;
    is_refused("tenants:\n" HOST HOST, "tenant host is there twice");
    is_refused(TWO(", groups: [9]", ", groups: [8, 9]"), "group 9 speaks for two tenants, a and b");
    is_refused("tenants:\n" HOST "- {name: b, users: [1, 0], run_as: daemon, trees: [/tmp]}\n",
               "user 0 speaks for two tenants, host and b");
    is_refused(TWO(", uid_range: {first: 0x70000000, count: 128}",
                   ", uid_range: {first: 0x70000040, count: 64}"),
               "the uid ranges of tenants a and b overlap");
    is_refused(TWO(", uid_range: {first: 0x70000040, count: 64}",
                   ", uid_range: {first: 0x70000000, count: 128}"),
               "the uid ranges of tenants a and b overlap");
    is_refused("tenants:\n" HOST "- {name: a, users: [0x70000005], run_as: '1:1', trees: [/tmp]}\n"
               "- {name: b, users: [2], run_as: '2:2', trees: [/tmp], uid_range: {first: "
               "0x70000000, count: 64}}\n",
               "user 1879048197 of tenant a lies in the uid range of tenant b");
    is_refused("tenants:\n- {name: a, users: [0, 0], run_as: root, trees: [/], host: true}\n",
               "user 0 is given twice");
    is_refused("tenants: &a [*a]", "");
    is_refused("a: &a [1,1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
               "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
               "tenants: [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n",
               "too much, with all that its aliases stand for");
}

/* ---- the verb ---- */

/* A file that is well for who runs this. */
static void write_yaml(const struct fake_host *f, const char *tenant, char *path, size_t size)
{
    FILE *file;

    snprintf(path, size, "%s/tenants.yaml", f->dir);
    file = fopen(path, "we");
    assert_non_null(file);
    fprintf(file,
            "tenants: [{name: %s, users: [%u], run_as: '%u:%u', trees: [/tmp], host: true}]\n",
            tenant, geteuid(), geteuid(), getegid());
    assert_int_equal(fclose(file), 0);
}

/* The one tenant's name in tenants.pb, "" if there is no such file. */
static void stored_tenant(const struct fake_host *f, char name[33])
{
    Bulkhead__HostConfig *config;
    uint8_t bytes[4096];
    char path[128];
    struct stat st;
    ssize_t n;
    int fd;

    name[0] = '\0';
    snprintf(path, sizeof(path), "%s/config/tenants.pb", f->dir);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0644);
    n = read(fd, bytes, sizeof(bytes));
    close(fd);
    config = bulkhead__host_config__unpack(NULL, (size_t)n, bytes);
    assert_non_null(config);
    assert_int_equal(config->n_tenants, 1);
    snprintf(name, 33, "%s", config->tenants[0]->name);
    bulkhead__host_config__free_unpacked(config, NULL);
}

static void apply(struct fake_host *f, const char *tenant, const char *more)
{
    char line[256], path[128];

    write_yaml(f, tenant, path, sizeof(path));
    snprintf(line, sizeof(line), "tenants apply %s%s", path, more);
    fake_host_run(f, line, NULL, false);
}

static void answer_reload(struct fake_host *f, int error, const char *text)
{
    struct channel *c = fake_host_accept(f);

    fake_host_reply(c, fake_host_expect(c, BODY(RELOAD_TENANTS))->id, error, error != 0, text);
    channel_free(c);
}

static void test_apply(void **state)
{
    struct fake_host *f = *state;
    char name[33];

    apply(f, "one", "");
    answer_reload(f, 0, "1 tenants");
    assert_int_equal(fake_host_finish(f), 0);
    assert_non_null(strstr(f->text, "/config/tenants.pb: 1 tenant, applied\n"));
    stored_tenant(f, name);
    assert_string_equal(name, "one");
    /* What the service refuses is not what it finds when it starts the next time. */
    apply(f, "two", "");
    answer_reload(f, EINVAL, "two is no good name");
    assert_int_equal(fake_host_finish(f), 2);
    assert_string_equal(f->text, "bulkhead: two is no good name\n");
    stored_tenant(f, name);
    assert_string_equal(name, "one");
    close(f->listener);
    f->listener = -1;
    apply(f, "three", " --json");
    assert_int_equal(fake_host_finish(f), 0);
    assert_non_null(strstr(f->text, "\"tenants\": 1, \"result\": \"written; no service runs\"}\n"));
    stored_tenant(f, name);
    assert_string_equal(name, "three");
}

static void test_apply_to_nothing(void **state)
{
    struct fake_host *f = *state;
    char name[33], path[128];

    apply(f, "one", "");
    answer_reload(f, EINVAL, "no");
    assert_int_equal(fake_host_finish(f), 2);
    stored_tenant(f, name);
    assert_string_equal(name, "");
    /* A directory where others could say who is who. */
    snprintf(path, sizeof(path), "%s/config", f->dir);
    assert_int_equal(chmod(path, 0775), 0);
    apply(f, "one", "");
    assert_int_equal(fake_host_finish(f), 2);
    assert_non_null(strstr(f->text, "/config: others may write there: chown it, and chmod go-w\n"));
    stored_tenant(f, name);
    assert_string_equal(name, "");
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(symlink("/tmp", path), 0);
    apply(f, "one", "");
    assert_int_equal(fake_host_finish(f), 2);
    assert_non_null(strstr(f->text, "/config: it must be a directory, and no link\n"));
    assert_int_equal(unlink(path), 0);
    /* And one that isn't there is made. */
    apply(f, "one", "");
    answer_reload(f, 0, "");
    assert_int_equal(fake_host_finish(f), 0);
    stored_tenant(f, name);
    assert_string_equal(name, "one");
}

static void test_check(void **state)
{
    struct fake_host *f = *state;
    char line[256], path[128], name[33];

    write_yaml(f, "one", path, sizeof(path));
    snprintf(line, sizeof(line), "tenants check %s", path);
    fake_host_run(f, line, NULL, false);
    assert_int_equal(fake_host_finish(f), 0);
    assert_non_null(strstr(f->text, "/tenants.yaml: 1 tenant, well\n"));
    write_yaml(f, "ONE", path, sizeof(path));
    fake_host_run(f, line, NULL, false);
    assert_int_equal(fake_host_finish(f), 2);
    assert_non_null(strstr(f->text, "'ONE' is no tenant's name"));
    stored_tenant(f, name);
    assert_string_equal(name, "");
    fake_host_run(f, "tenants apply", NULL, false);
    assert_int_equal(fake_host_finish(f), 2);
    assert_non_null(strstr(f->text, "usage: bulkhead tenants [check FILE | apply FILE]"));
}

static void answer_tenants(struct fake_host *f)
{
    Bulkhead__HostEnvelope answer = BULKHEAD__HOST_ENVELOPE__INIT;
    Bulkhead__TenantList list = BULKHEAD__TENANT_LIST__INIT;
    Bulkhead__TenantUsage usage = BULKHEAD__TENANT_USAGE__INIT, *usages[] = { &usage };
    Bulkhead__Tenant tenant = BULKHEAD__TENANT__INIT;
    Bulkhead__TenantQuota quota = BULKHEAD__TENANT_QUOTA__INIT;
    char name[] = "acme", tree[] = "/srv/acme", *trees[] = { tree };
    uint32_t uid = 1001;
    struct channel *c = fake_host_accept(f);

    tenant.name = name;
    tenant.trees = trees;
    tenant.n_trees = tenant.n_uids = 1;
    tenant.uids = &uid;
    tenant.quota = &quota;
    quota.vms = 10;
    quota.memory = 16ull << 30;
    usage.tenant = &tenant;
    usage.vms = 3;
    usage.vcpus = 4;
    usage.memory = 1ull << 30;
    list.tenants = usages;
    list.n_tenants = 1;
    answer.id = fake_host_expect(c, BODY(LIST_TENANTS))->id;
    answer.body_case = BODY(TENANT_LIST);
    answer.tenant_list = &list;
    fake_host_send(c, &answer, NULL, 0);
    channel_free(c);
}

static void test_list(void **state)
{
    struct fake_host *f = *state;
    json_t *root, *tenant;

    fake_host_run(f, "tenants", NULL, false);
    answer_tenants(f);
    assert_int_equal(fake_host_finish(f), 0);
    assert_string_equal(f->text,
                        "TENANT   VMS  VCPUS    MEMORY  DISKS  CONNECTIONS  HOST  TREES\n"
                        "acme    3/10      4  1.0G/16G      0            0  -     /srv/acme\n");
    fake_host_run(f, "tenants --json", NULL, false);
    answer_tenants(f);
    assert_int_equal(fake_host_finish(f), 0);
    root = json_loads(f->text, 0, NULL);
    tenant = json_array_get(json_object_get(root, "tenants"), 0);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(tenant, "quota"), "vms")),
                     10);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(tenant, "usage"), "vms")),
                     3);
    json_decref(root);
}

/* ---- what the documents say ---- */

/* Names and folders that are no host's become such that each has. */
static void localize(char *text, size_t size)
{
    static const char *const known[][2] = {
        { "run_as: acme:acme ", "run_as: '1003:1003' " },
        { "run_as: \"initech:initech\"", "run_as: '1005:1005'" },
        { "groups: [acme]", "groups: [1004]" },
        { "groups: [initech]", "groups: [1005]" },
        { "users: [anna]", "run_as: '1006:1006', users: [1006]" },
        { "[alice]", "[1007]" },
        { "/srv/acme", "/usr" },
        { "/srv/initech", "/tmp" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        for (char *at; (at = strstr(text, known[i][0])) != NULL;) {
            size_t from = strlen(known[i][0]), to = strlen(known[i][1]);

            assert_true(strlen(text) + to < size);
            memmove(at + to, at + from, strlen(at + from) + 1);
            memcpy(at, known[i][1], to);
        }
}

static void read_example(const char *document)
{
    static const char begins[] = "```\ntenants:\n";
    static char text[256 << 10];
    const struct lines lines = { 0 };
    struct option_error err = { "" };
    Bulkhead__HostConfig config;
    struct bag bag = { 0 };
    char path[4096], *at, *end;
    json_t *root;
    FILE *file;

    snprintf(path, sizeof(path), "%s/docs/%s", SOURCE_DIR, document);
    file = fopen(path, "re");
    assert_non_null(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    assert_int_equal(fclose(file), 0);
    at = strstr(text, begins);
    assert_non_null(at);
    at += 4;
    end = strstr(at, "```");
    assert_non_null(end);
    *end = '\0';
    localize(at, sizeof(text) - (size_t)(at - text));
    root = load_text("t", at, strlen(at), NULL, &err);
    if (!root || tenants_read("t", &lines, root, &bag, &config, &err) < 0 ||
        tenants_check("t", &config, 0, &err) < 0)
        fail_msg("%s: %s", document, err.text);
    json_decref(root);
    bag_free(&bag);
}

static void test_examples(void **state)
{
    (void)state;
    read_example("install.md");
    read_example("operating.md");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_host_setup, fake_host_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_fields),
        cmocka_unit_test(test_what_is_wrong),
        cmocka_unit_test(test_of_two),
        cmocka_unit_test(test_examples),
        TEST(test_apply),
        TEST(test_apply_to_nothing),
        TEST(test_check),
        TEST(test_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
