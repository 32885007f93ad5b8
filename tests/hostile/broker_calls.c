/* SPDX-License-Identifier: Apache-2.0 */
/* broker_calls.c - system calls of a broker that was taken over: become somebody else, make or reach
 * other processes, change the host, talk to the network. Harmless when they are let. */
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/compiler.h"
#include "broker.h"

#define ADDRESS(x) ((uint64_t)(uintptr_t)(x))
#define NOWHERE ADDRESS("/nonexistent/file")
#define CALL(what, number, ...)                                                                    \
    {                                                                                              \
        .name = what, .run = call, .arg = SYS_##number, .args = { __VA_ARGS__ }                    \
    }
#define CALL_OR(what, err, number, ...)                                                            \
    {                                                                                              \
        .name = what, .run = call, .arg = SYS_##number, .args = { __VA_ARGS__ }, .reached = err    \
    }

static char page[8192];
static uint64_t spawner_pid; /* in place of this address as an argument: its value */
#define SPAWNER_PID ADDRESS(&spawner_pid)
static const uint64_t clone_args[8] = { [4] = SIGCHLD };
static const uint32_t cap_header[2] = { 0x20080522, 0 }, all_caps[6] = { ~0u, ~0u, 0, ~0u, ~0u, 0 };
static const uint32_t bpf_attr[32] = { 2 /* array */, 4, 4, 1 };
static struct perf_event_attr perf = { .type = PERF_TYPE_SOFTWARE, .size = sizeof perf };
static char *const no_strings[] = { NULL };
static const uint32_t no_group;

static enum broker_verdict judge(long r, int reached)
{
    return r >= 0 || (reached != 0 && r == -reached) ? BROKER_LET : BROKER_REFUSED;
}

/* b is of the action that runs; its arguments come with the table's entry. */
static enum broker_verdict call(struct broker *b, long nr)
{
    uint64_t a[6];
    long r;

    for (unsigned i = 0; i < ARRAY_SIZE(a); i++)
        a[i] = b->action->args[i] == SPAWNER_PID ? (uint64_t)b->spawner.pid : b->action->args[i];
    r = syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (r == 0 && (nr == SYS_fork || nr == SYS_vfork || nr == SYS_clone || nr == SYS_clone3))
        _exit(0); /* the child */
    return judge(r < 0 ? -errno : r, b->action->reached);
}

/* A process of the host's by the one descriptor that every process can have of it. */
static enum broker_verdict signal_by_proc(struct broker *b, long sig)
{
    int fd = open("/proc/1", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void)b;
    if (fd < 0)
        return BROKER_REFUSED;
    return judge(syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0), 0);
}

static enum broker_verdict run_memory(struct broker *b, long how)
{
    void *p = mmap(NULL, sizeof page, PROT_READ | PROT_WRITE | (how == 0 ? PROT_EXEC : 0),
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)b;
    if (p == MAP_FAILED)
        return BROKER_REFUSED;
    return judge(how == 0 ? 0 : mprotect(p, sizeof page, PROT_READ | PROT_EXEC), 0);
}

/* What the kernel is to signal, and with what, when something can be read. */
static enum broker_verdict signal_by_owner(struct broker *b, long command)
{
    int r = command == F_SETFL    ? fcntl(b->spawner.fd, F_SETFL, O_ASYNC | O_RDWR)
            : command == F_SETSIG ? fcntl(b->spawner.fd, F_SETSIG, SIGKILL)
                                  : fcntl(b->spawner.fd, F_SETOWN, b->test);

    return judge(r < 0 ? -errno : r, 0);
}

/* Its VM's claims hang on locks that it shares with the spawner: it could give them to another VM, or
 * by a file that it may read keep all others from theirs. */
static enum broker_verdict change_a_lock(struct broker *b, long type)
{
    struct flock lock = { .l_type = (short)type, .l_whence = SEEK_SET };

    return judge(fcntl(b->victim_lock, F_OFD_SETLK, &lock), 0);
}

/* A name of a host's daemon: landlock keeps it from sockets in folders, and no folder has this one. */
static enum broker_verdict take_a_name(struct broker *b, long listens)
{
    static const struct sockaddr_un address = { .sun_family = AF_UNIX,
                                                .sun_path = "\0bulkhead-hostile" };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int r;

    (void)b;
    if (fd < 0)
        return BROKER_REFUSED;
    r = listens ? listen(fd, 1) : bind(fd, (const struct sockaddr *)&address, sizeof address);
    return judge(r < 0 ? -errno : r, listens ? EINVAL : 0);
}

/* A file of somebody else's, which the broker's uid may write. */
static enum broker_verdict change_a_file(struct broker *b, long how)
{
    static const int flags[] = { O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC, O_WRONLY | O_CREAT };
    char path[80];
    int r;

    if (b->no_landlock)
        return BROKER_REFUSED;
    snprintf(path, sizeof path, "%s/%s", b->victim, how == 3 ? "new" : "extra");
    if (how < 4)
        r = open(path, flags[how] | O_CLOEXEC, 04755);
    else if (how == 4)
        r = unlink(path);
    else
        r = rmdir(b->victim); /* ENOTEMPTY comes after the check */
    if (how == 5 && r < 0 && errno == ENOTEMPTY)
        return BROKER_LET;
    if (r >= 0 && how == 3)
        unlink(path);
    return judge(r, 0);
}

/* Files of who started the VM are read before the sandbox, or by others. */
static enum broker_verdict read_a_file(struct broker *b, long flags)
{
    char path[80];
    int r;

    if (b->no_landlock)
        return BROKER_REFUSED;
    snprintf(path, sizeof path, "%s/extra", b->victim);
    r = open(path, (int)flags | O_RDONLY | O_CLOEXEC);
    return judge(r < 0 ? -errno : r, 0);
}

/* Services ask the kernel who connects: to them it must not be root. */
static enum broker_verdict connect_as_root(struct broker *b, long unused)
{
    struct ucred peer = { .uid = (uid_t)-1 };
    socklen_t len = sizeof peer;
    int pair[2];

    (void)b;
    (void)unused;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ||
        getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
        return BROKER_REFUSED;
    return peer.uid == 0 ? BROKER_LET : BROKER_REFUSED;
}

/* Its own VM's files too are the spawner's to remove. */
static enum broker_verdict remove_its_own(struct broker *b, long how)
{
    char path[80];

    snprintf(path, sizeof path, "%s/control.sock", b->dir);
    return judge(how == 0 ? unlink(path) : unlinkat(b->dir_fd, "control.sock", 0), 0);
}

static const struct broker_action actions[] = {
    { .name = "write-a-file", .run = change_a_file, .arg = 0 },
    { .name = "read-and-write-a-file", .run = change_a_file, .arg = 1 },
    { .name = "truncate-a-file", .run = change_a_file, .arg = 2 },
    { .name = "create-a-setuid-file", .run = change_a_file, .arg = 3 },
    { .name = "remove-a-file", .run = change_a_file, .arg = 4 },
    { .name = "read-a-file", .run = read_a_file, .arg = O_NOCTTY },
    { .name = "open-perhaps-a-terminal", .run = read_a_file, .arg = 0 },
    { .name = "connect-as-root", .run = connect_as_root },
    CALL("open-a-path-alone", openat, AT_FDCWD, ADDRESS("/"), O_PATH | O_NOCTTY | O_CLOEXEC),
    CALL_OR("openat2", ENOENT, openat2, AT_FDCWD, NOWHERE, ADDRESS(page), 24),
    { .name = "remove-its-own-socket", .run = remove_its_own, .arg = 0 },
    { .name = "remove-its-own-by-folder", .run = remove_its_own, .arg = 1 },
    CALL("setuid", setuid, 65534),
    CALL("setresuid", setresuid, 65534, 65534, 65534),
    CALL("setgid", setgid, 65534),
    CALL("setgroups", setgroups, 1, ADDRESS(&no_group)),
    CALL("capset", capset, ADDRESS(cap_header), ADDRESS(all_caps)),
    CALL_OR("mount", ENOENT, mount, ADDRESS("none"), NOWHERE, ADDRESS("tmpfs")),
    CALL_OR("umount", ENOENT, umount2, NOWHERE, MNT_DETACH),
    CALL_OR("pivot-root", ENOENT, pivot_root, NOWHERE, NOWHERE),
    CALL("chroot", chroot, ADDRESS("/")),
    CALL("chdir", chdir, ADDRESS("/")),
    CALL("unshare-user", unshare, CLONE_NEWUSER),
    CALL("unshare-net", unshare, CLONE_NEWNET),
    CALL("unshare-mounts", unshare, CLONE_NEWNS),
    CALL_OR("setns", EBADF, setns, (uint64_t)-1, CLONE_NEWNET),
    CALL("ptrace-spawner", ptrace, PTRACE_SEIZE, SPAWNER_PID),
    CALL_OR("read-spawner", EFAULT, process_vm_readv, SPAWNER_PID, ADDRESS(page), 1, 1, 1, 0),
    CALL("kill-spawner", kill, SPAWNER_PID, 0),
    CALL("kill-init", kill, 1, 0),
    CALL("tkill-spawner", tkill, SPAWNER_PID, 0),
    CALL("tgkill-spawner", tgkill, SPAWNER_PID, SPAWNER_PID, 0),
    CALL("pidfd-open", pidfd_open, SPAWNER_PID, 0),
    CALL_OR("pidfd-getfd", EBADF, pidfd_getfd, (uint64_t)-1, 3, 0),
    { .name = "pidfd-send-signal", .run = signal_by_proc },
    { .name = "fcntl-set-owner", .run = signal_by_owner, .arg = F_SETOWN },
    { .name = "fcntl-set-signal", .run = signal_by_owner, .arg = F_SETSIG },
    { .name = "fcntl-async", .run = signal_by_owner, .arg = F_SETFL },
    { .name = "lock", .run = change_a_lock, .arg = F_RDLCK },
    { .name = "unlock", .run = change_a_lock, .arg = F_UNLCK },
    CALL_OR("flock", EBADF, flock, (uint64_t)-1, LOCK_EX | LOCK_NB),
    CALL("fork", fork),
    CALL("clone", clone, SIGCHLD),
    CALL("clone3", clone3, ADDRESS(clone_args), sizeof clone_args),
    CALL("execve", execve, ADDRESS("/bin/true"), ADDRESS(no_strings), ADDRESS(no_strings)),
    CALL("execveat", execveat, AT_FDCWD, ADDRESS("/bin/true"), ADDRESS(no_strings),
         ADDRESS(no_strings)),
    CALL("bpf", bpf, 0, ADDRESS(bpf_attr), sizeof bpf_attr),
    CALL("perf-event-open", perf_event_open, ADDRESS(&perf), 0, (uint64_t)-1, (uint64_t)-1),
    CALL("userfaultfd", userfaultfd, 1),
    CALL("keyctl", keyctl, 0, (uint64_t)-3, 1),
    CALL("add-key", add_key, ADDRESS("user"), ADDRESS("hostile"), ADDRESS(page), 1, (uint64_t)-3),
    CALL_OR("init-module", ENOEXEC, init_module, ADDRESS(page), 64, ADDRESS("")),
    CALL_OR("finit-module", EBADF, finit_module, (uint64_t)-1, ADDRESS(""), 0),
    CALL("io-uring-setup", io_uring_setup, 4, ADDRESS(page)),
    CALL("personality", personality, 0xffffffff),
    CALL("memfd-inherited", memfd_create, ADDRESS("x"), 0),
    { .name = "mmap-exec", .run = run_memory, .arg = 0 },
    { .name = "mprotect-exec", .run = run_memory, .arg = 1 },
    CALL("tcp", socket, AF_INET, SOCK_STREAM),
    CALL("udp", socket, AF_INET, SOCK_DGRAM),
    CALL("tcp6", socket, AF_INET6, SOCK_STREAM),
    CALL("netlink", socket, AF_NETLINK, SOCK_RAW),
    CALL("packet", socket, AF_PACKET, SOCK_RAW),
    CALL("unix-datagram", socket, AF_UNIX, SOCK_DGRAM),
    CALL("unix-raw", socket, AF_UNIX, SOCK_RAW),
    CALL("unix-datagram-pair", socketpair, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ADDRESS(page)),
    { .name = "bind-abstract", .run = take_a_name, .arg = 0 },
    { .name = "listen", .run = take_a_name, .arg = 1 },
    CALL_OR("symlink", ENOENT, symlink, NOWHERE, NOWHERE),
    CALL_OR("link", ENOENT, link, NOWHERE, NOWHERE),
    CALL_OR("rename", ENOENT, rename, NOWHERE, NOWHERE),
    CALL_OR("mknod", ENOENT, mknod, NOWHERE, 0600, 0),
    CALL_OR("mkdir", ENOENT, mkdir, NOWHERE, 0700),
    CALL_OR("chmod", ENOENT, chmod, NOWHERE, 04755),
    CALL_OR("fchmod", EBADF, fchmod, (uint64_t)-1, 04755),
    CALL_OR("chown", ENOENT, chown, NOWHERE, 0, 0),
    CALL_OR("setxattr", ENOENT, setxattr, NOWHERE, ADDRESS("user.x"), ADDRESS("x"), 1, 0),
    CALL_OR("truncate", ENOENT, truncate, NOWHERE, 0),
    CALL_OR("open-by-handle", EFAULT, open_by_handle_at, AT_FDCWD, 0, 0),
    CALL_OR("sethostname", EFAULT, sethostname, 1, 4),
    CALL_OR("settimeofday", EFAULT, settimeofday, 1, 0),
    CALL_OR("swapon", ENOENT, swapon, NOWHERE, 0),
    CALL_OR("reboot", EINVAL, reboot, 0, 0, 0),
};

const struct broker_table broker_calls = { actions, ARRAY_SIZE(actions) };
