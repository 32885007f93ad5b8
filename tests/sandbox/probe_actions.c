/* SPDX-License-Identifier: Apache-2.0 */
/* probe_actions.c - what a program that was taken over would try. */
#include "probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/compiler.h"

static int outcome(long r)
{
    return r < 0 ? errno : 0;
}

static int try_fork(void)
{
    pid_t pid = (pid_t)syscall(SYS_fork);

    if (pid == 0)
        _exit(0);
    return outcome(pid);
}

static int try_open(void)
{
    return outcome(open("/etc/passwd", O_RDONLY));
}

static int try_open_proc(void)
{
    return outcome(open("/proc/self/status", O_RDONLY));
}

static int try_open_root(void)
{
    return outcome(open("/", O_RDONLY | O_DIRECTORY));
}

static int try_open_up(void)
{
    return outcome(open("../../../../etc/passwd", O_RDONLY));
}

static int try_create(void)
{
    return outcome(open("/file", O_RDWR | O_CREAT, 0600));
}

static int try_mkdir(void)
{
    return outcome(mkdir("/folder", 0700));
}

static int try_openat2(void)
{
    uint64_t how[3] = { O_RDONLY };

    return outcome(syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", how, sizeof how));
}

static int try_connect_inet(void)
{
    struct sockaddr_in addr = { .sin_family = AF_INET,
                                .sin_port = htons(22),
                                .sin_addr = { htonl(INADDR_LOOPBACK) } };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    return fd < 0 ? errno : outcome(connect(fd, (struct sockaddr *)&addr, sizeof addr));
}

static int try_bind_inet(void)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(2222) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    return fd < 0 ? errno : outcome(bind(fd, (struct sockaddr *)&addr, sizeof addr));
}

static int try_connect_unix(void)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX, .sun_path = "/run/dbus/system_bus_socket" };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    return fd < 0 ? errno : outcome(connect(fd, (struct sockaddr *)&addr, sizeof addr));
}

static int try_raw_socket(void)
{
    return outcome(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
}

static int try_ptrace(void)
{
    /* The smallest pids of the host: the parent is not in this pid namespace. */
    for (pid_t pid = 2; pid < 100; pid++)
        if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0)
            return 0;
    return errno;
}

static int try_read_memory(void)
{
    char byte = 0;
    struct iovec iov = { &byte, 1 };

    return outcome(process_vm_readv(getppid() ? getppid() : 2, &iov, 1, &iov, 1, 0));
}

static int try_kill(void)
{
    return outcome(syscall(SYS_kill, -1, SIGKILL));
}

static int try_exec(void)
{
    char *const argv[] = { (char[]){ "sh" }, NULL };

    execve("/bin/sh", argv, argv + 1);
    return errno;
}

static int try_mprotect_exec(void)
{
    static char page[2 * PAGE_BYTES];
    char *aligned = (char *)(align_up((uintptr_t)page, PAGE_BYTES));

    return outcome(syscall(SYS_mprotect, aligned, PAGE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC));
}

static int try_mmap_exec(void)
{
    return outcome(syscall(SYS_mmap, NULL, PAGE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

static int try_memfd(void)
{
    return outcome(memfd_create("code", 0));
}

static int try_unshare(void)
{
    return outcome(unshare(CLONE_NEWNET));
}

static int try_setns(void)
{
    return outcome(setns(0, 0));
}

static int try_mount(void)
{
    return outcome(mount("none", "/", "tmpfs", 0, NULL));
}

static int try_remount(void)
{
    return outcome(mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL));
}

static int try_umount(void)
{
    return outcome(umount2("/", MNT_DETACH));
}

static int try_chroot(void)
{
    return outcome(chroot(".."));
}

static int try_sethostname(void)
{
    return outcome(sethostname("x", 1));
}

static int try_setgroups(void)
{
    gid_t group = 0;

    return outcome(syscall(SYS_setgroups, 1, &group));
}

static int try_setuid(void)
{
    return outcome(syscall(SYS_setresuid, 1, 1, 1));
}

static int try_capset(void)
{
    struct {
        uint32_t version;
        int pid;
    } header = { 0x20080522, 0 };
    uint32_t data[6] = { UINT32_MAX, UINT32_MAX, 0, UINT32_MAX, UINT32_MAX, 0 };

    return outcome(syscall(SYS_capset, &header, data));
}

static int try_mknod(void)
{
    return outcome(mknod("/mem", S_IFCHR | 0600, 0x101));
}

static int try_bpf(void)
{
    union bpf_attr attr = { .map_type = BPF_MAP_TYPE_HASH };

    attr.key_size = attr.value_size = 4;
    attr.max_entries = 1;
    return outcome(syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof attr));
}

static int try_perf(void)
{
    struct perf_event_attr attr = { .type = PERF_TYPE_HARDWARE, .size = sizeof attr };

    return outcome(syscall(SYS_perf_event_open, &attr, -1, 0, -1, 0));
}

static int try_keyctl(void)
{
    return outcome(syscall(SYS_keyctl, 0 /* KEYCTL_GET_KEYRING_ID */, -3, 1));
}

static int try_userfaultfd(void)
{
    return outcome(syscall(SYS_userfaultfd, 0));
}

static int try_io_uring(void)
{
    struct io_uring_params params = { 0 };

    return outcome(syscall(SYS_io_uring_setup, 8, &params));
}

static int try_raise_limit(void)
{
    uint64_t limit[2] = { 1024, 1024 };

    return outcome(syscall(SYS_prlimit64, 0, 7 /* RLIMIT_NOFILE */, limit, NULL));
}

static int try_more_fds(void)
{
    return outcome(dup(0));
}

static int try_ioctl(void)
{
    return outcome(syscall(SYS_ioctl, 0, 0x5412 /* TIOCSTI */, "x"));
}

static int try_sendmsg_elsewhere(void)
{
    struct msghdr msg = { 0 };

    return outcome(sendmsg(2, &msg, MSG_DONTWAIT | MSG_NOSIGNAL));
}

static int try_reboot(void)
{
    return outcome(syscall(SYS_reboot, 0, 0, 0, NULL)); /* wrong magic: harmless even if allowed */
}

/* 0 in want: only seccomp is there to stop it, or it does no harm in a namespace of its own. */
const struct probe_action probe_actions[] = {
    { "fork", try_fork, { 0 } }, /* NPROC comes with the filter; see /proc/<pid>/limits */
    { "open", try_open, { EACCES, ENOENT } },
    { "open-proc", try_open_proc, { EACCES, ENOENT } },
    { "open-root", try_open_root, { EACCES } },
    { "open-up", try_open_up, { EACCES, ENOENT } },
    { "create", try_create, { EACCES, EROFS } },
    { "mkdir", try_mkdir, { EACCES, EROFS } },
    { "openat2", try_openat2, { EACCES, ENOENT } },
    { "connect-inet", try_connect_inet, { EACCES, ENETUNREACH } },
    { "bind-inet", try_bind_inet, { 0 } }, /* EACCES with landlock ABI 4: checked by the test */
    { "connect-unix", try_connect_unix, { EACCES, ENOENT } },
    { "raw-socket", try_raw_socket, { EPERM } },
    { "ptrace", try_ptrace, { ESRCH, EPERM } },
    { "read-memory", try_read_memory, { ESRCH, EPERM } },
    { "kill-all", try_kill, { ESRCH, EPERM } },
    { "exec", try_exec, { EACCES, ENOENT } },
    { "mprotect-exec", try_mprotect_exec, { 0 } }, /* EACCES with MDWE: checked by the test */
    { "mmap-exec", try_mmap_exec, { 0 } },
    { "memfd", try_memfd, { 0 } },
    { "unshare", try_unshare, { EPERM } },
    { "setns", try_setns, { EINVAL, EPERM } },
    { "mount", try_mount, { EPERM, EACCES } },
    { "remount", try_remount, { EPERM, EACCES } },
    { "umount", try_umount, { EPERM, EACCES } },
    { "chroot", try_chroot, { EPERM, EACCES } },
    { "sethostname", try_sethostname, { EPERM } },
    { "setgroups", try_setgroups, { EPERM } },
    { "setuid", try_setuid, { EPERM, EINVAL } },
    { "capset", try_capset, { EPERM } },
    { "mknod", try_mknod, { EPERM, EACCES, EROFS } },
    { "bpf", try_bpf, { EPERM } },
    { "perf", try_perf, { 0 } },
    { "keyctl", try_keyctl, { 0 } },
    { "userfaultfd", try_userfaultfd, { EPERM, ENOSYS } },
    { "io_uring", try_io_uring, { 0 } },
    { "raise-limit", try_raise_limit, { EPERM } },
    { "more-fds", try_more_fds, { 0 } },
    { "tiocsti", try_ioctl, { ENOTTY, EPERM, EIO } },
    { "sendmsg-elsewhere", try_sendmsg_elsewhere, { ENOTSOCK } },
    { "reboot", try_reboot, { EPERM, EINVAL } },
};
const unsigned probe_n_actions = ARRAY_SIZE(probe_actions);

const struct probe_action *probe_find(const char *name)
{
    for (unsigned i = 0; i < probe_n_actions; i++)
        if (strcmp(probe_actions[i].name, name) == 0)
            return &probe_actions[i];
    return NULL;
}
