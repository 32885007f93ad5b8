// SPDX-License-Identifier: Apache-2.0
// threads.c - what belongs to a thread, not to a process: ids, capabilities, filters.
#include "audit/threads.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "ipc/cpu_bits.h"
#include "process_info.h"
#include "sandbox/gen/filter_start.h"
#include "sandbox/ids.h"
#include "sandbox/profile_info.h"
#include "sandbox/readback.h"
#include "sandbox/seccomp.h"

enum { MAX_PROFILES = 31 }; /* of a process; the number is the broker's word */

struct threads {
    const struct audit_target *t;
    unsigned n;
    unsigned n_pinned; /* of those whose CPUs are planned */
    bool drift;
    unsigned seen_profiles; /* bit i: plan->profiles[i] was found on a thread */
    bool unread;       /* a thread's status couldn't be read: nothing is known of all of them */
    int program_error; /* why a program couldn't be read back, 0: all were */
};

static void drift(struct threads *s, pid_t tid, const char *check, const char *what, const char *is,
                  const char *planned)
{
    s->drift = true;
    audit_add(s->t, AUDIT_DRIFT, check, "thread %d: %s is %s, planned %s", (int)tid, what, is,
              planned);
}

/* As process_field(), and what can be printed when the kernel doesn't show it. */
static bool get_field(const char *status, const char *key, char *dst, size_t size)
{
    if (process_field(status, key, dst, size))
        return true;
    snprintf(dst, size, "not shown");
    return false;
}

/* A child of the pool's gives up all groups; its own gid among them is none more. */
static bool has_groups(const char *list, uint32_t gid)
{
    char *end;

    for (unsigned long group = strtoul(list, &end, 10); end != list;
         list = end, group = strtoul(list, &end, 10))
        if (group != gid)
            return true;
    return false;
}

static void check_ids(struct threads *s, pid_t tid, const char *status)
{
    static const char *const keys[] = { "Uid", "Gid" };
    const uint32_t want[] = { s->t->uid, s->t->gid };
    unsigned id[4];
    char value[128];

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        char planned[16];

        snprintf(planned, sizeof(planned), "%u", want[i]);
        if (!get_field(status, keys[i], value, sizeof(value)) ||
            sscanf(value, "%u %u %u %u", &id[0], &id[1], &id[2], &id[3]) != 4 || id[0] != want[i] ||
            id[1] != want[i] || id[2] != want[i] || id[3] != want[i])
            drift(s, tid, i == 0 ? "uid" : "gid", keys[i], value, planned);
    }
    if (s->t->child && s->t->uid >= SANDBOX_UID_FIRST &&
        process_field(status, "Groups", value, sizeof(value)) && has_groups(value, want[1]))
        drift(s, tid, "groups", "Groups", value, "none");
}

/* It is not the spawner's: what it inherited is that of who added the device. */
static bool is_holder(const struct threads *s)
{
    return s->t->plan->role == BULKHEAD__ROLE__ROLE_HOLDER;
}

static void check_rights(struct threads *s, pid_t tid, const char *status)
{
    static const char *const caps[] = { "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb" };
    bool in_host = s->t->plan->role == BULKHEAD__ROLE__ROLE_BROKER || is_holder(s);
    char value[64];

    for (size_t i = 0; i < ARRAY_SIZE(caps) && (s->t->child || in_host); i++) {
        /* An ordinary user's can't be made smaller, and gives nothing to who may gain nothing. */
        if (in_host && strcmp(caps[i], "CapBnd") == 0)
            continue;
        if (!get_field(status, caps[i], value, sizeof(value)) ||
            (strtoull(value, NULL, 16) & ~s->t->caps) != 0)
            drift(s, tid, "capabilities", caps[i], value,
                  s->t->caps ? "at most CAP_DAC_OVERRIDE, CAP_FOWNER" : "0");
    }
    if (!get_field(status, "NoNewPrivs", value, sizeof(value)) || strcmp(value, "1") != 0)
        drift(s, tid, "no_new_privs", "no_new_privs", value, "1");
}

static const char *profile_of(const char *sha256)
{
    for (unsigned i = 0; i < SANDBOX_PROFILE__MAX; i++) {
        const struct sandbox_filter *info = sandbox_profile_info((enum sandbox_profile_id)i);

        if (info && strcmp(info->sha256, sha256) == 0)
            return info->name;
    }
    return NULL;
}

/* Filters are counted from the oldest on. A worker that was upgraded to has the filter of its start too. Of
 * any other behind the inherited ones, the first counts. */
static const char *own_profile(const struct readback *rb, unsigned inherited,
                               char ret_sha256[BPF_SHA256_CHARS], bool *ret_upgraded)
{
    char sha256[BPF_SHA256_CHARS];
    const char *own = NULL;
    bool found = false;

    *ret_upgraded = false;
    for (unsigned i = inherited; i < rb->n_filters; i++) {
        const char *name;

        bpf_sha256(rb->filters[i].code, rb->filters[i].n, sha256);
        name = profile_of(sha256);
        if (name && strcmp(name, sandbox_filter_start.name) == 0) {
            *ret_upgraded = true;
        } else if (!found) {
            found = true;
            own = name;
            memcpy(ret_sha256, sha256, BPF_SHA256_CHARS);
        }
    }
    return own;
}

static bool is_worker(const struct threads *s)
{
    return s->t->plan->role >= BULKHEAD__ROLE__ROLE_BLK &&
           s->t->plan->role <= BULKHEAD__ROLE__ROLE_BALLOON;
}

/* is: as the kernel counts them; "": it doesn't say. */
static void check_number(struct threads *s, pid_t tid, const char *is, bool upgraded)
{
    unsigned want = s->t->audit->inherited + 1 + upgraded;
    char planned[16];

    snprintf(planned, sizeof(planned), "%u", want);
    if (!is_holder(s) && is[0] != '\0' && strtoul(is, NULL, 10) != want)
        drift(s, tid, "seccomp", "the number of filters", is, planned);
}

static void check_program(struct threads *s, pid_t tid, const char *n_filters)
{
    const Bulkhead__ProcessPlan *plan = s->t->plan;
    /* Beside the control thread the core has vCPU threads, and from Linux 6.13 on KVM's own worker,
     * which inherits the program of the vCPU that ran first. */
    bool vcpu = plan->role == BULKHEAD__ROLE__ROLE_CORE && tid != s->t->pid;
    char sha256[BPF_SHA256_CHARS] = "";
    struct readback rb = { 0 };
    bool upgraded = false;
    unsigned inherited;
    const char *name;
    int r = readback_thread(tid, &rb);

    if (r == -ESRCH)
        s->t->audit->gone = true;
    if (r < 0) {
        s->program_error = r;
        check_number(s, tid, n_filters,
                     is_worker(s) && strtoul(n_filters, NULL, 10) == s->t->audit->inherited + 2ul);
        return;
    }
    inherited = is_holder(s) && rb.n_filters > 0 ? rb.n_filters - 1 : s->t->audit->inherited;
    if (rb.n_filters <= inherited) {
        readback_deinit(&rb);
        drift(s, tid, "seccomp", "the program", "none", plan->profiles[0]);
        return;
    }
    name = own_profile(&rb, inherited, sha256, &upgraded);
    readback_deinit(&rb);
    check_number(s, tid, n_filters, is_worker(s) && upgraded);
    for (size_t i = 0; i < MIN(plan->n_profiles, MAX_PROFILES); i++) {
        if (name && strcmp(name, plan->profiles[i]) == 0 &&
            vcpu == (strcmp(name, "core_vcpu") == 0)) {
            s->seen_profiles |= 1u << i;
            return;
        }
    }
    drift(s, tid, "seccomp", "the program", name ? name : sha256,
          vcpu               ? "core_vcpu"
          : plan->n_profiles ? plan->profiles[0]
                             : "none");
}

static void check_seccomp(struct threads *s, pid_t tid, const char *status)
{
    char value[32];

    if (s->t->plan->n_profiles == 0)
        return;
    if (!get_field(status, "Seccomp", value, sizeof(value)) || strcmp(value, "2") != 0) {
        drift(s, tid, "seccomp", "the mode", value, "2 (filter)");
        return;
    }
    if (!process_field(status, "Seccomp_filters", value, sizeof(value)))
        value[0] = '\0';
    check_program(s, tid, value);
}

/* The kernel lists them as cpu_bits_say() does. */
static void check_affinity(struct threads *s, pid_t tid, const char *status)
{
    const Bulkhead__ProcessPlan *plan = s->t->plan;
    char name[32], is[CPU_BITS_TEXT_BYTES], planned[CPU_BITS_TEXT_BYTES];

    for (size_t i = 0; i < plan->n_affinity; i++) {
        char vcpu[32];

        snprintf(vcpu, sizeof(vcpu), "vcpu%u", plan->affinity[i]->vcpu);
        if (!process_field(status, "Name", name, sizeof(name)) || strcmp(name, vcpu) != 0)
            continue;
        s->n_pinned++;
        cpu_bits_say(&plan->affinity[i]->host_cpus, planned, sizeof(planned));
        if (!get_field(status, "Cpus_allowed_list", is, sizeof(is)) || strcmp(is, planned) != 0)
            drift(s, tid, "affinity", vcpu, is, planned);
    }
}

static void check_thread(struct threads *s, pid_t tid)
{
    char status[8192];
    char file[64];
    long n;

    snprintf(file, sizeof(file), "task/%d/status", (int)tid);
    n = process_read_pid(s->t->pid, file, status, sizeof(status));
    if (n < 0) {
        audit_unreadable(s->t, "threads", (int)-n);
        s->unread = true;
        return;
    }
    s->n++;
    check_ids(s, tid, status);
    if (s->t->plan->n_profiles > 0) /* the spawner has no sandbox, and the plan says so */
        check_rights(s, tid, status);
    check_seccomp(s, tid, status);
    check_affinity(s, tid, status);
}

/* Which no right overrides, and which stays until the next boot. */
static bool nobody_may_trace(void)
{
    char text[16];

    return process_read("/proc/sys/kernel/yama/ptrace_scope", text, sizeof(text)) > 0 &&
           strtol(text, NULL, 10) >= 3;
}

void audit_threads(const struct audit_target *t)
{
    struct threads s = { .t = t };
    struct dirent *entry;
    char path[64];
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)t->pid);
    dir = opendir(path);
    if (!dir) {
        audit_unreadable(t, "threads", errno);
        return;
    }
    while ((entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.')
            check_thread(&s, (pid_t)strtol(entry->d_name, NULL, 10));
    closedir(dir);
    if (s.unread)
        return;
    if (!s.drift)
        audit_add(t, AUDIT_OK, "identity", "uid %u, gid %u%s, %u thread%s", t->uid, t->gid,
                  t->child ? ", no capabilities, no_new_privs" : "", s.n, s.n == 1 ? "" : "s");
    if (s.n_pinned != t->plan->n_affinity)
        audit_add(t, AUDIT_DRIFT, "affinity", "%u vCPUs are there, %zu planned", s.n_pinned,
                  t->plan->n_affinity);
    else if (s.n_pinned > 0 && !s.drift)
        audit_add(t, AUDIT_OK, "affinity", "%u vCPU%s pinned as planned", s.n_pinned,
                  s.n_pinned == 1 ? "" : "s");
    if (t->plan->n_profiles == 0)
        return;
    if (s.program_error != 0)
        audit_add(t, AUDIT_UNREADABLE, "seccomp", "on, but the program can't be read back (%s)",
                  nobody_may_trace() ? "kernel.yama.ptrace_scope=3 forbids it to everybody"
                                     : "run as root, on a kernel with CONFIG_CHECKPOINT_RESTORE");
    else if (!s.drift && t->plan->n_profiles <= MAX_PROFILES &&
             s.seen_profiles == (1u << t->plan->n_profiles) - 1)
        audit_add(t, AUDIT_OK, "seccomp", "read back; its sha256 is the build's");
    else if (!s.drift)
        audit_add(t, AUDIT_DRIFT, "seccomp", "no thread runs under one of the planned programs");
}
