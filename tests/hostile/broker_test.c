/* SPDX-License-Identifier: Apache-2.0 */
/* broker_test.c - nothing that a broker does that was taken over gets it more than its sandbox: see
 * broker.h. One life of broker and spawner for each action. No KVM is needed: workers start without
 * one. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "broker.h"
#include "broker_ends.h"
#include "broker_notes.h"
#include "lingering.h"
#include "plan/plan.h"
#include "sandbox/cgroup.h"
#include "sandbox/cgroup_life.h"
#include "sandbox/enter.h"
#include "sandbox/gen/filter_broker.h"
#include "sandbox/ids.h"
#include "sandbox/landlock.h"
#include "sandbox/layers.h"
#include "sandbox/namespaces.h"
#include "sandbox/spawn.h"
#include "spawner/cgroups.h"
#include "spawner/keep.h"
#include "spawner/uids.h"
#include "temp_dir.h"
#include <cmocka.h>

enum mode { CAGED, OPEN };

/* What a life leaves. */
struct left {
    enum broker_verdict verdict;
    char text[160];
    int status;
    int word; /* of a child; 0: it ended */
    bool no_landlock;
    pid_t spawner;
};

static struct left *left; /* shared with the broker */
static bool no_userns;    /* this host makes none */
static const char *const dirs[] = { "vm", "victim" };
static char base[48];

static void path_of(char *ret_path, size_t size, unsigned which, const char *file)
{
    snprintf(ret_path, size, "%s/%s%s", base, dirs[which], file);
}

/* ---- a life ---- */

static int puppet(void)
{
    int fd = open(HOSTILE_PUPPET, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        _exit(8);
    return fd;
}

static uint32_t uid_base(void)
{
    return geteuid() == 0 ? sandbox_uid((uint32_t)getpid(), 0) : 0;
}

/* Who executes it waits for the lease's end. */
static int hold_up(const char *program)
{
    int fd = open(program, O_RDONLY | O_CLOEXEC);

    signal(SIGIO, SIG_IGN);
    if (fd < 0 || fcntl(fd, F_SETLEASE, F_WRLCK) < 0)
        _exit(8);
    return fd;
}

static void on_alarm(int sig)
{
    (void)sig;
}

/* With a timer, so that the test itself doesn't wait in a close. */
static void make_lingering(struct broker *b)
{
    const struct itimerval often = { { 0, 50000 }, { 0, 50000 } };
    sigset_t alarm;

    b->lingers = lingering_socket(&b->peer);
    if (b->lingers < 0)
        _exit(8);
    signal(SIGALRM, on_alarm);
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    sigprocmask(SIG_BLOCK, &alarm, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
}

/* Nobody is moved for it: this test's own group stays as it is. */
static void claim_group(struct groups *groups)
{
    snprintf(groups->name, sizeof groups->name, "bulkhead-%d", (int)getpid());
    if (sandbox_cgroup_find(&groups->base_fd, groups->path, sizeof groups->path) != 0 ||
        sandbox_cgroup_claim(groups->base_fd, groups->name, &groups->vm_fd) < 0)
        _exit(8);
    groups->kill_fd = sandbox_cgroup_open_kill(groups->vm_fd);
}

static _Noreturn void be_broker(pid_t test, enum mode mode, bool seal,
                                enum broker_verdict (*run)(struct broker *b),
                                const struct broker_action *action)
{
    struct groups groups = { .base_fd = -1, .vm_fd = -1, .kill_fd = -1 };
    struct uids no_uids = { .file_fd = -1, .ns_fd = -1 };
    const struct spawner_terms terms = { .groups = &groups,
                                         .uids = &no_uids,
                                         .uid_base = uid_base(),
                                         .no_userns = no_userns,
                                         .end_ms = 2000,
                                         .broker_pidfd =
                                             (int)syscall(SYS_pidfd_open, getpid(), 0) };
    struct broker b = {
        .next_id = 1, .uid_base = terms.uid_base, .test = test, .action = action, .group_fd = -1
    };
    char lock[80];
    const struct sandbox_broker rights = { .uid = terms.uid_base ? terms.uid_base + PLAN_UID_BROKER
                                                                 : 0,
                                           .readable = { -1, -1 } };
    unsigned missing = 0;

    if (run == broker_leave_groups) {
        claim_group(&groups);
        b.group_fd = groups.vm_fd;
    }
    if (spawner_start(&b.spawner, -1, &terms) < 0)
        _exit(8);
    left->spawner = b.spawner.pid;
    b.program_fd = puppet();
    path_of(b.dir, sizeof b.dir, 0, "");
    path_of(b.victim, sizeof b.victim, 1, "");
    snprintf(b.slow, sizeof b.slow, "%s/slow", base);
    b.lease = hold_up(b.slow);
    path_of(lock, sizeof lock, 1, "/lock");
    b.victim_lock = open(lock, O_RDWR | O_CLOEXEC);
    b.root_dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    b.null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    b.slow_path = open(b.slow, O_PATH | O_CLOEXEC);
    make_lingering(&b);
    b.victim_fd = open(b.victim, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    b.base_fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    b.dir_fd = open(b.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    broker_tell(&b, seal);
    broker_write_notes(&b);
    if (mode == CAGED && sandbox_enter_broker(&sandbox_filter_broker, &rights, &missing) < 0)
        _exit(8);
    b.no_landlock = missing & SANDBOX_LAYER_LANDLOCK;
    left->verdict = run ? run(&b) : action->run(&b, action->arg);
    left->status = b.status;
    left->word = b.word;
    left->no_landlock = b.no_landlock;
    snprintf(left->text, sizeof left->text, "%s", b.text);
    /* A core that runs would be left alone. */
    for (struct spawner_request kill = { .kind = SPAWNER_KILL, .id = 1 }; kill.id < b.next_id;
         kill.id++) {
        struct iovec iov = { &kill, sizeof kill };
        struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (sendmsg(b.spawner.fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            break; /* it doesn't listen: see flood_and_not_read() */
    }
    spawner_let_go(&b.spawner);
    _exit(0);
}

static void make_dirs(void)
{
    for (unsigned i = 0; i < 2; i++) {
        static const char *const files[] = { "/lock", "/control.sock", "/extra" };
        char path[80];

        path_of(path, sizeof path, i, "");
        assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
        for (unsigned f = 0; f < 2 + i; f++) { /* the last is the victim's alone */
            path_of(path, sizeof path, i, files[f]);
            close(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
        }
    }
}

/* Only the VM's own directory was removed. */
static void check_dirs(void)
{
    char path[80];

    path_of(path, sizeof path, 1, "/lock");
    assert_int_equal(access(path, F_OK), 0);
    path_of(path, sizeof path, 1, "/control.sock");
    assert_int_equal(access(path, F_OK), 0);
    path_of(path, sizeof path, 0, "");
    assert_int_equal(access(path, F_OK), -1);
}

/* If it is a child by now: its broker is gone, and was not the one to wait for it. */
static void check_spawner_ends(void)
{
    struct pollfd p = { .fd = (int)syscall(SYS_pidfd_open, left->spawner, 0), .events = POLLIN };
    bool ends = p.fd < 0 || poll(&p, 1, BROKER_PATIENCE_MS) == 1;

    close(p.fd);
    if (ends)
        return;
    kill(left->spawner, SIGKILL);
    fail_msg("the spawner does not end");
}

/* How the broker ended, as wait() says. Nothing of it is left. */
static int live(enum mode mode, bool seal, enum broker_verdict (*run)(struct broker *b),
                const struct broker_action *action)
{
    pid_t test = getpid(), broker, pid;
    int status = 0, other;

    make_dirs();
    *left = (struct left){ .verdict = BROKER_NOTHING };
    broker = fork();
    assert_true(broker >= 0);
    if (broker == 0)
        be_broker(test, mode, seal, run, action);
    assert_int_equal(waitpid(broker, &status, 0), broker);
    check_spawner_ends();
    while ((pid = wait(&other)) > 0 || errno == EINTR) /* the spawner, if the broker was killed */
        ;
    check_dirs();
    return status;
}

static bool died_of_filter(int status)
{
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

/* ---- what is granted: the control of all others ---- */

static ino_t namespace_of(int pid, const char *name)
{
    char path[64];
    struct stat st;

    snprintf(path, sizeof path, "/proc/%d/ns/%s", pid, name);
    return stat(path, &st) < 0 ? 0 : st.st_ino;
}

static unsigned uid_of(int pid)
{
    char path[64], line[256];
    unsigned uid = ~0u;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/status", pid);
    f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "Uid: %u", &uid) == 1)
            break;
    if (f)
        fclose(f);
    return uid;
}

static enum broker_verdict honest(struct broker *b)
{
    unsigned base_uid = geteuid() == 0 ? sandbox_uid(getpid(), 0) : 0;

    if (broker_start_honest(b, SLOT_RNG) != BROKER_LET || !broker_await_word(b)) /* Hello */
        return BROKER_REFUSED;
    if (namespace_of(b->pid, "net") == namespace_of(getpid(), "net") ||
        (namespace_of(b->pid, "user") == namespace_of(getpid(), "user")) != no_userns ||
        uid_of(b->pid) != (base_uid ? base_uid + SLOT_RNG : geteuid()))
        return BROKER_NO_ANSWER;
    if (no_userns) /* passt needs one */
        return broker_start_with_ring_of_a_dead(b, SLOT_DISK);
    if (broker_start_honest(b, SLOT_PASST) != BROKER_LET)
        return BROKER_REFUSED;
    if (namespace_of(b->pid, "net") != namespace_of(getpid(), "net") ||
        uid_of(b->pid) != (base_uid ? base_uid + SLOT_PASST : geteuid()))
        return BROKER_NO_ANSWER;
    return broker_start_with_ring_of_a_dead(b, SLOT_DISK);
}

/* A device comes while the VM runs, goes, and another kind has its place. */
static enum broker_verdict comes_and_goes(struct broker *b)
{
    if (broker_add(b, SLOT_FREE, BULKHEAD__ROLE__ROLE_RNG, "more") != BROKER_LET ||
        !broker_await_word(b))
        return BROKER_REFUSED;
    broker_kill_and_wait(b, b->next_id - 1);
    broker_free(b, SLOT_FREE);
    return broker_add(b, SLOT_FREE, BULKHEAD__ROLE__ROLE_BLK, "more");
}

static void a_device_comes_and_goes(void **state)
{
    (void)state;
    assert_int_equal(live(CAGED, true, comes_and_goes, NULL), 0);
    if (left->verdict != BROKER_LET)
        fail_msg("verdict %d: %s", (int)left->verdict, left->text);
}

/* Its cage lets it see no group, and is not what keeps it from them. */
static void no_groups_are_left(void **state)
{
    char path[GROUPS_PATH_BYTES];
    int fd = -1;

    (void)state;
    if (sandbox_cgroup_find(&fd, path, sizeof path) != 0)
        skip();
    close(fd);
    assert_int_equal(live(OPEN, true, broker_leave_groups, NULL), 0);
    if (left->verdict != BROKER_REFUSED)
        fail_msg("verdict %d: %s", (int)left->verdict, left->text);
}

static void honest_requests_are_granted(void **state)
{
    (void)state;
    assert_int_equal(live(OPEN, true, honest, NULL), 0);
    if (left->verdict != BROKER_LET)
        fail_msg("verdict %d: %s", (int)left->verdict, left->text);
}

static void it_ends_with_its_vm(void **state)
{
    enum broker_verdict (*const ways[])(struct broker * b) = { broker_leave_and_stay,
                                                               broker_hang_up_and_stay,
                                                               broker_stay_beyond_the_core };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(ways); i++) {
        int status = live(CAGED, true, ways[i], NULL);

        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
            fail_msg("way %u: it ended with status 0x%x", i, (unsigned)status);
    }
}

static void its_death_is_seen(void **state)
{
    (void)state;
    assert_int_equal(live(CAGED, true, broker_die_unseen, NULL), 0);
    assert_int_equal(live(CAGED, true, broker_die_unseen_by_a_worker, NULL), 0);
}

static enum broker_verdict just_start(struct broker *b)
{
    return broker_start_honest(b, SLOT_RNG);
}

static void nothing_starts_before_the_seal(void **state)
{
    (void)state;
    assert_int_equal(live(OPEN, false, just_start, NULL), 0);
    assert_int_equal(left->verdict, BROKER_REFUSED);
}

/* ---- requests ---- */

static void try_requests(const struct broker_table *table)
{
    unsigned let = 0, refused = 0;

    for (unsigned i = 0; i < table->n; i++) {
        const struct broker_action *action = &table->actions[i];
        int status = live(CAGED, true, NULL, action);

        if (status != 0)
            fail_msg("%s: the broker ended with status 0x%x", action->name, (unsigned)status);
        if (left->verdict == BROKER_NO_ANSWER)
            fail_msg("%s: no answer", action->name);
        refused += left->verdict == BROKER_REFUSED;
        let += left->verdict == BROKER_LET;
        if (left->verdict == BROKER_LET)
            print_message("%s SUCCEEDED\n", action->name);
        else if (getenv("HOSTILE_VERBOSE"))
            print_message("  %s: %s\n", action->name, left->text);
    }
    print_message("%u requests: %u refused, %u succeeded\n", table->n, refused, let);
    assert_int_equal(let, 0);
    assert_int_equal(refused, table->n);
}

static void no_request_gets_more(void **state)
{
    (void)state;
    assert_true(broker_requests.n >= 30);
    try_requests(&broker_requests);
}

static void no_slot_gets_more(void **state)
{
    (void)state;
    assert_true(broker_slots.n >= 15);
    try_requests(&broker_slots);
}

/* A passt more has the host's network, and ports of the host. */
static void no_passt_without_a_users_word(void **state)
{
    (void)state;
    assert_int_equal(live(CAGED, true, broker_use_note, NULL), 0);
    if (left->verdict != (no_userns ? BROKER_REFUSED : BROKER_LET))
        fail_msg("verdict %d: %s", (int)left->verdict, left->text);
    if (!no_userns) /* there never is one */
        try_requests(&broker_notes);
}

/* ---- system calls ---- */

struct tally {
    unsigned let, refused, killed;
};

static struct tally try_calls(enum mode mode)
{
    struct tally t = { 0 };

    for (unsigned i = 0; i < broker_calls.n; i++) {
        const struct broker_action *action = &broker_calls.actions[i];
        int status = live(mode, true, NULL, action);
        /* A program that was executed says nothing, but ends well. */
        bool let = left->verdict == BROKER_LET || (left->verdict == BROKER_NOTHING && status == 0);

        t.killed += died_of_filter(status);
        t.let += let;
        t.refused += left->verdict == BROKER_REFUSED;
        if (let && mode == CAGED)
            print_message("%s SUCCEEDED\n", action->name);
        else if (getenv("HOSTILE_VERBOSE"))
            print_message("  %s: %d, 0x%x\n", action->name, (int)left->verdict, (unsigned)status);
    }
    return t;
}

static void no_call_leaves_the_sandbox(void **state)
{
    struct tally t = try_calls(CAGED);

    (void)state;
    print_message("%u calls: %u killed by seccomp, %u refused, %u succeeded\n", broker_calls.n,
                  t.killed, t.refused, t.let);
    assert_int_equal(t.let, 0);
    assert_int_equal(t.killed + t.refused, broker_calls.n);
    assert_true(t.killed >= 40);
}

static void without_the_sandbox_they_succeed(void **state)
{
    struct tally t = try_calls(OPEN);

    (void)state;
    print_message("without the sandbox: %u calls, %u succeeded\n", broker_calls.n, t.let);
    assert_int_equal(t.killed, 0);
    assert_true(t.let >= 25);
}

/* ---- a program that is handed over ---- */

static void a_program_that_is_handed_over_gets_no_more(void **state)
{
    unsigned killed = 0, refused = 0, bare = 0;

    (void)state;
    for (unsigned i = 0; i < puppet_n_actions(); i++) {
        broker_puppet_action = i;
        assert_int_equal(live(CAGED, true, broker_hand_over, NULL), 0);
        if (left->verdict == BROKER_REFUSED)
            fail_msg("%s: it was not started: %s", puppet_name(i), left->text);
        if (left->verdict == BROKER_NOTHING && left->status != SIGSYS)
            left->word = 'l'; /* a program that was executed says nothing */
        /* No filter sees a path: this one is landlock's, where there is landlock. */
        if (left->no_landlock && strcmp(puppet_name(i), "execveat-below-a-folder") == 0)
            left->word = 'r';
        killed += left->verdict == BROKER_NOTHING && left->status == SIGSYS;
        refused += left->word == 'r';
        if (getenv("HOSTILE_VERBOSE"))
            print_message("  %s: %c\n", puppet_name(i), left->word ? left->word : '-');
        if (left->word == 'l') {
            (void)remove(PUPPET_PATH);
            fail_msg("%s succeeded", puppet_name(i));
        }
        bare += broker_hand_over_bare(puppet(), base, no_userns) == 'l';
    }
    print_message("a program that was handed over: %u calls, %u killed by seccomp, %u refused; "
                  "bare %u succeed\n",
                  puppet_n_actions(), killed, refused, bare);
    assert_int_equal(killed + refused, puppet_n_actions());
    assert_int_equal(refused,
                     7); /* of these the kernel is asked, in the empty root without capabilities */
    assert_true(bare >= 25);
}

static void slow_path(char path[80])
{
    snprintf(path, 80, "%s/slow", base);
}

static void copy_path(char path[80])
{
    snprintf(path, 80, "%s/" PUPPET_COPY, base);
}

static int copy(const char *program, const char *path)
{
    int from = open(program, O_RDONLY | O_CLOEXEC), to;
    static char bytes[4 << 20];
    ssize_t n = from < 0 ? -1 : read(from, bytes, sizeof bytes);

    to = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
    if (to < 0 || n <= 0 || write(to, bytes, (size_t)n) != n)
        return -1;
    close(to);
    return close(from);
}

static int make_base(void **state)
{
    char slow[80], puppet[80];

    (void)state;
    left = mmap(NULL, sizeof *left, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (left == MAP_FAILED || !temp_dir(base, sizeof base, "bh-broker"))
        return -1;
    slow_path(slow);
    copy_path(puppet);
    if (copy("/bin/true", slow) < 0 || copy(HOSTILE_PUPPET, puppet) < 0 || chmod(base, 0711) < 0)
        return -1;
    return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

static int remove_base(void **state)
{
    char path[80];

    (void)state;
    slow_path(path);
    unlink(path);
    copy_path(path);
    unlink(path);
    for (unsigned i = 0; i < 2; i++) {
        path_of(path, sizeof path, i, "/lock");
        unlink(path);
        path_of(path, sizeof path, i, "/control.sock");
        unlink(path);
        path_of(path, sizeof path, i, "/extra");
        unlink(path);
        path_of(path, sizeof path, i, "");
        rmdir(path);
    }
    return rmdir(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(honest_requests_are_granted),
        cmocka_unit_test(a_device_comes_and_goes),
        cmocka_unit_test(no_groups_are_left),
        cmocka_unit_test(nothing_starts_before_the_seal),
        cmocka_unit_test(its_death_is_seen),
        cmocka_unit_test(it_ends_with_its_vm),
        cmocka_unit_test(no_request_gets_more),
        cmocka_unit_test(no_slot_gets_more),
        cmocka_unit_test(no_passt_without_a_users_word),
        cmocka_unit_test(no_call_leaves_the_sandbox),
        cmocka_unit_test(without_the_sandbox_they_succeed),
#ifndef SANDBOX_INSTRUMENTED /* a sanitizer's runtime starts threads */
        cmocka_unit_test(a_program_that_is_handed_over_gets_no_more),
#endif
    };

    no_userns = sandbox_try_userns() < 0;
    return cmocka_run_group_tests(tests, make_base, remove_base);
}
