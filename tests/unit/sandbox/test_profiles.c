/* SPDX-License-Identifier: Apache-2.0 */
/* test_profiles.c - every right has a reason, the limits hold, what no child may ever do is in no
 * table, and the compiled BPF says the same as the table it comes from. */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include "base/compiler.h"
#include "sandbox/bpf.h"
#include "sandbox/profile_info.h"
#include "sandbox/profiles/all.h"
#include "sandbox/profiles/profile.h"
#include "sandbox/seccomp.h"
#include <cmocka.h>

typedef void (*rule_fn)(const struct profile *profile, const struct profile_rule *rule);

static void for_each_rule(rule_fn fn)
{
    for (unsigned p = 0; p < SANDBOX_PROFILE__MAX; p++)
        for (unsigned s = 0; s < PROFILE_MAX_SETS && profile_all[p]->sets[s]; s++)
            for (unsigned i = 0; i < profile_all[p]->sets[s]->n_rules; i++)
                fn(profile_all[p], &profile_all[p]->sets[s]->rules[i]);
}

static void check_reason(const struct profile *profile, const struct profile_rule *rule)
{
    if (!rule->reason || strlen(rule->reason) < 3 || !rule->name || !rule->name[0])
        fail_msg("%s: the row for call %d has no reason", profile->name, rule->nr);
    for (unsigned i = 0; i < PROFILE_MAX_ARGS; i++) {
        if (rule->args[i].mask == 0)
            continue;
        /* A value outside of the mask can never match: the row would be dead. */
        if (rule->args[i].index > 5 || (rule->args[i].value & ~rule->args[i].mask) != 0 ||
            (i > 0 && rule->args[i - 1].mask == 0))
            fail_msg("%s: %s has a bad argument %u", profile->name, rule->name, i);
    }
}

static void test_every_row_has_a_reason(void **state)
{
    (void)state;
    for_each_rule(check_reason);
}

static void test_ids_and_names(void **state)
{
    (void)state;
    for (unsigned p = 0; p < SANDBOX_PROFILE__MAX; p++) {
        const struct sandbox_filter *info = sandbox_profile_info((enum sandbox_profile_id)p);

        assert_int_equal(profile_all[p]->id, p);
        assert_int_equal(info->id, p);
        assert_string_equal(info->name, profile_all[p]->name);
        assert_true(profile_all[p]->sets[PROFILE_MAX_SETS - 1] == NULL);
    }
    assert_null(sandbox_profile_info(SANDBOX_PROFILE__MAX));
}

#ifndef SANDBOX_INSTRUMENTED /* whose own rows come on top */
static void test_counts_within_limits(void **state)
{
    static const unsigned limits[SANDBOX_PROFILE__MAX] = {
        [SANDBOX_BROKER] = 40,      [SANDBOX_LOADER] = 16, [SANDBOX_CORE_CONTROL] = 32,
        [SANDBOX_CORE_VCPU] = 20,   [SANDBOX_BLK] = 22,    [SANDBOX_RNG] = 16,
        [SANDBOX_CONSOLE] = 18,     [SANDBOX_NET] = 20,    [SANDBOX_VSOCK] = 24,
        [SANDBOX_BALLOON] = 16,     [SANDBOX_HOLDER] = 16, [SANDBOX_START] = 80,
        [SANDBOX_CONSOLE_LOG] = 15, [SANDBOX_HOSTD] = 28,  [SANDBOX_GATEWAY] = 19,
    };

    (void)state;
    for (unsigned p = 0; p < SANDBOX_PROFILE__MAX; p++) {
        const struct sandbox_filter *info = sandbox_profile_info((enum sandbox_profile_id)p);

        print_message("%-13s %2u system calls of at most %u, %u instructions\n", info->name,
                      info->n_syscalls, limits[p], info->n_instructions);
        assert_int_equal(profile_all[p]->max_syscalls, limits[p]);
        assert_in_range(info->n_syscalls, 1, limits[p]);
    }
}
#endif

/* What no process of a VM may do, whoever thinks it needs it. */
static const int never[] = {
    SYS_execve,
    SYS_execveat,
    SYS_fork,
    SYS_vfork,
    SYS_clone,
    SYS_clone3,
    SYS_ptrace,
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_unshare,
    SYS_setns,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_userfaultfd,
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_kexec_load,
    SYS_init_module,
    SYS_finit_module,
    SYS_setuid,
    SYS_setresuid,
    SYS_setgid,
    SYS_setgroups,
    SYS_capset,
    SYS_io_uring_setup,
    SYS_io_uring_register,
    SYS_open_by_handle_at,
    SYS_seccomp,
    SYS_personality,
    SYS_modify_ldt,
    SYS_kill,
    SYS_tkill,
    SYS_pidfd_getfd,
    SYS_move_mount,
    SYS_fsopen,
    SYS_iopl,
    SYS_ioperm,
    SYS_memfd_secret,
};
static const int never_in_a_child[] = {
    SYS_open,         SYS_openat,     SYS_openat2,
    SYS_creat,        SYS_socket,     SYS_socketpair,
    SYS_connect,      SYS_bind,       SYS_listen,
    SYS_memfd_create, SYS_mkdir,      SYS_unlink,
    SYS_rename,       SYS_link,       SYS_symlink,
    SYS_readlink,     SYS_getdents64, SYS_pidfd_send_signal,
    SYS_setsockopt,   SYS_prctl,
};

/* It is not a child: it has the rights of who added a device, and stays in one folder. */
static bool of_holder(const struct profile *profile, int nr)
{
    return profile->id == SANDBOX_HOLDER &&
           (nr == SYS_openat || nr == SYS_socket || nr == SYS_connect);
}

/* It makes channels for launchers, and asks a socket that it closes whether something is in it. */
static bool of_hostd(const struct profile *profile, int nr)
{
    return profile->id == SANDBOX_HOSTD && (nr == SYS_socketpair || nr == SYS_setsockopt);
}

/* A program that was handed over has the rest of its sandbox still before it: to enter that takes these. */
static bool to_enter(const struct profile *profile, int nr)
{
    static const int calls[] = { SYS_execveat, SYS_seccomp, SYS_prctl, SYS_io_uring_register,
                                 SYS_readlink };

    for (unsigned i = 0; i < ARRAY_SIZE(calls); i++)
        if (profile->id == SANDBOX_START && nr == calls[i])
            return true;
    return false;
}

static void check_never(const struct profile *profile, const struct profile_rule *rule)
{
    if (to_enter(profile, rule->nr) || of_holder(profile, rule->nr) || of_hostd(profile, rule->nr))
        return;
    if (rule->deny_errno || strncmp(rule->reason, "instrumented", 12) == 0)
        return;
    for (unsigned i = 0; i < ARRAY_SIZE(never); i++)
        if (rule->nr == never[i])
            fail_msg("%s may %s", profile->name, rule->name);
    for (unsigned i = 0; i < ARRAY_SIZE(never_in_a_child); i++)
        if (rule->nr == never_in_a_child[i] && profile->id != SANDBOX_BROKER)
            fail_msg("%s may %s", profile->name, rule->name);
}

static bool excludes(const struct profile_rule *rule, unsigned index, uint64_t bit)
{
    for (unsigned i = 0; i < PROFILE_MAX_ARGS; i++)
        if (rule->args[i].index == index && (rule->args[i].mask & bit) &&
            !(rule->args[i].value & bit))
            return true;
    return false;
}

/* Also in instrumented builds. */
static void check_no_exec_memory(const struct profile *profile, const struct profile_rule *rule)
{
    if (profile->id == SANDBOX_START) /* libraries; no layer forbids that before the sandbox */
        return;
    if ((rule->nr == SYS_mmap || rule->nr == SYS_mprotect || rule->nr == SYS_pkey_mprotect) &&
        !excludes(rule, 2, PROT_EXEC))
        fail_msg("%s may make memory executable", profile->name);
}

/* These take a command: a row without it allows all of them. */
static void check_commands(const struct profile *profile, const struct profile_rule *rule)
{
    static const struct {
        int nr;
        unsigned index;
    } multiplexers[] = { { SYS_ioctl, 1 }, { SYS_futex, 1 }, { SYS_prctl, 1 }, { SYS_madvise, 2 } };

    if (strncmp(rule->reason, "instrumented", 12) == 0 || profile->id == SANDBOX_START)
        return;
    for (unsigned m = 0; m < ARRAY_SIZE(multiplexers); m++) {
        bool named = false;

        if (rule->nr != multiplexers[m].nr)
            continue;
        for (unsigned i = 0; i < PROFILE_MAX_ARGS; i++)
            named |= rule->args[i].mask != 0 && rule->args[i].index == multiplexers[m].index;
        if (!named)
            fail_msg("%s: %s with any command", profile->name, rule->name);
    }
    if (rule->nr == SYS_fcntl && profile->id != SANDBOX_BROKER && profile->id != SANDBOX_START &&
        rule->args[0].mask == 0)
        fail_msg("%s: fcntl with any command", profile->name);
}

static void test_what_nobody_may_do(void **state)
{
    (void)state;
    for_each_rule(check_never);
    for_each_rule(check_no_exec_memory);
    for_each_rule(check_commands);
}

static bool rule_matches(const struct profile_rule *rule, const struct seccomp_data *data)
{
    if (rule->nr != data->nr)
        return false;
    for (unsigned i = 0; i < PROFILE_MAX_ARGS && rule->args[i].mask != 0; i++)
        if ((data->args[rule->args[i].index] & rule->args[i].mask) != rule->args[i].value)
            return false;
    return true;
}

static uint32_t table_verdict(const struct profile *profile, const struct seccomp_data *data)
{
    uint32_t verdict = SECCOMP_RET_KILL_PROCESS;

    if (data->arch != AUDIT_ARCH_X86_64)
        return verdict;
    for (unsigned s = 0; s < PROFILE_MAX_SETS && profile->sets[s]; s++)
        for (unsigned i = 0; i < profile->sets[s]->n_rules; i++) {
            const struct profile_rule *rule = &profile->sets[s]->rules[i];

            if (!rule_matches(rule, data))
                continue;
            if (!rule->deny_errno)
                return SECCOMP_RET_ALLOW;
            verdict = SECCOMP_RET_ERRNO | (uint32_t)rule->deny_errno;
        }
    return verdict;
}

static bool lists(const struct sandbox_filter *info, int nr)
{
    for (unsigned i = 0; i < info->n_syscalls; i++)
        if (info->syscalls[i] == nr)
            return true;
    return false;
}

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static void compare_verdicts(const struct profile *profile, const struct seccomp_data *data)
{
    const struct sandbox_filter *info = sandbox_profile_info(profile->id);
    uint32_t got = bpf_run(info->filter, info->n_instructions, data);
    uint32_t want = table_verdict(profile, data);

#ifdef SANDBOX_INSTRUMENTED
    /* A call that one set allows with conditions and another denies: the generator leaves the
     * denial out. */
    if ((want & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO && got == SECCOMP_RET_KILL_PROCESS)
        return;
#endif
    if (got != want)
        fail_msg("%s: call %d (%llx, %llx, %llx, %llx): filter %x, table %x", profile->name,
                 data->nr, data->args[0], data->args[1], data->args[2], data->args[3], got, want);
}

/* Starts from a row's own values, then flips bits near and far. */
static void vary_rule(const struct profile *profile, const struct profile_rule *rule)
{
    uint64_t seed = 0x9e3779b97f4a7c15u ^ (uint64_t)rule->nr;

    for (unsigned round = 0; round < 300; round++) {
        struct seccomp_data data = { .nr = rule->nr, .arch = AUDIT_ARCH_X86_64 };

        for (unsigned i = 0; i < 6; i++)
            data.args[i] = next_random(&seed) >> (next_random(&seed) % 64);
        for (unsigned i = 0; i < PROFILE_MAX_ARGS && rule->args[i].mask != 0; i++) {
            __u64 *arg = &data.args[rule->args[i].index];

            *arg = (*arg & ~rule->args[i].mask) | rule->args[i].value;
        }
        if (round == 0)
            assert_int_equal(table_verdict(profile, &data) & SECCOMP_RET_KILL_PROCESS, 0);
        if (round % 3 == 1)
            data.args[next_random(&seed) % 6] ^= 1ull << (next_random(&seed) % 64);
        if (round % 3 == 2 && rule->args[0].mask != 0)
            data.args[rule->args[0].index] ^= 1ull << (next_random(&seed) % 34);
        compare_verdicts(profile, &data);
        data.arch = AUDIT_ARCH_I386;
        compare_verdicts(profile, &data);
    }
}

static void test_filter_equals_table(void **state)
{
    (void)state;
    for_each_rule(vary_rule);
}

static void test_numbers(void **state)
{
    (void)state;
    for (unsigned p = 0; p < SANDBOX_PROFILE__MAX; p++) {
        const struct sandbox_filter *info = sandbox_profile_info((enum sandbox_profile_id)p);
        unsigned may = 0;

        for (int nr = 0; nr < 1024; nr++) {
            struct seccomp_data x32 = { .nr = nr | 0x40000000, .arch = AUDIT_ARCH_X86_64 };
            bool allowed = bpf_may_allow(info->filter, info->n_instructions, nr);

            may += allowed;
            if (allowed && !lists(info, nr))
                fail_msg("%s: %d is allowed but not listed", info->name, nr);
            assert_int_equal(bpf_run(info->filter, info->n_instructions, &x32),
                             SECCOMP_RET_KILL_PROCESS);
        }
#ifndef SANDBOX_INSTRUMENTED
        may += p == SANDBOX_START; /* openat is listed, to be refused */
        assert_int_equal(may, info->n_syscalls);
#endif
    }
}

static void test_hash(void **state)
{
    char hex[BPF_SHA256_CHARS];

    (void)state;
    for (unsigned p = 0; p < SANDBOX_PROFILE__MAX; p++) {
        const struct sandbox_filter *info = sandbox_profile_info((enum sandbox_profile_id)p);

        bpf_sha256(info->filter, info->n_instructions, hex);
        assert_string_equal(hex, info->sha256);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row_has_a_reason),
        cmocka_unit_test(test_ids_and_names),
#ifndef SANDBOX_INSTRUMENTED
        cmocka_unit_test(test_counts_within_limits),
#endif
        cmocka_unit_test(test_what_nobody_may_do),
        cmocka_unit_test(test_filter_equals_table),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_hash),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
