// SPDX-License-Identifier: Apache-2.0
// sandbox_checks.c - the layers of the sandbox, each tried.
#include "doctor/sandbox_checks.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "in_child.h"
#include "sandbox/ids.h"
#include "sandbox/namespaces.h"

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif
#ifndef PTRACE_SECCOMP_GET_FILTER
#define PTRACE_SECCOMP_GET_FILTER 0x420c
#endif

enum { NO_USERNS = 1, NO_OTHERS, TOO_MANY_OTHERS };

static int try_namespaces(void *arg)
{
    const bool *with_user = arg;

    if (*with_user && unshare(CLONE_NEWUSER) < 0)
        return NO_USERNS;
    if (unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
                CLONE_NEWCGROUP) < 0)
        return errno == ENOSPC || errno == EUSERS ? TOO_MANY_OTHERS : NO_OTHERS;
    return 0;
}

static bool has_uids(void)
{
    return geteuid() == 0 && sandbox_ids_mapped(SANDBOX_UID_FIRST, SANDBOX_UID_COUNT);
}

void doctor_userns(struct doctor_result *result)
{
    bool with_user = true;
    int error = sandbox_try_userns();
    int r = in_child(try_namespaces, &with_user, 5000);

    if (r == 0) {
        doctor_ok(result, "user, pid, mount, network, ipc, uts and cgroup namespaces were made");
        return;
    }
    with_user = false;
    if (r == NO_USERNS && has_uids() && in_child(try_namespaces, &with_user, 5000) == 0) {
        doctor_ok(result, "no user namespace can be made, all others were: root's processes have a "
                          "uid without capabilities instead (--net user won't start)");
        result->verdict = DOCTOR_REPLACED;
        return;
    }
    if (r == TOO_MANY_OTHERS) {
        doctor_missing(result, false,
                       "a limit of pid, mount, network, ipc, uts or cgroup namespaces is reached",
                       "raise that of user.max_{pid,mnt,net,ipc,uts,cgroup}_namespaces which is "
                       "too low (sysctl)");
        return;
    }
    doctor_missing(result, false,
                   r == NO_USERNS ? "user namespaces can't be made"
                                  : "namespaces can't be made inside a user namespace",
                   error < 0 ? sandbox_userns_cure(error)
                             : "no rule of AppArmor or SELinux against it (Ubuntu: "
                               "kernel.apparmor_restrict_unprivileged_userns=0), or run as root");
}

void doctor_uids(struct doctor_result *result)
{
    if (has_uids())
        doctor_ok(result, "running as root: each process gets a uid of its own");
    else if (geteuid() == 0)
        doctor_missing(result, true,
                       "root of a user namespace that lacks the uids from 0x70000000 up: processes "
                       "share your uid, told apart by user namespaces only",
                       "map these uids and gids, or run as the host's root");
    else
        doctor_missing(
            result, true,
            "an ordinary user: processes share your uid, told apart by user namespaces only",
            "run as root (the broker gives up what it doesn't need)");
}

void doctor_seccomp(struct doctor_result *result)
{
    uint32_t action = SECCOMP_RET_KILL_PROCESS;

    if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0)
        doctor_ok(result, "filters that kill the process are available");
    else
        doctor_missing(result, false, "no seccomp filters with KILL_PROCESS",
                       "Linux 4.14 or later with CONFIG_SECCOMP_FILTER");
}

void doctor_landlock(struct doctor_result *result)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

    if (abi > 0)
        doctor_ok(result, "ABI %ld", abi);
    else
        doctor_missing(result, true, "not available (the empty root and seccomp remain)",
                       "Linux 5.13 or later, booted with landlock in its lsm= list");
}

static int try_mdwe(void *arg)
{
    (void)arg;
    return prctl(PR_SET_MDWE, 1ul, 0ul, 0ul, 0ul) == 0 ? 0 : 1;
}

void doctor_mdwe(struct doctor_result *result)
{
    if (in_child(try_mdwe, NULL, 5000) == 0)
        doctor_ok(result, "the kernel refuses memory that is writable and executable");
    else
        doctor_missing(result, true,
                       "PR_SET_MDWE is not in this kernel (seccomp filters refuse it instead)",
                       "Linux 6.3 or later");
}

void doctor_memfd(struct doctor_result *result)
{
    cleanup_(fd_closep) int fd = fd_memfd("doctor", 0);

    if (fd >= 0 && ftruncate(fd, 8192) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0 &&
        ftruncate(fd, 4096) < 0)
        doctor_ok(result, "a sealed memory file refused to shrink");
    else
        doctor_missing(result, false, "memory files can't be sealed",
                       "Linux 3.17 or later with CONFIG_MEMFD_CREATE");
}

void doctor_pidfd(struct doctor_result *result)
{
    cleanup_(fd_closep) int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);

    if (fd >= 0)
        doctor_ok(result, "processes can be watched without races");
    else
        doctor_missing(result, false, "pidfd_open is not available", "Linux 5.4 or later");
}

/* The audit's way of reading a filter back: a child with a filter stops, its parent asks. */
void doctor_readback(struct doctor_result *result)
{
    struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog prog = { .len = 1, .filter = &allow };
    long n = -1;
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
            syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0 ||
            ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
            _exit(1);
        raise(SIGSTOP);
        _exit(0);
    }
    if (pid > 0 && waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
        n = ptrace((enum __ptrace_request)PTRACE_SECCOMP_GET_FILTER, pid, 0, NULL);
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
    }
    if (n >= 0)
        doctor_ok(result, "a filter was read back from a process");
    else
        doctor_missing(result, true,
                       "the audit can't read filters back; it compares their presence only",
                       "run bulkhead audit as root on a kernel with CONFIG_CHECKPOINT_RESTORE, and "
                       "without kernel.yama.ptrace_scope=3");
}
