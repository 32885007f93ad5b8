/* SPDX-License-Identifier: Apache-2.0 */
/* excess_test.c - who has more memory than its group is to have is killed, whatever the host has run out of. A folder
 * plays the groups; where this test's own group has the memory controller to give, the kernel's are tried as well. */
#include <errno.h>
#include <fcntl.h>
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
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "spawner/cgroups.h"
#include "spawner/excess.h"
#include "spawner/oom.h"
#include "temp_dir.h"
#include <cmocka.h>

enum { PATIENCE_MS = 60000, SLOT = 3, HIGH = 8 << 20, MOST = 16 << 20, CANNOT_TRY = 9 };

static char top[64];

static int make_top(void **state)
{
    (void)state;
    return temp_dir(top, sizeof top, "bulkhead-excess") ? 0 : -1;
}

static int remove_top(void **state)
{
    (void)state;
    return rmdir(top);
}

/* A spawner's that has one child, or none (0). */
static struct state *state_of(struct groups *groups, pid_t child)
{
    static struct state state;

    state = (struct state){ .groups = groups };
    excess_init(&state.excess);
    state.slots.of[SLOT] =
        (struct spawner_slot){ .memory_high = HIGH, .memory_max = MOST, .name = "disk0" };
    if (child > 0)
        state.children[0] = (struct spawned){
            .id = 1,
            .slot = SLOT,
            .pid = child,
            .spawning = { .pidfd = (int)syscall(SYS_pidfd_open, child, 0), .error_fd = -1 },
        };
    return &state;
}

static void put(int dir_fd, const char *file, const char *text)
{
    int fd = openat(dir_fd, file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

/* One that waits until it is killed, or this test ends. */
static pid_t start_child(void)
{
    int life[2];
    pid_t pid;

    assert_int_equal(pipe2(life, O_CLOEXEC), 0); /* its write end goes with this test */
    pid = fork();
    if (pid == 0) {
        close(life[1]);
        _exit((int)read(life[0], &(char){ 0 }, 1));
    }
    close(life[0]);
    return pid;
}

static bool is_killed(const struct state *s, int timeout_ms)
{
    struct pollfd ended = { .fd = s->children[0].spawning.pidfd, .events = POLLIN };

    return poll(&ended, 1, timeout_ms) == 1;
}

static void end_child(struct state *s)
{
    kill(s->children[0].pid, SIGKILL);
    assert_int_equal(waitpid(s->children[0].pid, NULL, 0), s->children[0].pid);
    close(s->children[0].spawning.pidfd);
}

static void who_has_too_much_is_killed(void **state)
{
    struct groups groups = { .base_fd = -1, .kill_fd = -1 };
    struct state *s = state_of(&groups, start_child());
    int other;

    (void)state;
    groups.vm_fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_false(excess_watch(s, SLOT)); /* there is no such group */
    assert_int_equal(mkdirat(groups.vm_fd, "disk0", 0700), 0);
    put(groups.vm_fd, "disk0/memory.events", "high 1\n");
    put(groups.vm_fd, "disk0/memory.current",
        "10485760\n"); /* HIGH, and a quarter of the way to MOST */
    assert_true(excess_watch(s, SLOT));
    other = s->excess.events[SLOT];
    assert_true(excess_watch(s, SLOT)); /* its successor's */
    assert_int_equal(s->excess.events[SLOT], other);
    assert_false(excess_look(s, -1));
    assert_false(excess_look(s, groups.vm_fd));
    assert_true(excess_look(s, s->excess.events[SLOT]));
    assert_false(is_killed(s, 0));
    put(groups.vm_fd, "disk0/memory.current", "10485761\n");
    assert_true(excess_look(s, s->excess.events[SLOT]));
    assert_true(is_killed(s, PATIENCE_MS));
    end_child(s);
    close(s->excess.events[SLOT]);
    assert_int_equal(unlinkat(groups.vm_fd, "disk0/memory.events", 0) |
                         unlinkat(groups.vm_fd, "disk0/memory.current", 0) |
                         unlinkat(groups.vm_fd, "disk0", AT_REMOVEDIR),
                     0);
    close(groups.vm_fd);
}

/* In a user namespace of its own, whose users may have none of what there are 128 for each. */
static void no_limit_of_the_host_keeps_it_away(void **state)
{
    struct groups groups = { .base_fd = -1, .kill_fd = -1 };
    int status = 0;
    pid_t pid;

    (void)state;
    groups.vm_fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(groups.vm_fd, "disk0", 0700), 0);
    put(groups.vm_fd, "disk0/memory.events", "high 1\n");
    pid = fork();
    if (pid == 0) {
        char map[64];
        int fd, n = snprintf(map, sizeof map, "0 %u 1\n", geteuid());

        if (unshare(CLONE_NEWUSER) < 0)
            _exit(CANNOT_TRY); /* this host makes none, or /proc/sys is read-only */
        fd = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
        if (write(fd, map, (size_t)n) != n)
            _exit(CANNOT_TRY);
        fd = open("/proc/sys/user/max_inotify_instances", O_WRONLY | O_CLOEXEC);
        if (write(fd, "0\n", 2) != 2 || inotify_init1(IN_CLOEXEC) >= 0)
            _exit(CANNOT_TRY);
        _exit(excess_watch(state_of(&groups, 0), SLOT) ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) != CANNOT_TRY)
        assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(unlinkat(groups.vm_fd, "disk0/memory.events", 0) |
                         unlinkat(groups.vm_fd, "disk0", AT_REMOVEDIR),
                     0);
    close(groups.vm_fd);
}

/* In that group: takes memory without end. */
static _Noreturn void take_all(int group_fd)
{
    enum { PIECE = 1 << 16 };
    char text[16];
    int fd = openat(group_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    int n = snprintf(text, sizeof text, "%d", (int)getpid());

    if (write(fd, text, (size_t)n) != n)
        _exit(1);
    for (;;) {
        char *more = mmap(NULL, PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (more == MAP_FAILED)
            _exit(2);
        memset(more, 1, PIECE);
    }
}

/* As the spawner's loop has it. */
static void follow(struct state *s, int stop_fd)
{
    for (;;) {
        struct pollfd p[] = { { .fd = s->excess.events[SLOT], .events = POLLPRI },
                              { .fd = stop_fd, .events = POLLIN } };

        assert_true(poll(p, 2, PATIENCE_MS) > 0);
        if (p[1].revents)
            return;
        assert_true(excess_look(s, p[0].fd));
    }
}

static void the_kernel_tells_of_it(void **state)
{
    const struct sandbox_cgroup_limits limits = { .memory_high_bytes = HIGH,
                                                  .memory_max_bytes = MOST };
    struct groups groups;
    struct state *s;
    unsigned missing = 0;
    int fd = -1, status = 0;
    pid_t pid;

    (void)state;
    groups_make(&groups, getpid());
    assert_int_equal(groups_add(&groups, "disk0", &limits, &fd, &missing), 0);
    if (missing == 0) {
        pid = fork();
        if (pid == 0)
            take_all(fd);
        s = state_of(&groups, pid);
        assert_true(excess_watch(s, SLOT));
        follow(s, s->children[0].spawning.pidfd);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        groups_remove(&groups, "disk0");
        for (unsigned i = 0; i < 3 && s->excess.events[SLOT] >= 0; i++) /* the group is gone */
            assert_true(excess_look(s, s->excess.events[SLOT]));
        assert_int_equal(s->excess.events[SLOT], -1);
        close(s->children[0].spawning.pidfd);
    }
    fd_closep(&fd);
    groups_end(&groups);
}

/* What the kernel counts in the group is told once for each, and what was counted before is nobody's. */
static void who_the_kernel_killed_is_told(void **state)
{
    struct groups groups = { .base_fd = -1, .kill_fd = -1 };
    struct state *s = state_of(&groups, 0);

    (void)state;
    groups.vm_fd = -1;
    oom_begin(s, SLOT);
    assert_false(oom_took(s, SLOT)); /* there are no groups */
    groups.vm_fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(groups.vm_fd, "disk0", 0700), 0);
    assert_false(oom_took(s, SLOT)); /* without the controller */
    put(groups.vm_fd, "disk0/memory.events", "low 0\nhigh 7\nmax 9\noom 5\noom_kill 2\n");
    oom_begin(s, SLOT);
    assert_false(oom_took(s, SLOT));
    put(groups.vm_fd, "disk0/memory.events",
        "low 0\nhigh 7\nmax 9\noom 9\noom_kill 4\noom_group_kill 8\n");
    assert_true(oom_took(s, SLOT)); /* two: an upgrade's, and the one before */
    assert_true(oom_took(s, SLOT));
    assert_false(oom_took(s, SLOT));
    assert_int_equal(unlinkat(groups.vm_fd, "disk0/memory.events", 0) |
                         unlinkat(groups.vm_fd, "disk0", AT_REMOVEDIR),
                     0);
    close(groups.vm_fd);
}

/* Where this test's own group has the memory controller to give: the limit of the whole VM. */
static void the_kernel_kills_for_the_vm(void **state)
{
    const struct sandbox_cgroup_limits none = { 0 };
    struct groups groups;
    struct state *s;
    unsigned missing = 0;
    int fd = -1, status = 0;
    pid_t pid;

    (void)state;
    groups_make(&groups, getpid());
    assert_int_equal(groups_add(&groups, "disk0", &none, &fd, &missing), 0);
    s = state_of(&groups, 0);
    oom_begin(s, SLOT);
    if (groups_limit(&groups, SANDBOX_CGROUP_MEMORY, "memory.max", "16777216") == 0) {
        pid = fork();
        if (pid == 0)
            take_all(fd);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        assert_true(oom_took(s, SLOT));
        assert_false(oom_took(s, SLOT));
    }
    fd_closep(&fd);
    groups_end(&groups);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_has_too_much_is_killed, make_top, remove_top),
        cmocka_unit_test_setup_teardown(no_limit_of_the_host_keeps_it_away, make_top, remove_top),
        cmocka_unit_test(the_kernel_tells_of_it),
        cmocka_unit_test_setup_teardown(who_the_kernel_killed_is_told, make_top, remove_top),
        cmocka_unit_test(the_kernel_kills_for_the_vm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
