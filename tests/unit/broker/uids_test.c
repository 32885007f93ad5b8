/* SPDX-License-Identifier: Apache-2.0 */
/* uids_test.c - no two VMs have the same uids, whatever they can see of each other. In a user
 * namespace of its own, so that no VM, nor this test started twice, gets in the way. */
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "fixture.h"
#include "sandbox/ids.h"
#include "spawner/uids.h"

enum { RACERS = 8, ROUNDS = 100, FIRST = 77 };

static char dir[64], one[96], other[96];

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static int group_setup(void **state)
{
    uid_t uid = geteuid();
    char map[32];

    (void)state;
    if (unshare(CLONE_NEWUSER) < 0)
        return -1;
    snprintf(map, sizeof map, "0 %u 1", (unsigned)uid);
    write_file("/proc/self/uid_map", map);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/bulkhead-uids.XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(one, sizeof one, "%s/one", dir);
    snprintf(other, sizeof other, "%s/other", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    /* Fails when anything is left. */
    return rmdir(dir);
}

static void test_neighbours(void **state)
{
    struct uids a, b, c;

    (void)state;
    uids_claim(&a, one, FIRST);
    uids_claim(&b, one, FIRST);
    assert_true(a.claimed && b.claimed);
    assert_int_equal(a.range, FIRST);
    assert_int_equal(b.range, FIRST + 1);
    uids_release(&a);
    assert_int_equal(access(one, F_OK), 0); /* b has it still */
    uids_claim(&c, one, FIRST);
    assert_int_equal(c.range, FIRST);
    uids_release(&b);
    uids_release(&c);
    assert_int_not_equal(access(one, F_OK), 0);
    uids_claim(&a, one, SANDBOX_UID_RANGES - 1);
    uids_claim(&b, one, SANDBOX_UID_RANGES - 1);
    assert_int_equal(a.range, SANDBOX_UID_RANGES - 1);
    assert_int_equal(b.range, 0);
    uids_release(&a);
    uids_release(&b);
}

/* The spawner has it as long as it lives: the claim goes with the last of the two. */
static void test_two_processes(void **state)
{
    struct uids a, b;
    int go[2];
    pid_t pid;

    (void)state;
    assert_int_equal(pipe2(go, O_CLOEXEC), 0);
    uids_claim(&a, one, FIRST);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char byte;

        close(go[1]);
        (void)!read(go[0], &byte, 1);
        uids_release(&a);
        _exit(0);
    }
    close(go[0]);
    close(a.file_fd); /* as when the broker is killed */
    close(a.ns_fd);
    uids_claim(&b, one, FIRST);
    assert_int_equal(b.range, FIRST + 1);
    uids_release(&b);
    close(go[1]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    uids_claim(&b, one, FIRST);
    assert_int_equal(b.range, FIRST);
    uids_release(&b);
}

/* Two containers: each has a /run and process ids of its own, and sees nothing of the other. */
static void test_other_run_other_pids(void **state)
{
    struct uids a;
    int status = -1;
    pid_t pid;

    (void)state;
    uids_claim(&a, one, FIRST);
    assert_int_equal(a.range, FIRST);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct uids b;

        if (unshare(CLONE_NEWPID | CLONE_NEWNS) < 0)
            _exit(1);
        pid = fork();
        if (pid > 0)
            _exit(waitpid(pid, &status, 0) == pid && status == 0 ? 0 : 2);
        uids_claim(&b, other, FIRST);
        status = b.claimed && b.range == FIRST + 1 ? 0 : 3;
        uids_release(&b);
        _exit(status);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    uids_release(&a);
}

/* A user who locks all of the namespace's file keeps root from nothing. */
static void test_mischief(void **state)
{
    struct flock all = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
    int fd = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
    struct uids a, b;

    (void)state;
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &all), 0);
    uids_claim(&a, one, FIRST);
    uids_claim(&b, one, FIRST);
    assert_true(a.claimed && b.claimed && a.range != b.range);
    uids_release(&a);
    uids_release(&b);
    /* But with nothing left to go by there is no VM. */
    uids_claim(&a, "/proc/none/none", FIRST);
    assert_false(a.claimed);
    uids_release(&a);
    close(fd);
    uids_claim(&a, "/proc/none/none", FIRST);
    assert_true(a.claimed);
    uids_claim(&b, "/proc/none/none", FIRST);
    assert_true(b.claimed && a.range != b.range);
    uids_release(&a);
    uids_release(&b);
}

/* Of a tenant's ranges alone, and no more VMs than these are. */
static void test_within(void **state)
{
    enum { LOW = 1000, COUNT = 3 };
    struct uids of[COUNT], more;
    unsigned seen = 0;

    (void)state;
    for (unsigned i = 0; i < COUNT; i++) {
        uids_claim_within(&of[i], one, uids_random(), LOW, COUNT);
        assert_true(of[i].claimed);
        assert_in_range(of[i].range, LOW, LOW + COUNT - 1);
        seen |= 1u << (of[i].range - LOW);
    }
    assert_int_equal(seen, (1u << COUNT) - 1);
    uids_claim_within(&more, one, uids_random(), LOW, COUNT);
    assert_false(more.claimed);
    assert_string_equal(more.why_not, "all that were tried are taken");
    uids_release(&more);
    uids_release(&of[1]);
    uids_claim_within(&more, one, uids_random(), LOW, COUNT);
    assert_true(more.claimed);
    assert_in_range(more.range, LOW, LOW + COUNT - 1);
    uids_release(&more);
    uids_release(&of[0]);
    uids_release(&of[2]);
    uids_claim_within(&more, one, 1, SANDBOX_UID_RANGES - 1, 1);
    assert_true(more.claimed);
    assert_int_equal(more.range, SANDBOX_UID_RANGES - 1);
    uids_release(&more);
}

/* Who locks all of the namespace's file keeps a tenant from nothing either, however few ranges it has. */
static void test_mischief_within(void **state)
{
    struct flock all = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
    int fd = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
    struct uids a;

    (void)state;
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &all), 0);
    uids_claim_within(&a, one, 5, 1000, 1);
    assert_true(a.claimed);
    assert_int_equal(a.range, 1000);
    uids_release(&a);
    close(fd);
}

static void test_ranges_of_uids(void **state)
{
    static const struct {
        uint32_t first, count;
        bool fits;
        uint32_t low, n;
    } table[] = {
        { 0, 0, true, 0, 0 },
        { SANDBOX_UID_FIRST, 64, true, 0, 1 },
        { SANDBOX_UID_FIRST + 640, 6400, true, 10, 100 },
        { SANDBOX_UID_FIRST, SANDBOX_UID_COUNT, true, 0, SANDBOX_UID_RANGES },
        { SANDBOX_UID_FIRST + (SANDBOX_UID_COUNT - 64u), 64, true, SANDBOX_UID_RANGES - 1, 1 },
        { SANDBOX_UID_FIRST + (SANDBOX_UID_COUNT - 64u), 128, false, 0, 0 },
        { SANDBOX_UID_FIRST + (uint32_t)SANDBOX_UID_COUNT, 64, false, 0, 0 },
        { SANDBOX_UID_FIRST, 0, false, 0, 0 },
        { SANDBOX_UID_FIRST, 63, false, 0, 0 },
        { SANDBOX_UID_FIRST + 1, 64, false, 0, 0 },
        { SANDBOX_UID_FIRST - 64, 128, false, 0, 0 },
        { 0, 64, false, 0, 0 },
        { SANDBOX_UID_FIRST, UINT32_MAX - 63, false, 0, 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        uint32_t low = 1, count = 1;

        assert_int_equal(uids_find_ranges(table[i].first, table[i].count, &low, &count),
                         table[i].fits);
        assert_int_equal(low, table[i].fits ? table[i].low : 1);
        assert_int_equal(count, table[i].fits ? table[i].n : 1);
    }
}

/* A list that others can lock is none. */
static void test_file_of_others(void **state)
{
    struct uids a;
    int fd = open(one, O_CREAT | O_RDWR | O_CLOEXEC, 0600);

    (void)state;
    assert_int_equal(fchmod(fd, 0666), 0);
    uids_claim(&a, one, FIRST);
    assert_int_equal(a.file_fd, -1);
    assert_true(a.claimed);
    uids_release(&a);
    assert_int_equal(unlink(one), 0);
    close(fd);
    assert_int_equal(symlink("/etc/passwd", one), 0);
    uids_claim(&a, one, FIRST);
    assert_int_equal(a.file_fd, -1);
    uids_release(&a);
    assert_int_equal(unlink(one), 0);
}

/* Another VM's broker, of another run directory, that keeps step: it looks at the range after its
 * last whenever the one under test looks at one. */
static int twin_fd = -1;
static unsigned twin_range;

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, void *arg);

int __wrap_fcntl(int fd, int command, void *arg)
{
    const struct flock *lock = arg;
    struct flock twin = { .l_whence = SEEK_SET, .l_len = 1 };
    int r = __real_fcntl(fd, command, arg);

    if (command != F_OFD_SETLK || lock->l_type != F_RDLCK || fd == twin_fd || twin_fd < 0)
        return r;
    twin.l_type = F_UNLCK;
    twin.l_start = twin_range++;
    __real_fcntl(twin_fd, F_OFD_SETLK, &twin);
    twin.l_type = F_RDLCK;
    twin.l_start = twin_range;
    __real_fcntl(twin_fd, F_OFD_SETLK, &twin);
    return r;
}

static void test_in_step(void **state)
{
    struct uids a;

    (void)state;
    twin_range = FIRST - 1;
    twin_fd = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
    uids_claim(&a, one, FIRST);
    assert_true(a.claimed);
    assert_int_not_equal(a.range, twin_range);
    close(twin_fd);
    twin_fd = -1;
    uids_release(&a);
}

/* All begin at the same place, and end and begin anew at once. Whoever has a range marks it, and
 * finds no mark of another's. */
static int race(const char *path)
{
    char mark[128];

    for (int i = 0; i < ROUNDS; i++) {
        struct uids uids;
        int fd;

        uids_claim(&uids, path, FIRST);
        if (!uids.claimed)
            return 1;
        snprintf(mark, sizeof mark, "%s/range-%u", dir, uids.range);
        fd = open(mark, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
        if (fd < 0)
            return 2;
        close(fd);
        unlink(mark);
        uids_release(&uids);
    }
    return 0;
}

static void race_with(const char *even, const char *odd)
{
    pid_t racers[RACERS];
    int status;

    for (unsigned i = 0; i < RACERS; i++) {
        racers[i] = fork();
        assert_true(racers[i] >= 0);
        if (racers[i] == 0)
            _exit(race(i % 2 ? odd : even));
    }
    for (unsigned i = 0; i < RACERS; i++) {
        assert_int_equal(waitpid(racers[i], &status, 0), racers[i]);
        assert_int_equal(status, 0);
    }
}

static void test_race(void **state)
{
    struct flock all = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
    int fd = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);

    (void)state;
    race_with(one, one);
    race_with(one, other); /* the namespace alone tells */
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &all), 0);
    race_with(one, one); /* the file alone tells */
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_neighbours, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_processes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_run_other_pids, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mischief, setup, teardown),
        cmocka_unit_test_setup_teardown(test_within, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mischief_within, setup, teardown),
        cmocka_unit_test(test_ranges_of_uids),
        cmocka_unit_test_setup_teardown(test_file_of_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_in_step, setup, teardown),
        cmocka_unit_test_setup_teardown(test_race, setup, teardown),
    };

    return cmocka_run_group_tests(tests, group_setup, NULL);
}
