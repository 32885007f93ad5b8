// SPDX-License-Identifier: Apache-2.0
// group_check.c - see group_check.h.
#include "doctor/group_check.h"
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "in_child.h"
#include "sandbox/cgroup.h"
#include "sandbox/cgroup_life.h"

enum {
    PROBE_PIDS = 8,
    PROBE_BYTES = 64 << 20,
    IN_FORCE = SANDBOX_CGROUP_PIDS | SANDBOX_CGROUP_MEMORY,
    NOT_DIVIDED = IN_FORCE + 1,
};

struct probe {
    int base_fd;
    char vm[48], supervisor[48];
};

static const char cure[] =
    "mount cgroup v2 with the controllers memory and pids, and delegate a group: systemd-run "
    "--user --scope -p Delegate=yes bulkhead run ...";

/* In a child, so that it and this process stand to each other as a broker and its `bulkhead run`. */
static int try_limits(void *arg)
{
    const struct probe *p = arg;
    const struct sandbox_cgroup_limits limits = { .pids_max = PROBE_PIDS,
                                                  .memory_high_bytes = PROBE_BYTES,
                                                  .memory_max_bytes = 2 * PROBE_BYTES };
    cleanup_(fd_closep) int vm_fd = -1, leaf_fd = -1;
    unsigned in_force = 0;

    sandbox_cgroup_delegate(p->base_fd, p->supervisor);
    if (sandbox_cgroup_claim(p->base_fd, p->vm, &vm_fd) < 0)
        return NOT_DIVIDED;
    if (sandbox_cgroup_create(vm_fd, "leaf", &limits, &leaf_fd, &in_force) < 0)
        in_force = NOT_DIVIDED;
    if (sandbox_cgroup_end(p->base_fd, p->vm, vm_fd, -1) < 0)
        err_clear();
    return (int)in_force;
}

/* Of a VM's group, beside those of its processes; asked for by --limits alone. */
static const char *say_more(unsigned controllers)
{
    static const char *const more[] = { "no --limits of CPU time and I/O can be had",
                                        "--limits of CPU time can be had, none of I/O",
                                        "--limits of I/O can be had, none of CPU time",
                                        "--limits of CPU time can be had, and of I/O" };

    return more[((controllers & SANDBOX_CGROUP_CPU) ? 1 : 0) +
                ((controllers & SANDBOX_CGROUP_IO) ? 2 : 0)];
}

void doctor_cgroup(struct doctor_result *result)
{
    struct probe p = { .base_fd = -1 };
    char path[PATH_MAX], text[400];
    unsigned controllers;
    int r;

    if (sandbox_cgroup_find(&p.base_fd, path, sizeof(path)) != 0) {
        doctor_missing(
            result, true,
            "no group of cgroup v2 that is ours to divide (no limits on memory and tasks "
            "per process; what an io_uring keeps in the kernel is not bounded)",
            cure);
        return;
    }
    snprintf(p.vm, sizeof(p.vm), "bulkhead-doctor-%d", (int)getpid());
    snprintf(p.supervisor, sizeof(p.supervisor), "supervisor-%d", (int)getpid());
    r = in_child(try_limits, &p, 5000);
    sandbox_cgroup_undelegate(p.base_fd, p.supervisor);
    controllers = sandbox_cgroup_controllers(p.base_fd);
    fd_closep(&p.base_fd);
    if (r < 0 || r >= NOT_DIVIDED) {
        doctor_missing(result, true, "cgroup v2, but in this group none can be made", cure);
        return;
    }
    if (r == IN_FORCE) {
        doctor_ok(result, "in a group made in %.150s memory and tasks were limited; %s", path,
                  say_more(controllers));
        return;
    }
    snprintf(text, sizeof(text), "a group was made in %.150s, but without limits of %s%s%s", path,
             r & SANDBOX_CGROUP_MEMORY
                 ? ""
                 : "memory (what an io_uring keeps in the kernel is not bounded)",
             r == 0 ? " and " : "", r & SANDBOX_CGROUP_PIDS ? "" : "tasks");
    doctor_missing(result, true, text, cure);
}
