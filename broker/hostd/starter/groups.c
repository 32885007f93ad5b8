/* SPDX-License-Identifier: Apache-2.0 */
/* groups.c - see groups.h. */
#include "hostd/starter/groups.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "sandbox/cgroup.h"

enum { OPEN_DIR = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, DEPTH = 3 };

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

int groups_open_base(void)
{
    char path[512];
    int fd = -1, beside;

    if (sandbox_cgroup_find(&fd, path, sizeof path) != 0)
        return -1;
    beside = open_beside(fd);
    if (beside >= 0) {
        close(fd);
        fd = beside;
    }
    sandbox_cgroup_delegate(fd, "supervisor");
    return fd;
}

/* None of the kernel's files has a colon in its name, and no tenant or VM. */
static void name_of(const char *tenant, const char *vm, char *dst, size_t size)
{
    snprintf(dst, size, "vm:%s:%s", tenant, vm);
}

int groups_make_for(int base_fd, const char *tenant, const char *vm)
{
    cleanup_(fd_closep) int fd = -1;
    char name[128];

    if (base_fd < 0)
        return -1;
    name_of(tenant, vm, name, sizeof name);
    if (mkdirat(base_fd, name, 0755) < 0 && errno != EEXIST)
        return -1;
    fd = openat(base_fd, name, OPEN_DIR);
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

void groups_remove_of(int base_fd, const char *tenant, const char *vm)
{
    char name[128];

    name_of(tenant, vm, name, sizeof name);
    if (base_fd >= 0)
        remove_tree(base_fd, name, DEPTH);
}

/* ---- killing ---- */

static bool kill_group(int base_fd, const char *tenant, const char *vm)
{
    cleanup_(fd_closep) int fd = -1;
    cleanup_(fd_closep) int kill_fd = -1;
    char name[128];

    if (base_fd < 0)
        return false;
    name_of(tenant, vm, name, sizeof name);
    fd = openat(base_fd, name, OPEN_DIR);
    kill_fd = fd < 0 ? -1 : sandbox_cgroup_open_kill(fd);
    return kill_fd >= 0 && sandbox_cgroup_kill(kill_fd) == 0;
}

/* By a descriptor, so that it is the process that was looked at. */
static bool kill_if_of_session(pid_t pid, pid_t session)
{
    cleanup_(fd_closep) int fd = (int)syscall(SYS_pidfd_open, pid, 0);

    return fd >= 0 && getsid(pid) == session &&
           syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == 0;
}

static unsigned kill_session(pid_t session)
{
    cleanup_(dir_closep) DIR *dir = opendir("/proc");
    struct dirent *entry;
    unsigned n = 0;

    while (dir && (entry = readdir(dir)) != NULL) {
        long pid = strtol(entry->d_name, NULL, 10);

        if (pid > 1 && getsid((pid_t)pid) == session)
            n += kill_if_of_session((pid_t)pid, session);
    }
    return n;
}

/* Broker and spawner, and each broker after the first, share a session, which the first one made; core and workers end
 * when these have. */
int groups_kill_all(int base_fd, const char *tenant, const char *vm, pid_t broker)
{
    pid_t session = broker > 1 ? getsid(broker) : -1;
    bool killed = kill_group(base_fd, tenant, vm);
    unsigned n = 0;

    if (session > 1 && session != getsid(0))
        for (unsigned more = 1; more > 0 && n < 64; n += more)
            more = kill_session(session);
    return killed || n > 0
               ? 0
               : err_origin(-ESRCH, "the processes of %s/%s are not to be found", tenant, vm);
}
