/* SPDX-License-Identifier: Apache-2.0 */
/* hostd_calls.c - system calls of a hostd that was taken over, in the sandbox that hostd enters: open or change files, become
 * somebody else, make or reach other processes, change the host, talk to whom it is not connected with. Each in a process of its
 * own, since most end it. Harmless when they are let. starter_test.c has what it can say to the starter. */
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/compiler.h"
#include "sandbox/enter.h"
#include "sandbox/gen/filter_hostd.h"
#include <cmocka.h>

#define ADDRESS(x) ((uint64_t)(uintptr_t)(x))
#define NOWHERE ADDRESS("/nonexistent/file")
#define CALL(what, number, ...)                                                                    \
    {                                                                                              \
        .name = what, .nr = SYS_##number, .args = { __VA_ARGS__ }                                  \
    }
#define CALL_OR(what, err, number, ...)                                                            \
    {                                                                                              \
        .name = what, .nr = SYS_##number, .args = { __VA_ARGS__ }, .reached = err                  \
    }

enum { HOSTD_UID = 0x70000000 + 64, SAYS_LET = 0, SAYS_REFUSED = 1, SAYS_NOTHING = 2, LONG_S = 20 };

struct action {
    const char *name;
    long nr;
    uint64_t args[6];
    int reached; /* the error that comes after the check */
};

static char page[8192] __attribute__((aligned(4096))), parent_pid, socket_fd,
    file_fd; /* of the last three the address stands for the value */
#define PARENT ADDRESS(&parent_pid)
#define SOCKET ADDRESS(&socket_fd)
#define FILE_FD ADDRESS(&file_fd)
static const uint64_t clone_args[8] = { [4] = SIGCHLD };
static const uint32_t cap_header[2] = { 0x20080522, 0 }, all_caps[6] = { ~0u, ~0u, 0, ~0u, ~0u, 0 };
static const uint32_t bpf_attr[32] = { 2 /* array */, 4, 4, 1 };
static const struct perf_event_attr perf = { .type = PERF_TYPE_SOFTWARE, .size = sizeof perf };
static const struct sockaddr_un service = { .sun_family = AF_UNIX,
                                            .sun_path = "/run/bulkhead-host/host.sock" };
static const struct rlimit more = { 1 << 20, 1 << 20 };
static char *const no_strings[] = { NULL };
static const uint32_t no_group;
static const int one = 1;
static struct iovec word = { page, 4 };
static const struct msghdr message = { .msg_iov = &word, .msg_iovlen = 1 };
static struct flock lock = { .l_type = F_WRLCK };

/* ---- what hostd has no use for ---- */

static const struct action others[] = {
    CALL("open", open, ADDRESS("/"), O_RDONLY),
    CALL("openat", openat, AT_FDCWD, ADDRESS("/"), O_PATH),
    CALL_OR("openat2", ENOENT, openat2, AT_FDCWD, NOWHERE, ADDRESS(page), 24),
    CALL_OR("stat", EFAULT, newfstatat, AT_FDCWD, ADDRESS("/"), 0, 0),
    CALL_OR("mkdir", ENOENT, mkdir, NOWHERE, 0700),
    CALL_OR("unlink", ENOENT, unlink, NOWHERE),
    CALL_OR("rename", ENOENT, rename, NOWHERE, NOWHERE),
    CALL_OR("link", ENOENT, link, NOWHERE, NOWHERE),
    CALL_OR("symlink", ENOENT, symlink, NOWHERE, NOWHERE),
    CALL_OR("mknod", ENOENT, mknod, NOWHERE, 0600, 0),
    CALL_OR("chmod", ENOENT, chmod, NOWHERE, 04755),
    CALL("fchmod", fchmod, FILE_FD, 0600),
    CALL("ftruncate", ftruncate, FILE_FD, 0),
    CALL("lock-a-file", fcntl, FILE_FD, F_OFD_SETLK, ADDRESS(&lock)),
    CALL("flock-a-file", flock, FILE_FD, LOCK_EX | LOCK_NB),
    CALL("map-a-file-to-run", mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, FILE_FD),
    CALL("chdir", chdir, ADDRESS("/")),
    CALL("chroot", chroot, ADDRESS("/")),
    CALL_OR("mount", ENOENT, mount, ADDRESS("none"), NOWHERE, ADDRESS("tmpfs")),
    CALL_OR("umount", ENOENT, umount2, NOWHERE, MNT_DETACH),
    CALL_OR("pivot-root", ENOENT, pivot_root, NOWHERE, NOWHERE),
    CALL_OR("open-by-handle", EFAULT, open_by_handle_at, AT_FDCWD, 0, 0),
    CALL("setuid", setuid, 65534),
    CALL("setresuid", setresuid, 65534, 65534, 65534),
    CALL("setgid", setgid, 65534),
    CALL("setgroups", setgroups, 1, ADDRESS(&no_group)),
    CALL("capset", capset, ADDRESS(cap_header), ADDRESS(all_caps)),
    CALL("unshare-user", unshare, CLONE_NEWUSER),
    CALL("unshare-net", unshare, CLONE_NEWNET),
    CALL_OR("setns", EBADF, setns, (uint64_t)-1, CLONE_NEWNET),
    CALL("fork", fork),
    CALL("clone", clone, SIGCHLD),
    CALL("clone3", clone3, ADDRESS(clone_args), sizeof clone_args),
    CALL("execve", execve, ADDRESS("/bin/true"), ADDRESS(no_strings), ADDRESS(no_strings)),
    CALL("execveat", execveat, AT_FDCWD, ADDRESS("/bin/true"), ADDRESS(no_strings),
         ADDRESS(no_strings)),
    CALL_OR("execute-a-file", ENOEXEC, execveat, FILE_FD, ADDRESS(""), ADDRESS(no_strings),
            ADDRESS(no_strings), AT_EMPTY_PATH),
    CALL("ptrace-the-starter", ptrace, PTRACE_SEIZE, PARENT),
    CALL_OR("read-the-starter", EFAULT, process_vm_readv, PARENT, ADDRESS(page), 1, 1, 1, 0),
    CALL("kill-the-starter", kill, PARENT, 0),
    CALL("tgkill-the-starter", tgkill, PARENT, PARENT, 0),
    CALL("pidfd-open", pidfd_open, PARENT, 0),
    CALL_OR("pidfd-getfd", EBADF, pidfd_getfd, (uint64_t)-1, 3, 0),
    CALL_OR("pidfd-send-signal", EBADF, pidfd_send_signal, (uint64_t)-1, 0, 0, 0),
    CALL("set-owner", fcntl, SOCKET, F_SETOWN, PARENT),
    CALL("limits-of-the-starter", prlimit64, PARENT, RLIMIT_CORE, ADDRESS(&more), 0),
    CALL("priority-of-the-starter", setpriority, PRIO_PROCESS, PARENT, 1),
    CALL("prctl", prctl, PR_SET_DUMPABLE, 1),
    CALL("unix-socket", socket, AF_UNIX, SOCK_SEQPACKET),
    CALL("tcp", socket, AF_INET, SOCK_STREAM),
    CALL("udp", socket, AF_INET, SOCK_DGRAM),
    CALL("netlink", socket, AF_NETLINK, SOCK_RAW),
    CALL("unix-datagram-pair", socketpair, AF_UNIX, SOCK_DGRAM, 0, ADDRESS(page)),
    CALL_OR("connect", ENOENT, connect, SOCKET, ADDRESS(&service), sizeof service),
    CALL_OR("bind", ENOENT, bind, SOCKET, ADDRESS(&service), sizeof service),
    CALL_OR("listen", EINVAL, listen, SOCKET, 1),
    CALL("sendto-somebody", sendto, SOCKET, ADDRESS(page), 4, MSG_DONTWAIT, ADDRESS(&service),
         sizeof service),
    CALL("send-and-wait", sendmsg, SOCKET, ADDRESS(&message), 0),
    CALL("take-descriptors-and-wait", recvmsg, SOCKET, ADDRESS(&message), 0),
    CALL("a-socket's-buffer", setsockopt, SOCKET, SOL_SOCKET, SO_SNDBUF, ADDRESS(&one), sizeof one),
    CALL_OR("type-for-a-terminal", ENOTTY, ioctl, FILE_FD, TIOCSTI, ADDRESS(page)),
    CALL("mmap-exec", mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
         (uint64_t)-1),
    CALL("mprotect-exec", mprotect, ADDRESS(page), 4096, PROT_READ | PROT_EXEC),
    CALL("memfd", memfd_create, ADDRESS("x"), 0),
    CALL("bpf", bpf, 0, ADDRESS(bpf_attr), sizeof bpf_attr),
    CALL("perf-event-open", perf_event_open, ADDRESS(&perf), 0, (uint64_t)-1, (uint64_t)-1),
    CALL("userfaultfd", userfaultfd, 1),
    CALL("io-uring-setup", io_uring_setup, 4, ADDRESS(page)),
    CALL("keyctl", keyctl, 0, (uint64_t)-3, 1),
    CALL_OR("shared-memory", ENOENT, shmget, 0x42756c6b, 4096, 0600),
    CALL("inotify", inotify_init1, 0),
    CALL("personality", personality, 0xffffffff),
    CALL_OR("init-module", ENOEXEC, init_module, ADDRESS(page), 64, ADDRESS("")),
    CALL_OR("sethostname", EFAULT, sethostname, 1, 4),
    CALL_OR("settimeofday", EFAULT, settimeofday, 1, 0),
    CALL_OR("swapon", ENOENT, swapon, NOWHERE, 0),
    CALL_OR("reboot", EINVAL, reboot, 0, 0, 0),
};

/* ---- what it has: else a refusal would say nothing ---- */

static const struct action own[] = {
    CALL("memory", mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
         (uint64_t)-1),
    CALL("channel", socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ADDRESS(page)),
    CALL("message", sendmsg, SOCKET, ADDRESS(&message), MSG_DONTWAIT | MSG_NOSIGNAL),
    CALL_OR("nothing-there", EAGAIN, recvmsg, SOCKET, ADDRESS(&message), MSG_DONTWAIT),
};

static int fds[3]; /* the starter, a socket of hostd's, a file that was handed to it */

static uint64_t value_of(uint64_t arg)
{
    return arg == PARENT    ? (uint64_t)fds[0]
           : arg == SOCKET  ? (uint64_t)fds[1]
           : arg == FILE_FD ? (uint64_t)fds[2]
                            : arg;
}

static _Noreturn void run_in_sandbox(const struct action *action)
{
    const struct sandbox_hostd rights = { .uid = geteuid() == 0 ? HOSTD_UID : 0,
                                          .max_files = 64,
                                          .data_bytes = 64 << 20 };
    unsigned missing = 0;
    uint64_t a[6];
    long r;

    for (unsigned i = 0; i < ARRAY_SIZE(a); i++)
        a[i] = value_of(action->args[i]);
    alarm(LONG_S); /* of one that waits */
    if (sandbox_enter_hostd(&rights, &missing) < 0 ||
        sandbox_enter_thread(&sandbox_filter_hostd) < 0)
        _exit(SAYS_NOTHING);
    r = syscall(action->nr, a[0], a[1], a[2], a[3], a[4], a[5]);
    _exit(r >= 0 || (action->reached != 0 && errno == action->reached) ? SAYS_LET : SAYS_REFUSED);
}

/* True: it got what it asked for. */
static bool is_let(const struct action *action)
{
    int status = 0;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        run_in_sandbox(action);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
        return false;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        return true;
    if (!WIFEXITED(status) || WEXITSTATUS(status) == SAYS_NOTHING)
        fail_msg("%s: status %#x", action->name, status);
    return WEXITSTATUS(status) == SAYS_LET;
}

static void it_has_its_own_calls(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(own); i++)
        if (!is_let(&own[i]))
            fail_msg("%s is refused", own[i].name);
}

static void it_has_no_other(void **state)
{
    unsigned n = 0;

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(others); i++)
        if (is_let(&others[i])) {
            print_error("%s is let\n", others[i].name);
            n++;
        }
    assert_int_equal(n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_has_its_own_calls),
        cmocka_unit_test(it_has_no_other),
    };
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return 1;
    fds[0] = (int)getpid();
    fds[1] = pair[0];
    fds[2] = memfd_create("handed", 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
