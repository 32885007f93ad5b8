/* SPDX-License-Identifier: Apache-2.0 */
/* groups.c - see groups.h. */
#include "hostd/starter/groups.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "sandbox/cgroup.h"

enum {
    OPEN_DIR = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
    DEPTH = 3,
    SWEEPS = 20,
    SWEEP_MS = 5,
};

static void dir_closep(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

/* The one beside the service's own that its unit names. In its own systemd could not start the service again:
 * docs/adr/0010. */
static int open_beside(int own_fd)
{
    const char *name = getenv("BULKHEAD_HOST_GROUP");
    cleanup_(fd_closep) int fd = -1;
    char path[256];

    if (!name || name[0] == '\0' || name[0] == '.' || strchr(name, '/'))
        return -1;
    snprintf(path, sizeof path, "../%s", name);
    fd = openat(own_fd, path, OPEN_DIR);
    if (fd < 0 || faccessat(fd, ".", W_OK, AT_EACCESS) < 0 ||
        faccessat(fd, "cgroup.procs", W_OK, AT_EACCESS) < 0) {
        log_warn("no control group %s beside the service's own: VMs' groups are below its own",
                 name);
        return -1;
    }
    return fd_take(&fd);
}

void groups_open(struct service_groups *ret_groups, const struct folders *folders)
{
    struct stat st = { 0 };
    char path[512];
    int fd = -1, beside;

    (void)fstat(folders->fds[FOLDER_VMS], &st);
    *ret_groups = (struct service_groups){ .base_fd = -1, .dev = st.st_dev, .ino = st.st_ino };
    if (sandbox_cgroup_find(&fd, path, sizeof path) != 0)
        return;
    beside = open_beside(fd);
    if (beside >= 0) {
        close(fd);
        fd = beside;
    }
    sandbox_cgroup_delegate(fd, "supervisor");
    /* For limits of whole VMs, of which nothing is known here. */
    sandbox_cgroup_hand_down(fd, SANDBOX_CGROUP_CPU | SANDBOX_CGROUP_IO | SANDBOX_CGROUP_CPUSET);
    ret_groups->base_fd = fd;
}

/* None of the kernel's files has a colon in its name, and no tenant or VM. */
static void name_of(const struct service_groups *groups, const char *tenant, const char *vm,
                    char *dst, size_t size)
{
    snprintf(dst, size, "vm:%llx.%llx:%s:%s", groups->dev, groups->ino, tenant, vm);
}

int groups_make_for(const struct service_groups *groups, const char *tenant, const char *vm)
{
    cleanup_(fd_closep) int fd = -1;
    char name[160];

    if (groups->base_fd < 0)
        return -1;
    name_of(groups, tenant, vm, name, sizeof name);
    if (mkdirat(groups->base_fd, name, 0755) < 0 && errno != EEXIST)
        return -1;
    fd = openat(groups->base_fd, name, OPEN_DIR);
    return fd < 0 ? -1 : openat(fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
}

/* The kernel removes none with processes in it. */
static void remove_tree(int at_fd, const char *name, int depth)
{
    int fd = openat(at_fd, name, OPEN_DIR);
    cleanup_(dir_closep) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (fd >= 0 && !dir)
        close(fd);
    while (dir && depth > 0 && (entry = readdir(dir)) != NULL)
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
            remove_tree(dirfd(dir), entry->d_name, depth - 1);
    (void)unlinkat(at_fd, name, AT_REMOVEDIR);
}

void groups_remove_of(const struct service_groups *groups, const char *tenant, const char *vm)
{
    char name[160];

    name_of(groups, tenant, vm, name, sizeof name);
    if (groups->base_fd >= 0)
        remove_tree(groups->base_fd, name, DEPTH);
}

/* Names of the service's own begin like that; the rest is tenant:vm. */
static size_t prefix_of(const struct service_groups *groups, char *dst, size_t size)
{
    name_of(groups, "", "", dst, size);
    dst[strlen(dst) - 1] = '\0';
    return strlen(dst);
}

/* True: one whose VM is not held is still there. Its last processes may not be quite gone. */
static bool sweep_once(const struct service_groups *groups, const struct folders *folders)
{
    int again = openat(groups->base_fd, ".", OPEN_DIR);
    cleanup_(dir_closep) DIR *dir = again < 0 ? NULL : fdopendir(again);
    char prefix[160], tenant[HOSTDIR_TENANT_BYTES], vm[HOSTDIR_VM_BYTES];
    size_t len = prefix_of(groups, prefix, sizeof prefix);
    struct dirent *entry;
    bool left = false;

    if (again >= 0 && !dir)
        close(again);
    while (dir && (entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, prefix, len) != 0 ||
            sscanf(entry->d_name + len, "%32[^:]:%48s", tenant, vm) != 2 ||
            folders_is_held(folders, tenant, vm))
            continue;
        remove_tree(groups->base_fd, entry->d_name, DEPTH);
        left |= faccessat(groups->base_fd, entry->d_name, F_OK, 0) == 0;
    }
    return left;
}

void groups_sweep(const struct service_groups *groups, const struct folders *folders)
{
    for (int i = 0; i < SWEEPS && groups->base_fd >= 0 && sweep_once(groups, folders); i++)
        (void)poll(NULL, 0, SWEEP_MS);
}

bool groups_kill_of(const struct service_groups *groups, const char *tenant, const char *vm)
{
    cleanup_(fd_closep) int fd = -1;
    cleanup_(fd_closep) int kill_fd = -1;
    char name[160];

    if (groups->base_fd < 0)
        return false;
    name_of(groups, tenant, vm, name, sizeof name);
    fd = openat(groups->base_fd, name, OPEN_DIR);
    kill_fd = fd < 0 ? -1 : sandbox_cgroup_open_kill(fd);
    return kill_fd >= 0 && sandbox_cgroup_kill(kill_fd) == 0;
}
