/* SPDX-License-Identifier: Apache-2.0 */
/* cgroups.c - see cgroups.h. */
#include "spawner/cgroups.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "sandbox/cgroup.h"
#include "sandbox/cgroup_life.h"
#include "sandbox/layers.h"

enum { MAX_NAMES = 1000 };

#define PREFIX "bulkhead-"

static bool is_ours(const char *name)
{
    size_t len = strlen(PREFIX);

    return strncmp(name, PREFIX, len) == 0 && name[len] != '\0' &&
           name[len + strspn(name + len, "0123456789-")] == '\0';
}

/* A pid is one of many namespaces, so another VM may have the name. */
static int claim(struct groups *groups, pid_t broker_pid)
{
    int r = -EEXIST;

    for (unsigned i = 1; i <= MAX_NAMES && r == -EEXIST; i++) {
        char number[16] = "";

        if (i > 1)
            snprintf(number, sizeof number, "-%u", i);
        snprintf(groups->name, sizeof groups->name, PREFIX "%d%s", (int)broker_pid, number);
        r = sandbox_cgroup_claim(groups->base_fd, groups->name, &groups->vm_fd);
    }
    return r;
}

/* The host's service makes a group around all of a VM, its name "vm:..." (hostd/starter/groups.c): that is the one that competes with
 * those of other VMs, and in it the VM's has nobody beside it but broker and spawner. */
static bool base_is_of_one_vm(const char *base)
{
    const char *name = strrchr(base, '/');

    return name && strncmp(name + 1, "vm:", 3) == 0;
}

void groups_make(struct groups *groups, pid_t broker_pid)
{
    char base[GROUPS_PATH_BYTES - GROUPS_NAME_BYTES];

    *groups = (struct groups){ .base_fd = -1, .vm_fd = -1, .kill_fd = -1 };
    if (sandbox_cgroup_find(&groups->base_fd, base, sizeof base) != 0)
        return;
    groups->base_competes = base_is_of_one_vm(base);
    sandbox_cgroup_sweep(groups->base_fd, is_ours);
    sandbox_cgroup_delegate(groups->base_fd, "supervisor");
    if (claim(groups, broker_pid) < 0) {
        log_debug("no cgroups: %s", err_text());
        groups_close(groups);
        return;
    }
    groups->kill_fd = sandbox_cgroup_open_kill(groups->vm_fd);
    groups->limits = sandbox_cgroup_controllers(groups->vm_fd);
    snprintf(groups->path, sizeof groups->path, "%s/%s", base[1] != '\0' ? base : "", groups->name);
}

/* Of the two that share the io controller out, a kernel may have the older one. */
static int write_limit(int fd, const char *file, const char *value)
{
    int r = sandbox_cgroup_write(fd, file, value);

    return r == -ENOENT && strcmp(file, "io.weight") == 0
               ? sandbox_cgroup_write(fd, "io.bfq.weight", value)
               : r;
}

static bool is_weight(const char *file)
{
    return strcmp(file, "cpu.weight") == 0 || strcmp(file, "io.weight") == 0;
}

int groups_limit(struct groups *groups, unsigned controller, const char *file, const char *value)
{
    int r;

    if (groups->vm_fd < 0)
        return -ENODEV;
    if (!(groups->limits & controller)) {
        sandbox_cgroup_hand_down(groups->base_fd, controller);
        groups->limits = sandbox_cgroup_controllers(groups->vm_fd);
    }
    r = write_limit(groups->vm_fd, file, value);
    /* That of the VM's group says what was wanted, to who audits it. */
    return r == 0 && groups->base_competes && is_weight(file)
               ? write_limit(groups->base_fd, file, value)
               : r;
}

void groups_close(struct groups *groups)
{
    fd_closep(&groups->base_fd);
    fd_closep(&groups->vm_fd);
    fd_closep(&groups->kill_fd);
}

/* Which kinds of limits are wanted. */
static unsigned kinds_of(const struct sandbox_cgroup_limits *l)
{
    return (l->pids_max ? SANDBOX_CGROUP_PIDS : 0) |
           (l->memory_high_bytes || l->memory_max_bytes ? SANDBOX_CGROUP_MEMORY : 0);
}

int groups_add(struct groups *groups, const char *name, const struct sandbox_cgroup_limits *limits,
               int *ret_fd, unsigned *ret_missing)
{
    unsigned in_force = 0;
    int r;

    *ret_fd = -1;
    *ret_missing = SANDBOX_LAYER_CGROUP | SANDBOX_LAYER_CGROUP_LIMITS;
    if (groups->vm_fd < 0)
        return 0;
    r = sandbox_cgroup_create(groups->vm_fd, name, limits, ret_fd, &in_force);
    if (r < 0)
        return err_trace(r);
    *ret_missing = in_force == kinds_of(limits) ? 0 : SANDBOX_LAYER_CGROUP_LIMITS;
    return 0;
}

void groups_remove(struct groups *groups, const char *name)
{
    int r = groups->vm_fd >= 0 ? sandbox_cgroup_remove(groups->vm_fd, name) : 0;

    if (r < 0)
        log_debug("cgroup %s: %s", name, strerror(-r));
}

void groups_kill(struct groups *groups)
{
    if (groups->kill_fd >= 0 && sandbox_cgroup_kill(groups->kill_fd) < 0)
        log_debug("%s", err_text());
    groups_close(groups);
}

void groups_end(struct groups *groups)
{
    if (groups->base_fd < 0)
        return;
    if (sandbox_cgroup_end(groups->base_fd, groups->name, groups->vm_fd, groups->kill_fd) < 0)
        log_warn("%s stays until the next VM starts: %s", groups->path, err_text());
    groups_close(groups);
}
