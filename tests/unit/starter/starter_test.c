/* SPDX-License-Identifier: Apache-2.0 */
/* starter_test.c - a real starter: what it keeps, what it starts and with which rights, and that its death costs nothing. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/compiler.h"
#include "base/fd.h"
#include "host.pb-c.h"
#include "hostd/starter/process.h"
#include "sandbox/ids.h"
#include "sandbox/stranger.h"
#include "starter_rig.h"
#include <cmocka.h>

static void test_without_a_file_all_is_the_hosts(void **state)
{
    struct starter_rig *rig = rig_new();
    Bulkhead__HostConfig *config;

    (void)state;
    rig_start(rig);
    config = bulkhead__host_config__unpack(NULL, rig->n_bytes, rig->bytes);
    assert_non_null(config);
    assert_int_equal(config->n_tenants, 1);
    assert_string_equal(config->tenants[0]->name, geteuid() == 0 ? "host" : "user");
    assert_int_equal(config->tenants[0]->uid, geteuid());
    assert_int_equal(config->tenants[0]->uids[0], geteuid());
    assert_true(config->tenants[0]->host);
    assert_string_equal(config->tenants[0]->trees[0], "/");
    bulkhead__host_config__free_unpacked(config, NULL);
    rig_free(rig);
}

static void test_a_bad_file_changes_nothing(void **state)
{
    struct starter_rig *rig = rig_new();
    int channel = -1;

    (void)state;
    rig_write_tenant(rig, "acme");
    rig_start(rig);
    rig_write(rig, "etc/tenants.pb", "\x0a\xff\xff", 3, 0644);
    assert_int_equal(rig_ask(rig, STARTER_TERMS, "", ""), EINVAL);
    assert_non_null(strstr(rig->done.text, "is no list of tenants"));
    assert_int_equal(rig_ask_start(rig, "acme", "web", &channel), 0); /* it is there still */
    close(channel);
    rig_await(rig, &rig->brokers_ended, 1);
    rig_free(rig);
}

static void test_large_file_comes_in_pieces(void **state)
{
    Bulkhead__HostConfig config = BULKHEAD__HOST_CONFIG__INIT;
    Bulkhead__Tenant tenant = BULKHEAD__TENANT__INIT, *tenants[] = { &tenant };
    struct starter_rig *rig = rig_new();
    char *taps[20000], name[] = "acme", tap[] = "interface0";
    uint8_t *bytes;
    size_t len;

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(taps); i++)
        taps[i] = tap;
    tenant.name = name;
    tenant.uid = geteuid();
    tenant.host = 1;
    tenant.taps = taps;
    tenant.n_taps = ARRAY_SIZE(taps);
    config.tenants = tenants;
    config.n_tenants = 1;
    len = bulkhead__host_config__get_packed_size(&config);
    bytes = malloc(len);
    assert_true(len > 3 * STARTER_MAX_BYTES);
    (void)bulkhead__host_config__pack(&config, bytes);
    rig_write(rig, "etc/tenants.pb", bytes, len, 0644);
    rig_start(rig);
    assert_int_equal(rig->n_bytes, len);
    assert_memory_equal(rig->bytes, bytes, len);
    free(bytes);
    rig_free(rig);
}

static void make_kept(const struct starter_rig *rig, const char *name)
{
    char path[160];

    snprintf(path, sizeof path, "%s/state/vms/%s", rig->dir, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

static void test_descriptions_are_kept_as_they_are(void **state)
{
    static uint8_t long_one[STARTER_MAX_BYTES];
    struct starter_rig *rig = rig_new();

    (void)state;
    rig_write_tenant(rig, "acme");
    rig_start(rig);
    for (size_t i = 0; i < sizeof long_one; i++)
        long_one[i] = (uint8_t)(i * 7);
    assert_int_equal(rig_save(rig, "acme", "web", "first", 5), 0);
    assert_int_equal(rig_save(rig, "acme", "web", long_one, sizeof long_one), 0);
    assert_int_equal(rig_save(rig, "acme", "Db_2", "x", 1), 0);
    make_kept(rig, "zebra");
    make_kept(rig, "zebra/web");
    rig_write(rig, "state/vms/zebra/web/spec.pb", "old", 3, 0600);
    assert_int_equal(rig_save(rig, "zebra", "web", "other", 5),
                     0); /* of one that is no tenant now */
    for (int life = 0; life < 2; life++) {
        assert_int_equal(rig_ask(rig, STARTER_LOAD, "", ""), 0);
        assert_int_equal(rig->n_vms, 3);
        assert_string_equal(rig->vms[0].vm, "Db_2");
        assert_string_equal(rig->vms[1].vm, "web");
        assert_int_equal(rig->vms[1].len, sizeof long_one);
        assert_memory_equal(rig->bytes + 1, long_one, sizeof long_one);
        assert_string_equal(rig->vms[2].tenant, "zebra");
        assert_int_equal(rig->vms[2].flags, 0);
        rig_kill(rig);
        rig_start(rig);
    }
    assert_int_equal(rig_ask(rig, STARTER_REMOVE, "acme", "web"), 0);
    assert_int_equal(rig_ask(rig, STARTER_REMOVE, "acme", "web"), 0); /* it is not there */
    assert_true(rig_exists(rig, "state/vms/acme/Db_2/spec.pb"));
    assert_int_equal(rig_ask(rig, STARTER_REMOVE, "acme", "Db_2"), 0);
    assert_false(rig_exists(rig, "state/vms/acme"));
    assert_int_equal(rig_ask(rig, STARTER_REMOVE, "zebra", "web"), 0);
    assert_false(rig_exists(rig, "state/vms/zebra"));
    rig_free(rig);
}

static void test_many_are_told(void **state)
{
    static uint8_t description[20000];
    struct starter_rig *rig = rig_new();
    char name[16];

    (void)state;
    rig_write_tenant(rig, "acme");
    rig_start(rig);
    for (unsigned i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "vm%02u", i);
        assert_int_equal(rig_save(rig, "acme", name, description, sizeof description), 0);
    }
    assert_int_equal(rig_ask(rig, STARTER_LOAD, "", ""), 0);
    assert_int_equal(rig->n_vms, 40);
    assert_int_equal(rig->n_bytes, 40 * sizeof description);
    rig_free(rig);
}

static void expect_line(const char *text, const char *line)
{
    if (!strstr(text, line))
        fail_msg("'%s' is not in\n%s", line, text);
}

static void expect_fd(const char *text, int fd, const char *path)
{
    struct stat st;
    char line[96];

    assert_int_equal(stat(path, &st), 0);
    snprintf(line, sizeof line, "fd %d %o %llu\n", fd, (unsigned)(st.st_mode & S_IFMT),
             (unsigned long long)st.st_ino);
    expect_line(text, line);
}

/* His own, and the one to which /dev/kvm is open. */
static void expect_groups(const char *list)
{
    struct stat st = { .st_gid = RIG_GID };
    char *end;

    (void)stat("/dev/kvm", &st);
    for (gid_t gid = (gid_t)strtoul(list, &end, 10); end != list;
         list = end, gid = (gid_t)strtoul(list, &end, 10)) {
        if (gid != RIG_GID && gid != st.st_gid)
            fail_msg("it has the group %u", gid);
        if (*end != ' ' || end[1] == '\n')
            break;
    }
}

static void test_launcher_has_the_tenants_rights(void **state)
{
    struct starter_rig *rig = rig_new();
    char text[8192], line[256], tree[128];
    unsigned real = 0, effective, saved;

    (void)state;
    (void)setenv("BULKHEAD_SECRET", "x", 1);
    rig_write_tenant(rig, "acme");
    rig_start(rig);
    assert_int_equal(rig_run(rig, "acme", "web", text, sizeof text), 0);
    snprintf(tree, sizeof tree, "%s/tree", rig->dir);
    if (geteuid() == 0) {
        assert_int_equal(
            sscanf(strstr(text, "Uid:\t"), "Uid:\t%u\t%u\t%u", &real, &effective, &saved), 3);
        assert_true(effective == RIG_UID && saved == RIG_UID);
        if (sandbox_ids_mapped(STRANGER_UID_FIRST, STRANGER_UID_COUNT)) {
            assert_in_range(real, STRANGER_UID_FIRST, STRANGER_UID_FIRST + STRANGER_UID_COUNT - 1);
            expect_line(text, "dumpable 0\n"); /* to none of the tenant's processes */
        }
        snprintf(line, sizeof line, "Gid:\t%d\t%d\t%d\t%d\n", RIG_GID, RIG_GID, RIG_GID, RIG_GID);
        expect_line(text, line);
        expect_groups(strstr(text, "Groups:\t") + 8);
        expect_line(text, "CapBnd:\t0000000000000000\n");
    }
    expect_line(text, "CapEff:\t0000000000000000\n");
    expect_line(text, "CapPrm:\t0000000000000000\n");
    expect_line(text, "CapInh:\t0000000000000000\n");
    /* With another real uid it is the launcher that sees to that: test_launcher_itself(). */
    if (real == RIG_UID || geteuid() != 0)
        expect_line(text, "NoNewPrivs:\t1\n");
    expect_line(text, "SigBlk:\t0000000000000000\n");
    expect_line(text, "SigIgn:\t0000000000000000\n");
    expect_line(text, "sid 1\n");
    snprintf(line, sizeof line, "tree %s\ntree /usr\n", tree);
    expect_line(text, line);
    expect_fd(text, 0, "/dev/null");
    expect_fd(text, 6, tree);
    expect_fd(text, 7, "/usr");
    assert_null(strstr(text, "fd 8 ")); /* and nothing more */
    assert_null(strstr(text, "SECRET"));
    rig_quit(rig, "acme", "web");
    rig_free(rig);
}

static bool status_has(pid_t pid, const char *line)
{
    char path[64], text[4096];
    ssize_t n;
    int fd;

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    return strstr(text, line) != NULL;
}

/* The real one, as a starter starts it: it has the tenant's ids alone when it waits for what it is to open. */
static void test_launcher_itself(void **state)
{
    const char *bin = getenv("BULKHEAD_BIN");
    char program[4096], name[] = "bulkhead-broker", mode[] = "--launch", tree[] = "/usr", ids[64];
    char *const argv[] = { name, mode, tree, NULL }, *const envp[] = { NULL };
    int pair[2], other[2], stream[2], null = open("/dev/null", O_RDWR | O_CLOEXEC), status = 0;
    struct process_order order = {
        .program = program, .argv = argv, .envp = envp, .procs_fd = -1, .powerless = true
    };
    pid_t pid;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, other), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream), 0);
    snprintf(program, sizeof program, "%s/bulkhead-broker", bin ? bin : "build/release/bin");
    order.fds = (const int[]){ null, null, 2, pair[1], other[1], stream[1], open("/usr", O_PATH) };
    order.n_fds = 7;
    if (geteuid() == 0) {
        order.uid = RIG_UID;
        order.gid = RIG_GID;
        order.real_uid = stranger_uid();
    }
    pid = process_fork(&order);
    assert_true(pid > 0);
    close(pair[1]);
    snprintf(ids, sizeof ids, "Uid:\t%u\t%u\t%u\t%u\n", geteuid() ? geteuid() : RIG_UID,
             geteuid() ? geteuid() : RIG_UID, geteuid() ? geteuid() : RIG_UID,
             geteuid() ? geteuid() : RIG_UID);
    for (int ms = 0;
         ms < RIG_PATIENCE_MS && !(status_has(pid, ids) && status_has(pid, "NoNewPrivs:\t1\n"));
         ms++)
        (void)poll(NULL, 0, 1);
    assert_true(status_has(pid, ids));
    assert_true(status_has(pid, "NoNewPrivs:\t1\n"));
    assert_true(status_has(pid, "CapEff:\t0000000000000000\n"));
    close(pair[0]); /* the service left without a request */
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    for (int i = 0; i < 2; i++) {
        close(other[i]);
        close(stream[i]);
    }
    close(order.fds[6]);
    close(null);
}

static void await_gone(struct starter_rig *rig)
{
    int r;

    do {
        (void)poll(NULL, 0, 1);
        r = rig_ask_channel(rig, STARTER_CONNECT, "acme", "web", STARTER_CHANNEL_COMMAND);
        if (r == 0)
            close(rig->fds[0]);
    } while (r != ENOENT);
}

static void test_life_of_a_vm(void **state)
{
    struct starter_rig *rig = rig_new();
    char text[4096];
    int fd, channel;

    (void)state;
    rig_write_tenant(rig, "acme");
    rig_start(rig);
    assert_int_equal(rig_ask_channel(rig, STARTER_CONNECT, "acme", "web", STARTER_CHANNEL_COMMAND),
                     ENOENT);
    assert_int_equal(rig_save(rig, "acme", "web", "spec", 4), 0);
    assert_int_equal(rig_run(rig, "acme", "web", NULL, 0), 0);
    assert_int_equal(rig_ask_start(rig, "acme", "web", &channel), EBUSY);
    close(channel);
    assert_int_equal(rig_ask(rig, STARTER_REMOVE, "acme", "web"), EBUSY);
    assert_int_equal(rig_ask(rig, STARTER_CONSOLE, "acme", "web"), 0); /* there is one */
    assert_int_equal(rig_ask(rig, STARTER_LOAD, "", ""), 0);
    assert_int_equal(rig->n_vms, 1);
    assert_int_equal(rig->vms[0].flags, STARTER_LIVES | STARTER_HAS_CONSOLE);
    assert_int_equal(rig_ask_channel(rig, STARTER_CONNECT, "acme", "web", STARTER_CHANNEL_CONSOLE),
                     0);
    fd = rig->fds[0];
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    rig_read(fd, text, sizeof text, "login: ");
    assert_int_equal(write(fd, "root\n", 5), 5);
    rig_read(fd, text, sizeof text, "root\n");
    close(fd);
    rig_quit(rig, "acme", "web");
    rig_await(rig, &rig->consoles_ended, 1);
    assert_int_equal(rig_ask_channel(rig, STARTER_LOGS, "acme", "web", STARTER_CHANNEL_CONSOLE), 0);
    rig_read(rig->fds[rig->n_fds - 1], text, sizeof text, "login: root\n");
    assert_int_equal(fcntl(rig->fds[0], F_GETFL) & O_ACCMODE, O_RDONLY);
    for (unsigned i = 0; i < rig->n_fds; i++)
        close(rig->fds[i]);
    assert_int_equal(rig_ask_channel(rig, STARTER_LOGS, "acme", "web", STARTER_CHANNEL_BROKER), 0);
    rig_read(rig->fds[rig->n_fds - 1], text, sizeof text, "broker ends\n");
    expect_line(text,
                geteuid() == 0 ? "broker for uids 1879048192 128\n" : "broker for uids 0 0\n");
    expect_line(text, "launched web\n");
    for (unsigned i = 0; i < rig->n_fds; i++)
        close(rig->fds[i]);
    assert_int_equal(rig_ask(rig, STARTER_REMOVE, "acme", "web"), 0);
    assert_false(rig_exists(rig, "state/vms/acme"));
    assert_false(rig_exists(rig, "run/io/acme"));
    assert_false(rig_exists(rig, "run/vms/acme"));
    rig_free(rig);
}

/* Once it is said that nobody has the VM's directory, it can be started and removed: its broker may let go long before it
 * ends. */
static void test_gone_is_free(void **state)
{
    struct starter_rig *rig = rig_new();

    (void)state;
    rig_write_tenant(rig, "acme");
    rig_start(rig);
    assert_int_equal(rig_save(rig, "acme", "web", "spec", 4), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(rig_run(rig, "acme", "web", NULL, 0), 0);
        assert_int_equal(
            rig_ask_channel(rig, STARTER_CONNECT, "acme", "web", STARTER_CHANNEL_COMMAND), 0);
        assert_int_equal(send(rig->fds[0], "linger", 6, MSG_NOSIGNAL), 6);
        close(rig->fds[0]);
        await_gone(rig);
    }
    assert_int_equal(rig_ask(rig, STARTER_REMOVE, "acme", "web"), 0);
    rig_free(rig);
}

static void kill_console(const struct starter_rig *rig)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
    char path[160];
    int fd;

    snprintf(path, sizeof path, "%s/run/io/acme/web/lock", rig->dir);
    fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(fcntl(fd, F_GETLK, &lock), 0);
    assert_true(lock.l_type != F_UNLCK && lock.l_pid > 1);
    assert_int_equal(kill(lock.l_pid, SIGKILL), 0);
    close(fd);
}

/* Killed as by the kernel: broker and console go on, and the next one finds them. */
static void test_death_of_the_starter_costs_nothing(void **state)
{
    struct starter_rig *rig = rig_new();
    char text[4096];
    int before, fd;

    (void)state;
    rig_write_tenant(rig, "acme");
    rig_start(rig);
    assert_int_equal(rig_run(rig, "acme", "web", NULL, 0), 0);
    assert_int_equal(rig_ask_channel(rig, STARTER_CONNECT, "acme", "web", STARTER_CHANNEL_CONSOLE),
                     0);
    before = rig->fds[0];
    rig_read(before, text, sizeof text, "login: ");
    rig_kill(rig);
    rig_start(rig);
    assert_int_equal(rig_ask(rig, STARTER_LOAD, "", ""), 0);
    assert_int_equal(rig->n_vms, 1);
    assert_int_equal(rig->vms[0].flags, STARTER_LIVES | STARTER_HAS_CONSOLE);
    assert_int_equal(write(before, "still\n", 6), 6);
    rig_read(before, text, sizeof text, "still\n");
    close(before);
    assert_int_equal(rig_ask(rig, STARTER_CONSOLE, "acme", "web"), 0); /* adopts it */
    kill_console(rig); /* that is told, and another one takes its place */
    rig_await(rig, &rig->consoles_ended, 1);
    assert_int_equal(rig_ask(rig, STARTER_CONSOLE, "acme", "web"), 0);
    do
        (void)poll(NULL, 0, 1);
    while (rig_ask_channel(rig, STARTER_CONNECT, "acme", "web", STARTER_CHANNEL_CONSOLE) != 0);
    fd = rig->fds[0];
    rig_read(fd, text, sizeof text, "login: ");
    close(fd);
    assert_int_equal(rig_ask_channel(rig, STARTER_CONNECT, "acme", "web", STARTER_CHANNEL_COMMAND),
                     0);
    assert_int_equal(send(rig->fds[0], "quit", 4, MSG_NOSIGNAL), 4);
    close(rig->fds[0]);
    rig_await(rig, &rig->consoles_ended, 2);
    rig_free(rig);
}

static void kill_vm(struct starter_rig *rig)
{
    assert_int_equal(rig_ask(rig, STARTER_KILL, "acme", "web"), 0);
    await_gone(rig);
}

/* Of a starter that died before the console that it had started was quite there. */
static void test_two_consoles_for_one_vm(void **state)
{
    struct starter_rig *rig = rig_new();
    char text[4096];
    int fd = -1;

    (void)state;
    rig_write_tenant(rig, "acme");
    for (int i = 0; i < 10; i++) {
        rig_start(rig);
        assert_int_equal(rig_run(rig, "acme", "web", NULL, 0), 0);
        rig_kill(rig);
        rig_start(rig);
        (void)rig_ask(rig, STARTER_CONSOLE, "acme", "web");
        do {
            do
                (void)poll(NULL, 0, 1);
            while (rig_ask_channel(rig, STARTER_CONNECT, "acme", "web", STARTER_CHANNEL_CONSOLE) !=
                   0);
            fd_closep(&fd);
            fd = rig->fds[0];
        } while (!rig_try_read(fd, text, sizeof text, "login: "));
        fd_closep(&fd);
        kill_vm(rig);
        assert_int_equal(rig_stop(rig), 0);
    }
    rig_free(rig);
}

static void test_many_runs_leave_nothing(void **state)
{
    enum { RUNS = 15 };
    struct starter_rig *rig = rig_new();
    char text[16384];
    unsigned before, n = 0;

    (void)state;
    rig_write_tenant(rig, "acme");
    rig_start(rig);
    before = rig_count_fds(rig);
    for (unsigned i = 0; i < RUNS; i++) {
        assert_int_equal(rig_run(rig, "acme", "web", NULL, 0), 0);
        rig_quit(rig, "acme",
                 "web"); /* the next run may begin before this one's console has ended */
    }
    for (int ms = 0; rig_count_fds(rig) > before && ms < RIG_PATIENCE_MS; ms++) {
        assert_int_equal(rig_ask(rig, STARTER_LOAD, "", ""), 0); /* the last console is to end */
        (void)poll(NULL, 0, 1);
    }
    assert_true(rig_count_fds(rig) <= before);
    assert_int_equal(rig_ask_channel(rig, STARTER_LOGS, "acme", "web", STARTER_CHANNEL_BROKER), 0);
    rig_read(rig->fds[rig->n_fds - 1], text, sizeof text, "broker ends\n");
    for (const char *at = text; (at = strstr(at, "broker ends\n")) != NULL; at++)
        n++;
    assert_int_equal(n, RUNS);
    for (unsigned i = 0; i < rig->n_fds; i++)
        close(rig->fds[i]);
    rig_free(rig);
}

static void test_kill_ends_all_of_it(void **state)
{
    struct starter_rig *rig = rig_new();

    (void)state;
    rig_write_tenant(rig, "acme");
    for (int life = 0; life < 2; life++) { /* of this starter's, and of one before it */
        rig_start(rig);
        assert_int_equal(rig_ask(rig, STARTER_KILL, "acme", "web"), ENOENT);
        assert_int_equal(rig_run(rig, "acme", "web", NULL, 0), 0);
        if (life == 1) {
            rig_kill(rig);
            rig_start(rig);
        }
        kill_vm(rig);
        assert_int_equal(rig_stop(rig), 0);
    }
    rig_free(rig);
}

/* Both may be in one control group, and their tenants have the same names. */
static void test_two_services(void **state)
{
    struct starter_rig *one = rig_new(), *other;

    (void)state;
    rig_write_tenant(one, "acme");
    rig_start(one);
    assert_int_equal(rig_run(one, "acme", "web", NULL, 0), 0);
    other = rig_new();
    rig_write_tenant(other, "acme");
    rig_start(other);
    assert_int_equal(rig_run(other, "acme", "web", NULL, 0), 0);
    kill_vm(other);
    assert_int_equal(rig_stop(other), 0);
    assert_int_equal(rig_ask_channel(one, STARTER_CONNECT, "acme", "web", STARTER_CHANNEL_COMMAND),
                     0);
    close(one->fds[0]);
    rig_quit(one, "acme", "web");
    rig_free(one);
    rig_free(other);
}

static void test_only_one_and_folders_of_its_own(void **state)
{
    struct starter_rig *rig = rig_new();
    char path[160];

    (void)state;
    rig_start(rig);
    assert_int_equal(rig_try_start(), RIG_REFUSED);
    assert_int_equal(rig_ask(rig, STARTER_LOAD, "", ""), 0);
    assert_int_equal(rig_stop(rig), 0);
    assert_int_equal(rig_try_start(), 0);
    snprintf(path, sizeof path, "%s/state", rig->dir);
    assert_int_equal(chmod(path, 0777), 0);
    assert_int_equal(rig_try_start(), RIG_REFUSED);
    assert_int_equal(chmod(path, 0700), 0);
    assert_int_equal(rig_try_start(), 0);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_a_file_all_is_the_hosts),
        cmocka_unit_test(test_a_bad_file_changes_nothing),
        cmocka_unit_test(test_large_file_comes_in_pieces),
        cmocka_unit_test(test_descriptions_are_kept_as_they_are),
        cmocka_unit_test(test_many_are_told),
        cmocka_unit_test(test_launcher_has_the_tenants_rights),
        cmocka_unit_test(test_launcher_itself),
        cmocka_unit_test(test_life_of_a_vm),
        cmocka_unit_test(test_gone_is_free),
        cmocka_unit_test(test_death_of_the_starter_costs_nothing),
        cmocka_unit_test(test_two_consoles_for_one_vm),
        cmocka_unit_test(test_many_runs_leave_nothing),
        cmocka_unit_test(test_kill_ends_all_of_it),
        cmocka_unit_test(test_two_services),
        cmocka_unit_test(test_only_one_and_folders_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
