/* SPDX-License-Identifier: Apache-2.0 */
/* cpuid_test.c - the CPUID that a vCPU gets, on Intel's and AMD's leaves. */
#include "test.h"

#include <stdbool.h>
#include <string.h>
#include "kvm/cpuid.h"
#include "shm/layout.h"

struct table {
    struct kvm_cpuid2 head;
    struct kvm_cpuid_entry2 entries[KVM_CPUID_MAX];
};

static struct kvm_cpuid_entry2 *find(struct table *t, uint32_t function, uint32_t index)
{
    for (uint32_t i = 0; i < t->head.nent; i++)
        if (t->entries[i].function == function && t->entries[i].index == index)
            return &t->entries[i];
    return NULL;
}

static struct kvm_cpuid_entry2 *add(struct table *t, uint32_t function, uint32_t index)
{
    struct kvm_cpuid_entry2 *e = &t->entries[t->head.nent++];

    *e = (struct kvm_cpuid_entry2){ .function = function, .index = index };
    return e;
}

static struct table *vendor(bool intel)
{
    static struct table t;

    memset(&t, 0, sizeof t);
    add(&t, 0, 0)->ebx = intel ? 0x756e6547 : 0x68747541;
    add(&t, 1, 0)->ebx = 0x55aa0800; /* somebody else's ids, CLFLUSH of 8 */
    add(&t, 0xb, 0)->edx = 0x77;     /* first level only, as newer kernels list it */
    return &t;
}

static void test_ids(void **state)
{
    struct table *t = vendor(true);

    (void)state;
    kvm_cpuid_adjust(&t->head, 5, &(struct kvm_cpuid_wishes){ .n_vcpus = 8, .tsc_deadline = true });
    assert_int_equal(find(t, 1, 0)->ebx, 0x05080800);
    assert_true(find(t, 1, 0)->ecx & 1u << 31); /* hypervisor */
    assert_true(find(t, 1, 0)->ecx & 1u << 24); /* TSC deadline */
    assert_true(find(t, 1, 0)->edx & 1u << 28);
    t = vendor(true);
    find(t, 1, 0)->ecx = 1u << 24;
    kvm_cpuid_adjust(&t->head, 0,
                     &(struct kvm_cpuid_wishes){ .n_vcpus = 1, .tsc_deadline = false });
    assert_false(find(t, 1, 0)->ecx & 1u << 24);
    assert_false(find(t, 1, 0)->edx & 1u << 28);
}

/* A guest is no host of others unless that was asked for. */
static void test_nested(void **state)
{
    const uint32_t vmx = 1 << 5, svm = 1 << 2;

    (void)state;
    for (unsigned nested = 0; nested < 2; nested++) {
        struct kvm_cpuid_wishes wishes = { .n_vcpus = 1, .nested = nested };
        struct table *t = vendor(true);

        find(t, 1, 0)->ecx = vmx;
        kvm_cpuid_adjust(&t->head, 0, &wishes);
        assert_int_equal(find(t, 1, 0)->ecx & vmx, nested ? vmx : 0);
        t = vendor(false);
        add(t, 0x80000001, 0)->ecx = svm | 0x20;
        add(t, 0x8000000a, 0)->edx = 1; /* nested paging */
        kvm_cpuid_adjust(&t->head, 0, &wishes);
        assert_int_equal(find(t, 0x80000001, 0)->ecx, nested ? svm | 0x20 : 0x20);
        assert_int_equal(find(t, 0x8000000a, 0)->edx, nested);
    }
}

/* All vCPUs are cores of one package, however many; ids fit their field. */
static void test_topology(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= LAYOUT_MAX_VCPUS; n++) {
        struct table *t = vendor(true);
        struct kvm_cpuid_entry2 *smt, *core;

        kvm_cpuid_adjust(&t->head, n - 1,
                         &(struct kvm_cpuid_wishes){ .n_vcpus = n, .tsc_deadline = true });
        smt = find(t, 0xb, 0);
        core = find(t, 0xb, 1);
        assert_non_null(core);
        assert_null(find(t, 0x1f, 0)); /* not listed, not made up */
        assert_int_equal(smt->eax, 0);
        assert_int_equal(smt->ebx, 1);
        assert_int_equal(smt->ecx, 0x100);
        assert_int_equal(core->ecx, 0x201);
        assert_int_equal(core->ebx, n);
        assert_int_equal(core->edx, n - 1);
        assert_int_equal((n - 1) >> core->eax, 0);
        assert_true(core->eax == 0 || (n - 1) >> (core->eax - 1) == 1);
    }
}

static void test_caches(void **state)
{
    struct table *t = vendor(true);

    (void)state;
    add(t, 4, 0)->eax = 1 | 1 << 5 | 0xffffc000; /* level 1, of another package */
    add(t, 4, 3)->eax = 3 | 3 << 5;
    add(t, 4, 4)->eax = 0; /* end of the list */
    kvm_cpuid_adjust(&t->head, 0, &(struct kvm_cpuid_wishes){ .n_vcpus = 6, .tsc_deadline = true });
    assert_int_equal(find(t, 4, 0)->eax, 1 | 1 << 5 | 7u << 26);
    assert_int_equal(find(t, 4, 3)->eax, 3 | 3 << 5 | 7u << 14 | 7u << 26);
    assert_int_equal(find(t, 4, 4)->eax, 0);
}

static void test_amd(void **state)
{
    struct table *t = vendor(false);

    (void)state;
    add(t, 0x80000001, 0)->ecx = 1u << 6;
    add(t, 0x80000008, 0)->ecx = 0xabcd7777;
    add(t, 0x8000001d, 3)->eax = 3 | 3 << 5;
    add(t, 0x8000001e, 0)->ebx = 0x4444;
    kvm_cpuid_adjust(&t->head, 3, &(struct kvm_cpuid_wishes){ .n_vcpus = 4, .tsc_deadline = true });
    assert_int_equal(find(t, 0x80000001, 0)->ecx, 1 << 6 | 1 << 1);
    assert_int_equal(find(t, 0x80000008, 0)->ecx, 0xabcd0000 | 2 << 12 | 3);
    assert_int_equal(find(t, 0x8000001d, 3)->eax, 3 | 3 << 5 | 3 << 14);
    assert_int_equal(find(t, 0x8000001e, 0)->eax, 3);
    assert_int_equal(find(t, 0x8000001e, 0)->ebx, 3);
    t = vendor(true); /* Intel's leaf of that number is about addresses only */
    add(t, 0x80000008, 0)->ecx = 0;
    kvm_cpuid_adjust(&t->head, 3, &(struct kvm_cpuid_wishes){ .n_vcpus = 4, .tsc_deadline = true });
    assert_int_equal(find(t, 0x80000008, 0)->ecx, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nested), cmocka_unit_test(test_ids), cmocka_unit_test(test_topology),
        cmocka_unit_test(test_caches), cmocka_unit_test(test_amd),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
