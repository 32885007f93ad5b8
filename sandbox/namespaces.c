/* SPDX-License-Identifier: Apache-2.0 */
/* namespaces.c - see namespaces.h. */
#include "sandbox/namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "sandbox/layers.h"

static int leave(void *arg)
{
    (void)arg;
    return 0;
}

int sandbox_try_userns(void)
{
    _Alignas(16) static char stack[16384];
    /* Shares our memory and is gone before we go on: no copy of it has to be made. */
    pid_t pid =
        clone(leave, stack + sizeof stack, CLONE_NEWUSER | CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);

    if (pid >= 0) {
        while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
            ;
        return 0;
    }
    return err_origin(-errno, "making a user namespace");
}

const char *sandbox_userns_cure(int error)
{
    switch (abs(error)) {
    case ENOSPC: /* since Linux 4.9; older ones say EUSERS */
    case EUSERS:
        return "user.max_user_namespaces is reached: run as root, or have it raised (sysctl "
               "user.max_user_namespaces=10000)";
    case EPERM:
    case EACCES:
        return "kernel.unprivileged_userns_clone=0, or a rule of AppArmor or SELinux: run as root, "
               "or have that changed";
    default:
        return "the kernel has none (CONFIG_USER_NS): run as root, or have another kernel";
    }
}

/* True when the map gives this user namespace one single id: the initial one has all of them. */
static bool maps_one_id(void)
{
    unsigned inside = 0, outside = 0, count = 0;
    FILE *f = fopen("/proc/self/uid_map", "re");
    int n, more;

    if (!f)
        return false;
    n = fscanf(f, "%u %u %u", &inside, &outside, &count);
    more = fscanf(f, "%u", &inside);
    fclose(f);
    return n == 3 && count == 1 && more != 1;
}

static bool owned_by(const char *path, const struct stat *own_user)
{
    cleanup_(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    cleanup_(fd_closep) int owner = -1;
    struct stat st;

    if (fd < 0)
        return false;
    owner = ioctl(fd, NS_GET_USERNS);
    return owner >= 0 && fstat(owner, &st) == 0 && st.st_ino == own_user->st_ino &&
           st.st_dev == own_user->st_dev;
}

unsigned namespaces_own(void)
{
    static const struct {
        unsigned layer;
        const char *path;
    } kinds[] = {
        { SANDBOX_LAYER_PIDNS, "/proc/self/ns/pid" },
        { SANDBOX_LAYER_MNTNS, "/proc/self/ns/mnt" },
        { SANDBOX_LAYER_NETNS, "/proc/self/ns/net" },
        { SANDBOX_LAYER_IPCNS, "/proc/self/ns/ipc" },
        { SANDBOX_LAYER_UTSNS, "/proc/self/ns/uts" },
        { SANDBOX_LAYER_CGROUPNS, "/proc/self/ns/cgroup" },
    };
    unsigned own = 0;
    struct stat user;

    if (!maps_one_id() || stat("/proc/self/ns/user", &user) < 0)
        return 0;
    for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++)
        if (owned_by(kinds[i].path, &user))
            own |= kinds[i].layer;
    return own | SANDBOX_LAYER_USERNS;
}
