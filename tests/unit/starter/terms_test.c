/* SPDX-License-Identifier: Apache-2.0 */
/* terms_test.c - tenants.pb: what is wrong with it is said in one line, and what isn't well changes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/compiler.h"
#include "hostd/starter/terms.h"
#include "hostd/starter/wire.h"
#include "temp_dir.h"
#include <cmocka.h>

enum { MAX = 3 };

/* A tenant in a few words. */
struct said {
    const char *name;
    uint32_t uid, speaker, group, first, count;
    bool host;
    const char *tree;
};

static struct made {
    Bulkhead__HostConfig config;
    Bulkhead__Tenant tenants[MAX], *list[MAX];
    char names[MAX][64], tree[MAX][5000], *trees[MAX];
    uint32_t speakers[MAX], groups[MAX];
} made;

static const Bulkhead__HostConfig *make(const struct said *said)
{
    bulkhead__host_config__init(&made.config);
    made.config.tenants = made.list;
    for (unsigned i = 0; i < MAX && said[i].name; i++) {
        Bulkhead__Tenant *t = &made.tenants[i];

        bulkhead__tenant__init(t);
        made.list[made.config.n_tenants++] = t;
        snprintf(made.names[i], sizeof made.names[i], "%s", said[i].name);
        t->name = made.names[i];
        t->uid = said[i].uid;
        t->host = said[i].host;
        t->uid_first = said[i].first;
        t->uid_count = said[i].count;
        made.speakers[i] = said[i].speaker;
        t->uids = &made.speakers[i];
        t->n_uids = said[i].speaker != 0;
        made.groups[i] = said[i].group;
        t->gids = &made.groups[i];
        t->n_gids = said[i].group != 0;
        snprintf(made.tree[i], sizeof made.tree[i], "%s", said[i].tree ? said[i].tree : "");
        made.trees[i] = made.tree[i];
        t->trees = &made.trees[i];
        t->n_trees = said[i].tree != NULL;
    }
    return &made.config;
}

#define POOL 0x70000000u

static const struct {
    uint32_t service; /* its uid */
    struct said said[MAX];
    const char *wrong; /* NULL: nothing */
} cases[] = {
    { 0,
      { { "acme", 1000, 1000, 7, POOL, 64, false, "/srv/acme" },
        { "host", 0, 0, 0, 0, 0, true, "/" } },
      NULL },
    { 0,
      { { "acme", 1000, 1000, 7, POOL, 64, false, NULL },
        { "b", 1001, 1001, 8, POOL + 64, 64, false, NULL } },
      NULL },
    { 0, { { NULL } }, "no tenant in it" },
    { 0, { { "", 1000, 0, 0, 0, 0, false, NULL } }, "name '' is not usable" },
    { 0, { { "Acme", 1000, 0, 0, 0, 0, false, NULL } }, "name 'Acme' is not usable" },
    { 0, { { "a/b", 1000, 0, 0, 0, 0, false, NULL } }, "not usable" },
    { 0, { { "..", 1000, 0, 0, 0, 0, false, NULL } }, "not usable" },
    { 0, { { "_a", 1000, 0, 0, 0, 0, false, NULL } }, "not usable" },
    { 0,
      { { "a234567890123456789012345678901234", 1000, 0, 0, 0, 0, false, NULL } },
      "not usable" },
    { 0, { { "a2345678901234567890123456789012", 1000, 0, 0, 0, 0, false, NULL } }, NULL },
    { 0,
      { { "a", 1000, 0, 0, 0, 0, false, NULL }, { "a", 1001, 0, 0, 0, 0, false, NULL } },
      "there twice" },
    { 0,
      { { "a", 1000, 5, 0, 0, 0, false, NULL }, { "b", 1001, 5, 0, 0, 0, false, NULL } },
      "uid 5 is of the tenants a and b" },
    { 0,
      { { "a", 1000, 0, 5, 0, 0, false, NULL }, { "b", 1001, 0, 5, 0, 0, false, NULL } },
      "gid 5 is of the tenants a and b" },
    { 0, { { "a", 1000, 0, 0, POOL + 1, 64, false, NULL } }, "multiples of 64" },
    { 0, { { "a", 1000, 0, 0, POOL, 63, false, NULL } }, "multiples of 64" },
    { 0, { { "a", 1000, 0, 0, POOL, 0, false, NULL } }, "multiples of 64" },
    { 0, { { "a", 1000, 0, 0, 0, 64, false, NULL } }, "not usable" },
    { 0, { { "a", 1000, 0, 0, 960, 64, false, NULL } }, "not usable" },
    { 0, { { "a", 1000, 0, 0, 0x7fffffc0, 64, false, NULL } }, NULL },
    { 0, { { "a", 1000, 0, 0, 0x7fffffc0, 128, false, NULL } }, "not usable" },
    { 0, { { "a", 1000, 0, 0, 0xffffffc0, 64, false, NULL } }, "not usable" },
    { 0,
      { { "a", 1000, 0, 0, POOL, 128, false, NULL },
        { "b", 1001, 0, 0, POOL + 64, 64, false, NULL } },
      "overlap" },
    { 0,
      { { "a", 1000, 0, 0, POOL + 64, 64, false, NULL },
        { "b", 1001, 0, 0, POOL, 128, false, NULL } },
      "overlap" },
    { 0,
      { { "a", 1000, 0, 0, POOL, 64, false, NULL }, { "b", 1001, POOL + 5, 0, 0, 0, false, NULL } },
      "is in the range of a's VMs" },
    { 0, { { "a", POOL + 5, 0, 0, POOL, 64, false, NULL } }, "is in the range of a's VMs" },
    { 0, { { "a", 0, 0, 0, 0, 0, false, NULL } }, "root's rights" },
    { 0, { { "a", UINT32_MAX, 0, 0, 0, 0, false, NULL } }, "is no uid or gid" },
    { 1000, { { "a", 1001, 0, 0, 0, 0, false, NULL } }, "no other rights" },
    { 1000, { { "a", 1000, 0, 0, 0, 0, false, NULL } }, NULL },
    { 0, { { "a", 1000, 0, 0, 0, 0, false, "srv" } }, "an absolute path" },
    { 0, { { "a", 1000, 0, 0, 0, 0, false, "" } }, "an absolute path" },
    { 0, { { "a", 1000, 0, 0, 0, 0, false, "/srv/../etc" } }, "has '..' in it" },
    { 0, { { "a", 1000, 0, 0, 0, 0, false, "/srv/.." } }, "has '..' in it" },
    { 0, { { "a", 1000, 0, 0, 0, 0, false, "/srv/..a" } }, NULL },
};

static void test_what_it_says(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct fault f = { 0 };
        int r = terms_check(make(cases[i].said), cases[i].service, &f);

        if ((r < 0) != (cases[i].wrong != NULL))
            fail_msg("case %u: %d, %s", i, r, f.text);
        if (r < 0 && (!strstr(f.text, cases[i].wrong) || strchr(f.text, '\n') || !f.bad_input))
            fail_msg("case %u: %s", i, f.text);
    }
}

static void test_too_many(void **state)
{
    static Bulkhead__Tenant tenants[TERMS_MAX_TENANTS + 1], *list[TERMS_MAX_TENANTS + 1];
    static char names[TERMS_MAX_TENANTS + 1][8], *trees[TERMS_MAX_TREES + 1], root[] = "/";
    static uint32_t uids[TERMS_MAX_IDS + 1];
    Bulkhead__HostConfig config = BULKHEAD__HOST_CONFIG__INIT;
    struct fault f = { 0 };

    (void)state;
    config.tenants = list;
    for (unsigned i = 0; i <= TERMS_MAX_TENANTS; i++) {
        bulkhead__tenant__init(&tenants[i]);
        snprintf(names[i], sizeof names[i], "t%u", i);
        tenants[i].name = names[i];
        tenants[i].uid = 1000;
        list[i] = &tenants[i];
    }
    config.n_tenants = TERMS_MAX_TENANTS;
    assert_int_equal(terms_check(&config, 0, &f), 0);
    config.n_tenants++;
    assert_true(terms_check(&config, 0, &f) < 0);
    assert_non_null(strstr(f.text, "at most 256"));
    config.n_tenants = 1;
    for (unsigned i = 0; i <= TERMS_MAX_IDS; i++)
        uids[i] = i + 1;
    tenants[0].uids = uids;
    tenants[0].n_uids = TERMS_MAX_IDS + 1;
    assert_true(terms_check(&config, 0, &f) < 0);
    assert_non_null(strstr(f.text, "use groups"));
    tenants[0].n_uids = 0;
    for (unsigned i = 0; i <= TERMS_MAX_TREES; i++)
        trees[i] = root;
    tenants[0].trees = trees;
    tenants[0].n_trees = TERMS_MAX_TREES + 1;
    assert_true(terms_check(&config, 0, &f) < 0);
    assert_non_null(strstr(f.text, "at most 32"));
}

/* ---- the file ---- */

static char dir[96];

static void path_of(const char *name, char *dst, size_t size)
{
    snprintf(dst, size, "%s/%s", dir, name);
}

static void put(const void *bytes, size_t len)
{
    char path[128];
    FILE *f;

    path_of("tenants.pb", path, sizeof path);
    (void)unlink(path);
    f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, 0644), 0);
}

static void put_tenant(const char *tree)
{
    const struct said said[MAX] = { { "acme", geteuid(), 0, 0, 0, 0, true, tree } };
    const Bulkhead__HostConfig *config = make(said);
    uint8_t bytes[8192];

    put(bytes, bulkhead__host_config__pack(config, bytes));
}

static void expect(struct terms *terms, const char *wrong)
{
    struct fault f = { 0 };
    int r = terms_read(terms, dir, &f);

    if (!wrong && r < 0)
        fail_msg("%s", f.text);
    if (wrong && (r == 0 || !strstr(f.text, wrong) || strchr(f.text, '\n')))
        fail_msg("%d, '%s' in place of '%s'", r, f.text, wrong);
    assert_non_null(terms_find(terms, "acme")); /* what was there before stays */
}

static void begin(void)
{
    assert_true(temp_dir(dir, sizeof dir, "bulkhead-terms"));
}

static void test_the_file(void **state)
{
    static uint8_t large[STARTER_MAX_TERMS + 1];
    struct terms terms = { 0 };
    char path[128], link[128], gone[160];

    (void)state;
    begin();
    path_of("tenants.pb", path, sizeof path);
    path_of("link", link, sizeof link);
    put_tenant("/usr");
    expect(&terms, NULL);
    assert_null(terms_find(&terms, "host"));
    put("", 0);
    expect(&terms, "no tenant in it");
    put("\xff\xff\xff\xff", 4);
    expect(&terms, "is no list of tenants");
    put(large, sizeof large);
    expect(&terms, "is larger than");
    put_tenant(path); /* a file */
    expect(&terms, "Not a directory");
    snprintf(gone, sizeof gone, "%s/gone", dir);
    put_tenant(gone);
    expect(&terms, "No such file");
    assert_int_equal(symlink("/usr", link), 0);
    put_tenant(link);
    expect(&terms, "a symbolic link is on the way");
    put_tenant("/usr");
    assert_int_equal(chmod(path, 0664), 0);
    expect(&terms, "others may write");
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(chmod(dir, 0777), 0);
    expect(&terms, "others may write");
    assert_int_equal(chmod(dir, 0700), 0);
    assert_int_equal(unlink(link), 0);
    assert_int_equal(rename(path, link), 0);
    assert_int_equal(symlink("link", path), 0);
    expect(&terms, "no link");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    expect(&terms, "is no file of root's");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rename(link, path), 0);
    expect(&terms, NULL);
    if (geteuid() == 0) {
        assert_int_equal(chown(path, 65533, 65533), 0);
        expect(&terms, "is no file of root's");
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
    terms_clear(&terms);
}

/* What a tenant did to his own is his own trouble, when the service begins again. */
static void test_a_tree_that_is_gone(void **state)
{
    struct terms terms = { 0 };
    char path[128], gone[160];

    (void)state;
    begin();
    path_of("tenants.pb", path, sizeof path);
    snprintf(gone, sizeof gone, "%s/gone", dir);
    put_tenant(gone);
    expect(&terms, NULL);
    expect(&terms, "No such file"); /* who applies it is told */
    terms_clear(&terms);
    assert_int_equal(symlink("/usr", gone), 0);
    expect(&terms, NULL);
    assert_int_equal(unlink(gone), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
    terms_clear(&terms);
}

/* A few bytes that would unpack to very much: what a field of no bytes makes of each two of the file's. */
static void test_a_bomb(void **state)
{
    static uint8_t bomb[STARTER_MAX_TERMS];
    struct terms terms = { 0 };
    struct fault f = { 0 };
    char path[128];

    (void)state;
    begin();
    path_of("tenants.pb", path, sizeof path);
    for (size_t i = 0; i + 1 < sizeof bomb; i += 2) {
        bomb[i] = 0x0a; /* tenants: one of no bytes */
        bomb[i + 1] = 0;
    }
    put(bomb, sizeof bomb);
    assert_true(terms_read(&terms, dir, &f) < 0);
    assert_null(terms.config);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_it_says), cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_the_file),     cmocka_unit_test(test_a_tree_that_is_gone),
        cmocka_unit_test(test_a_bomb),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
