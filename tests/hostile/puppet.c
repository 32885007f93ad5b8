/* SPDX-License-Identifier: Apache-2.0 */
/* puppet.c - a program that was handed over to the spawner as a worker's new build, and is none: it
 * does what it is told, before any sandbox that it would have to enter by itself. Linked into a static
 * program, and into the test for the names. */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/compiler.h"
#include "base/fd.h"
#include "broker.h"

#define ADDRESS(x) ((uint64_t)(uintptr_t)(x))
#define CALL(what, number, ...)                                                                    \
    {                                                                                              \
        .name = what, .nr = SYS_##number, .args = { __VA_ARGS__ }                                  \
    }

static char page[8192];
static const uint64_t clone_args[8] = { [4] = SIGCHLD };
static const uint32_t bpf_attr[32] = { 2 /* array */, 4, 4, 1 };
static char *const no_strings[] = { NULL };
static char *const again[] = { (char *)(uintptr_t) "puppet", (char *)(uintptr_t) "again", NULL };
static uint64_t folder; /* in place of this address as an argument: what came with the request */
#define FOLDER ADDRESS(&folder)
static const struct rlimit core_limit = { 1, 1 };
static const uint32_t cap_header[2] = { 0x20080522, 0 }, no_caps[6];

static const struct {
    const char *name;
    long nr;
    uint64_t args[6];
} actions[] = {
    CALL("tcp", socket, AF_INET, SOCK_STREAM),
    CALL("unix", socket, AF_UNIX, SOCK_STREAM),
    CALL("netlink", socket, AF_NETLINK, SOCK_RAW, 12),
    CALL("packet", socket, AF_PACKET, SOCK_RAW),
    CALL("socketpair", socketpair, AF_UNIX, SOCK_STREAM, 0, ADDRESS(page)),
    CALL("unshare-user", unshare, CLONE_NEWUSER),
    CALL("unshare-net", unshare, CLONE_NEWNET),
    CALL("fork", fork),
    CALL("clone", clone, SIGCHLD),
    CALL("clone3", clone3, ADDRESS(clone_args), sizeof clone_args),
    CALL("execve", execve, ADDRESS("/bin/true"), ADDRESS(no_strings), ADDRESS(no_strings)),
    CALL("execveat-below", execveat, AT_FDCWD, ADDRESS("bin/true"), ADDRESS(no_strings),
         ADDRESS(no_strings), 0),
    CALL("execveat-below-a-folder", execveat, FOLDER, ADDRESS(PUPPET_COPY), ADDRESS(again),
         ADDRESS(no_strings), AT_EMPTY_PATH),
    CALL("core-file", prlimit64, 0, RLIMIT_CORE, ADDRESS(&core_limit), 0),
    CALL("ptrace", ptrace, PTRACE_TRACEME),
    CALL("bpf", bpf, 0, ADDRESS(bpf_attr), sizeof bpf_attr),
    CALL("keyctl", keyctl, 0, (uint64_t)-3, 1),
    CALL("add-key", add_key, ADDRESS("user"), ADDRESS("hostile"), ADDRESS(page), 1, (uint64_t)-3),
    CALL("io-uring-setup", io_uring_setup, 4, ADDRESS(page)),
    CALL("userfaultfd", userfaultfd, 1),
    CALL("memfd-create", memfd_create, ADDRESS("x"), MFD_CLOEXEC),
    CALL("pidfd-open", pidfd_open, 1, 0),
    CALL("kill", kill, 1, 0),
    CALL("fcntl-set-owner", fcntl, FD_CONTROL, F_SETOWN, 1),
    CALL("fcntl-set-signal", fcntl, FD_CONTROL, F_SETSIG, SIGKILL),
    CALL("fcntl-async", fcntl, FD_CONTROL, F_SETFL, O_ASYNC | O_RDWR),
    CALL("fcntl-lock", fcntl, FD_CONTROL, F_OFD_SETLK, ADDRESS(page)),
    CALL("ioctl-async", ioctl, FD_CONTROL, FIOASYNC, ADDRESS(page)),
    CALL("ioctl-type-into-terminal", ioctl, FD_CONTROL, TIOCSTI, ADDRESS(page)),
    CALL("sethostname", sethostname, ADDRESS("h"), 1),
    CALL("setuid", setuid, 0),
    CALL("setgroups", setgroups, 0, 0),
    CALL("open", open, ADDRESS("/"), O_RDONLY),
    CALL("open-below-a-folder", openat, AT_FDCWD, ADDRESS("."), O_RDONLY),
    CALL("openat2", openat2, AT_FDCWD, ADDRESS("."), ADDRESS(page), 24),
    CALL("open-tree", open_tree, AT_FDCWD, ADDRESS("/"), 0),
    CALL("look-at-the-host's-files", newfstatat, AT_FDCWD, ADDRESS("/proc"), ADDRESS(page), 0),
    CALL("link-of-the-host's", readlink, ADDRESS("/proc/self"), ADDRESS(page), sizeof page),
    CALL("link-by-folder", readlinkat, AT_FDCWD, ADDRESS("/proc/self"), ADDRESS(page), sizeof page),
    CALL("access", access, ADDRESS("/"), F_OK),
    CALL("capabilities", prctl, PR_CAPBSET_DROP, 0),
    CALL("keep-capabilities", prctl, PR_SET_SECUREBITS, 0),
    CALL("mkdir", mkdir, ADDRESS(PUPPET_PATH), 0700),
    CALL("symlink", symlink, ADDRESS("/"), ADDRESS(PUPPET_PATH)),
    CALL("unlink", unlink, ADDRESS(PUPPET_PATH)),
    CALL("chmod", chmod, ADDRESS(PUPPET_PATH), 04755),
    CALL("mount", mount, ADDRESS("x"), ADDRESS("/tmp"), ADDRESS("tmpfs")),
    CALL("umount", umount2, ADDRESS("/"), MNT_DETACH),
    CALL("pivot-root", pivot_root, ADDRESS("/tmp"), ADDRESS("/tmp")),
    CALL("chroot", chroot, ADDRESS("/")),
    CALL("chdir", chdir, ADDRESS("/")),
    CALL("capset", capset, ADDRESS(cap_header), ADDRESS(no_caps)),
    CALL("shmget", shmget, 0, 4096, 01600),
    CALL("semget", semget, 0, 1, 01600),
    CALL("personality", personality, 0xffffffff),
    CALL("mq-open", mq_open, ADDRESS("x"), O_RDWR | O_CREAT, 0600, 0),
    CALL("fsopen", fsopen, ADDRESS("tmpfs"), 0),
    CALL("sched-setscheduler", sched_setscheduler, 0, SCHED_BATCH, ADDRESS(page)),
};

unsigned puppet_n_actions(void)
{
    return ARRAY_SIZE(actions);
}

const char *puppet_name(unsigned index)
{
    return actions[index].name;
}

/* The number of the next action, and a descriptor of a folder. */
static bool hear(uint32_t *ret_index)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct iovec iov = { ret_index, sizeof *ret_index };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
    };
    int fd = -1;

    if (recvmsg(FD_CONTROL, &msg, 0) != sizeof *ret_index || *ret_index >= ARRAY_SIZE(actions))
        return false;
    if (CMSG_FIRSTHDR(&msg))
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof fd);
    folder = (uint64_t)fd;
    return true;
}

int puppet_main(void)
{
    uint32_t index;
    char word[2] = { 'l', 'r' };
    uint64_t a[6];
    long r;

    for (;;) {
        if (!hear(&index))
            _exit(0);
        for (unsigned i = 0; i < ARRAY_SIZE(a); i++)
            a[i] = actions[index].args[i] == FOLDER ? folder : actions[index].args[i];
        r = syscall(actions[index].nr, a[0], a[1], a[2], a[3], a[4], a[5]);
        if (r == 0 && strstr("fork clone clone3", actions[index].name))
            _exit(0); /* the child */
        if (write(FD_CONTROL, r < 0 ? &word[1] : &word[0], 1) != 1)
            _exit(1);
    }
}
