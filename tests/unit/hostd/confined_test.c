/* SPDX-License-Identifier: Apache-2.0 */
/* confined_test.c - what the kernel says of a real hostd: the layers of its sandbox, as they are in force. */
#include "stage.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/loop.h"

#define HANG_NS (UINT64_C(20) * 1000000000)

static struct stage s;

static int begin(void **state)
{
    int pair[2];

    (void)state;
    if (pipe2(pair, O_CLOEXEC) < 0 || dup2(pair[0], STDIN_FILENO) < 0)
        return -1;
    close(pair[0]);
    close(pair[1]);
    stage_begin(&s, 0);
    return 0;
}

static int end(void **state)
{
    (void)state;
    stage_end(&s);
    return 0;
}

/* Of /proc/PID/task/TID/status: "KEY:" with its value. */
static void read_status(const char *tid, const char *key, char *ret, size_t size)
{
    char path[300], line[512];
    FILE *f;

    ret[0] = '\0';
    snprintf(path, sizeof path, "/proc/%d/task/%s/status", (int)s.hostd, tid);
    f = fopen(path, "re");
    assert_non_null(f);
    while (ret[0] == '\0' && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, key, strlen(key)) == 0)
            snprintf(ret, size, "%s", line + strlen(key));
    }
    fclose(f);
}

static void assert_says(const char *tid, const char *key, const char *wanted)
{
    char said[512];

    read_status(tid, key, said, sizeof said);
    assert_string_equal(said, wanted);
}

/* A thread that closes enters by itself: before it is given anything, perhaps not before the service is heard. */
static void await_filter(const char *tid)
{
    uint64_t until = now_ns() + HANG_NS;
    char said[512];

    do {
        read_status(tid, "Seccomp:", said, sizeof said);
        sched_yield();
    } while (strcmp(said, "\t2") != 0 && now_ns() < until);
    assert_string_equal(said, "\t2");
}

/* Each thread: those that close what clients sent have the same filter. */
static void each_thread_is_filtered_and_has_no_rights(void **state)
{
    static const char none[] = "\t0000000000000000";
    char path[64], ids[64];
    unsigned n = 0;
    struct dirent *e;
    DIR *d;

    (void)state;
    snprintf(path, sizeof path, "/proc/%d/task", (int)s.hostd);
    d = opendir(path);
    assert_non_null(d);
    while ((e = readdir(d)) != NULL) {
        if (e->d_name[0] == '.')
            continue;
        n++;
        await_filter(e->d_name);
        assert_says(e->d_name, "NoNewPrivs:", "\t1");
        assert_says(e->d_name, "CapEff:", none);
        assert_says(e->d_name, "CapPrm:", none);
        assert_says(e->d_name, "CapInh:", none);
        assert_says(e->d_name, "CapAmb:", none);
        if (geteuid() != 0)
            continue;
        assert_says(e->d_name, "CapBnd:", none);
        snprintf(ids, sizeof ids, "\t%u\t%u\t%u\t%u", (unsigned)STAGE_HOSTD_UID,
                 (unsigned)STAGE_HOSTD_UID, (unsigned)STAGE_HOSTD_UID, (unsigned)STAGE_HOSTD_UID);
        assert_says(e->d_name, "Uid:", ids);
        assert_says(e->d_name, "Gid:", ids);
        assert_says(e->d_name, "Groups:", "\t ");
    }
    closedir(d);
    assert_true(n >= 1);
}

static bool shares(const char *ns)
{
    char path[64], mine[64] = "", its[64] = "";

    snprintf(path, sizeof path, "/proc/self/ns/%s", ns);
    assert_true(readlink(path, mine, sizeof mine - 1) > 0);
    snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)s.hostd, ns);
    assert_true(readlink(path, its, sizeof its - 1) > 0);
    return strcmp(mine, its) == 0;
}

/* Where root started it: in the host's user namespace alone the kernel tells it whose a connection is (adr/0010). */
static void it_has_left_the_host(void **state)
{
    char path[64];
    unsigned n = 0;
    struct dirent *e;
    DIR *d;

    (void)state;
    if (geteuid() != 0)
        return; /* namespaces of its own take a right that hostd of a user's may not have */
    assert_false(shares("mnt"));
    assert_false(shares("net"));
    assert_false(shares("ipc"));
    assert_false(shares("uts"));
    assert_true(shares("user"));
    snprintf(path, sizeof path, "/proc/%d/root", (int)s.hostd);
    d = opendir(path);
    assert_non_null(d);
    while ((e = readdir(d)) != NULL)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(d);
    assert_int_equal(n, 0);
}

/* Of a terminal, say, of who started it by hand. */
static void it_has_none_of_its_callers_files(void **state)
{
    static const char *const names[] = { "0", "1" };
    char path[64], target[64];

    (void)state;
    if (geteuid() != 0)
        return; /* it can't be looked at */
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        memset(target, 0, sizeof target);
        snprintf(path, sizeof path, "/proc/%d/fd/%s", (int)s.hostd, names[i]);
        assert_true(readlink(path, target, sizeof target - 1) > 0);
        assert_string_equal(target, "/dev/null");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_thread_is_filtered_and_has_no_rights, begin, end),
        cmocka_unit_test_setup_teardown(it_has_left_the_host, begin, end),
        cmocka_unit_test_setup_teardown(it_has_none_of_its_callers_files, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
