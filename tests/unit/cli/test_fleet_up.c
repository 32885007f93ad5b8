// SPDX-License-Identifier: Apache-2.0
// test_fleet_up.c - the real program brings fleets up and down, by a service that the test plays: in what order it asks,
// what makes a VM ready, what becomes of the others when one fails.
#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_fleet.h"

#define STATE(name) BULKHEAD__HOST_VM_STATE__HOST_VM_##name
#define K "config: {payload: {kernel: /k}}"

static struct fake_fleet fleet;

static int setup(void **state)
{
    int r = fake_host_setup(state);

    fake_fleet_begin(&fleet, *state);
    return r;
}

static int teardown(void **state)
{
    fake_fleet_end(&fleet);
    return fake_host_teardown(state);
}

static void describe(const char *text)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof(path), "%s/f.yaml", fleet.host->dir);
    file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

/* `fleet up FLAGS` of what was described. */
static void run(const char *deed, const char *rest)
{
    char line[256];

    fleet.asked[0] = '\0';
    snprintf(line, sizeof(line), "fleet %s %s/f.yaml %s", deed, fleet.host->dir, rest);
    fake_host_run(fleet.host, line, NULL, false);
}

static int run_to_end(const char *deed, const char *rest)
{
    run(deed, rest);
    return fake_fleet_serve(&fleet, NULL);
}

static void printed(const char *text)
{
    if (!strstr(fleet.host->text, text))
        fail_msg("no '%s' in '%s'", text, fleet.host->text);
}

static const char chain[] = "vms:\n"
                            "- {name: web, " K ", after: [db]}\n"
                            "- {name: db, " K ", ready: {console: database ready}}\n"
                            "- {name: net, " K "}\n";

/* ---- up ---- */

static void test_up(void **state)
{
    struct fake_vm *db = fake_fleet_vm(&fleet, "db");

    (void)state;
    describe(chain);
    db->console = "booting\r\n";
    run("up", "");
    fake_fleet_serve(&fleet, "net: running");
    fake_fleet_serve_asked(&fleet, "console db");
    assert_string_equal(fleet.asked, "create db\ncreate net\nconsole db\n");
    fake_fleet_write(&fleet, "db", "not yet\r\nthe datab");
    fake_fleet_write(&fleet, "db", "ase ready, it is\r\n");
    assert_int_equal(fake_fleet_serve(&fleet, NULL), 0);
    assert_string_equal(fleet.asked, "create db\ncreate net\nconsole db\ncreate web\n");
    printed("db: running, after ");
    printed("db: ready, after ");
    printed("web: running, after ");
    printed("3 VMs are up, after ");

    /* Once more: nothing is done, and nothing is said of it. */
    db->console = "database ready\r\n";
    assert_int_equal(run_to_end("up", ""), 0);
    assert_string_equal(fleet.asked, "console db\n");
    assert_string_equal(fleet.host->text, "3 VMs are up\n");

    /* What has ended is started. */
    fake_fleet_crash(&fleet, "web");
    assert_int_equal(run_to_end("up", ""), 0);
    assert_string_equal(fleet.asked, "console db\nstart web\n");
    printed("web: running, after ");
}

/* Its line is far behind what its console shows: it is in the log. */
static void test_up_again_long_after(void **state)
{
    static char much[16384 + 1];
    struct fake_vm *db = fake_fleet_vm(&fleet, "db");

    (void)state;
    memset(much, '.', sizeof(much) - 1);
    describe("vms: [{name: db, " K ", ready: {console: ready}}]");
    db->console = "ready";
    assert_int_equal(run_to_end("up", ""), 0);
    db->console = much;
    db->log = "once it was ready\n";
    assert_int_equal(run_to_end("up", ""), 0);
    assert_string_equal(fleet.asked, "console db\nlog db\n");
    assert_string_equal(fleet.host->text, "1 VM is up\n");

    /* Nor there any more, but the log begins after the start, and the VM has been up for longer than it may take. */
    db->log = "";
    db->console = "";
    db->started_ns -= 1000 * 1000000000ull;
    assert_int_equal(run_to_end("up", ""), 0);
    assert_string_equal(fleet.asked, "console db\nlog db\n");
}

static void test_up_json(void **state)
{
    static const char *const want[] = { "running", "ready", "failed", "skipped", "up" };
    size_t n = 0;

    (void)state;
    describe("vms: [{name: a, " K ", ready: {console: x}}, {name: b, " K ", after: [a]}, "
             "{name: c, " K ", after: [b]}]");
    fake_fleet_vm(&fleet, "a")->console = "x";
    fake_fleet_vm(&fleet, "b")->fails = "no\nluck";
    assert_int_equal(run_to_end("up", "--json"), 1);
    for (char *line = strtok(fleet.host->text, "\n"); line; line = strtok(NULL, "\n"), n++) {
        json_t *object = json_loads(line, 0, NULL);

        assert_non_null(object);
        assert_true(n < 5);
        assert_string_equal(json_string_value(json_object_get(object, "event")), want[n]);
        if (n == 2)
            assert_string_equal(json_string_value(json_object_get(object, "text")), "no?luck");
        if (n == 4)
            assert_int_equal(json_integer_value(json_object_get(object, "skipped")), 1);
        json_decref(object);
    }
    assert_int_equal(n, 5);
}

static void test_up_failures(void **state)
{
    (void)state;
    describe("vms: [{name: a, " K "}, {name: b, " K ", after: [a]}, {name: c, " K ", after: [b]}, "
             "{name: d, " K "}]");
    fake_fleet_vm(&fleet, "a")->fails = "no \033[2Jdisk";
    assert_int_equal(run_to_end("up", ""), 1);
    assert_string_equal(fleet.asked, "create a\ncreate d\n");
    printed("bulkhead: a: no ?[2Jdisk\n");
    printed("d: running, after ");
    printed("VM  RESULT       WHY\n"
            "a   failed       no ?[2Jdisk\n"
            "b   not started  not started, because of 'a'\n"
            "c   not started  not started, because of 'b'\n"
            "d   up           -\n");
}

/* It may end before it is ready, or take too long; its console may be a moment away, or go away. */
static void test_up_never_ready(void **state)
{
    struct fake_vm *a = fake_fleet_vm(&fleet, "a");

    (void)state;
    describe("vms: [{name: a, " K ", ready: {console: x}}, {name: b, " K ", after: [a]}]");
    a->console = "";
    run("up", "");
    fake_fleet_serve_asked(&fleet, "console a");
    fake_fleet_crash(&fleet, "a");
    assert_int_equal(fake_fleet_serve(&fleet, NULL), 1);
    printed("bulkhead: a: it ended before it was ready: ");
    printed("b   not started");

    describe("vms: [{name: a, " K ", ready: {console: x, timeout_s: 1}}]");
    assert_int_equal(run_to_end("up", ""), 1);
    printed("bulkhead: a: not ready after 1 s: its console can't be had: not yet\n");

    run("up", "");
    fake_fleet_serve_asked(&fleet, "console a\nconsole a");
    a->console = "x";
    assert_int_equal(fake_fleet_serve(&fleet, NULL), 0);

    /* Its process was started again, and the rest of the line comes from that one. */
    describe("vms: [{name: a, " K ", ready: {console: xyz}}]");
    a->console = "xy";
    run("up", "");
    fake_fleet_serve_asked(&fleet, "console a");
    close(a->attached);
    a->attached = -1;
    a->console = "xyz";
    assert_int_equal(fake_fleet_serve(&fleet, NULL), 0);
}

static void test_up_differs(void **state)
{
    (void)state;
    describe("vms: [{name: a, " K ", labels: {x: y, z: '1'}}, {name: b, " K "}]");
    assert_int_equal(run_to_end("up", ""), 0);
    describe("vms: [{name: a, " K ", labels: {z: '1', x: y}}, {name: b, "
             "config: {payload: {kernel: /other}}}, {name: c, " K ", after: [b]}]");
    assert_int_equal(run_to_end("up", ""), 1);
    assert_string_equal(fleet.asked, "");
    printed("bulkhead: b: the service has another VM of that name (its config.kernel): bulkhead "
            "fleet up --recreate removes that one\n");
    assert_int_equal(run_to_end("status", ""), 0);
    printed("b: the service has another VM of that name: its config.kernel\n");
    assert_int_equal(run_to_end("up", "--recreate"), 0);
    assert_string_equal(fleet.asked, "remove by force b\ncreate b\ncreate c\n");
    printed("b: removed\n");
    assert_int_equal(run_to_end("up", ""), 0);
    assert_string_equal(fleet.asked, "");
}

/* On its way down it can't be started, and one of another tenant's is called by both names. */
static void test_up_stopping(void **state)
{
    (void)state;
    describe("tenant: acme\nvms: [{name: a, " K "}]");
    assert_int_equal(run_to_end("up", ""), 0);
    assert_string_equal(fleet.asked, "create acme/a\n");
    fake_fleet_vm(&fleet, "acme/a")->state = STATE(STOPPING);
    assert_int_equal(run_to_end("up", ""), 0);
    assert_string_equal(fleet.asked, "wait acme/a\nstart acme/a\n");
}

/* So many at once, and no more. */
static void test_up_at_once(void **state)
{
    char text[2048] = "vms:\n", name[8];

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "v%u", i);
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "- {name: %s, " K "}\n", name);
        fake_fleet_vm(&fleet, name)->held = true;
    }
    describe(text);
    run("up", "--parallel 5");
    fake_fleet_serve_asked(&fleet, "create v4");
    for (unsigned i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "v%u", i);
        fake_fleet_release(&fleet, name);
        snprintf(text, sizeof(text), "create v%u", i + 5);
        if (i < 15)
            fake_fleet_serve_asked(&fleet, text);
    }
    assert_int_equal(fake_fleet_serve(&fleet, NULL), 0);
    assert_int_equal(fleet.most_held, 5);
    printed("20 VMs are up");
}

/* What was asked for goes on; nothing else is. */
/* At a terminal alone, and gone with what follows. */
static void test_up_progress(void **state)
{
    struct fake_vm *db = fake_fleet_vm(&fleet, "db");
    char line[256];

    (void)state;
    describe(chain);
    db->held = true;
    snprintf(line, sizeof(line), "fleet up %s/f.yaml", fleet.host->dir);
    fake_host_run_tty(fleet.host, line);
    fake_fleet_serve(&fleet, "\r1 of 3 up, 1 s: db\033[K");
    db->held = false;
    db->console = "database ready";
    fake_fleet_release(&fleet, "db");
    fake_fleet_serve(&fleet, "3 VMs are up");
    close(fleet.host->in);
    fleet.host->in = -1;
    assert_int_equal(fake_fleet_serve(&fleet, NULL), 0);
    printed("\r\033[Kdb: running, after ");
}

static void test_up_interrupted(void **state)
{
    (void)state;
    describe("vms: [{name: a, " K "}, {name: b, " K ", after: [a]}, {name: c, " K ", after: [b]}, "
             "{name: d, " K ", ready: {console: x}}]");
    fake_fleet_vm(&fleet, "b")->held = true;
    fake_fleet_vm(&fleet, "d")->console = "";
    run("up", "");
    fake_fleet_serve_asked(&fleet, "console d");
    fake_fleet_serve_asked(&fleet, "create b");
    kill(fleet.host->pid, SIGINT);
    assert_int_equal(fake_fleet_serve(&fleet, NULL), 5);
    printed("VM  RESULT         WHY\n"
            "a   up             -\n"
            "b   being started  -\n"
            "c   not started    -\n"
            "d   not ready yet  -\n");
    printed("bulkhead: interrupted: what runs goes on, and the service with what it was asked "
            "for\n");
}

static void test_up_service_gone(void **state)
{
    (void)state;
    describe("vms: [{name: a, " K "}, {name: b, " K ", after: [a]}]");
    fake_fleet_vm(&fleet, "a")->held = true;
    run("up", "");
    fake_fleet_serve_asked(&fleet, "create a");
    for (size_t i = 0; i < FLEET_CHANNELS; i++)
        channel_freep(&fleet.channels[i]);
    assert_int_equal(fake_fleet_serve(&fleet, NULL), 1);
    printed("a   being started");
    printed("bulkhead: the host's service has closed the connection: ask again\n");
}

/* ---- a port ---- */

static int listen_at(const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    assert_int_equal(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(fd, 4), 0);
    return fd;
}

/* The next one who asks for a port; NULL: is let go. He may leave as soon as he has read enough. */
static void answer_port(int listener, const char *answer)
{
    char text[32] = "";
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

    assert_true(fd >= 0);
    assert_true(read(fd, text, sizeof(text) - 1) > 0);
    assert_string_equal(text, "CONNECT 80\n");
    for (; answer && *answer; answer++) /* as slowly as can be */
        assert_true(send(fd, answer, 1, MSG_NOSIGNAL) == 1 || errno == EPIPE);
    if (answer)
        assert_true(read(fd, text, 1) <= 0);
    close(fd);
}

static void test_up_port(void **state)
{
    char text[256], path[96];
    int listener;

    (void)state;
    snprintf(path, sizeof(path), "%s/vsock", fleet.host->dir);
    snprintf(text, sizeof(text),
             "vms: [{name: a, config: {payload: {kernel: /k}, vsock: {cid: 3, socket: %s}}, ready: "
             "{vsock: 80}}]",
             path);
    describe(text);
    run("up", "");
    fake_fleet_serve(&fleet, "a: running"); /* there is no socket yet */
    listener = listen_at(path);
    answer_port(listener, NULL);
    answer_port(listener, "NO\n");
    answer_port(listener, "OK 1024\n");
    assert_int_equal(fake_fleet_serve(&fleet, NULL), 0);
    printed("a: ready, after ");
    close(listener);

    /* A tenant who puts a link there doesn't have the caller speak to others. */
    unlink(path);
    snprintf(text, sizeof(text), "%s/other", fleet.host->dir);
    listener = listen_at(text);
    assert_int_equal(symlink(text, path), 0);
    assert_int_equal(run_to_end("up", ""), 1);
    printed("vsock can't be reached from here (Too many levels of symbolic links): wait for a line "
            "on its console\n");
    close(listener);
}

/* ---- down, status ---- */

static void test_down(void **state)
{
    (void)state;
    describe(chain);
    fake_fleet_vm(&fleet, "db")->console = "database ready";
    assert_int_equal(run_to_end("up", ""), 0);
    fake_fleet_vm(&fleet, "web")->held = true;
    run("down", "");
    fake_fleet_serve(&fleet, "net: stopped");
    assert_string_equal(fleet.asked, "halt web\nhalt net\n");
    fake_fleet_release(&fleet, "web");
    assert_int_equal(fake_fleet_serve(&fleet, NULL), 0);
    assert_string_equal(fleet.asked, "halt web\nhalt net\nhalt db\n");
    printed("3 VMs are down, after ");
    assert_int_equal(run_to_end("down", ""), 0);
    assert_string_equal(fleet.asked, "");
    assert_string_equal(fleet.host->text, "3 VMs are down\n");

    assert_int_equal(run_to_end("up", ""), 0);
    assert_int_equal(run_to_end("down", "--rm --grace 0 --parallel 1"), 0);
    assert_string_equal(fleet.asked, "kill web\nremove web\nkill db\nremove db\nkill net\nremove "
                                     "net\n");
    assert_int_equal(run_to_end("down", "--rm"), 0);
    assert_string_equal(fleet.host->text, "3 VMs are down\n");
}

static void test_down_failure(void **state)
{
    (void)state;
    describe(chain);
    fake_fleet_vm(&fleet, "db")->console = "database ready";
    assert_int_equal(run_to_end("up", ""), 0);
    fake_fleet_vm(&fleet, "web")->fails = "it hangs";
    assert_int_equal(run_to_end("down", ""), 1);
    assert_string_equal(fleet.asked, "halt web\nhalt net\n");
    printed("web  failed       it hangs\n"
            "db   not stopped  not stopped, because of 'web'\n"
            "net  down         -\n");
}

static void test_status(void **state)
{
    json_t *list;

    (void)state;
    describe(chain);
    assert_int_equal(run_to_end("status", ""), 0);
    printed("web  absent  -      db (ready)   -\n");
    fake_fleet_vm(&fleet, "db")->console = "database ready";
    assert_int_equal(run_to_end("up", ""), 0);
    fake_fleet_crash(&fleet, "net");
    assert_int_equal(run_to_end("status", ""), 0);
    printed("VM   STATE    READY  AFTER       UP\n"
            "web  running  -      db (ready)  ");
    printed("\ndb   running  yes    -           ");
    printed("\nnet  stopped  -      -            -\n");
    fake_fleet_vm(&fleet, "db")->console = "data";
    assert_int_equal(run_to_end("status", "--json"), 0);
    list = json_loads(fleet.host->text, 0, NULL);
    assert_int_equal(json_array_size(list), 3);
    assert_true(json_is_null(json_object_get(json_array_get(list, 0), "ready")));
    assert_true(json_is_false(json_object_get(json_array_get(list, 1), "ready")));
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 2), "state")),
                        "stopped");
    json_decref(list);
}

/* ---- arguments, and what needs no service ---- */

static void test_arguments(void **state)
{
    struct fake_host *f = *state;
    static const struct {
        const char *line;
        int status;
        const char *output;
    } cases[] = {
        { "fleet", 2,
          "bulkhead: usage: bulkhead fleet check|plan|up|down|status [FILE...] "
          "[FLAGS]\n" },
        { "fleet chek", 2,
          "bulkhead: fleet: 'chek' is none of check, plan, up, down, status (the "
          "nearest is 'check')\n" },
        { "fleet plan --rm", 2, "bulkhead: fleet plan takes no --rm\n" },
        { "fleet up --grace 3", 2, "bulkhead: fleet up takes no --grace\n" },
        { "fleet up --parallel 0", 2, "bulkhead: --parallel: '0' is not a number from 1 to 24\n" },
        { "fleet up --dir /tmp x", 2, "bulkhead: --dir and files: give one of them\n" },
        { "fleet up --dir /nowhere", 2, "bulkhead: /nowhere: No such file or directory\n" },
    };
    char want[256], path[128];

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int status;

        fake_host_run(f, cases[i].line, NULL, false);
        status = fake_host_finish(f);
        if (status != cases[i].status || strcmp(f->text, cases[i].output) != 0)
            fail_msg("'%s': status %d, output '%s'", cases[i].line, status, f->text);
    }
    /* A host without a fleet: there is nothing to do, which is no failure. */
    snprintf(want, sizeof(want), "no VM is described in %s/config/fleet.d\n", f->dir);
    fake_host_run(f, "fleet up", NULL, false);
    assert_int_equal(fake_host_finish(f), 0);
    assert_string_equal(f->text, want);
    snprintf(path, sizeof(path), "%s/config/fleet.d", f->dir);
    assert_int_equal(mkdir(path, 0755), 0);
    fake_host_run(f, "fleet status --json", NULL, false);
    assert_int_equal(fake_fleet_serve(&fleet, NULL), 0);
    assert_string_equal(f->text, "[]\n");
}

static void test_check_and_plan(void **state)
{
    (void)state;
    describe(chain);
    assert_int_equal(run_to_end("check", ""), 0);
    assert_string_equal(fleet.host->text, "3 VMs in 1 file: no fault\n");
    assert_int_equal(run_to_end("plan", ""), 0);
    assert_string_equal(fleet.host->text,
                        "WAVE  VM   VCPUS  MEMORY  DEVICES  AFTER       READY\n"
                        "   1  db       1    512M  rng      -           'database ready', 120s\n"
                        "   1  net      1    512M  rng      -           -\n"
                        "   2  web      1    512M  rng      db (ready)  -\n"
                        "\n3 VMs, 3 vCPUs, 1.5G\n");
    describe("vms: [{name: a, " K ", after: [b]}]");
    assert_int_equal(run_to_end("up", ""), 2);
    printed("f.yaml:1: a: after: there is no VM 'b' in the manifests\n");
    assert_int_equal(run_to_end("check", "--json"), 2);
    printed("\"vms\": 1, \"faults\": [\"");
    /* Nothing of it is begun: not those that have no fault either. */
    describe("vms: [{name: a, " K "}, {name: b, " K ", after: [c]}]");
    assert_int_equal(run_to_end("up", ""), 2);
    assert_string_equal(fleet.asked, "");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_up),
        TEST(test_up_again_long_after),
        TEST(test_up_json),
        TEST(test_up_failures),
        TEST(test_up_never_ready),
        TEST(test_up_differs),
        TEST(test_up_stopping),
        TEST(test_up_at_once),
        TEST(test_up_progress),
        TEST(test_up_interrupted),
        TEST(test_up_service_gone),
        TEST(test_up_port),
        TEST(test_down),
        TEST(test_down_failure),
        TEST(test_status),
        TEST(test_arguments),
        TEST(test_check_and_plan),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
