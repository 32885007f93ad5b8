/* SPDX-License-Identifier: Apache-2.0 */
/* files.c - look around, find files and the network. Every action is harmless when it is let. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/if_packet.h>
#include <linux/mount.h>
#include <netinet/in.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include "base/fd.h"
#include "hostile.h"

#define CALL(what, number, ...)                                                                    \
    {                                                                                              \
        .name = what, .kind = HOSTILE_SYSCALL, .nr = SYS_##number, .args = { __VA_ARGS__ }         \
    }
/* Not there, or there already: the kernel would have done it. */
#define CALL_OR(what, err, number, ...)                                                            \
    {                                                                                              \
        .name = what, .kind = HOSTILE_SYSCALL, .nr = SYS_##number, .args = { __VA_ARGS__ },        \
        .reached = err                                                                             \
    }
#define NOWHERE ADDRESS("/nonexistent/file")

static char buffer[4096];
static const uint64_t how[3] = { O_RDONLY };
static const struct sockaddr_un abstract_address = { AF_UNIX, "\0bulkhead-hostile" };
static const struct sockaddr_un path_address = { AF_UNIX, "/run/dbus/system_bus_socket" };
static const struct sockaddr_in inet_address = { .sin_family = AF_INET, .sin_port = 0x1600 };
static const int one = 1;
static struct msghdr no_message;
static int pair[2];

static const struct hostile_action actions[] = {
    CALL("open-root", open, ADDRESS("/"), O_RDONLY | O_DIRECTORY),
    CALL("open-proc", open, ADDRESS("/proc"), O_RDONLY | O_DIRECTORY),
    CALL("open-proc-self", open, ADDRESS("/proc/self/status"), O_RDONLY),
    CALL_OR("open-proc-1-mem", ENOENT, open, ADDRESS("/proc/1/mem"), O_RDWR),
    CALL("open-sys", open, ADDRESS("/sys"), O_RDONLY | O_DIRECTORY),
    CALL("open-dev", open, ADDRESS("/dev"), O_RDONLY | O_DIRECTORY),
    CALL("open-dev-kvm", open, ADDRESS("/dev/kvm"), O_RDWR),
    CALL("open-dev-null", open, ADDRESS("/dev/null"), O_RDWR),
    CALL("open-nameless-file", open, ADDRESS("/tmp"), O_TMPFILE | O_RDWR, 0600),
    CALL("open-path-only", open, ADDRESS("/"), O_PATH),
    CALL("openat", openat, (uint64_t)AT_FDCWD, ADDRESS("/etc/passwd"), O_RDONLY),
    CALL("openat-up", openat, (uint64_t)AT_FDCWD, ADDRESS("../../../../etc/passwd"), O_RDONLY),
    CALL("openat2", openat2, (uint64_t)AT_FDCWD, ADDRESS("/etc/passwd"), ADDRESS(how), sizeof how),
    CALL_OR("list", ENOTDIR, getdents64, FD_STDIN, ADDRESS(buffer), sizeof buffer),
    CALL("stat", stat, ADDRESS("/"), ADDRESS(buffer)),
    CALL("statx", statx, (uint64_t)AT_FDCWD, ADDRESS("/"), 0, 0xfff, ADDRESS(buffer)),
    CALL("statfs", statfs, ADDRESS("/"), ADDRESS(buffer)),
    CALL("access", access, ADDRESS("/"), 0),
    CALL("readlink", readlink, ADDRESS("/proc/self/exe"), ADDRESS(buffer), sizeof buffer),
    CALL("getcwd", getcwd, ADDRESS(buffer), sizeof buffer),
    CALL("chdir", chdir, ADDRESS("/")),
    CALL_OR("mkdir", EEXIST, mkdir, ADDRESS("/tmp/."), 0700),
    CALL_OR("mknod", EEXIST, mknod, ADDRESS("/tmp/."), S_IFCHR | 0600, 0x101),
    CALL_OR("unlink", ENOENT, unlink, NOWHERE),
    CALL_OR("rename", ENOENT, rename, NOWHERE, NOWHERE),
    CALL_OR("link", ENOENT, link, NOWHERE, NOWHERE),
    CALL_OR("symlink", ENOENT, symlink, ADDRESS("/"), NOWHERE),
    CALL_OR("truncate", ENOENT, truncate, NOWHERE, 0),
    CALL_OR("chmod", ENOENT, chmod, NOWHERE, 0777),
    CALL_OR("chown", ENOENT, chown, NOWHERE, 0, 0),
    CALL_OR("setxattr", ENOENT, setxattr, NOWHERE, ADDRESS("user.x"), ADDRESS("x"), 1, 0),
    CALL("fstat", fstat, FD_STDIN, ADDRESS(buffer)),
    CALL("sendfile", sendfile, FD_STDOUT, FD_STDIN, 0, 1),
    CALL("name-to-handle", name_to_handle_at, (uint64_t)AT_FDCWD, ADDRESS("/"), ADDRESS(buffer),
         ADDRESS(buffer + 2048), 0),
    CALL_OR("open-by-handle", EBADF, open_by_handle_at, (uint64_t)-1, ADDRESS(buffer), O_RDONLY),
    CALL("chroot", chroot, ADDRESS("/")),
    CALL_OR("pivot-root", EINVAL, pivot_root, ADDRESS("/"), ADDRESS("/")),
    CALL("mount", mount, 0, ADDRESS("/"), 0, MS_REC | MS_PRIVATE, 0),
    CALL_OR("umount", ENOENT, umount2, NOWHERE, MNT_DETACH),
    CALL("fsopen", fsopen, ADDRESS("tmpfs"), 0),
    CALL("open-tree", open_tree, (uint64_t)AT_FDCWD, ADDRESS("/"), 1 /* OPEN_TREE_CLONE */),
    CALL_OR("move-mount", ENOENT, move_mount, (uint64_t)AT_FDCWD, NOWHERE, (uint64_t)AT_FDCWD,
            NOWHERE, 0),
    CALL("mount-setattr", mount_setattr, (uint64_t)AT_FDCWD, ADDRESS("/"), 0, ADDRESS(buffer), 32),
    CALL("inotify", inotify_init1, 0),
    CALL("fanotify", fanotify_init, 0, O_RDONLY),

    CALL("socket-inet", socket, AF_INET, SOCK_STREAM, 0),
    CALL("socket-inet6", socket, AF_INET6, SOCK_DGRAM, 0),
    CALL("socket-unix", socket, AF_UNIX, SOCK_STREAM, 0),
    CALL("socket-netlink", socket, AF_NETLINK, SOCK_RAW, 0),
    CALL("socket-packet", socket, AF_PACKET, SOCK_RAW, 0),
    CALL("socket-vsock", socket, AF_VSOCK, SOCK_STREAM, 0),
    CALL("socket-alg", socket, AF_ALG, SOCK_SEQPACKET, 0),
    CALL("socketpair", socketpair, AF_UNIX, SOCK_DGRAM, 0, ADDRESS(pair)),
    CALL_OR("connect-inet", EAFNOSUPPORT, connect, FD_CONTROL, ADDRESS(&inet_address),
            sizeof inet_address),
    CALL_OR("connect-path", EISCONN, connect, FD_CONTROL, ADDRESS(&path_address),
            sizeof path_address),
    CALL_OR("connect-abstract", EISCONN, connect, FD_CONTROL, ADDRESS(&abstract_address),
            sizeof abstract_address),
    CALL("bind-abstract", bind, FD_CONTROL, ADDRESS(&abstract_address), sizeof abstract_address),
    CALL_OR("listen", EINVAL, listen, FD_CONTROL, 1),
    CALL_OR("accept", EINVAL, accept, FD_CONTROL, 0, 0),
    CALL("getsockname", getsockname, FD_CONTROL, ADDRESS(buffer), ADDRESS(&buffer[2048])),
    CALL("setsockopt", setsockopt, FD_CONTROL, SOL_SOCKET, SO_PASSCRED, ADDRESS(&one), sizeof one),
    CALL_OR("sendto-elsewhere", EISCONN, sendto, FD_CONTROL, ADDRESS("x"), 0, MSG_NOSIGNAL,
            ADDRESS(&path_address), sizeof path_address),
    CALL("sendmmsg", sendmmsg, FD_CONTROL, ADDRESS(&no_message), 0, 0),
    CALL_OR("sendmsg-elsewhere", ENOTSOCK, sendmsg, FD_LOG, ADDRESS(&no_message),
            MSG_DONTWAIT | MSG_NOSIGNAL),
    CALL_OR("recvmsg-elsewhere", ENOTSOCK, recvmsg, FD_STDIN, ADDRESS(&no_message),
            MSG_DONTWAIT | MSG_CMSG_CLOEXEC),
    CALL_OR("recvmsg-without-cloexec", EAGAIN, recvmsg, FD_CONTROL, ADDRESS(&no_message),
            MSG_DONTWAIT),
};
HOSTILE_TABLE(hostile_files, actions);
