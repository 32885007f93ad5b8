/* SPDX-License-Identifier: Apache-2.0 */
/* test_filter.c - each profile's real filter in a real process: every call number that it doesn't
 * list ends the process with SIGSYS, and so do listed ones with forbidden arguments. */
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/compiler.h"
#include "sandbox/profile_info.h"
#include "sandbox/seccomp.h"
#include <cmocka.h>

enum { SURVIVED = 77, MAX_CALL = 1024 };

/* A crash of the child is to be seen as one, not caught by the test framework's handlers. */
static void default_signals(void)
{
    signal(SIGILL, SIG_DFL);
    signal(SIGSEGV, SIG_DFL);
    signal(SIGBUS, SIG_DFL);
}

/* Makes one call under the filter; returns the wait status. */
static int end_of_call(const struct sandbox_filter *filter, long nr, const long args[6])
{
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        default_signals();
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || seccomp_enter(filter) < 0)
            _exit(1);
        syscall(nr, args[0], args[1], args[2], args[3], args[4], args[5]);
        syscall(SYS_exit_group, SURVIVED);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static bool killed_by_filter(int status)
{
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

static bool lists(const struct sandbox_filter *filter, int nr)
{
    for (unsigned i = 0; i < filter->n_syscalls; i++)
        if (filter->syscalls[i] == nr)
            return true;
    return false;
}

/* Linux 6.13 and later answer these ahead of every filter: they are the kernel's own breakpoints
 * (uretprobe, uprobe), and refuse or kill whoever makes them by hand. */
static bool is_breakpoint(int nr)
{
    return nr == 335 || nr == 336;
}

static void test_unlisted_calls_kill(void **state)
{
    static const long no_args[6] = { 0 };

    (void)state;
    for (unsigned p = 0; p < SANDBOX_PROFILE__MAX; p++) {
        const struct sandbox_filter *filter = sandbox_profile_info((enum sandbox_profile_id)p);

        for (int nr = 0; nr < MAX_CALL; nr++) {
            int status = lists(filter, nr) ? SIGSYS : end_of_call(filter, nr, no_args);

            if (!killed_by_filter(status) && !is_breakpoint(nr))
                fail_msg("%s: call %d ended with status %x", filter->name, nr, status);
        }
    }
}

/* The other ways into the kernel. */
static void test_foreign_abis_kill(void **state)
{
    static const long no_args[6] = { 0 };

    (void)state;
    for (unsigned p = 0; p < SANDBOX_PROFILE__MAX; p++) {
        const struct sandbox_filter *filter = sandbox_profile_info((enum sandbox_profile_id)p);
        int status = 0;
        pid_t pid;

        /* x32: the bit alone makes it another call table */
        assert_true(killed_by_filter(end_of_call(filter, SYS_read | 0x40000000, no_args)));
        assert_true(killed_by_filter(end_of_call(filter, -1, no_args)));
        pid = fork();
        if (pid == 0) {
            long r = 3; /* i386's read */

            default_signals();
            if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || seccomp_enter(filter) < 0)
                _exit(1);
            __asm__ volatile("int $0x80" : "+a"(r) : "b"(0L), "c"(0L), "d"(0L) : "memory");
            syscall(SYS_exit_group, SURVIVED);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        /* Without 32-bit emulation in the kernel the instruction itself is a fault. */
        assert_true(WIFSIGNALED(status));
        assert_true(WTERMSIG(status) == SIGSYS || WTERMSIG(status) == SIGSEGV);
    }
}

#define ALL_CHILDREN                                                                               \
    ((1u << SANDBOX_PROFILE__MAX) - 1 - (1u << SANDBOX_BROKER) - (1u << SANDBOX_HOSTD) -           \
     (1u << SANDBOX_GATEWAY))
#define ONLY(id) (1u << SANDBOX_##id)

#ifndef SANDBOX_INSTRUMENTED /* whose own rows allow some of these */
static const struct {
    unsigned profiles; /* bits; those that don't list the call are skipped */
    long nr;
    long args[6];
    const char *what;
} forbidden[] = {
    { ALL_CHILDREN, SYS_recvmsg, { 2, 0, MSG_CMSG_CLOEXEC }, "not the control socket" },
    { ALL_CHILDREN, SYS_recvmsg, { 3, 0, MSG_CMSG_CLOEXEC | MSG_PEEK }, "another flag" },
    { ALL_CHILDREN, SYS_recvmsg, { 3, 0, 0 }, "descriptors that survive exec" },
    { ALL_CHILDREN, SYS_sendmsg, { 2, 0, MSG_NOSIGNAL }, "not the control socket" },
    { ALL_CHILDREN, SYS_sendmsg, { 3, 0, MSG_OOB }, "another flag" },
    { ALL_CHILDREN, SYS_poll, { 0, 2, 0 }, "two descriptors" },
    { ~0u,
      SYS_mmap,
      { 0, PAGE_BYTES, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0 },
      "executable memory" },
    { ~0u, SYS_mprotect, { 0, 0, PROT_EXEC }, "executable memory" },
    { ~0u, SYS_ioctl, { 0, 0x5412 /* TIOCSTI */, 0 }, "typing into a terminal" },
    { ALL_CHILDREN, SYS_ioctl, { 0, KVM_CREATE_VM, 0 }, "another VM" },
    { ALL_CHILDREN, SYS_ioctl, { 0, KVM_SET_USER_MEMORY_REGION, 0 }, "other memory for the guest" },
    { ONLY(BLK), SYS_ioctl, { 0, BLKRRPART, 0 }, "partitions" },
    { ONLY(CORE_CONTROL), SYS_ioctl, { 0, KVM_RUN, 0 }, "running the guest" },
    { ONLY(CORE_CONTROL) | ONLY(CORE_VCPU), SYS_futex, { 0, FUTEX_CMP_REQUEUE_PI, 0 }, "requeue" },
    { ONLY(CORE_CONTROL), SYS_tgkill, { 1, 1, SIGKILL }, "another signal" },
    { ALL_CHILDREN, SYS_fallocate, { 0, 0, 0, 0 }, "growing a file" },
    { ALL_CHILDREN, SYS_fallocate, { 0, FALLOC_FL_COLLAPSE_RANGE, 0, 0 }, "collapse" },
    { ONLY(BALLOON), SYS_madvise, { 0, 0, MADV_DONTNEED }, "its own memory away" },
    { ONLY(BLK), SYS_fallocate, { 0, FALLOC_FL_KEEP_SIZE }, "blocks behind the end" },
    { ONLY(BLK),
      SYS_fallocate,
      { 0, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE },
      "blocks behind the end, zeroed" },
    { ONLY(BLK), SYS_fallocate, { 0, FALLOC_FL_INSERT_RANGE }, "insert" },
    { ONLY(BLK), SYS_ioctl, { 0, BLKZEROOUT, 0 }, "what fallocate does" },
    { ONLY(BLK), SYS_io_uring_enter, { 0, 0, 0, 1 << 7 }, "an unknown flag" },
    { ONLY(BLK), SYS_pwritev2, { 0, 0, 0, 0, 0, 0x10 /* RWF_APPEND */ }, "append" },
    { ONLY(RNG), SYS_getrandom, { 0, 0, 2 /* GRND_RANDOM */ }, "the blocking pool" },
    { ONLY(VSOCK), SYS_recvfrom, { 0, 0, 0, 0, 1, 0 }, "an address of its own" },
    { ONLY(VSOCK), SYS_fcntl, { 0, F_DUPFD, 0 }, "dup" },
    { ONLY(VSOCK), SYS_fcntl, { 0, F_SETFL, O_ASYNC }, "signals" },
    { ONLY(VSOCK), SYS_recvfrom, { 0, 0, 0, MSG_OOB, 0, 0 }, "another flag" },
    { ONLY(NET), SYS_ioctl, { 0, TUNSETIFF, 0 }, "another tap" },
    { ONLY(CONSOLE), SYS_setitimer, { 1 /* ITIMER_VIRTUAL */, 0, 0 }, "another clock" },
    { ONLY(VSOCK) | ONLY(CONSOLE) | ONLY(CONSOLE_LOG),
      SYS_accept4,
      { 0, 0, 0, 1 },
      "an unknown flag" },
    { ONLY(CONSOLE_LOG), SYS_accept4, { 0, 0, 0, 0 }, "a client that it waits for" },
    { ONLY(CONSOLE_LOG), SYS_ftruncate, { 0, 1 }, "a longer log" },
    { ONLY(HOSTD), SYS_accept4, { 0, 0, 0, 0 }, "a client that it waits for" },
    { ONLY(HOSTD), SYS_recvmsg, { 3, 0, MSG_CMSG_CLOEXEC }, "waiting for a message" },
    { ONLY(HOSTD), SYS_sendmsg, { 3, 0, MSG_NOSIGNAL }, "waiting for room" },
    { ONLY(HOSTD), SYS_sendto, { 3, 0, 0, 0, 1, 0 }, "another socket" },
    { ONLY(HOSTD), SYS_setsockopt, { 0, SOL_SOCKET, SO_PEEK_OFF }, "another option" },
    { ONLY(HOSTD), SYS_socketpair, { AF_UNIX, SOCK_DGRAM }, "datagrams, which go anywhere" },
    { ONLY(HOSTD), SYS_ioctl, { 0, 0x5452 /* FIOASYNC */, 0 }, "signals" },
    { ONLY(GATEWAY), SYS_accept4, { 0, 0, 0, 0 }, "a client that it waits for" },
    { ONLY(GATEWAY), SYS_recvmsg, { 5, 0, MSG_CMSG_CLOEXEC }, "waiting for a message" },
    { ONLY(GATEWAY), SYS_recvmsg, { 5, 0, MSG_DONTWAIT }, "descriptors that survive exec" },
    { ONLY(GATEWAY), SYS_sendmsg, { 5, 0, MSG_NOSIGNAL }, "waiting for room" },
    { ONLY(GATEWAY), SYS_mmap, { 0, PAGE_BYTES, PROT_READ, MAP_SHARED, 5, 0 }, "a file's content" },
    { ONLY(HOLDER), SYS_unlinkat, { AT_FDCWD, 0, 0 }, "another folder" },
    { ONLY(HOLDER), SYS_unlinkat, { 4, 0, AT_REMOVEDIR }, "a folder" },
    { ONLY(HOLDER), SYS_openat, { AT_FDCWD, 0, O_PATH | O_NOFOLLOW }, "another folder" },
    { ONLY(HOLDER), SYS_openat, { 4, 0, O_PATH }, "a link" },
    { ONLY(HOLDER), SYS_openat, { 4, 0, O_RDONLY | O_NOFOLLOW }, "a file's content" },
    { ONLY(HOLDER), SYS_socket, { AF_INET, SOCK_STREAM, 0 }, "the network" },
    { ONLY(BROKER), SYS_socket, { AF_NETLINK, SOCK_RAW, 0 }, "netlink" },
    { ONLY(BROKER), SYS_socket, { AF_PACKET, SOCK_RAW, 0 }, "packets" },
    { ONLY(BROKER), SYS_memfd_create, { 0, 0 }, "descriptors that survive exec" },
    { ONLY(BROKER), SYS_setsockopt, { 0, 6, 0 }, "TCP options" },
};

static void test_forbidden_arguments_kill(void **state)
{
    unsigned made = 0;

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(forbidden); i++) {
        unsigned here = 0;

        for (unsigned p = 0; p < SANDBOX_PROFILE__MAX; p++) {
            const struct sandbox_filter *filter = sandbox_profile_info((enum sandbox_profile_id)p);

            /* Of a start by number alone: the program's own filter comes on top of it. */
            if (p == SANDBOX_START)
                continue;
            if (!(forbidden[i].profiles & (1u << p)) || !lists(filter, (int)forbidden[i].nr))
                continue;
            here++;
            if (!killed_by_filter(end_of_call(filter, forbidden[i].nr, forbidden[i].args)))
                fail_msg("%s: call %ld with %s is let through", filter->name, forbidden[i].nr,
                         forbidden[i].what);
        }
        made += here;
    }
    print_message("%u forbidden combinations\n", made);
    assert_true(made > 40);
}
#endif

static const struct {
    unsigned profiles;
    long nr;
    long args[6];
} permitted[] = {
    { ~0u, SYS_read, { -1, 0, 0 } },
    { ~0u, SYS_write, { -1, 0, 0 } },
    { ~0u, SYS_clock_gettime, { 1, 0 } },
    { ~0u & ~ONLY(CORE_VCPU) & ~ONLY(CONSOLE_LOG),
      SYS_recvmsg,
      { 3, 0, MSG_CMSG_CLOEXEC | MSG_DONTWAIT } },
    { ~0u & ~ONLY(CORE_VCPU) & ~ONLY(CONSOLE_LOG),
      SYS_sendmsg,
      { 3, 0, MSG_NOSIGNAL | MSG_DONTWAIT } },
    { ~0u, SYS_poll, { 0, 1, 0 } },
    { ONLY(CORE_VCPU), SYS_ioctl, { -1, KVM_RUN, 0 } },
    { ONLY(CORE_VCPU) | ONLY(CORE_CONTROL), SYS_ioctl, { -1, KVM_IRQFD, 0 } },
    { ONLY(CORE_VCPU), SYS_futex, { 0, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1 } },
    { ONLY(BLK), SYS_ioctl, { -1, BLKDISCARD, 0 } },
    { ONLY(BLK), SYS_fallocate, { -1, FALLOC_FL_ZERO_RANGE, 0, 0 } },
    { ONLY(LOADER) | ONLY(CONSOLE_LOG), SYS_pread64, { -1, 0, 0, 0 } },
    { ONLY(CONSOLE_LOG), SYS_ftruncate, { -1, 0 } },
    { ONLY(CONSOLE), SYS_setitimer, { 0, 0, 0 } },
    { ONLY(VSOCK), SYS_recvfrom, { -1, 0, 0, MSG_PEEK | MSG_DONTWAIT, 0, 0 } },
    { ONLY(NET), SYS_ioctl, { -1, TUNSETOFFLOAD, 0 } },
    { ONLY(BLK), SYS_fallocate, { -1, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 0 } },
    { ONLY(BALLOON), SYS_madvise, { 0, 0, MADV_REMOVE } },
    { ONLY(BROKER),
      SYS_mmap,
      { 0, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0 } },
};

/* The filter doesn't simply kill everything. */
static void test_permitted_calls_live(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(permitted); i++)
        for (unsigned p = 0; p < SANDBOX_PROFILE__MAX; p++) {
            const struct sandbox_filter *filter = sandbox_profile_info((enum sandbox_profile_id)p);
            int status;

            if (!(permitted[i].profiles & (1u << p)))
                continue;
            status = end_of_call(filter, permitted[i].nr, permitted[i].args);
            if (!WIFEXITED(status) || WEXITSTATUS(status) != SURVIVED)
                fail_msg("%s: call %ld (row %u) ended with status %x", filter->name,
                         permitted[i].nr, i, status);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unlisted_calls_kill),
        cmocka_unit_test(test_foreign_abis_kill),
#ifndef SANDBOX_INSTRUMENTED
        cmocka_unit_test(test_forbidden_arguments_kill),
#endif
        cmocka_unit_test(test_permitted_calls_live),
    };
    const struct rlimit no_core = { 0, 0 };

    setrlimit(RLIMIT_CORE, &no_core); /* thousands of them otherwise */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
