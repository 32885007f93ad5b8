// SPDX-License-Identifier: Apache-2.0
// vm.c - the audit of a VM: asks the broker for plan and processes, and the kernel for the truth. The
// broker's word is used for what should be, never for what is.
#include "audit/vm.h"
#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "audit/binary.h"
#include "audit/fds.h"
#include "audit/group.h"
#include "audit/process.h"
#include "audit/threads.h"
#include "base/err.h"
#include "client.h"
#include "in_child.h"
#include "ipc/rules.h"
#include "kin.h"
#include "output.h"
#include "process_info.h"
#include "sandbox/ids.h"

enum { AUDIT_MAX_PROCESSES = 128, AUDIT_TRIES = 40, AUDIT_RETRY_MS = 100 };

static const Bulkhead__ProcessInfo *find_process(const Bulkhead__ProcessList *list,
                                                 const char *name)
{
    for (size_t i = 0; i < list->n_processes; i++)
        if (strcmp(list->processes[i]->name, name) == 0 && list->processes[i]->pid > 0)
            return list->processes[i];
    return NULL;
}

static const Bulkhead__ProcessPlan *find_plan(const Bulkhead__VmPlan *plan, const char *name)
{
    for (size_t i = 0; i < plan->n_processes; i++)
        if (strcmp(plan->processes[i]->name, name) == 0)
            return plan->processes[i];
    return NULL;
}

static bool is_child(Bulkhead__Role role)
{
    return role != BULKHEAD__ROLE__ROLE_BROKER && role != BULKHEAD__ROLE__ROLE_SPAWNER &&
           role != BULKHEAD__ROLE__ROLE_PASST && role != BULKHEAD__ROLE__ROLE_HOLDER;
}

/* A process between exec and its sandbox, or on its way out, isn't what the plan describes. */
static bool settled(const Bulkhead__ProcessList *list)
{
    static const char *const passing[] = { "started",   "greeted", "configured",
                                           "candidate", "leaving", "ended" };

    if (strcmp(list->state, "starting") == 0 || strcmp(list->state, "ending") == 0)
        return false;
    for (size_t i = 0; i < list->n_processes; i++)
        for (size_t j = 0; j < ARRAY_SIZE(passing); j++)
            if (list->processes[i]->pid > 0 && strcmp(list->processes[i]->state, passing[j]) == 0)
                return false;
    return true;
}

static bool shares_uid(const Bulkhead__ProcessList *list, const Bulkhead__ProcessInfo *info)
{
    for (size_t i = 0; i < list->n_processes; i++)
        if (list->processes[i] != info && list->processes[i]->pid > 0 &&
            list->processes[i]->uid == info->uid)
            return true;
    return false;
}

/* A worker that was replaced may have another uid of the VM's, as long as nobody else has it. */
static uint32_t expected_uid(const Bulkhead__ProcessPlan *plan, const Bulkhead__ProcessInfo *info,
                             const Bulkhead__ProcessList *list)
{
    bool worker =
        plan->role >= BULKHEAD__ROLE__ROLE_BLK && plan->role <= BULKHEAD__ROLE__ROLE_BALLOON;

    if (!info || !worker || plan->uid < SANDBOX_UID_FIRST)
        return plan->uid;
    if (shares_uid(list, info))
        return UINT32_MAX; /* nobody's: the audit says so */
    return info->uid / SANDBOX_UIDS_PER_VM == plan->uid / SANDBOX_UIDS_PER_VM ? info->uid
                                                                              : plan->uid;
}

/* Its folder, and who a guest may reach there, may be another user's. */
static uint64_t caps_of(Bulkhead__Role role)
{
    return role == BULKHEAD__ROLE__ROLE_HOLDER ? 1ull << CAP_DAC_OVERRIDE | 1ull << CAP_FOWNER : 0;
}

static bool same_processes(const pid_t *pids, size_t n, const Bulkhead__ProcessList *list)
{
    size_t found = 0;

    for (size_t i = 0; i < list->n_processes; i++) {
        if (list->processes[i]->pid <= 0)
            continue;
        for (size_t j = 0; j < n; j++)
            found += pids[j] == list->processes[i]->pid;
    }
    return found == n;
}

/* The spawner puts none on, and all that the VM's processes inherit is inherited from it. Whoever asks
 * may be in another container or service than the VM; where the spawner is hidden, let's say he is in
 * the same. A spawner that the broker lies about gets no wrong filter past the audit: both their number
 * and what stands in the place of ours must be right. */
static unsigned inherited_filters(const Bulkhead__ProcessList *list)
{
    char text[8192];
    char value[32];
    long n = -1;

    for (size_t i = 0; i < list->n_processes && n < 0; i++)
        if (list->processes[i]->role == BULKHEAD__ROLE__ROLE_SPAWNER)
            n = process_read_pid(list->processes[i]->pid, "status", text, sizeof(text));
    if (n < 0)
        n = process_read("/proc/self/status", text, sizeof(text));
    if (n < 0 || !process_field(text, "Seccomp_filters", value, sizeof(value)))
        return 0;
    return (unsigned)strtoul(value, NULL, 10);
}

/* A part of an audit, by a process of its own: what is looked at may be in a file system that doesn't answer. */
enum {
    MAX_FINDINGS = 128,
    PATIENCE_MS = 20000,
    PATIENCE_LEFT_MS = 2000, /* when one of them didn't answer */
};

struct look {
    const struct audit_target *target;
    bool gone;
    size_t n_findings;
    struct audit_finding findings[MAX_FINDINGS];
};

static int look(void *arg)
{
    struct look *l = arg;
    struct audit own = { .inherited = l->target->audit->inherited };
    struct audit_target t = *l->target;

    t.audit = &own;
    audit_threads(&t);
    audit_process(&t);
    audit_fds(&t);
    audit_memory(&t);
    audit_binary(&t);
    l->gone = own.gone;
    l->n_findings = MIN(own.n_findings, (size_t)MAX_FINDINGS);
    if (l->n_findings > 0)
        memcpy(l->findings, own.findings, l->n_findings * sizeof(*own.findings));
    return 0;
}

static void audit_one(const struct audit_target *t, int *patience_ms)
{
    struct look *l =
        mmap(NULL, sizeof(*l), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (l == MAP_FAILED)
        exit(say_error(EXIT_HOST, "out of memory"));
    l->target = t;
    fflush(stdout);
    if (in_child_alone(look, l, *patience_ms) != 0) {
        *patience_ms = PATIENCE_LEFT_MS;
        audit_add(t, AUDIT_UNREADABLE, "process",
                  "it can't be looked at: something that it has open doesn't answer");
    } else {
        t->audit->gone |= l->gone;
        for (size_t i = 0; i < l->n_findings; i++)
            audit_add(t, l->findings[i].verdict, l->findings[i].check, "%s", l->findings[i].text);
    }
    munmap(l, sizeof(*l));
}

static void audit_all(struct audit *audit, const char *run_dir, const Bulkhead__VmPlan *plan,
                      const Bulkhead__ProcessList *list)
{
    static const Bulkhead__ProcessPlan unplanned = BULKHEAD__PROCESS_PLAN__INIT;
    static struct audit_target targets[AUDIT_MAX_PROCESSES];
    const Bulkhead__ProcessInfo *broker = NULL;
    struct kin kin;
    size_t n = 0;
    int patience_ms = PATIENCE_MS;

    kin_look(&kin, run_dir, list);
    audit->inherited = inherited_filters(list);
    for (size_t i = 0; i < list->n_processes && !broker; i++)
        if (list->processes[i]->role == BULKHEAD__ROLE__ROLE_BROKER)
            broker = list->processes[i];
    for (size_t i = 0; i < plan->n_processes && n < AUDIT_MAX_PROCESSES; i++) {
        const Bulkhead__ProcessPlan *p = plan->processes[i];
        const Bulkhead__ProcessInfo *info = find_process(list, p->name);
        struct audit_target *t = &targets[n];

        *t = (struct audit_target){ .audit = audit,
                                    .plan = p,
                                    .caps = caps_of(p->role),
                                    .child = is_child(p->role),
                                    .broker = broker ? broker->pid : 0,
                                    .pid = info ? info->pid : 0,
                                    .uid = expected_uid(p, info, list) };
        t->gid = p->gid == p->uid ? t->uid : p->gid;
        if (info && !p->survives_boot)
            audit_add(t, AUDIT_DRIFT, "process", "should be gone since boot, but is process %d",
                      info->pid);
        else if (!info && p->survives_boot)
            audit_add(t, AUDIT_NOTE, "process", "is not running");
        if (!info)
            continue;
        if (!kin_has(&kin, p->role, t->pid)) {
            audit_add(t, AUDIT_DRIFT, "process", "process %d is not of this VM's spawner", t->pid);
            continue;
        }
        n++;
        audit_one(t, &patience_ms);
        if (p->role == BULKHEAD__ROLE__ROLE_CORE)
            audit_vm_group(t, plan);
    }
    audit_shared_namespaces(audit, targets, n);
    for (size_t i = 0; i < list->n_processes; i++) {
        struct audit_target t = { .audit = audit, .plan = &unplanned };

        if (list->processes[i]->pid > 0 && !find_plan(plan, list->processes[i]->name))
            audit_add(&t, AUDIT_DRIFT, "process", "%s (process %d) is not in the plan",
                      list->processes[i]->name, list->processes[i]->pid);
    }
}

/* One attempt: 0 done, 1 something changed meanwhile, negative errno. */
static int try_audit(const char *vm, struct audit *audit, size_t *ret_processes)
{
    Bulkhead__GetPlan get_plan = BULKHEAD__GET_PLAN__INIT;
    Bulkhead__ListProcesses list_processes = BULKHEAD__LIST_PROCESSES__INIT;
    struct client plan_client = { 0 };
    struct client list_client = { 0 };
    struct client_answer plan, list;
    static pid_t pids[AUDIT_MAX_PROCESSES];
    size_t n = 0;
    int r;

    CLIENT_ENVELOPE(plan_request, GET_PLAN, get_plan, &get_plan);
    CLIENT_ENVELOPE(list_request, LIST_PROCESSES, list_processes, &list_processes);
    r = client_connect(&plan_client, vm);
    if (r == 0)
        r = client_connect(&list_client, vm);
    if (r == 0)
        r = client_call(&plan_client, &plan_request, &plan);
    if (r == 0)
        r = client_call(&list_client, &list_request, &list);
    if (r == 0 && (plan.envelope->body_case != BULKHEAD__CLIENT_ENVELOPE__BODY_PLAN ||
                   !plan.envelope->plan->plan ||
                   list.envelope->body_case != BULKHEAD__CLIENT_ENVELOPE__BODY_PROCESS_LIST))
        r = err_origin(-EPROTO, "the broker of '%s' gave no plan", vm);
    if (r == 0 && settled(list.envelope->process_list)) {
        for (size_t i = 0; i < list.envelope->process_list->n_processes && n < AUDIT_MAX_PROCESSES;
             i++)
            if (list.envelope->process_list->processes[i]->pid > 0)
                pids[n++] = list.envelope->process_list->processes[i]->pid;
        audit_all(audit, list_client.run_dir, plan.envelope->plan->plan,
                  list.envelope->process_list);
        r = client_call(&list_client, &list_request, &list);
        if (r == 0 && (audit->gone ||
                       list.envelope->body_case != BULKHEAD__CLIENT_ENVELOPE__BODY_PROCESS_LIST ||
                       !same_processes(pids, n, list.envelope->process_list)))
            r = 1;
    } else if (r == 0) {
        r = 1;
    }
    *ret_processes = n;
    client_close(&plan_client);
    client_close(&list_client);
    return r;
}

void audit_count(const struct audit *audit, size_t ret_counts[4])
{
    memset(ret_counts, 0, 4 * sizeof(*ret_counts));
    for (size_t i = 0; i < audit->n_findings; i++)
        ret_counts[audit->findings[i].verdict]++;
}

int audit_vm(const char *vm, struct audit *audit, size_t *ret_processes)
{
    static const struct timespec wait = { .tv_nsec = AUDIT_RETRY_MS * 1000000l };
    int r = 1;

    for (unsigned i = 0; i < AUDIT_TRIES && r == 1; i++) {
        if (i > 0)
            nanosleep(&wait, NULL);
        audit_deinit(audit);
        r = try_audit(vm, audit, ret_processes);
    }
    return r < 0    ? client_failed(r)
           : r != 0 ? say_error(EXIT_HOST, "the processes of '%s' don't settle", vm)
                    : EXIT_OK;
}

static void show_drift(const char *vm, const struct audit *audit)
{
    for (size_t i = 0; i < audit->n_findings; i++)
        if (audit->findings[i].verdict == AUDIT_DRIFT)
            say_error(0, "audit of %s: %s: %s: %s", vm, audit->findings[i].process,
                      audit->findings[i].check, audit->findings[i].text);
}

enum audit_outcome audit_vm_quietly(const char *vm, size_t *ret_unreadable)
{
    struct audit audit = { 0 };
    size_t counts[4];
    size_t n = 0;
    int r = audit_vm(vm, &audit, &n);

    if (r == EXIT_OK)
        show_drift(vm, &audit);
    audit_count(&audit, counts);
    audit_deinit(&audit);
    *ret_unreadable = counts[AUDIT_UNREADABLE];
    return r != EXIT_OK ? AUDIT_FAILED : counts[AUDIT_DRIFT] ? AUDIT_FOUND_DRIFT : AUDIT_PASSED;
}
