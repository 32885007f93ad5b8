/* SPDX-License-Identifier: Apache-2.0 */
/* kin.c - see kin.h. */
#include "kin.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/fd.h"
#include "client/rundir.h"
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

bool kin_has(const struct kin *kin, Bulkhead__Role role, pid_t pid)
{
    char status[8192];

    if (kin->hidden)
        return true;
    if (process_read_pid(pid, "status", status, sizeof(status)) < 0)
        return true; /* what is read of it later will say so */
    if (role == BULKHEAD__ROLE__ROLE_HOLDER)
        return has_name(status, "bulkhead-socket");
    return kin->spawner > 0 && (pid == kin->spawner || parent_of(status) == kin->spawner ||
                                (role == BULKHEAD__ROLE__ROLE_BROKER && kin->above == pid));
}
