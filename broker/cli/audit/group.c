// SPDX-License-Identifier: Apache-2.0
// group.c - see group.h.
#include "audit/group.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/fd.h"
#include "ipc/cpu_bits.h"
#include "process_info.h"
#include "sandbox/cgroup.h"
#include "vm_group.h"

/* The first line of text. It may have more before that: seen from outside of a control group namespace. */
static bool ends_with(const char *text, const char *end)
{
    size_t len = strcspn(text, "\n"), end_len = strlen(end);

    return end_len <= len && strncmp(text + len - end_len, end, end_len) == 0;
}

static void check_place(const struct audit_target *t)
{
    const char *want = t->plan->cgroup;
    char text[4096];
    const char *line;
    long n;

    n = process_read_pid(t->pid, "cgroup", text, sizeof(text));
    if (n < 0) {
        audit_unreadable(t, "cgroup", (int)-n);
        return;
    }
    if (strncmp(want, "/sys/fs/cgroup", 14) == 0)
        want += 14;
    line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
    if (line)
        line = strstr(line, "0::") + 3;
    if (line && ends_with(line, want))
        audit_add(t, AUDIT_OK, "cgroup", "%.200s", want);
    else
        audit_add(t, AUDIT_DRIFT, "cgroup", "is in %.100s, planned %.100s", line ? line : "none",
                  want);
}

/* False: it is not as planned. */
static bool check_limit(const struct audit_target *t, int group_fd, const char *name,
                        uint64_t planned)
{
    char want[24], is[64];
    int r;

    if (planned == 0)
        return true;
    snprintf(want, sizeof(want), "%llu", (unsigned long long)planned);
    r = sandbox_cgroup_read(group_fd, name, is, sizeof(is));
    if (r == 0 && strcmp(is, want) == 0)
        return true;
    if (r == -ENODEV) /* the group is gone, and whoever was in it */
        audit_unreadable(t, "cgroup limits", ESRCH);
    else if (r == -ENOENT)
        audit_add(t, AUDIT_DRIFT, "cgroup limits", "%s can't be limited there, planned %s", name,
                  want);
    else if (r < 0)
        audit_unreadable(t, "cgroup limits", -r);
    else
        audit_add(t, AUDIT_DRIFT, "cgroup limits", "%s is %.40s, planned %s", name, is, want);
    return false;
}

static void check_limits(const struct audit_target *t)
{
    const Bulkhead__ProcessPlan *p = t->plan;
    cleanup_(fd_closep) int fd = -1;
    bool pids, high, max;

    if (p->pids_max == 0 && p->memory_high == 0 && p->memory_max == 0) {
        audit_add(t, AUDIT_NOTE, "cgroup limits",
                  "no controller reaches its group: limited by rlimits alone");
        return;
    }
    if (sandbox_cgroup_open(t->pid, &fd) != 0) {
        audit_add(t, AUDIT_UNREADABLE, "cgroup limits", "its group can't be seen from here");
        return;
    }
    pids = check_limit(t, fd, "pids.max", p->pids_max);
    high = check_limit(t, fd, "memory.high", p->memory_high);
    max = check_limit(t, fd, "memory.max", p->memory_max);
    if (pids && high && max)
        audit_add(t, AUDIT_OK, "cgroup limits", "%s%s as planned", p->pids_max ? "processes" : "",
                  p->memory_max == 0 ? ""
                  : p->pids_max      ? ", memory"
                                     : "memory");
    if (p->pids_max == 0 || p->memory_max == 0)
        audit_add(t, AUDIT_NOTE, "cgroup limits", "none of %s: see `bulkhead plan`",
                  p->pids_max == 0 ? "processes" : "memory");
}

void audit_group(const struct audit_target *t)
{
    if (t->plan->cgroup[0] == '\0')
        return;
    check_place(t);
    check_limits(t);
}

/* io.weight has the word "default" before it, and in its place there may be BFQ's. */
static int read_vm_limit(int group_fd, const char *file, char *dst, size_t size)
{
    int r = sandbox_cgroup_read(group_fd, file, dst, size);

    if (r == -ENOENT && strcmp(file, "io.weight") == 0)
        r = sandbox_cgroup_read(group_fd, "io.bfq.weight", dst, size);
    if (r == 0 && strncmp(dst, "default ", 8) == 0)
        memmove(dst, dst + 8, strlen(dst + 8) + 1);
    return r;
}

/* The plan is the broker's word, and what it names is opened with the rights of who asks: none but these. */
static bool is_vm_limit(const char *file)
{
    static const char *const files[] = { "cpu.max",   "cpu.weight", "memory.max",
                                         "io.weight", "pids.max",   "cpuset.cpus" };

    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        if (strcmp(file, files[i]) == 0)
            return true;
    return false;
}

void audit_vm_group(const struct audit_target *core, const Bulkhead__VmPlan *plan)
{
    cleanup_(fd_closep) int fd = plan->n_limits > 0 ? vm_group_open(core->pid) : -1;
    size_t n = 0;

    for (size_t i = 0; i < plan->n_limits; i++)
        if (!is_vm_limit(plan->limits[i]->key)) {
            audit_add(core, AUDIT_DRIFT, "VM's limits", "%.100s in the plan is no limit of a VM",
                      plan->limits[i]->key);
            return;
        }
    if (plan->n_limits == 0)
        return;
    if (fd < 0) {
        audit_add(core, AUDIT_UNREADABLE, "VM's limits", "the VM's group can't be seen from here");
        return;
    }
    for (size_t i = 0; i < plan->n_limits; i++) {
        const Bulkhead__KeyValue *limit = plan->limits[i];
        char is[CPU_BITS_TEXT_BYTES];
        int r = read_vm_limit(fd, limit->key, is, sizeof(is));

        if (r < 0)
            audit_unreadable(core, "VM's limits", r == -ENODEV ? ESRCH : -r);
        else if (strcmp(is, limit->value) != 0)
            audit_add(core, AUDIT_DRIFT, "VM's limits", "%s is %.40s, planned %s", limit->key, is,
                      limit->value);
        else
            n++;
    }
    if (n == plan->n_limits)
        audit_add(core, AUDIT_OK, "VM's limits", "%zu as planned", n);
}
