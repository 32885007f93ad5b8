/* SPDX-License-Identifier: Apache-2.0 */
/* kin.c - see kin.h. */
#include "kin.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/fd.h"
#include "client/rundir.h"
#include "in_child.h"
#include "process_info.h"

static bool has_name(const char *status, const char *wanted)
{
    char name[32];

    return process_field(status, "Name", name, sizeof(name)) && strcmp(name, wanted) == 0;
}

static pid_t parent_of(const char *status)
{
    char parent[16];

    return process_field(status, "PPid", parent, sizeof(parent)) ? (pid_t)strtol(parent, NULL, 10)
                                                                 : 0;
}

static int open_lock(const char *run_dir)
{
    char file[PATH_MAX];

    if (snprintf(file, sizeof file, "%s/" RUNDIR_LOCK, run_dir) >= (int)sizeof file)
        return -ENAMETOOLONG;
    return open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
}

/* An ordinary user may not see the run directories of root's service. */
static bool holds_lock_of(const char *run_dir, pid_t pid)
{
    cleanup_(fd_closep) int fd = open_lock(run_dir);
    int r = fd < 0 ? -EACCES : process_holds_lock(pid, fd);

    return r > 0 || (r < 0 && geteuid() != 0);
}

void kin_look(struct kin *ret_kin, const char *run_dir, const Bulkhead__ProcessList *list)
{
    char status[8192];
    pid_t pid = 0;

    *ret_kin = (struct kin){ 0 };
    for (size_t i = 0; i < list->n_processes; i++)
        if (list->processes[i]->role == BULKHEAD__ROLE__ROLE_SPAWNER)
            pid = list->processes[i]->pid;
    if (pid <= 0 || process_read_pid(pid, "status", status, sizeof(status)) < 0)
        ret_kin->hidden = geteuid() != 0;
    else if (has_name(status, "bulkhead-spawn") && holds_lock_of(run_dir, pid))
        *ret_kin = (struct kin){ .spawner = pid, .above = parent_of(status) };
}

/* ---- who keeps a socket's file ---- */

enum { LINKS_MS = 5000 };
enum { LINKED, NOT_LINKED, NOT_ALLOWED };

struct links {
    pid_t spawner, holder;
};

static int option_of(int fd, int option)
{
    int value = -1;
    socklen_t len = sizeof value;

    return getsockopt(fd, SOL_SOCKET, option, &value, &len) < 0 ? -1 : value;
}

/* The kernel's word of who made that connection. */
static bool is_made_by(int fd, pid_t holder)
{
    struct ucred who = { 0 };
    socklen_t len = sizeof who;

    return option_of(fd, SO_DOMAIN) == AF_UNIX && option_of(fd, SO_TYPE) == SOCK_SEQPACKET &&
           option_of(fd, SO_ACCEPTCONN) == 0 &&
           getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 && who.pid == holder;
}

/* In a child: letting go of what it gets of the spawner may wait, who keeps what a broker gave it. */
static int look_for_link(void *arg)
{
    const struct links *l = arg;
    int spawner = (int)syscall(SYS_pidfd_open, l->spawner, 0);
    struct dirent *entry;
    char path[64], target[64];
    DIR *dir;

    snprintf(path, sizeof path, "/proc/%d/fd", (int)l->spawner);
    dir = opendir(path);
    if (spawner < 0 || !dir)
        return NOT_ALLOWED;
    while ((entry = readdir(dir)) != NULL) {
        ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof target - 1);
        int fd;

        target[MAX(n, 0)] = '\0';
        if (strncmp(target, "socket:", 7) != 0)
            continue;
        fd = (int)syscall(SYS_pidfd_getfd, spawner, (int)strtol(entry->d_name, NULL, 10), 0u);
        if (fd < 0 && errno != EBADF)
            return NOT_ALLOWED;
        if (fd >= 0 && is_made_by(fd, l->holder))
            return LINKED;
        fd_closep(&fd);
    }
    return NOT_LINKED;
}

/* It made its link itself, and the spawner keeps a copy of the other end. Who may not look into the spawner stops nobody
 * either. */
static bool is_linked(const struct kin *kin, pid_t holder)
{
    struct links links = { .spawner = kin->spawner, .holder = holder };
    int r = kin->spawner > 0 ? in_child_alone(look_for_link, &links, LINKS_MS) : NOT_LINKED;

    return r == LINKED || r == NOT_ALLOWED;
}

/* Above the spawner is the first broker, and above that who started the VM; which is next when that broker has died. */
static bool is_beside(const struct kin *kin, pid_t starter)
{
    char status[8192];

    return starter > 1 && (starter == kin->above ||
                           (process_read_pid(kin->above, "status", status, sizeof(status)) >= 0 &&
                            parent_of(status) == starter));
}

bool kin_has(const struct kin *kin, Bulkhead__Role role, pid_t pid)
{
    char status[8192];

    if (kin->hidden)
        return true;
    if (process_read_pid(pid, "status", status, sizeof(status)) < 0)
        return true; /* what is read of it later will say so */
    if (role == BULKHEAD__ROLE__ROLE_HOLDER)
        return has_name(status, "bulkhead-socket") && is_linked(kin, pid);
    if (role == BULKHEAD__ROLE__ROLE_GATEWAY)
        return kin->spawner > 0 && has_name(status, "bulkhead-gatewa") &&
               is_beside(kin, parent_of(status));
    return kin->spawner > 0 && (pid == kin->spawner || parent_of(status) == kin->spawner ||
                                (role == BULKHEAD__ROLE__ROLE_BROKER && kin->above == pid));
}
