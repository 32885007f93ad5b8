// SPDX-License-Identifier: Apache-2.0
// test_audit.c - every seeded fault is named, and a process as planned raises no alarm.
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "audit/binary.h"
#include "audit/fds.h"
#include "audit/process.h"
#include "audit/threads.h"
#include "base/fd.h"
#include "ipc/cpu_bits.h"
#include "process_info.h"
#include "sandbox/cgroup.h"
#include "sandbox/gen/filter_start.h"
#include "sandbox/ids.h"
#include "sandbox/layers.h"
#include "sandbox/seccomp.h"
#include "sandbox/spawn.h"

#include <cmocka.h>

enum { CLEAN_RUNS = 200, CLEAN_RUNS_LONG = 1000, START_TIMEOUT_MS = 20000 };

/* What the parent does wrong, beside what the victim is told to. */
struct fault {
    const char *victim;
    const char *check; /* the finding's name; NULL: there must be none */
    const char *text;  /* part of its text */
    unsigned skip_layers;
    bool share_netns, wrong_uid, wrong_gid, stdin_socket, other_file, writable_file, extra_file;
    bool replaced; /* the file, under its name, since the broker opened it and said which it is */
    bool
        said; /* which file it is, as the broker does of what it has open: names are not looked up */
    bool pinned, pinned_elsewhere; /* a vCPU's thread, as the plan says */
    bool limit_nproc, limit_core, cgroup, own_cgroup, near_cgroup;
    unsigned pids_planned, pids_set;     /* limits of its group */
    const char *path, *what, *type;      /* of the file instead: opened, in the plan */
    const char *name;                    /* of the file that is made */
    const struct sandbox_filter *filter; /* before its exec, as an upgrade has one */
    unsigned inherited;                  /* that one is the service's in which the VM runs */
};

static const struct sock_filter allow_all[] = { BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
static const struct sandbox_filter of_a_service = { .filter = allow_all, .n_instructions = 1 };

#define UP "../../../../../../../../"

static const struct fault faults[] = {
    { .victim = "none" },
    { .victim = "none", .filter = &sandbox_filter_start },
    { .victim = "filter-second",
      .check = "seccomp",
      .text = "number of filters is 3",
      .filter = &sandbox_filter_start },
    { .victim = "none", .filter = &of_a_service, .inherited = 1 },
    { .victim = "none",
      .check = "seccomp",
      .text = "number of filters is 2",
      .filter = &of_a_service },
    { .victim = "filter-wrong",
      .check = "seccomp",
      .text = "program is net",
      .filter = &of_a_service,
      .inherited = 1 },
    { .victim = "filter-none",
      .check = "seccomp",
      .text = "program is none",
      .filter = &of_a_service,
      .inherited = 1 },
    { .victim = "filter-none", .check = "seccomp", .text = "mode" },
    { .victim = "filter-wrong", .check = "seccomp", .text = "program is net" },
    { .victim = "filter-second", .check = "seccomp", .text = "number of filters is 2" },
    { .victim = "thread", .check = "seccomp", .text = "mode is 0" },
    { .victim = "no-nnp", .check = "no_new_privs", .text = "is 0" },
    { .victim = "bare", .check = "capabilities", .text = "CapEff" },
    { .victim = "bare", .check = "root", .text = "mounts" },
    { .victim = "bare", .check = "limits", .text = "NPROC" },
    { .victim = "dumpable", .check = "dumpable", .text = "yes" },
    { .victim = "ram-extra", .check = "guest RAM", .text = "1048576 bytes are mapped" },
    { .victim = "ram-exec", .check = "guest RAM", .text = "1048576 bytes are mapped" },
    { .victim = "write-exec", .check = "memory", .text = "writable and executable" },
    { .victim = "fd-socket", .check = "fds", .text = "(socket" },
    { .victim = "fd-memfd", .check = "fds", .text = "/memfd:spare" },
    { .victim = "fd-eventfd", .check = "fds", .text = "(eventfd" },
    { .victim = "fd-epoll", .check = "fds", .text = "(epoll" },
    { .victim = "none", .check = "fds", .text = "/dev/zero", .extra_file = true },
    { .victim = "none", .check = "fds", .text = "0 -> socket:", .stdin_socket = true },
    { .victim = "none", .check = "fds", .text = "is not in the plan", .other_file = true },
    { .victim = "none", .check = "fds", .text = "is not in the plan", .writable_file = true },
    { .victim = "none", .replaced = true },
    { .victim = "none",
      .check = "fds",
      .text = "is not in the plan",
      .replaced = true,
      .other_file = true },
    { .victim = "none", .check = "uid", .text = "Uid", .wrong_uid = true },
    { .victim = "none", .check = "gid", .text = "Gid", .wrong_gid = true },
    { .victim = "none", .check = "namespaces", .text = "net:", .share_netns = true },
    { .victim = "none", .check = "namespaces", .text = "pid:", .skip_layers = SANDBOX_LAYER_PIDNS },
    { .victim = "none", .check = "namespaces", .text = "ipc:", .skip_layers = SANDBOX_LAYER_IPCNS },
    { .victim = "none", .check = "namespaces", .text = "uts:", .skip_layers = SANDBOX_LAYER_UTSNS },
    { .victim = "none",
      .check = "limits",
      .text = "NPROC is 0 (hard: 0), planned 5",
      .limit_nproc = true },
    { .victim = "none",
      .check = "limits",
      .text = "CORE is 0 (hard: 0), planned 5",
      .limit_core = true },
    { .victim = "none", .check = "cgroup", .text = "planned /bulkhead", .cgroup = true },
    { .victim = "none", .check = "cgroup", .text = "planned /bulkhead-audit", .near_cgroup = true },
    { .victim = "vcpu", .pinned = true },
    { .victim = "vcpu",
      .check = "affinity",
      .text = "planned 1023",
      .pinned = true,
      .pinned_elsewhere = true },
    { .victim = "none",
      .check = "affinity",
      .text = "0 vCPUs are there, 1 planned",
      .pinned = true },
    { .victim = "none", .own_cgroup = true },
    { .victim = "none", .own_cgroup = true, .pids_planned = 9, .pids_set = 9 },
    { .victim = "none",
      .check = "cgroup limits",
      .text = "pids.max",
      .own_cgroup = true,
      .pids_planned = 9,
      .pids_set = 90 },
    { .victim = "none",
      .check = "cgroup limits",
      .text = "pids.max",
      .own_cgroup = true,
      .pids_planned = 9 },
    { .victim = "none", .name = "the read end", .writable_file = true, .type = "file" },
    { .victim = "none", .name = "the write end" },
    { .victim = "none", .path = "/dev/full", .what = "/dev/full" },
    { .victim = "none", .path = "/dev/full", .what = "dev/full" },
    /* Relative to where the broker, this test, was started, and through a link. */
    { .victim = "none", .path = "/bin/sh", .what = UP UP "bin/sh", .said = true },
    { .victim = "none",
      .path = "/bin/sh",
      .what = UP UP "etc/passwd",
      .check = "fds",
      .text = "is not in the plan" },
    { .victim = "none", .path = "/dev/full", .what = "ull", .check = "fds", .text = "/dev/full" },
    { .victim = "none",
      .path = "/dev/full",
      .what = "tap",
      .type = "char",
      .check = "fds",
      .text = "/dev/full" },
    { .victim = "none",
      .path = "/dev/full",
      .what = "terminal",
      .check = "fds",
      .text = "/dev/full" },
};

struct victim {
    pid_t pid;
    int pidfd, control;
    char file[64];
    struct stat opened;                /* the file, if it is replaced */
    char group[48], near[48], own[49]; /* of the former, and another that it starts with */
    int group_fd;
};

/* The newest one, also of a test that failed. */
static char left_file[64];

static int remove_file(void **state)
{
    (void)state;
    (void)unlink(left_file);
    return 0;
}

static int base_fd = -1; /* of this test's own control group, where it may be divided */

/* In the group "...10", where the plan says "...1". */
static void make_group(struct victim *v, const struct fault *f)
{
    const struct sandbox_cgroup_limits limits = { .pids_max = f->pids_set };
    unsigned in_force;

    v->group_fd = -1;
    if (!f->near_cgroup && !f->own_cgroup)
        return;
    snprintf(v->near, sizeof(v->near), "/bulkhead-audit-%d-1", (int)getpid());
    snprintf(v->group, sizeof(v->group), "%s0", v->near + 1);
    snprintf(v->own, sizeof(v->own), "/%s", v->group);
    assert_int_equal(sandbox_cgroup_create(base_fd, v->group, &limits, &v->group_fd, &in_force), 0);
}

/* The old one keeps a name until then, so that the new one gets no number of its. */
static void replace(struct victim *v)
{
    char old[80];

    snprintf(old, sizeof(old), "%s.1", v->file);
    assert_int_equal(stat(v->file, &v->opened), 0);
    assert_int_equal(rename(v->file, old), 0);
    close(open(v->file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    assert_int_equal(unlink(old), 0);
}

static int open_file(struct victim *v, const struct fault *f)
{
    int fd;

    snprintf(v->file, sizeof(v->file), "/tmp/%s-XXXXXX", f->name ? f->name : "bulkhead-audit");
    fd = mkstemp(v->file);
    assert_true(fd >= 0);
    close(fd);
    memcpy(left_file, v->file, sizeof(left_file));
    if (f->extra_file)
        return open("/dev/zero", O_RDONLY | O_CLOEXEC);
    fd = open(f->path         ? f->path
              : f->other_file ? "/proc/self/exe"
                              : v->file,
              (f->writable_file ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    if (f->replaced)
        replace(v);
    if (f->said)
        assert_int_equal(fstat(fd, &v->opened), 0);
    return fd;
}

static void start(struct victim *v, const struct fault *f, uint32_t uid)
{
    char *argv[] = { (char[]){ "audit_victim" }, (char[32]){ "" }, NULL };
    cleanup_(fd_closep) int null_in = open("/dev/null", O_RDWR | O_CLOEXEC);
    cleanup_(fd_closep) int file = open_file(v, f);
    int control[2], log[2];
    struct pollfd p;
    unsigned missing = 0;
    char byte;

    snprintf(argv[1], 32, "%s", f->victim);
    make_group(v, f);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control), 0);
    assert_int_equal(pipe2(log, O_CLOEXEC), 0);
    {
        int fds[] = { f->stdin_socket ? control[1] : null_in, null_in, log[1], control[1], file };
        struct sandbox_spawn spawn = {
            .program = AUDIT_VICTIM,
            .program_fd = -1,
            .argv = argv,
            .fds = fds,
            .n_fds = 5,
            .uid = uid,
            .gid = uid,
            .cgroup_fd = v->group_fd,
            .skip_layers = f->skip_layers,
            .share_netns = f->share_netns,
            .filter = f->filter,
        };

        assert_int_equal(sandbox_spawn(&spawn, &v->pid, &v->pidfd, &missing), 0);
    }
    close(control[1]);
    close(log[1]);
    v->control = control[0];
    p = (struct pollfd){ .fd = log[0], .events = POLLIN };
    assert_int_equal(poll(&p, 1, START_TIMEOUT_MS), 1);
    if (read(log[0], &byte, 1) != 1)
        fail_msg("the victim '%s' died in its setup", f->victim);
    close(log[0]);
}

static void stop(struct victim *v)
{
    kill(v->pid, SIGKILL);
    waitpid(v->pid, NULL, 0);
    close(v->pidfd);
    close(v->control);
    unlink(v->file);
    if (v->group_fd < 0)
        return;
    close(v->group_fd);
    for (int i = 0; sandbox_cgroup_remove(base_fd, v->group) == -EBUSY && i < 1000; i++)
        poll(NULL, 0, 1);
}

/* The plan of a process like the entropy worker, written down by hand. */
struct plan {
    Bulkhead__ProcessPlan p;
    Bulkhead__FdPlan fds[5], *fd_pointers[5];
    Bulkhead__KeyValue limits[2], *limit_pointers[2];
    char *namespaces[7], *profiles[1];
    Bulkhead__VcpuAffinity affinity, *affinity_pointers[1];
    uint8_t cpus[CPU_BITS_BYTES];
    char texts[40][64];
    unsigned n_texts;
};

static char *text(struct plan *plan, const char *value)
{
    char *copy = plan->texts[plan->n_texts++];

    snprintf(copy, sizeof(plan->texts[0]), "%s", value);
    return copy;
}

/* Where this test may run, which the victim inherits; or where it may hardly. */
static void plan_affinity(struct plan *plan, bool elsewhere)
{
    cpu_set_t is;

    CPU_ZERO(&is);
    assert_int_equal(sched_getaffinity(0, sizeof(is), &is), 0);
    for (unsigned cpu = 0; cpu < CPU_BITS_MAX; cpu++)
        if (elsewhere ? cpu == CPU_BITS_MAX - 1 : CPU_ISSET(cpu, &is))
            cpu_bits_add(plan->cpus, cpu);
    bulkhead__vcpu_affinity__init(&plan->affinity);
    plan->affinity.host_cpus.data = plan->cpus;
    plan->affinity.host_cpus.len = cpu_bits_len(plan->cpus);
    plan->affinity_pointers[0] = &plan->affinity;
    plan->p.affinity = plan->affinity_pointers;
    plan->p.n_affinity = 1;
}

static void make_plan(struct plan *plan, const struct fault *f, const struct victim *v,
                      uint32_t uid)
{
    static const char *const names[] = { "user", "pid", "mnt", "net", "ipc", "uts", "cgroup" };
    const struct {
        const char *what, *type, *why;
    } fds[] = {
        { "/dev/null", "char", "" },
        { "/dev/null", "char", "" },
        { "log pipe", "pipe", "" },
        { "control socket", "socket", "" },
        { f->what ? f->what : v->file, f->type ? f->type : "file",
          f->type ? "the disk" : "read-only" },
    };

    memset(plan, 0, sizeof(*plan));
    bulkhead__process_plan__init(&plan->p);
    plan->p.role = BULKHEAD__ROLE__ROLE_RNG;
    plan->p.name = text(plan, "rng");
    plan->p.uid = uid + f->wrong_uid;
    plan->p.gid = uid + f->wrong_gid;
    plan->p.root = text(plan, "empty, read-only");
    plan->p.cgroup = text(plan, f->cgroup        ? "/bulkhead/vm"
                                : f->near_cgroup ? v->near
                                : f->own_cgroup  ? v->own
                                                 : "");
    plan->p.pids_max = f->pids_planned;
    for (unsigned i = 0; i < 5; i++) {
        bulkhead__fd_plan__init(&plan->fds[i]);
        plan->fds[i].fd = i < 4 ? (int)i : -1;
        plan->fds[i].what = text(plan, fds[i].what);
        plan->fds[i].type = text(plan, fds[i].type);
        plan->fds[i].why = text(plan, fds[i].why);
        plan->fds[i].kept = 1;
        plan->fds[i].count = 1;
        plan->fd_pointers[i] = &plan->fds[i];
    }
    plan->fds[4].dev = v->opened.st_dev;
    plan->fds[4].ino = v->opened.st_ino;
    plan->p.fds = plan->fd_pointers;
    plan->p.n_fds = 5;
    for (unsigned i = 0; i < 2; i++) {
        bulkhead__key_value__init(&plan->limits[i]);
        plan->limits[i].key = text(plan, i == 0 ? "NPROC" : "CORE");
        plan->limits[i].value = text(plan, (i == 0 ? f->limit_nproc : f->limit_core) ? "5" : "0");
        plan->limit_pointers[i] = &plan->limits[i];
    }
    plan->p.rlimits = plan->limit_pointers;
    plan->p.n_rlimits = 2;
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
        plan->namespaces[i] = text(plan, names[i]);
    plan->p.namespaces = plan->namespaces;
    plan->p.n_namespaces = ARRAY_SIZE(names);
    plan->profiles[0] = text(plan, "rng");
    plan->p.profiles = plan->profiles;
    plan->p.n_profiles = 1;
    if (f->pinned)
        plan_affinity(plan, f->pinned_elsewhere);
}

static unsigned own_filters(void)
{
    char status[8192];
    char value[16] = "0";

    if (process_read("/proc/self/status", status, sizeof(status)) > 0)
        process_field(status, "Seccomp_filters", value, sizeof(value));
    return (unsigned)strtoul(value, NULL, 10);
}

static void look(struct audit *audit, const struct fault *f)
{
    static unsigned slot;
    uint32_t uid = sandbox_uid(getpid(), slot++ % 64);
    struct audit_target t;
    struct victim v = { 0 };
    struct plan plan;

    start(&v, f, uid);
    make_plan(&plan, f, &v, uid);
    *audit = (struct audit){ .inherited = own_filters() + f->inherited };
    t = (struct audit_target){ .audit = audit,
                               .plan = &plan.p,
                               .pid = v.pid,
                               .broker = getpid(),
                               .child = true,
                               .uid = plan.p.uid,
                               .gid = plan.p.gid };
    audit_threads(&t);
    audit_process(&t);
    audit_fds(&t);
    audit_memory(&t);
    audit_binary(&t);
    audit_shared_namespaces(audit, &t, 1);
    stop(&v);
}

static void print_all(const struct audit *audit)
{
    for (size_t i = 0; i < audit->n_findings; i++)
        print_message("  %d %s: %s\n", (int)audit->findings[i].verdict, audit->findings[i].check,
                      audit->findings[i].text);
}

static void test_faults(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
        const struct fault *f = &faults[i];
        struct audit audit;
        bool found = false;
        bool any = false;

        if ((f->near_cgroup || f->own_cgroup) && base_fd < 0)
            continue;
        if (f->pids_planned != 0 && !f->check &&
            !(sandbox_cgroup_controllers(base_fd) & SANDBOX_CGROUP_PIDS))
            continue;
#ifdef SANDBOX_INSTRUMENTED /* with a filter it must be static */
        if (f->filter)
            continue;
#endif
        look(&audit, f);
        for (size_t j = 0; j < audit.n_findings; j++) {
            const struct audit_finding *x = &audit.findings[j];

            any |= x->verdict == AUDIT_DRIFT || x->verdict == AUDIT_UNREADABLE;
            found |= x->verdict == AUDIT_DRIFT && f->check && strcmp(x->check, f->check) == 0 &&
                     strstr(x->text, f->text);
        }
        if (f->check ? !found : any) {
            print_all(&audit);
            fail_msg("fault %zu ('%s', %s) was %s", i, f->victim, f->check ? f->check : "no fault",
                     f->check ? "not found" : "reported");
        }
        audit_deinit(&audit);
    }
}

static void test_no_false_alarm(void **state)
{
    static const struct fault none = { .victim = "none" };

    const unsigned runs = getenv("BULKHEAD_LONG") ? CLEAN_RUNS_LONG : CLEAN_RUNS;

    (void)state;
    for (unsigned i = 0; i < runs; i++) {
        struct audit audit;

        look(&audit, &none);
        for (size_t j = 0; j < audit.n_findings; j++)
            if (audit.findings[j].verdict == AUDIT_DRIFT) {
                print_all(&audit);
                fail_msg("run %u: a false alarm", i);
            }
        audit_deinit(&audit);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_faults, remove_file),
        cmocka_unit_test_teardown(test_no_false_alarm, remove_file),
    };
    char path[512];

    if (geteuid() != 0) {
        puts("skipped: only root may read filters back");
        return 0;
    }
    if (sandbox_cgroup_find(&base_fd, path, sizeof(path)) != 0)
        base_fd = -1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
