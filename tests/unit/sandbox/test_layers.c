/* SPDX-License-Identifier: Apache-2.0 */
/* test_layers.c - names, the pool of uids, and control groups. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "sandbox/cgroup.h"
#include "sandbox/ids.h"
#include "sandbox/layers.h"
#include "sandbox/namespaces.h"
#include <cmocka.h>

static void test_names(void **state)
{
    unsigned n = 0;

    (void)state;
    for (unsigned bit = 1; bit != 0; bit <<= 1) {
        const char *name = sandbox_layer_name(bit);

        n += name != NULL;
        for (unsigned other = 1; name && other < bit; other <<= 1)
            assert_string_not_equal(name, sandbox_layer_name(other));
    }
    assert_int_equal(n, 19); /* one is no layer, but has a name */
    assert_string_equal(sandbox_layer_name(SANDBOX_LAYER_USERNS), "userns");
    assert_string_equal(sandbox_layer_name(SANDBOX_LAYER_ROOT), "root");
    assert_string_equal(sandbox_layer_name(SANDBOX_LAYER_MDWE), "mdwe");
    assert_null(sandbox_layer_name(0));
    assert_null(sandbox_layer_name(3));
}

static void test_uids(void **state)
{
    (void)state;
    assert_int_equal(sandbox_uid(1, 0), 0x70000040);
    assert_int_equal(sandbox_uid(SANDBOX_UID_RANGES - 1, 63), 0x7fffffff);
    assert_int_equal(sandbox_uid(SANDBOX_UID_RANGES, 0), 0x70000000); /* stays in the pool */
    assert_int_not_equal(sandbox_uid(100, 63), sandbox_uid(101, 0));
    assert_int_not_equal(sandbox_uid(100, 1), sandbox_uid(100, 2));
}

static void test_ids_mapped(void **state)
{
    (void)state;
    assert_true(sandbox_ids_mapped(geteuid(), 1));
    assert_false(sandbox_ids_mapped(UINT32_MAX, 1)); /* "no id": never mapped */
    assert_false(sandbox_ids_mapped(UINT32_MAX - 1, 2));
}

static void test_userns_cure(void **state)
{
    (void)state;
    assert_non_null(strstr(sandbox_userns_cure(-ENOSPC), "user.max_user_namespaces"));
    assert_non_null(strstr(sandbox_userns_cure(EUSERS), "user.max_user_namespaces"));
    assert_non_null(strstr(sandbox_userns_cure(-EPERM), "unprivileged_userns_clone"));
    assert_non_null(strstr(sandbox_userns_cure(-EINVAL), "CONFIG_USER_NS"));
}

static void test_cgroup(void **state)
{
    struct sandbox_cgroup_limits limits = { .pids_max = 5, .memory_max_bytes = 64 << 20 };
    unsigned in_force = 0;
    char name[64], path[512];
    int base = -1, fd = -1;

    (void)state;
    if (sandbox_cgroup_find(&base, path, sizeof path) == SANDBOX_CGROUP_E_NONE) {
        assert_int_equal(base, -1); /* no group is this user's to divide */
        return;
    }
    snprintf(name, sizeof name, "bulkhead-test-%d", (int)getpid());
    assert_int_equal(sandbox_cgroup_create(base, "../up", &limits, &fd, &in_force), -EINVAL);
    assert_int_equal(sandbox_cgroup_create(base, name, &limits, &fd, &in_force), 0);
    assert_int_equal(faccessat(base, name, F_OK, 0), 0);
    if (in_force & SANDBOX_CGROUP_PIDS)
        assert_int_equal(faccessat(fd, "pids.max", F_OK, 0), 0);
    close(fd);
    assert_int_equal(sandbox_cgroup_remove(base, name), 0);
    assert_int_not_equal(faccessat(base, name, F_OK, 0), 0);
    assert_int_equal(sandbox_cgroup_remove(base, name), 0); /* gone is as good */
    close(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),      cmocka_unit_test(test_uids),
        cmocka_unit_test(test_ids_mapped), cmocka_unit_test(test_userns_cure),
        cmocka_unit_test(test_cgroup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
