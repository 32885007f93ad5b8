/* SPDX-License-Identifier: Apache-2.0 */
/* layers.c - names of the layers, the pool of uids, and which namespaces are a process's own. */
#include "layers.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"

static const char *const names[] = {
    "userns", "uid",  "pidns", "mntns",      "netns",   "ipcns",    "utsns",   "cgroupns", "cgroup",
    "root",   "caps", "nnp",   "undumpable", "rlimits", "landlock", "seccomp", "mdwe",
};

const char *sandbox_layer_name(unsigned layer)
{
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
        if (layer == 1u << i)
            return names[i];
    return NULL;
}

uint32_t sandbox_uid(uint32_t range, unsigned slot)
{
    return (uint32_t)SANDBOX_UID_FIRST + range % SANDBOX_UID_RANGES * SANDBOX_UIDS_PER_VM +
           slot % SANDBOX_UIDS_PER_VM;
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

unsigned layers_own_namespaces(void)
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
