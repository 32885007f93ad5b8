/* SPDX-License-Identifier: Apache-2.0 */
/* processes.c - reach the core, the broker, other processes; become somebody else. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "device-procs/common/worker.h"
#include "device-procs/common/worker_state.h"
#include "hostile.h"

#define CALL(what, number, ...)                                                                    \
    {                                                                                              \
        .name = what, .kind = HOSTILE_SYSCALL, .nr = SYS_##number, .args = { __VA_ARGS__ }         \
    }
#define CALL_OR(what, err, number, ...)                                                            \
    {                                                                                              \
        .name = what, .kind = HOSTILE_SYSCALL, .nr = SYS_##number, .args = { __VA_ARGS__ },        \
        .reached = err                                                                             \
    }
#define RUN(what, function, value)                                                                 \
    {                                                                                              \
        .name = what, .kind = HOSTILE_SYSCALL, .run = function, .arg = value                       \
    }

static char buffer[4096];
static struct iovec own = { buffer, 1 };
static struct sched_param no_priority;
static const uint64_t limit[2] = { 4096, 4096 };
static const struct itimerval far_away = { .it_value = { 1000, 0 } };
static const struct {
    uint32_t version;
    int pid;
} cap_header = { 0x20080522, 0 };
static const uint32_t all_caps[6] = { ~0u, ~0u, 0, ~0u, ~0u, 0 };
static const uint32_t no_group = 0;
static const uint64_t clone_args[8] = { [4] = SIGCHLD };
static const struct sock_filter allow_all = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
static const struct sock_fprog program = { 1, (struct sock_filter *)(uintptr_t)&allow_all };
static char *const no_strings[] = { NULL };

/* A child that is let ends at once. */
static long try_fork(struct worker *w, unsigned how)
{
    long r;

    (void)w;
    switch (how) {
    case 0:
        r = syscall(SYS_fork);
        break;
    case 1:
        r = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
        break;
    case 2:
        r = syscall(SYS_clone, CLONE_NEWUSER | CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
        break;
    default:
        r = syscall(SYS_clone3, clone_args, sizeof clone_args);
        break;
    }
    if (r == 0)
        _exit(0);
    return r < 0 ? -errno : r;
}

/* The smallest pids: the core's, the broker's, if they were in sight; signal 0 harms nobody. */
static long try_each_pid(struct worker *w, unsigned how)
{
    long r = -1;

    (void)w;
    for (int pid = 1; pid < 64 && r < 0; pid++) {
        struct iovec remote = { buffer + 1, 1 };

        switch (how) {
        case 0:
            r = syscall(SYS_kill, pid, 0);
            break;
        case 1:
            r = syscall(SYS_ptrace, PTRACE_SEIZE, pid, 0, 0);
            break;
        case 2:
            r = syscall(SYS_process_vm_readv, pid, &own, 1, &remote, 1, 0);
            break;
        case 3:
            r = syscall(SYS_process_vm_writev, pid, &own, 1, &remote, 1, 0);
            break;
        default:
            r = syscall(SYS_pidfd_open, pid, 0);
            break;
        }
    }
    return r < 0 ? -errno : r;
}

/* 32-bit entry: its numbers mean other calls, so the filter must know the architecture. */
static long try_int80(struct worker *w, unsigned number)
{
    long r;

    (void)w;
    __asm__ volatile("int $0x80"
                     : "=a"(r)
                     : "a"((long)number)
                     : "memory", "r8", "r9", "r10", "r11");
    return r;
}

static long try_number(struct worker *w, unsigned number)
{
    long r = syscall((long)number, 0, 0, 0, 0, 0, 0);

    (void)w;
    return r < 0 ? -errno : r;
}

static const struct hostile_action actions[] = {
    RUN("fork", try_fork, 0),
    RUN("clone", try_fork, 1),
    RUN("clone-namespaces", try_fork, 2),
    RUN("clone3", try_fork, 3),
    CALL_OR("execve", ENOENT, execve, ADDRESS("/nonexistent"), ADDRESS(no_strings),
            ADDRESS(no_strings)),
    CALL_OR("execve-sh", EACCES, execve, ADDRESS("/"), ADDRESS(no_strings), ADDRESS(no_strings)),
    CALL_OR("execveat", EACCES, execveat, FD_STDIN, ADDRESS(""), ADDRESS(no_strings),
            ADDRESS(no_strings), AT_EMPTY_PATH),
    CALL("ptrace-traceme", ptrace, PTRACE_TRACEME, 0, 0, 0),
    RUN("ptrace-seize", try_each_pid, 1),
    RUN("kill", try_each_pid, 0),
    CALL_OR("kill-all", ESRCH, kill, (uint64_t)-1, 0),
    CALL_OR("kill-group", ESRCH, kill, 0, 0),
    CALL("tkill", tkill, 1, 0),
    CALL("tgkill", tgkill, 1, 1, 0),
    CALL_OR("rt-sigqueueinfo", EPERM, rt_sigqueueinfo, 1, SIGCHLD, ADDRESS(buffer)),
    RUN("pidfd-open", try_each_pid, 4),
    CALL_OR("pidfd-send-signal", EBADF, pidfd_send_signal, (uint64_t)-1, 0, 0, 0),
    CALL_OR("pidfd-getfd", EBADF, pidfd_getfd, (uint64_t)-1, 3, 0),
    RUN("process-vm-readv", try_each_pid, 2),
    RUN("process-vm-writev", try_each_pid, 3),
    CALL_OR("process-madvise", EBADF, process_madvise, (uint64_t)-1, ADDRESS(&own), 1, 21, 0),
    CALL("kcmp", kcmp, 1, 1, 0, 0, 0),
    CALL_OR("waitid", ECHILD, waitid, P_ALL, 0, 0, WEXITED | WNOHANG, 0),
    CALL("setpgid", setpgid, 0, 0),
    CALL("setpriority", setpriority, PRIO_PROCESS, 0, 10),
    CALL("sched-setscheduler", sched_setscheduler, 0, SCHED_BATCH, ADDRESS(&no_priority)),
    CALL("sched-setaffinity", sched_setaffinity, 1, 8, ADDRESS(all_caps)),
    CALL("ioprio-set", ioprio_set, 1, 0, 0),
    CALL("prlimit", prlimit64, 0, RLIMIT_NOFILE, 0, ADDRESS(buffer)),
    CALL("prlimit-raise", prlimit64, 0, RLIMIT_NOFILE, ADDRESS(limit), 0),
    CALL_OR("setuid", EINVAL, setresuid, 1, 1, 1),
    CALL_OR("setgid", EINVAL, setresgid, 1, 1, 1),
    CALL_OR("setgroups", EINVAL, setgroups, 1, ADDRESS(&no_group)),
    CALL("setfsuid", setfsuid, 0),
    CALL("capset", capset, ADDRESS(&cap_header), ADDRESS(all_caps)),
    CALL("umask", umask, 022),
    CALL("prctl-dumpable", prctl, PR_SET_DUMPABLE, 1, 0, 0, 0),
    CALL("prctl-seccomp", prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ADDRESS(&program), 0, 0),
    CALL("prctl-keepcaps", prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0),
    CALL("prctl-name", prctl, PR_SET_NAME, ADDRESS("bulkhead-core"), 0, 0, 0),
    CALL("prctl-pdeathsig", prctl, PR_SET_PDEATHSIG, 0, 0, 0, 0),
    CALL("seccomp-filter", seccomp, SECCOMP_SET_MODE_FILTER, 0, ADDRESS(&program)),
    CALL("seccomp-listener", seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
         ADDRESS(&program)),
    CALL("unshare-user", unshare, CLONE_NEWUSER),
    CALL("unshare-net", unshare, CLONE_NEWNET),
    CALL("unshare-mount", unshare, CLONE_NEWNS),
    CALL_OR("setns", EBADF, setns, (uint64_t)-1, 0),
    CALL("personality", personality, ADDR_NO_RANDOMIZE | READ_IMPLIES_EXEC),
    CALL("arch-prctl", arch_prctl, 0x1003 /* ARCH_GET_FS */, ADDRESS(buffer)),
    CALL("modify-ldt", modify_ldt, 0, ADDRESS(buffer), 16),
    CALL("rt-sigaction", rt_sigaction, SIGUSR1, 0, ADDRESS(buffer), 8),
    CALL("setitimer-prof", setitimer, ITIMER_PROF, ADDRESS(&far_away), 0),
    CALL("timer-create", timer_create, 1, 0, ADDRESS(buffer)),
    RUN("int80-getpid", try_int80, 20),
    RUN("int80-write-as-exit-group", try_int80, 231),
    RUN("x32-getpid", try_number, 0x40000000u + 39),
    RUN("x32-write", try_number, 0x40000000u + 1),
    RUN("unknown-number", try_number, 2000),
};
HOSTILE_TABLE(hostile_processes, actions);
