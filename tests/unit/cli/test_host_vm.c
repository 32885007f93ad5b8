// SPDX-License-Identifier: Apache-2.0
// test_host_vm.c - one VM of the host's service: how it is described and how it ended, its events, and
// the session with its broker that the service hands out.
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "client.pb-c.h"
#include "ended.h"
#include "fake_host.h"
#include "output.h"

#define BODY(name) BULKHEAD__HOST_ENVELOPE__BODY_##name
#define CLIENT_BODY(name) BULKHEAD__CLIENT_ENVELOPE__BODY_##name

/* ---- info and wait ---- */

static void answer_details(struct channel *c, uint32_t id, unsigned which)
{
    Bulkhead__HostEnvelope answer = BULKHEAD__HOST_ENVELOPE__INIT;
    Bulkhead__VmDetails details = BULKHEAD__VM_DETAILS__INIT;
    Bulkhead__VmSpec spec = BULKHEAD__VM_SPEC__INIT;
    Bulkhead__VmConfig config = BULKHEAD__VM_CONFIG__INIT;
    Bulkhead__DiskConfig disk = BULKHEAD__DISK_CONFIG__INIT, *disks[] = { &disk };
    char name[] = "web", kernel[] = "/srv/vmlinuz", path[] = "/srv/a.img";

    disk.path = path;
    disk.readonly = 1;
    config.name = name;
    config.kernel = kernel;
    config.disks = disks;
    config.n_disks = 1;
    spec.config = &config;
    details.spec = &spec;
    details.status = fake_host_status(which);
    answer.id = id;
    answer.body_case = BODY(VM_DETAILS);
    answer.vm_details = &details;
    fake_host_send(c, &answer, NULL, 0);
}

static void test_info(void **state)
{
    struct fake_host *f = *state;
    const Bulkhead__HostEnvelope *e;
    struct channel *c;
    json_t *root, *config;

    fake_host_run(f, "info web", NULL, false);
    c = fake_host_accept(f);
    e = fake_host_expect(c, BODY(INSPECT_VM));
    assert_string_equal(e->inspect_vm->vm, "web");
    answer_details(c, e->id, 0);
    assert_int_equal(fake_host_finish(f), 0);
    channel_free(c);
    assert_non_null(strstr(f->text, "web, of acme\n  state        running\n"));
    assert_non_null(strstr(f->text, " (2h ago)\n"));
    assert_non_null(strstr(f->text, "  label        tier=front\n"));
    assert_non_null(strstr(f->text, "  disks[0].path                /srv/a.img\n"));
    assert_non_null(strstr(f->text, "  disks[0].readonly            true\n"));

    fake_host_run(f, "info acme/web --json", NULL, false);
    c = fake_host_accept(f);
    e = fake_host_expect(c, BODY(INSPECT_VM));
    assert_string_equal(e->inspect_vm->vm, "acme/web");
    answer_details(c, e->id, 0);
    assert_int_equal(fake_host_finish(f), 0);
    channel_free(c);
    root = json_loads(f->text, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(root, "state")), "running");
    config = json_object_get(root, "config");
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(config, "payload"), "kernel")),
        "/srv/vmlinuz");
    json_decref(root);
}

/* It waits over the service's death. */
static void test_wait(void **state)
{
    struct fake_host *f = *state;
    const Bulkhead__HostEnvelope *e;
    struct channel *c;

    fake_host_run(f, "wait db", NULL, false);
    c = fake_host_accept(f);
    fake_host_expect(c, BODY(WAIT_VM));
    channel_free(c);
    c = fake_host_accept(f);
    e = fake_host_expect(c, BODY(WAIT_VM));
    assert_string_equal(e->wait_vm->vm, "db");
    answer_details(c, e->id, 1);
    assert_int_equal(fake_host_finish(f), 3);
    channel_free(c);
    assert_non_null(strstr(f->text, "db: crashed: triple fault\n"));

    fake_host_run(f, "wait web --json", NULL, false);
    c = fake_host_accept(f);
    e = fake_host_expect(c, BODY(WAIT_VM));
    answer_details(c, e->id, 0);
    assert_int_equal(fake_host_finish(f), 2);
    channel_free(c);
    assert_string_equal(f->text, "bulkhead: 'web' was never started: bulkhead start web\n");

    close(f->listener);
    f->listener = -1;
    fake_host_run(f, "wait web", NULL, false);
    assert_int_equal(fake_host_finish(f), 2);
}

/* What its description asks for can't be had: as bad input, and not as a VM that ended nobody knows why. */
static void test_not_started(void **state)
{
    Bulkhead__VmEnded ended = BULKHEAD__VM_ENDED__INIT;
    char text[256];

    (void)state;
    ended.detail = (char *)(uintptr_t) "the disk is in use";
    assert_string_equal(ended_word(&ended), "refused");
    assert_string_equal(ended_text(text, sizeof(text), &ended), "not started: the disk is in use");
    assert_int_equal(ended_status(&ended), EXIT_BAD_INPUT);
    ended.host_failure = 1;
    assert_string_equal(ended_word(&ended), "failed");
    assert_int_equal(ended_status(&ended), EXIT_HOST);
}

/* ---- sessions ---- */

/* The broker's end of a session that the service hands out. */
static struct channel *hand_out(struct fake_host *f, const char *vm)
{
    struct channel *channel = NULL;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
                     0);
    fake_host_open(f, vm, BULKHEAD__VM_CHANNEL__VM_COMMAND, &pair[1], 1);
    assert_int_equal(channel_new(&channel, pair[0], CHANNEL_ARENA_BROKER), 0);
    return channel;
}

/* Root asks where its run directory is too. */
static void tell_rundir(struct fake_host *f)
{
    struct channel *c;

    if (geteuid() != 0)
        return;
    c = fake_host_accept(f);
    answer_details(c, fake_host_expect(c, BODY(INSPECT_VM))->id, 0);
    channel_free(c);
}

static const Bulkhead__ClientEnvelope *expect(struct channel *channel,
                                              Bulkhead__ClientEnvelope__BodyCase body)
{
    const Bulkhead__ClientEnvelope *e;
    ProtobufCMessage *msg = NULL;
    size_t n_fds;
    int *fds, r;

    fcntl(channel_fd(channel), F_SETFL, 0);
    r = channel_receive_raw(channel, true, &bulkhead__client_envelope__descriptor, &msg, &fds,
                            &n_fds);
    assert_int_equal(r, 0);
    e = (const Bulkhead__ClientEnvelope *)msg;
    assert_int_equal(e->body_case, body);
    return e;
}

static void send_client(struct channel *channel, Bulkhead__ClientEnvelope *e)
{
    assert_int_equal(channel_send_raw(channel, &e->base, NULL, 0, true), 0);
}

static void test_session(void **state)
{
    Bulkhead__ClientEnvelope e = BULKHEAD__CLIENT_ENVELOPE__INIT;
    Bulkhead__Reply reply = BULKHEAD__REPLY__INIT;
    struct fake_host *f = *state;
    struct channel *c;

    fake_host_run(f, "pause acme/web", NULL, false);
    c = hand_out(f, "acme/web");
    tell_rundir(f);
    e.id = expect(c, CLIENT_BODY(PAUSE_VM))->id;
    e.body_case = CLIENT_BODY(REPLY);
    e.reply = &reply;
    send_client(c, &e);
    assert_int_equal(fake_host_finish(f), 0);
    assert_string_equal(f->text, "acme/web: paused\n");
    channel_free(c);
}

/* What the service says when there is none to hand out. */
static void test_no_session(void **state)
{
    static const struct {
        int error;
        bool bad_input;
        const char *text;
        int status;
        const char *output;
    } cases[] = {
        { EINVAL, true, "web is stopped: bulkhead start web", 2,
          "bulkhead: web is stopped: bulkhead start web\n" },
        { EIO, false, "its broker does not answer", 1, "bulkhead: its broker does not answer\n" },
        { ENOENT, true, "no VM 'wbe'", 2, "bulkhead: no VM 'wbe' (the nearest one is 'web')\n" },
    };
    struct fake_host *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct channel *c;
        int status;

        fake_host_run(f, "pause wbe", NULL, false);
        c = fake_host_accept(f);
        fake_host_reply(c, fake_host_expect(c, BODY(OPEN_VM))->id, cases[i].error,
                        cases[i].bad_input, cases[i].text);
        channel_free(c);
        if (cases[i].error == ENOENT) {
            c = fake_host_accept(f);
            fake_host_tell_vms(c, 2);
            channel_free(c);
        }
        status = fake_host_finish(f);
        if (status != cases[i].status || strcmp(f->text, cases[i].output) != 0)
            fail_msg("%zu: status %d, output '%s'", i, status, f->text);
    }
}

/* A descriptor of another kind than was agreed is not used. */
static void test_wrong_descriptor(void **state)
{
    static const char *const lines[] = { "pause web", "console web", "logs web" };
    struct fake_host *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        int pair[2];

        assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
        fake_host_run(f, lines[i], NULL, false);
        fake_host_open(f, "web",
                       i == 0   ? BULKHEAD__VM_CHANNEL__VM_COMMAND
                       : i == 1 ? BULKHEAD__VM_CHANNEL__VM_CONSOLE
                                : BULKHEAD__VM_CHANNEL__VM_CONSOLE_LOG,
                       pair, 1);
        close(pair[1]);
        assert_int_equal(fake_host_finish(f), 1);
        assert_non_null(strstr(f->text, "an answer that doesn't fit the question"));
    }
}

static void answer_sample(struct channel *c)
{
    Bulkhead__ClientEnvelope e = BULKHEAD__CLIENT_ENVELOPE__INIT;
    Bulkhead__ProcessList list = BULKHEAD__PROCESS_LIST__INIT;
    Bulkhead__Stats stats = BULKHEAD__STATS__INIT;
    char name[] = "web", running[] = "running";

    e.id = expect(c, CLIENT_BODY(LIST_PROCESSES))->id;
    list.vm = name;
    list.state = running;
    list.ram_size = 64u << 20;
    e.body_case = CLIENT_BODY(PROCESS_LIST);
    e.process_list = &list;
    send_client(c, &e);
    e.id = expect(c, CLIENT_BODY(GET_STATS))->id;
    e.body_case = CLIENT_BODY(STATS);
    e.stats = &stats;
    send_client(c, &e);
}

static void list_running(struct fake_host *f, const char *tenant)
{
    struct channel *c = fake_host_accept(f);

    fake_host_tell_tenant(c, tenant);
    fake_host_tell_vms(c, 2);
    channel_free(c);
}

/* All that run, of the caller's tenant and of another. */
static void test_top(void **state)
{
    struct fake_host *f = *state;
    struct channel *c;
    json_t *root;

    fake_host_run(f, "top --json", NULL, false);
    list_running(f, "acme");
    c = hand_out(f, "web");
    tell_rundir(f);
    answer_sample(c);
    assert_int_equal(fake_host_finish(f), 0);
    channel_free(c);
    root = json_loads(f->text, 0, NULL);
    assert_int_equal(json_array_size(root), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(root, 0), "vm")), "web");
    json_decref(root);

    fake_host_run(f, "top", NULL, false);
    list_running(f, "host");
    c = hand_out(f, "acme/web");
    tell_rundir(f);
    answer_sample(c);
    list_running(f, "host");
    answer_sample(c);
    fake_host_await(f, "\nacme/web             running ");
    close(f->listener); /* it asks for no more VMs */
    f->listener = -1;
    kill(f->pid, SIGTERM);
    assert_int_equal(fake_host_finish(f), 0);
    channel_free(c);
    assert_non_null(strstr(f->text, "1 VM, CPU 0.0%, memory 0B, guest RAM 64M\n"));
}

/* ---- events ---- */

static void send_event(struct channel *c, uint64_t sequence, uint64_t lost)
{
    Bulkhead__HostEnvelope e = BULKHEAD__HOST_ENVELOPE__INIT;
    Bulkhead__HostEvent host = BULKHEAD__HOST_EVENT__INIT;
    Bulkhead__Event event = BULKHEAD__EVENT__INIT;
    char tenant[] = "acme", vm[] = "web", source[] = "vm", name[] = "booted";

    event.source = source;
    event.event = name;
    event.time_ns = 1700000000123456789u;
    host.sequence = sequence;
    host.lost = lost;
    host.tenant = tenant;
    host.vm = vm;
    host.event = &event;
    e.body_case = BODY(HOST_EVENT);
    e.host_event = &host;
    fake_host_send(c, &e, NULL, 0);
}

static struct channel *accept_follower(struct fake_host *f)
{
    struct channel *c = fake_host_accept(f);

    fake_host_reply(c, fake_host_expect(c, BODY(FOLLOW_HOST))->id, 0, false, "");
    return c;
}

/* Over the service's death. */
static void test_events(void **state)
{
    struct fake_host *f = *state;
    struct channel *c;
    json_t *root;

    fake_host_run(f, "events --all --json", NULL, false);
    c = accept_follower(f);
    send_event(c, 7, 2);
    fake_host_await(f, "\n");
    root = json_loads(f->text, JSON_DISABLE_EOF_CHECK, NULL);
    assert_int_equal(json_integer_value(json_object_get(root, "sequence")), 7);
    assert_int_equal(json_integer_value(json_object_get(root, "lost")), 2);
    assert_string_equal(json_string_value(json_object_get(root, "tenant")), "acme");
    assert_string_equal(json_string_value(json_object_get(root, "vm")), "web");
    assert_string_equal(json_string_value(json_object_get(root, "event")), "booted");
    json_decref(root);
    channel_free(c);
    c = accept_follower(f);
    send_event(c, 1, 0);
    fake_host_await(f, "\"sequence\":1,");
    kill(f->pid, SIGTERM);
    fake_host_finish(f);
    channel_free(c);

    fake_host_run(f, "events --all", NULL, false);
    c = accept_follower(f);
    send_event(c, 7, 2);
    fake_host_await(f, "2 events were lost\n");
    fake_host_await(f, " acme/web vm booted\n");
    kill(f->pid, SIGTERM);
    fake_host_finish(f);
    channel_free(c);
}

/* A broker that was taken over says what JSON has no words for: the others' events come all the same. */
static void test_events_that_are_no_text(void **state)
{
    struct fake_host *f = *state;
    Bulkhead__HostEnvelope e = BULKHEAD__HOST_ENVELOPE__INIT;
    Bulkhead__HostEvent event = BULKHEAD__HOST_EVENT__INIT;
    Bulkhead__Event own = BULKHEAD__EVENT__INIT;
    Bulkhead__KeyValue bad = BULKHEAD__KEY_VALUE__INIT, *list[] = { &bad };
    char vm[] = "web", tenant[] = "acme", text[] = "a\xff", key[] = "\xc0";
    struct channel *c;

    fake_host_run(f, "events --all --json", NULL, false);
    c = accept_follower(f);
    bad.key = key;
    bad.value = own.source = own.event = text;
    own.properties = list;
    own.n_properties = 1;
    event.vm = vm;
    event.tenant = tenant;
    event.sequence = 6;
    event.event = &own;
    e.body_case = BODY(HOST_EVENT);
    e.host_event = &event;
    fake_host_send(c, &e, NULL, 0);
    send_event(c, 7, 0);
    fake_host_await(f, "\"sequence\":7,");
    assert_non_null(
        strstr(f->text, "\"event\":\"a?\",\"properties\":{\"?\":\"a?\"},\"sequence\":6"));
    kill(f->pid, SIGTERM);
    fake_host_finish(f);
    channel_free(c);
}

static void test_refusals(void **state)
{
    static const struct {
        const char *line, *output;
    } cases[] = {
        { "info", "usage: bulkhead info VM" },
        { "info a/b/c", "'a/b/c' is no VM's name" },
        { "wait .x", "'.x' is no VM's name" },
        { "console x/", "'x/' is no VM's name" },
        { "console web --input-only --output-only", "exclude each other" },
        { "console web db", "too many arguments: 'db'" },
        { "logs web --tail many", "--tail: 'many' is not a number of lines" },
        { "logs web --folow", "the nearest is '--follow'" },
        { "events", "usage: bulkhead events VM | --all" },
        { "events web --all", "usage: bulkhead events VM | --all" },
    };
    struct fake_host *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int status;

        fake_host_run(f, cases[i].line, NULL, false);
        status = fake_host_finish(f);
        if (status != 2 || strncmp(f->text, "bulkhead: ", 10) != 0 ||
            !strstr(f->text, cases[i].output))
            fail_msg("'%s': status %d, output '%s'", cases[i].line, status, f->text);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_host_setup, fake_host_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_info),        TEST(test_wait),
        TEST(test_not_started), TEST(test_session),
        TEST(test_no_session),  TEST(test_wrong_descriptor),
        TEST(test_top),

        TEST(test_events),      TEST(test_events_that_are_no_text),
        TEST(test_refusals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
