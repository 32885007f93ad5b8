/* SPDX-License-Identifier: Apache-2.0 */
/* groups.c - see groups.h. */
#include "groups.h"

#include <stdio.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "cgroup.h"

void groups_make(struct groups *groups, pid_t broker_pid)
{
    const struct sandbox_cgroup_limits none = { 0 };
    char base[GROUPS_PATH_BYTES - GROUPS_NAME_BYTES];
    unsigned in_force;

    *groups = (struct groups){ .base_fd = -1, .vm_fd = -1 };
    if (sandbox_cgroup_find(&groups->base_fd, base, sizeof base) != 0)
        return;
    sandbox_cgroup_delegate(groups->base_fd, "supervisor");
    snprintf(groups->name, sizeof groups->name, "bulkhead-%d", (int)broker_pid);
    if (sandbox_cgroup_create(groups->base_fd, groups->name, &none, &groups->vm_fd, &in_force) <
        0) {
        log_debug("no cgroups: %s", err_text());
        groups_close(groups);
        return;
    }
    snprintf(groups->path, sizeof groups->path, "%s/%s", base[1] != '\0' ? base : "", groups->name);
}

void groups_close(struct groups *groups)
{
    fd_closep(&groups->base_fd);
    fd_closep(&groups->vm_fd);
}

int groups_add(struct groups *groups, const char *name, uint32_t pids_max, uint64_t memory_max)
{
    const struct sandbox_cgroup_limits limits = { .pids_max = pids_max,
                                                  .memory_max_bytes = memory_max };
    unsigned in_force;
    int fd;

    if (groups->vm_fd < 0)
        return -1;
    if (sandbox_cgroup_create(groups->vm_fd, name, &limits, &fd, &in_force) < 0) {
        log_warn("no cgroup for %s: %s", name, err_text());
        return -1;
    }
    return fd;
}

void groups_remove(struct groups *groups, const char *name)
{
    if (groups->vm_fd >= 0 && sandbox_cgroup_remove(groups->vm_fd, name) < 0)
        log_debug("%s", err_text());
}

void groups_end(struct groups *groups)
{
    if (groups->base_fd < 0)
        return;
    if (sandbox_cgroup_kill(groups->vm_fd) < 0 ||
        sandbox_cgroup_remove(groups->base_fd, groups->name) < 0)
        log_debug("%s", err_text());
    groups_close(groups);
}
