// SPDX-License-Identifier: Apache-2.0
// process.c - namespaces, root, limits, dumpable, mappings.
#include "audit/process.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "audit/group.h"
#include "base/fd.h"
#include "in_child.h"
#include "process_info.h"

static long read_namespace(pid_t pid, const char *name, char *dst, size_t size)
{
    char path[64];
    ssize_t n;

    snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, name);
    n = readlink(path, dst, size - 1);
    if (n < 0)
        return -errno;
    dst[n] = '\0';
    return n;
}

static void check_root(const struct audit_target *t)
{
    char text[16384];
    char *line;
    unsigned mounts = 0;
    long n = process_read_pid(t->pid, "mountinfo", text, sizeof(text));
    bool empty;

    if (n < 0) {
        audit_unreadable(t, "root", (int)-n);
        return;
    }
    for (line = text; *line; line = strchr(line, '\n') + 1) {
        mounts++;
        if (!strchr(line, '\n'))
            break;
    }
    /* "ID PARENT DEV ROOT MOUNTPOINT OPTIONS ... - TYPE SOURCE SUPEROPTIONS" */
    empty = mounts == 1 && strstr(text, " / / ro") && strstr(text, " - tmpfs ");
    if (empty)
        audit_add(t, AUDIT_OK, "root", "empty and read-only, the only mount");
    else
        audit_add(t, AUDIT_DRIFT, "root", "%u mounts, the first: %.120s", mounts, text);
}

static const char *limit_title(const char *key)
{
    static const char *const titles[][2] = {
        { "NPROC", "Max processes" },          { "CORE", "Max core file size" },
        { "NOFILE", "Max open files" },        { "FSIZE", "Max file size" },
        { "MEMLOCK", "Max locked memory" },    { "DATA", "Max data size" },
        { "MSGQUEUE", "Max msgqueue size" },   { "NICE", "Max nice priority" },
        { "RTPRIO", "Max realtime priority" }, { "STACK", "Max stack size" },
        { "AS", "Max address space" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(titles); i++)
        if (strcmp(titles[i][0], key) == 0)
            return titles[i][1];
    return NULL;
}

/* A planned value is a number, or "<=" and the most that it may be. */
static bool limit_holds(const char *want, const char *is)
{
    unsigned long long value;
    char *end;

    if (strncmp(want, "<=", 2) != 0)
        return strcmp(is, want) == 0;
    value = strtoull(is, &end, 10);
    return end != is && *end == '\0' && value <= strtoull(want + 2, NULL, 10);
}

static void check_limits(const struct audit_target *t)
{
    char text[4096];
    bool drift = false;
    long n;

    if (t->plan->n_rlimits == 0)
        return;
    n = process_read_pid(t->pid, "limits", text, sizeof(text));
    if (n < 0) {
        audit_unreadable(t, "limits", (int)-n);
        return;
    }
    for (size_t i = 0; i < t->plan->n_rlimits; i++) {
        const Bulkhead__KeyValue *want = t->plan->rlimits[i];
        const char *title = limit_title(want->key);
        const char *line = title ? strstr(text, title) : NULL;
        char soft[32] = "?";
        char hard[32] = "?";

        if (line)
            sscanf(line + strlen(title), "%31s %31s", soft, hard);
        if (!limit_holds(want->value, soft) || !limit_holds(want->value, hard)) {
            drift = true;
            audit_add(t, AUDIT_DRIFT, "limits", "%s is %s (hard: %s), planned %s", want->key, soft,
                      hard, want->value);
        }
    }
    if (!drift)
        audit_add(t, AUDIT_OK, "limits", "%zu as planned", t->plan->n_rlimits);
}

struct dumpable_probe {
    pid_t pid;
    uint32_t uid, gid;
};

/* In a child: becomes uid 0 of the process's user namespace, or the process's own uid if it is in
 * ours. */
static bool become(const struct dumpable_probe *probe)
{
    char path[64], own[64], other[64];
    cleanup_(fd_closep) int fd = -1;
    uint32_t uid = 0, gid = 0;

    if (read_namespace(getpid(), "user", own, sizeof(own)) < 0 ||
        read_namespace(probe->pid, "user", other, sizeof(other)) < 0)
        return false;
    if (strcmp(own, other) == 0) {
        uid = probe->uid;
        gid = probe->gid;
    } else {
        snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)probe->pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || setns(fd, CLONE_NEWUSER) < 0)
            return false;
    }
    return syscall(SYS_setresgid, gid, gid, gid) == 0 && syscall(SYS_setresuid, uid, uid, uid) == 0;
}

/* In a child: becomes the same user in the same user namespace, without capabilities. Then the
 * kernel lets it look at the process exactly if that is dumpable. */
static int probe_dumpable(void *arg)
{
    const struct dumpable_probe *probe = arg;
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct none[2] = { 0 };
    char path[64];
    char target[256];

    if (!become(probe) || syscall(SYS_capset, &header, none) < 0)
        return 2;
    snprintf(path, sizeof(path), "/proc/%d/exe", (int)probe->pid);
    return readlink(path, target, sizeof(target)) >= 0 ? 1 : errno == ENOENT ? 2 : 0;
}

static void check_dumpable(const struct audit_target *t)
{
    struct dumpable_probe probe = { .pid = t->pid, .uid = t->uid, .gid = t->gid };
    int r = in_child(probe_dumpable, &probe, 5000);

    if (r == 0)
        audit_add(t, AUDIT_OK, "dumpable", "no: even its own user can't look into it");
    else if (r == 1)
        audit_add(t, AUDIT_DRIFT, "dumpable", "yes: its own user may read its memory");
    else
        audit_add(t, AUDIT_UNREADABLE, "dumpable",
                  "nobody but root may become its user, to try (run as root)");
}

void audit_process(const struct audit_target *t)
{
    if (t->child) {
        check_root(t);
        check_dumpable(t);
        audit_add(t, AUDIT_NOTE, "landlock", "the kernel offers no way to ask; the tests prove it");
    }
    check_limits(t);
    audit_group(t);
}

static void check_namespace(const struct audit_target *targets, size_t n, size_t self,
                            const char *name, bool *drift)
{
    const struct audit_target *t = &targets[self];
    char own[64], other[64];
    long r = read_namespace(t->pid, name, own, sizeof(own));

    if (r < 0) {
        audit_unreadable(t, "namespaces", (int)-r);
        *drift = true;
        return;
    }
    if (t->broker > 0 && read_namespace(t->broker, name, other, sizeof(other)) > 0 &&
        strcmp(own, other) == 0) {
        audit_add(t, AUDIT_DRIFT, "namespaces", "%s is the broker's", own);
        *drift = true;
    }
    for (size_t i = 0; i < n; i++) {
        if (i == self || targets[i].pid == t->broker || targets[i].plan->n_namespaces == 0 ||
            read_namespace(targets[i].pid, name, other, sizeof(other)) < 0 ||
            strcmp(own, other) != 0)
            continue;
        audit_add(t, AUDIT_DRIFT, "namespaces", "%s is shared with %s", own, targets[i].plan->name);
        *drift = true;
    }
}

void audit_shared_namespaces(struct audit *audit, const struct audit_target *targets, size_t n)
{
    (void)audit;
    for (size_t i = 0; i < n; i++) {
        const Bulkhead__ProcessPlan *plan = targets[i].plan;
        bool drift = false;
        bool user = false;

        for (size_t j = 0; j < plan->n_namespaces; j++) {
            check_namespace(targets, n, i, plan->namespaces[j], &drift);
            user |= strcmp(plan->namespaces[j], "user") == 0;
        }
        if (plan->n_namespaces > 0 && !user)
            audit_add(&targets[i], AUDIT_NOTE, "userns",
                      "this host makes none: replaced by a uid without capabilities");
        if (!drift && plan->n_namespaces > 0)
            audit_add(&targets[i], AUDIT_OK, "namespaces", "%zu of its own", plan->n_namespaces);
    }
}

void audit_memory(const struct audit_target *t)
{
    struct process_memory m;

    if (!t->child && t->plan->role != BULKHEAD__ROLE__ROLE_BROKER)
        return;
    process_memory(t->pid, &m);
    if (!m.known) {
        audit_add(t, AUDIT_UNREADABLE, "memory", "its mappings can't be read (run as root)");
        return;
    }
    if (m.guest_mapped != t->plan->ram_mapped)
        audit_add(t, AUDIT_DRIFT, "guest RAM", "%llu bytes are mapped, planned %llu",
                  (unsigned long long)m.guest_mapped, (unsigned long long)t->plan->ram_mapped);
    else if (m.guest_executable || (m.guest_writable && !t->plan->ram_writable))
        audit_add(t, AUDIT_DRIFT, "guest RAM", "mapped with more rights than planned (%s%s)",
                  m.guest_writable ? "w" : "", m.guest_executable ? "x" : "");
    else
        audit_add(t, AUDIT_OK, "guest RAM", "%llu bytes%s", (unsigned long long)m.guest_mapped,
                  m.guest_mapped ? m.guest_writable ? ", read and write" : ", read only"
                                 : ": none of it");
    if (m.write_exec > 0)
        audit_add(t, AUDIT_DRIFT, "memory", "%u mappings are writable and executable",
                  m.write_exec);
    else
        audit_add(t, AUDIT_OK, "memory", "nothing is writable and executable");
}
