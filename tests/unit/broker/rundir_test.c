/* SPDX-License-Identifier: Apache-2.0 */
/* rundir_test.c - the directory of a VM belongs to one VM at a time, whoever of its broker and its
 * spawner ends last, and whenever the next VM of that name comes. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "fixture.h"
#include "resources/rundir.h"
#include "spawner/cgroups.h"
#include "spawner/spawner.h"
#include "spawner/uids.h"

enum { ROUNDS = 200, RACERS = 3 };

static char dir[64];

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/bulkhead-rundir.XXXXXX");
    return mkdtemp(dir) && setenv("BULKHEAD_RUNDIR", dir, 1) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    /* Fails when anything is left. */
    return rmdir(dir);
}

static void open_vm(struct rundir *rundir)
{
    struct fault f = { 0 };

    rundir_init(rundir);
    if (rundir_open(rundir, "vm", &f) < 0)
        fail_msg("%s", f.text);
}

/* A client finds the VM, and finds a listener there. */
static bool answers(void)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    cleanup_(fd_closep) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    snprintf(addr.sun_path, sizeof addr.sun_path, "%s/vm/" RUNDIR_SOCKET, dir);
    return fd >= 0 && connect(fd, (const struct sockaddr *)&addr, sizeof addr) == 0;
}

static bool is_refused(const char *why)
{
    struct rundir other;
    struct fault f = { 0 };
    int r;

    rundir_init(&other);
    r = rundir_open(&other, "vm", &f);
    rundir_close(&other);
    return r < 0 && strstr(f.text, why) != NULL;
}

static void start_spawner(struct spawner *spawner, const struct rundir *rundir)
{
    static struct groups none = { .base_fd = -1, .vm_fd = -1, .kill_fd = -1 };
    static struct uids no_uids = { .file_fd = -1, .ns_fd = -1 };
    const struct spawner_terms terms = { .groups = &none, .uids = &no_uids, .broker_pidfd = -1 };
    const struct rundir_place *place = &rundir->place;
    const int fds[] = { place->lock_fd, place->base_fd, place->dir_fd };
    struct spawner_request request = { .kind = SPAWNER_VM };

    assert_int_equal(spawner_start(spawner, -1, &terms), 0);
    snprintf(request.path, sizeof request.path, "%s", place->name);
    assert_int_equal(spawner_send(spawner, &request, fds, ARRAY_SIZE(fds)), 0);
}

/* The broker has left, its spawner has not: the next VM of that name is not touched by it. */
static void test_spawner_ends_after_the_next_start(void **state)
{
    struct rundir first, next;
    struct spawner spawner;

    (void)state;
    open_vm(&first);
    start_spawner(&spawner, &first);
    rundir_close(&first);
    open_vm(&next);
    spawner_stop(&spawner);
    assert_true(answers());
    assert_true(is_refused("a VM named vm is running"));
    assert_true(answers());
    rundir_close(&next);
}

/* Without its broker the spawner removes all of it. */
static void test_spawner_ends_alone(void **state)
{
    struct rundir rundir;
    struct spawner spawner;

    (void)state;
    open_vm(&rundir);
    start_spawner(&spawner, &rundir);
    fd_closep(&rundir.place.lock_fd);
    fd_closep(&rundir.place.dir_fd);
    fd_closep(&rundir.place.base_fd);
    fd_closep(&rundir.listen_fd);
    assert_true(is_refused("a VM named vm is running"));
    spawner_stop(&spawner);
    assert_int_equal(rmdir(dir), 0);
    assert_int_equal(mkdir(dir, 0700), 0);
}

/* A start that fails to open the lock leaves the running VM's socket and lock alone. */
static void test_failed_open_of_the_lock(void **state)
{
    struct rlimit limit, low;
    struct rundir rundir;
    int one, two;

    (void)state;
    open_vm(&rundir);
    one = open("/dev/null", O_RDONLY | O_CLOEXEC);
    two = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = limit;
    low.rlim_cur = (rlim_t)two + 1; /* two directories, not the lock */
    close(one);
    close(two);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    assert_true(is_refused("lock: Too many open files"));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_true(answers());
    assert_true(is_refused("a VM named vm is running"));
    rundir_close(&rundir);
}

/* The longest tenant's longest VM, deeper than an address has room for: made, and found by clients. */
static void test_long_path(void **state)
{
    char base[RUNDIR_PATH_BYTES], above[128], vm[49], tenant[33];
    struct rundir rundir;
    struct fault f = { 0 };
    int fd;

    (void)state;
    memset(vm, 'v', sizeof vm - 1);
    memset(tenant, 't', sizeof tenant - 1);
    vm[sizeof vm - 1] = tenant[sizeof tenant - 1] = '\0';
    snprintf(above, sizeof above, "%s/%s", dir, tenant);
    assert_int_equal(mkdir(above, 0700), 0);
    snprintf(base, sizeof base, "%s/%s", above, tenant);
    assert_int_equal(setenv("BULKHEAD_RUNDIR", base, 1), 0);
    rundir_init(&rundir);
    if (rundir_open(&rundir, vm, &f) < 0)
        fail_msg("%s", f.text);
    assert_true(strlen(base) + strlen(vm) > sizeof((struct sockaddr_un *)NULL)->sun_path);
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(rundir_connect(vm, fd), 0);
    close(fd);
    rundir_close(&rundir);
    assert_int_equal(rundir_connect(vm, STDIN_FILENO), -ENOENT);
    assert_int_equal(setenv("BULKHEAD_RUNDIR", dir, 1), 0);
    assert_int_equal(rmdir(base), 0);
    assert_int_equal(rmdir(above), 0);
}

/* What a crash left is used again, and nothing that is somebody else's. */
static void test_leftovers_and_strangers(void **state)
{
    char path[128], target[128];
    struct rundir rundir;
    int fd;

    (void)state;
    snprintf(path, sizeof path, "%s/vm", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/vm/" RUNDIR_SOCKET, dir);
    fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    open_vm(&rundir);
    assert_true(answers());
    rundir_close(&rundir);
    snprintf(target, sizeof target, "%s/elsewhere", dir);
    snprintf(path, sizeof path, "%s/vm", dir);
    assert_int_equal(mkdir(target, 0700), 0);
    assert_int_equal(symlink(target, path), 0);
    assert_true(is_refused("is not this user's own"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(chmod(path, 0777), 0);
    assert_true(is_refused("is not this user's own"));
    assert_int_equal(chmod(path, 0700), 0);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(target), 0);
}

/* One VM after the other, as fast as they come: 0, or the number of what went wrong. */
static int race(void)
{
    char mark[128];

    snprintf(mark, sizeof mark, "%s/mark", dir);
    for (int i = 0; i < ROUNDS; i++) {
        struct spawner spawner;
        struct rundir rundir;
        struct fault f = { 0 };
        int fd, r;

        do {
            rundir_init(&rundir);
            r = rundir_open(&rundir, "vm", &f);
        } while (r < 0 && strstr(f.text, "a VM named vm is running"));
        if (r < 0)
            return print_error("%s\n", f.text), 1;
        fd = open(mark, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
        if (fd < 0)
            return 2;
        close(fd);
        start_spawner(&spawner, &rundir);
        if (!answers())
            return 3;
        unlink(mark);
        rundir_close(&rundir);
        spawner_stop(&spawner);
    }
    return 0;
}

static void test_race(void **state)
{
    pid_t racers[RACERS];
    int status;

    (void)state;
    for (unsigned i = 0; i < RACERS; i++) {
        racers[i] = fork();
        assert_true(racers[i] >= 0);
        if (racers[i] == 0)
            _exit(race());
    }
    for (unsigned i = 0; i < RACERS; i++) {
        assert_int_equal(waitpid(racers[i], &status, 0), racers[i]);
        assert_int_equal(status, 0);
    }
}

/* Modes are what they are to be, whatever umask the caller has; root would not notice. */
static int open_with_no_mode(void)
{
    struct rundir first, second;
    struct fault f = { 0 };

    rundir_init(&first);
    rundir_init(&second);
    umask(0777);
    if (rundir_open(&first, "vm", &f) < 0 || rundir_open(&second, "vm", &f) >= 0 ||
        !strstr(f.text, "a VM named vm is running")) {
        print_message("%s\n", f.text);
        return 1;
    }
    rundir_close(&first);
    return umask(0) == 0777 ? 0 : 2;
}

static void test_umask(void **state)
{
    enum { OTHER_UID = 12345 };
    char path[96];
    int status = -1;
    pid_t pid;

    (void)state;
    if (geteuid() == 0)
        assert_int_equal(chown(dir, OTHER_UID, OTHER_UID), 0);
    snprintf(path, sizeof path, "%s/run", dir);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (geteuid() == 0 &&
            (setgroups(0, NULL) < 0 || setgid(OTHER_UID) < 0 || setuid(OTHER_UID) < 0))
            _exit(3);
        setenv("BULKHEAD_RUNDIR", path, 1);
        _exit(open_with_no_mode());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    (void)rmdir(path);
    assert_int_equal(status, 0);
}

/* ---- who owns a folder on the way swaps it ---- */

static const char *const ways[] = { "way", "other" };
static atomic_bool swapping;

static void way_path(char path[96], unsigned which, const char *below)
{
    snprintf(path, 96, "%s/%s%s", dir, ways[which], below);
}

static void *swap(void *unused)
{
    char a[96], b[96];

    way_path(a, 0, "");
    way_path(b, 1, "");
    while (atomic_load(&swapping))
        (void)renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
    return unused;
}

static void make_ways(void)
{
    char path[96];

    for (unsigned i = 0; i < 2; i++) {
        way_path(path, i, "");
        assert_int_equal(mkdir(path, 0700), 0);
        way_path(path, i, "/run");
        assert_int_equal(mkdir(path, 0700), 0);
    }
    way_path(path, 0, "/run");
    assert_int_equal(setenv("BULKHEAD_RUNDIR", path, 1), 0);
}

static void remove_ways(void)
{
    char path[96];

    assert_int_equal(setenv("BULKHEAD_RUNDIR", dir, 1), 0);
    for (unsigned i = 0; i < 2; i++) {
        way_path(path, i, "/run");
        assert_int_equal(rmdir(path), 0);
        way_path(path, i, "");
        assert_int_equal(rmdir(path), 0);
    }
}

/* The socket is where the lock is: the path is walked once. */
static void test_the_way_is_swapped(void **state)
{
    pthread_t thread;
    unsigned astray = 0;

    (void)state;
    make_ways();
    atomic_store(&swapping, true);
    assert_int_equal(pthread_create(&thread, NULL, swap, NULL), 0);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct rundir rundir;

        open_vm(&rundir);
        astray += faccessat(rundir.place.dir_fd, RUNDIR_SOCKET, F_OK, 0) < 0;
        rundir_close(&rundir);
    }
    atomic_store(&swapping, false);
    pthread_join(thread, NULL);
    assert_int_equal(astray, 0);
    remove_ways();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_spawner_ends_after_the_next_start, setup, teardown),
        cmocka_unit_test_setup_teardown(test_spawner_ends_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failed_open_of_the_lock, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_path, setup, teardown),
        cmocka_unit_test_setup_teardown(test_leftovers_and_strangers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_race, setup, teardown),
        cmocka_unit_test_setup_teardown(test_umask, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_way_is_swapped, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
