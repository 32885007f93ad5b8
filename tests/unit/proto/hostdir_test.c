/* SPDX-License-Identifier: Apache-2.0 */
/* hostdir_test.c - what a tenant and a VM of the host's service may be called. */
#include "test.h"

#include <string.h>
#include "base/compiler.h"
#include "client/hostdir.h"

static void names(void **state)
{
    static const struct {
        const char *name;
        bool tenant, vm;
    } cases[] = {
        { "acme", true, true },    { "a", true, true },       { "7up", true, true },
        { "a.b-c_d", true, true }, { "Acme", false, true },   { "_acme", false, true },
        { ".acme", false, false }, { "-acme", false, false }, { "", false, false },
        { "a/b", false, false },   { "a b", false, false },   { "\303\251", false, false },
        { "..", false, false },    { "a\n", false, false },
    };
    char longest[64];

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(hostdir_is_tenant(cases[i].name), cases[i].tenant);
        assert_int_equal(hostdir_is_vm(cases[i].name), cases[i].vm);
    }
    memset(longest, 'a', sizeof longest); /* no end: no more is read than a name has room for */
    assert_false(hostdir_is_tenant(longest + sizeof longest - HOSTDIR_TENANT_BYTES));
    assert_false(hostdir_is_vm(longest + sizeof longest - HOSTDIR_VM_BYTES));
    longest[sizeof longest - 1] = '\0';
    assert_true(hostdir_is_tenant(longest + sizeof longest - HOSTDIR_TENANT_BYTES));
    assert_false(hostdir_is_tenant(longest + sizeof longest - HOSTDIR_TENANT_BYTES - 1));
    assert_true(hostdir_is_vm(longest + sizeof longest - HOSTDIR_VM_BYTES));
    assert_false(hostdir_is_vm(longest + sizeof longest - HOSTDIR_VM_BYTES - 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(names) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
