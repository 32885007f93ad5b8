/* SPDX-License-Identifier: Apache-2.0 */
/* rights_test.c - what the starter tells a VM's launcher that its tenant may have, whatever hostd says of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "starter_rig.h"
#include <cmocka.h>

/* fake_broker.c says "tree" of each argument. */
static bool was_told(const char *text, const char *word)
{
    char line[128];

    snprintf(line, sizeof line, "\ntree %s\n", word);
    return strstr(text, line) != NULL;
}

static bool has_fd(const char *text, int fd, const char *path)
{
    char line[96];
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    snprintf(line, sizeof line, "fd %d %o %llu\n", fd, (unsigned)(st.st_mode & S_IFMT),
             (unsigned long long)st.st_ino);
    return strstr(text, line) != NULL;
}

static void test_a_tenant(void **state)
{
    struct starter_rig *rig = rig_new();
    char text[8192];

    (void)state;
    rig_write_tenant(rig, "acme");
    rig_start(rig);
    assert_int_equal(rig_run(rig, "acme", "web", text, sizeof text), 0);
    assert_true(was_told(text, "tenant=acme") && was_told(text, "devices=3"));
    assert_true(was_told(text, "tap=web*") && was_told(text, "tap=uplink"));
    assert_false(was_told(text, "host") || was_told(text, "user-net") || was_told(text, "vouched"));
    rig_quit(rig, "acme", "web");
    rig_free(rig);
}

/* The host's own has the service's rights: there word of the VM is asked for where hostd can't leave it. */
static void test_the_hosts_own(void **state)
{
    const char *name = geteuid() == 0 ? "host" : "user";
    struct starter_rig *rig = rig_new();
    char text[8192], kept[192];

    (void)state;
    rig_start(rig);
    assert_int_equal(rig_ask(rig, STARTER_TERMS, "", ""), 0);
    assert_int_equal(rig_run(rig, name, "web", text, sizeof text), 0);
    assert_true(was_told(text, "host") && was_told(text, "vouched") && was_told(text, "user-net"));
    snprintf(kept, sizeof kept, "%s/state/vms/%s/web", rig->dir, name);
    assert_true(has_fd(text, 6, "/") && has_fd(text, 7, kept));
    rig_quit(rig, name, "web");
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_tenant),
        cmocka_unit_test(test_the_hosts_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
