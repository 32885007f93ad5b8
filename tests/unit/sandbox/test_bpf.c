/* SPDX-License-Identifier: Apache-2.0 */
/* test_bpf.c - the interpreter, against small programs whose verdict is plain. */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include "base/compiler.h"
#include "sandbox/bpf.h"
#include <cmocka.h>

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RET(v) BPF_STMT(BPF_RET | BPF_K, (v))

static void test_argument_filter(void **state)
{
    static const struct sock_filter code[] = {
        LOAD(arch),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
        RET(SECCOMP_RET_KILL_PROCESS),
        LOAD(nr),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 9, 0, 3), /* mmap without PROT_EXEC */
        LOAD(args[2]),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
        RET(SECCOMP_RET_KILL_PROCESS),
        RET(SECCOMP_RET_ALLOW),
    };
    const struct {
        int nr;
        uint32_t arch;
        uint64_t prot;
        uint32_t want;
    } cases[] = {
        { 9, AUDIT_ARCH_X86_64, 3, SECCOMP_RET_ALLOW },
        { 9, AUDIT_ARCH_X86_64, 7, SECCOMP_RET_KILL_PROCESS },
        { 9, AUDIT_ARCH_I386, 3, SECCOMP_RET_KILL_PROCESS },
        { 10, AUDIT_ARCH_X86_64, 0, SECCOMP_RET_KILL_PROCESS },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct seccomp_data data = { .nr = cases[i].nr,
                                     .arch = cases[i].arch,
                                     .args = { [2] = cases[i].prot } };

        assert_int_equal(bpf_run(code, ARRAY_SIZE(code), &data), cases[i].want);
    }
    assert_true(bpf_may_allow(code, ARRAY_SIZE(code), 9)); /* for some arguments */
    assert_false(bpf_may_allow(code, ARRAY_SIZE(code), 10));
}

static void test_memory_and_registers(void **state)
{
    static const struct sock_filter code[] = {
        LOAD(args[0]),
        BPF_STMT(BPF_ST, 3),
        BPF_STMT(BPF_LD | BPF_IMM, 5),
        BPF_STMT(BPF_LDX | BPF_MEM, 3),
        BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 11, 0, 1),
        RET(SECCOMP_RET_KILL_PROCESS),
        RET(SECCOMP_RET_ALLOW),
    };
    struct seccomp_data data = { .args = { 6 } };

    (void)state;
    assert_int_equal(bpf_run(code, ARRAY_SIZE(code), &data), SECCOMP_RET_ALLOW);
    data.args[0] = 7;
    assert_int_equal(bpf_run(code, ARRAY_SIZE(code), &data), SECCOMP_RET_KILL_PROCESS);
    assert_true(bpf_may_allow(code, ARRAY_SIZE(code), 0));
}

/* Not valid: the verdict is to kill, and nothing outside of the program is read. */
static void test_bad_programs(void **state)
{
    static const struct sock_filter no_return[] = { LOAD(nr) };
    static const struct sock_filter jump_out[] = {
        BPF_STMT(BPF_JMP | BPF_JA, 0xffffffff),
        RET(SECCOMP_RET_ALLOW),
    };
    static const struct sock_filter load_out[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, sizeof(struct seccomp_data)),
        RET(SECCOMP_RET_ALLOW),
    };
    struct seccomp_data data = { 0 };

    (void)state;
    assert_int_equal(bpf_run(no_return, 1, &data), SECCOMP_RET_KILL_PROCESS);
    assert_int_equal(bpf_run(jump_out, 2, &data), SECCOMP_RET_KILL_PROCESS);
    assert_int_equal(bpf_run(load_out, 2, &data), SECCOMP_RET_KILL_PROCESS);
    assert_int_equal(bpf_run(NULL, 0, &data), SECCOMP_RET_KILL_PROCESS);
    assert_false(bpf_may_allow(no_return, 1, 0));
    assert_false(bpf_may_allow(jump_out, 2, 0));
}

static void test_hash(void **state)
{
    static const struct sock_filter code[] = { RET(SECCOMP_RET_ALLOW), RET(0) };
    char one[BPF_SHA256_CHARS], two[BPF_SHA256_CHARS], none[BPF_SHA256_CHARS];

    (void)state;
    bpf_sha256(code, 1, one);
    bpf_sha256(code, 2, two);
    bpf_sha256(code, 0, none);
    assert_string_not_equal(one, two);
    /* The digest of nothing is a constant of SHA-256 (FIPS 180-4). */
    assert_string_equal(none, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_argument_filter),
        cmocka_unit_test(test_memory_and_registers),
        cmocka_unit_test(test_bad_programs),
        cmocka_unit_test(test_hash),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
