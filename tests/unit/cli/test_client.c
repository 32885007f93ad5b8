// SPDX-License-Identifier: Apache-2.0
// test_client.c - the real program against a broker that the test plays on a command socket.
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "client.pb-c.h"
#include "fake_broker.h"
#include "ipc/channel.h"
#include "silent.h"

#include <cmocka.h>

static void test_replies(void **state)
{
    static const struct {
        const char *line;
        Bulkhead__ClientEnvelope__BodyCase body;
        int error;
        bool bad_input;
        int status;
        const char *text, *output;
    } cases[] = {
        { "pause alpha", BULKHEAD__CLIENT_ENVELOPE__BODY_PAUSE_VM, 0, false, 0, "",
          "alpha: paused" },
        { "resume alpha", BULKHEAD__CLIENT_ENVELOPE__BODY_RESUME_VM, 0, false, 0, "",
          "alpha: running" },
        { "stop alpha", BULKHEAD__CLIENT_ENVELOPE__BODY_STOP_VM, 0, false, 0, "",
          "alpha: stopped" },
        { "power-button alpha", BULKHEAD__CLIENT_ENVELOPE__BODY_PRESS_POWER_BUTTON, 0, false, 0,
          "pressed", "alpha: pressed" },
        { "repair alpha disk0", BULKHEAD__CLIENT_ENVELOPE__BODY_REPAIR, EINVAL, true, 2,
          "disk0 is healthy", "bulkhead: disk0 is healthy\n" },
        { "repair alpha disk0", BULKHEAD__CLIENT_ENVELOPE__BODY_REPAIR, EIO, false, 1, "no luck",
          "bulkhead: no luck\n" },
        { "upgrade alpha disk0", BULKHEAD__CLIENT_ENVELOPE__BODY_UPGRADE, 0, false, 0, "",
          "alpha: upgraded" },
        { "set alpha balloon size=16M", BULKHEAD__CLIENT_ENVELOPE__BODY_RESIZE_BALLOON, 0, false, 0,
          "", "" },
        { "set alpha disk0 ops_size=5,ops_refill_time=10",
          BULKHEAD__CLIENT_ENVELOPE__BODY_SET_DEVICE_RATE_LIMIT, 0, false, 0, "", "" },
        /* control characters of a broker don't reach the terminal */
        { "pause alpha", BULKHEAD__CLIENT_ENVELOPE__BODY_PAUSE_VM, EIO, false, 1, "a\033[2Jb\nc",
          "bulkhead: a?[2Jb?c\n" },
    };
    struct fake_broker *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct channel *channel;
        int status;

        fake_broker_start(f, cases[i].line);
        channel = fake_broker_accept_client(f);
        fake_broker_reply(channel, fake_broker_expect(channel, cases[i].body), cases[i].error,
                          cases[i].bad_input, cases[i].text);
        status = fake_broker_finish(f);
        channel_free(channel);
        if (status != cases[i].status || !strstr(f->text, cases[i].output))
            fail_msg("'%s': status %d, output '%s'", cases[i].line, status, f->text);
    }
}

/* Of a broker that was taken over: processes that aren't its VM's, under names that draw on the terminal. */
static char *planned_file; /* that it is said to have open; NULL: nothing is */

static void answer_audit(struct channel *plans, struct channel *lists, Bulkhead__Role role,
                         const struct family *family)
{
    static char kind[] = "file", why[] = "so it says";
    Bulkhead__FdPlan fd = BULKHEAD__FD_PLAN__INIT, *fds[] = { &fd };
    static char evil[] = "rng\033[2J\nok", spawner_name[] = "spawner", running[] = "running";
    Bulkhead__ClientEnvelope e = BULKHEAD__CLIENT_ENVELOPE__INIT;
    Bulkhead__Plan answer = BULKHEAD__PLAN__INIT;
    Bulkhead__VmPlan plan = BULKHEAD__VM_PLAN__INIT;
    Bulkhead__ProcessPlan rng = BULKHEAD__PROCESS_PLAN__INIT, *plans_of[] = { &rng };
    Bulkhead__ProcessList list = BULKHEAD__PROCESS_LIST__INIT;
    Bulkhead__ProcessInfo spawner = BULKHEAD__PROCESS_INFO__INIT, other = spawner,
                          *infos[] = { &spawner, &other };

    rng.role = other.role = role;
    rng.name = other.name = evil;
    rng.survives_boot = 1;
    fd.fd = -1;
    fd.kept = fd.count = 1;
    fd.what = planned_file;
    fd.type = kind;
    fd.why = why;
    rng.fds = fds;
    rng.n_fds = planned_file != NULL;
    plan.processes = plans_of;
    plan.n_processes = 1;
    answer.plan = &plan;
    spawner.role = BULKHEAD__ROLE__ROLE_SPAWNER;
    spawner.name = spawner_name;
    spawner.pid = family->spawner;
    other.pid = family->child;
    list.state = spawner.state = other.state = running;
    list.processes = infos;
    list.n_processes = 2;
    e.id = fake_broker_expect(plans, BULKHEAD__CLIENT_ENVELOPE__BODY_GET_PLAN);
    e.body_case = BULKHEAD__CLIENT_ENVELOPE__BODY_PLAN;
    e.plan = &answer;
    assert_int_equal(channel_send_raw(plans, &e.base, NULL, 0, true), 0);
    e.body_case = BULKHEAD__CLIENT_ENVELOPE__BODY_PROCESS_LIST;
    e.process_list = &list;
    for (unsigned i = 0; i < 2; i++) { /* and again, when it has looked */
        e.id = fake_broker_expect(lists, BULKHEAD__CLIENT_ENVELOPE__BODY_LIST_PROCESSES);
        assert_int_equal(channel_send_raw(lists, &e.base, NULL, 0, true), 0);
    }
}

static void audit_of_others(struct fake_broker *f, Bulkhead__Role role, const struct family *family)
{
    struct channel *plans, *lists;

    fake_broker_start(f, "audit alpha");
    plans = fake_broker_accept_client(f);
    lists = fake_broker_accept_client(f);
    answer_audit(plans, lists, role, family);
    assert_int_equal(fake_broker_finish(f), 1);
    channel_free(plans);
    channel_free(lists);
    assert_non_null(strstr(f->text, "rng?[2J?ok"));
    assert_null(strchr(f->text, '\033'));
}

static bool was_refused(const struct fake_broker *f)
{
    return strstr(f->text, " is not of this VM's spawner\n") != NULL;
}

static void test_audit_of_others(void **state)
{
    const struct family us = { .spawner = getppid(), .child = getpid() };
    struct fake_broker *f = *state;
    struct family family;

    audit_of_others(f, BULKHEAD__ROLE__ROLE_RNG,
                    &us); /* a child of the former, but that is not a spawner */
    assert_true(was_refused(f));
    assert_null(strstr(f->text, "Uid"));
    audit_of_others(f, BULKHEAD__ROLE__ROLE_HOLDER, &us);
    assert_true(was_refused(f));
    family = fake_broker_start_family(f, false);
    audit_of_others(f, BULKHEAD__ROLE__ROLE_RNG, &family); /* another VM's */
    assert_true(was_refused(f) || geteuid() != 0);
    fake_broker_end_family(f, &family);
    family = fake_broker_start_family(f, true);
    audit_of_others(f, BULKHEAD__ROLE__ROLE_RNG,
                    &family); /* what is wrong with it is said, not whose it is */
    assert_false(was_refused(f));
    fake_broker_end_family(f, &family);
}

/* By its name one that keeps a socket's file, and nobody's child: it is this VM's if its spawner has its link. */
static void test_audit_of_other_holders(void **state)
{
    struct fake_broker *f = *state;
    int stream[2], link[2];

    prctl(PR_SET_NAME, "bulkhead-socket");
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream), 0);
    for (unsigned linked = 0; linked < 2; linked++) {
        struct family family;

        if (linked) /* this process's make, and inherited by the spawner */
            assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, link), 0);
        family = fake_broker_start_family(f, true);
        audit_of_others(f, BULKHEAD__ROLE__ROLE_HOLDER,
                        &(struct family){ .spawner = family.spawner, .child = getpid() });
        assert_true(was_refused(f) == (linked == 0) || geteuid() != 0);
        fake_broker_end_family(f, &family);
    }
    for (unsigned i = 0; i < 2; i++) {
        close(stream[i]);
        close(link[i]);
    }
    prctl(PR_SET_NAME, "test_cli_client");
}

/* What it has open, and what its broker says that it has open, is in a file system whose server takes what it is asked and
 * doesn't answer: nothing is asked there. */
static void test_audit_of_what_does_not_answer(void **state)
{
    struct fake_broker *f = *state;
    char dir[80], file[96];
    struct pollfd asked = { .events = POLLIN };
    struct silent silent;
    struct family family;
    int fd;

    snprintf(dir, sizeof(dir), "%s/alpha/silent", f->dir);
    snprintf(file, sizeof(file), "%s/file", dir);
    if (!silent_begin(&silent, dir))
        return;
    fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    family = fake_broker_start_family(f, true);
    planned_file = file;
    audit_of_others(f, BULKHEAD__ROLE__ROLE_RNG, &family);
    planned_file = NULL;
    assert_null(strstr(f->text, "it can't be looked at"));
    assert_non_null(strstr(f->text, "is not in the plan"));
    asked.fd = silent.asked;
    assert_int_equal(poll(&asked, 1, 0), 0);
    fake_broker_end_family(f, &family);
    close(fd);
    silent_end(&silent);
}

/* Its rows, of a broker that names `n` processes. */
static json_t *list_processes(struct fake_broker *f, size_t n, const struct family *family)
{
    struct channel *channel;
    json_t *root, *rows;

    fake_broker_start(f, "ps alpha --json");
    channel = fake_broker_accept_client(f);
    fake_broker_answer_list(channel, n, family);
    assert_int_equal(fake_broker_finish(f), 0);
    channel_free(channel);
    root = json_loads(f->text, 0, NULL);
    rows = json_incref(json_object_get(json_array_get(root, 0), "processes"));
    json_decref(root);
    return rows;
}

static void test_ps(void **state)
{
    struct fake_broker *f = *state;
    struct family family = fake_broker_start_family(f, true);
    struct channel *channel;
    json_t *rows, *process;

    fake_broker_start(f, "ps");
    channel = fake_broker_accept_client(f);
    fake_broker_answer_list(channel, 1, &family);
    assert_int_equal(fake_broker_finish(f), 0);
    channel_free(channel);
    assert_non_null(strstr(f->text, "alpha: running, guest RAM 512M"));
    assert_non_null(strstr(f->text, "\nsandbox: in 1 process userns replaced by so and so; "
                                    "without landlock (1)\n"));
    assert_non_null(strstr(f->text, "disk0"));

    rows = list_processes(f, 1, &family);
    process = json_array_get(rows, 1);
    assert_string_equal(json_string_value(json_object_get(process, "role")), "blk");
    assert_int_equal(json_integer_value(json_object_get(process, "restarts")), 7);
    assert_true(json_integer_value(json_object_get(process, "memory_bytes")) > 0);
    assert_int_equal(json_array_size(json_object_get(process, "missing_layers")), 1);
    assert_string_equal(json_string_value(json_object_get(process, "replaced_layer")),
                        "userns replaced by so and so");
    json_decref(rows);
    fake_broker_end_family(f, &family);
}

/* Of a broker that was taken over: the memory of others' processes is not counted, nor that of more than a VM has. */
static void test_ps_of_others(void **state)
{
    struct fake_broker *f = *state;
    struct family family = fake_broker_start_family(f, false);
    json_t *rows = list_processes(f, MANY, &family);

    assert_true(json_array_size(rows) < MANY);
    if (geteuid() == 0)
        assert_int_equal(
            json_integer_value(json_object_get(json_array_get(rows, 1), "memory_bytes")), 0);
    json_decref(rows);
    fake_broker_end_family(f, &family);
}

static void test_events(void **state)
{
    Bulkhead__ClientEnvelope e = BULKHEAD__CLIENT_ENVELOPE__INIT;
    Bulkhead__Event event = BULKHEAD__EVENT__INIT;
    Bulkhead__KeyValue value = BULKHEAD__KEY_VALUE__INIT;
    Bulkhead__KeyValue *values[] = { &value };
    char source[] = "device", name[] = "died", key[] = "id", text[] = "disk0";
    struct fake_broker *f = *state;
    struct channel *channel;
    json_t *root;

    fake_broker_start(f, "events alpha --json");
    channel = fake_broker_accept_client(f);
    fake_broker_expect(channel, BULKHEAD__CLIENT_ENVELOPE__BODY_SUBSCRIBE);
    value.key = key;
    value.value = text;
    event.time_ns = 1700000000123456789u;
    event.source = source;
    event.event = name;
    event.properties = values;
    event.n_properties = 1;
    e.body_case = BULKHEAD__CLIENT_ENVELOPE__BODY_EVENT;
    e.event = &event;
    assert_int_equal(channel_send_raw(channel, &e.base, NULL, 0, true), 0);
    channel_free(channel); /* the broker dies, and another takes over */
    channel = fake_broker_accept_client(f);
    fake_broker_expect(channel, BULKHEAD__CLIENT_ENVELOPE__BODY_SUBSCRIBE);
    close(f->listener);
    f->listener = -1;
    channel_free(channel); /* the VM ends */
    assert_int_equal(fake_broker_finish(f), 0);
    root = json_loads(f->text, 0, NULL);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(root, "timestamp"), "secs")),
        1700000000);
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(root, "properties"), "id")), "disk0");
    json_decref(root);
}

/* More often than the program may have descriptors. */
static void test_events_of_a_broker_that_hangs_up(void **state)
{
    enum { FDS = 32 };
    const struct rlimit few = { .rlim_cur = FDS, .rlim_max = FDS };
    struct fake_broker *f = *state;

    fake_broker_start(f, "events alpha");
    for (unsigned i = 0; i < 2 * FDS; i++) {
        struct channel *channel = fake_broker_accept_client(f);

        if (i == 0)
            assert_int_equal(prlimit(f->pid, RLIMIT_NOFILE, &few, NULL), 0);
        fake_broker_expect(channel, BULKHEAD__CLIENT_ENVELOPE__BODY_SUBSCRIBE);
        if (i == 2 * FDS - 1) {
            close(f->listener);
            f->listener = -1;
        }
        channel_free(channel);
    }
    assert_int_equal(fake_broker_finish(f), 0);
}

/* Of a VM that runs. */
static void test_plan(void **state)
{
    Bulkhead__ClientEnvelope e = BULKHEAD__CLIENT_ENVELOPE__INIT;
    Bulkhead__Plan answer = BULKHEAD__PLAN__INIT;
    Bulkhead__VmPlan plan = BULKHEAD__VM_PLAN__INIT;
    Bulkhead__ProcessPlan rng = BULKHEAD__PROCESS_PLAN__INIT, *processes[] = { &rng };
    static const char *const lines[] = { "plan alpha", "plan --json alpha" };
    static const char *const wanted[] = { "alpha: 1 processes\n",
                                          "{\"vm\": \"alpha\", \"processes\": [{" };
    struct fake_broker *f = *state;
    char name[] = "alpha";

    rng.role = BULKHEAD__ROLE__ROLE_RNG;
    plan.vm = rng.name = name;
    plan.processes = processes;
    plan.n_processes = 1;
    answer.plan = &plan;
    e.body_case = BULKHEAD__CLIENT_ENVELOPE__BODY_PLAN;
    e.plan = &answer;
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        struct channel *channel;

        fake_broker_start(f, lines[i]);
        channel = fake_broker_accept_client(f);
        e.id = fake_broker_expect(channel, BULKHEAD__CLIENT_ENVELOPE__BODY_GET_PLAN);
        assert_int_equal(channel_send_raw(channel, &e.base, NULL, 0, true), 0);
        assert_int_equal(fake_broker_finish(f), 0);
        channel_free(channel);
        assert_int_equal(strncmp(f->text, wanted[i], strlen(wanted[i])), 0);
    }
}

static void test_refusals(void **state)
{
    static const struct {
        const char *line;
        const char *output;
    } cases[] = {
        { "pause alhpa", "no VM 'alhpa' (the nearest running one is 'alpha')" },
        { "stop alhpa", "no VM 'alhpa' (the nearest running one is 'alpha')" }, /* no service */
        { "pause ../alpha", "no VM '../alpha'" },
        { "pause", "usage: bulkhead pause VM" },
        { "pause alpha beta", "usage: bulkhead pause VM" },
        { "puase alpha", "unknown verb 'puase' (the nearest is 'pause')" },
        { "ps --jsno", "unknown flag '--jsno' (the nearest is '--json')" },
        { "set alpha disk0 ops_size=5", "belong together" },
        { "set alpha balloon size=5", "not a multiple" },
        { "upgrade alpha disk0 --binary /nonexistent", "No such file" },
        { "upgrade alpha disk0 --binary /etc/passwd", "not executable" },
        { "audit nobody", "no VM 'nobody'" },
        { "top one two", "top takes one VM" },
    };
    struct fake_broker *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int status;

        fake_broker_start(f, cases[i].line);
        status = fake_broker_finish(f);
        if (status != 2 || strncmp(f->text, "bulkhead: ", 10) != 0 ||
            !strstr(f->text, cases[i].output) ||
            strchr(f->text, '\n') != f->text + strlen(f->text) - 1)
            fail_msg("'%s': status %d, output '%s'", cases[i].line, status, f->text);
    }
}

static void test_help(void **state)
{
    static const char *const verbs[] = { "run",   "plan",    "ps",           "top",     "events",
                                         "audit", "doctor",  "repair",       "upgrade", "set",
                                         "pause", "resume",  "power-button", "stop",    "create",
                                         "start", "reboot",  "rm",           "ls",      "info",
                                         "wait",  "console", "logs" };
    struct fake_broker *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
        char line[64];
        char want[64];

        snprintf(line, sizeof(line), "%s --help", verbs[i]);
        snprintf(want, sizeof(want), "usage: bulkhead %s ", verbs[i]);
        fake_broker_start(f, line);
        assert_int_equal(fake_broker_finish(f), 0);
        assert_non_null(strstr(f->text, want));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_replies, fake_broker_setup, fake_broker_teardown),
        cmocka_unit_test_setup_teardown(test_audit_of_others, fake_broker_setup,
                                        fake_broker_teardown),
        cmocka_unit_test_setup_teardown(test_ps, fake_broker_setup, fake_broker_teardown),
        cmocka_unit_test_setup_teardown(test_audit_of_other_holders, fake_broker_setup,
                                        fake_broker_teardown),
        cmocka_unit_test_setup_teardown(test_audit_of_what_does_not_answer, fake_broker_setup,
                                        fake_broker_teardown),
        cmocka_unit_test_setup_teardown(test_ps_of_others, fake_broker_setup, fake_broker_teardown),
        cmocka_unit_test_setup_teardown(test_events, fake_broker_setup, fake_broker_teardown),
        cmocka_unit_test_setup_teardown(test_events_of_a_broker_that_hangs_up, fake_broker_setup,
                                        fake_broker_teardown),
        cmocka_unit_test_setup_teardown(test_plan, fake_broker_setup, fake_broker_teardown),
        cmocka_unit_test_setup_teardown(test_refusals, fake_broker_setup, fake_broker_teardown),
        cmocka_unit_test_setup_teardown(test_help, fake_broker_setup, fake_broker_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
