/* SPDX-License-Identifier: Apache-2.0 */
/* guests_test.c - a real hostd in its sandbox, and the guest of a VM with named rights: the test is its broker, and itself. */
#include "stage.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/compiler.h"
#include "base/fd.h"
#include "base/loop.h"

#define B(name) BULKHEAD__HOST_ENVELOPE__BODY_##name
#define C(name) BULKHEAD__CLIENT_ENVELOPE__BODY_##name
#define MS UINT64_C(1000000)
#define T(text) ((char *)(uintptr_t)(text))

static struct stage s;
static uid_t one; /* who speaks for t0 */

static int begin(void **state)
{
    (void)state;
    stage_begin(&s, 200);
    one = geteuid() == 0 ? 1000000 : geteuid();
    return 0;
}

static int end(void **state)
{
    (void)state;
    stage_end(&s);
    return 0;
}

static int is_reply(const Bulkhead__HostEnvelope *e)
{
    assert_non_null(e);
    assert_int_equal(e->body_case, B(REPLY));
    return e->reply->error;
}

/* The next that its broker is given, as its guest has it. */
static struct channel *next_line(struct channel *broker)
{
    struct channel *line = NULL;
    ProtobufCMessage *msg = NULL;
    int *fds;
    size_t n_fds;

    assert_int_equal(channel_receive_raw(broker, true, &bulkhead__client_envelope__descriptor, &msg,
                                         &fds, &n_fds),
                     0);
    assert_int_equal(((const Bulkhead__ClientEnvelope *)msg)->body_case, C(SERVICE_LINE));
    assert_int_equal(n_fds, 1);
    assert_int_equal(fcntl(fds[0], F_SETFL, fcntl(fds[0], F_GETFL) & ~O_NONBLOCK), 0);
    assert_int_equal(channel_new_stream(&line, fd_take(&fds[0]), CHANNEL_ARENA_CLIENT), 0);
    return line;
}

static bool nothing_comes(struct channel *broker)
{
    struct pollfd p = { .fd = channel_fd(broker), .events = POLLIN };

    return poll(&p, 1, 0) == 0;
}

static void a_guest_is_known_by_its_line(void **state)
{
    struct channel *client = stage_connect(&s, one), *broker, *lines[4], *other;
    const Bulkhead__HostEnvelope *e;

    (void)state;
    stage_create_controller(&s, client, "ctl");
    broker = stage_run(&s, client, "ctl");
    for (unsigned i = 0; i < ARRAY_SIZE(lines); i++)
        lines[i] = next_line(broker);
    assert_true(nothing_comes(broker));
    stage_create(&s, client, "web", false);
    stage_asked(&s, STARTER_SAVE);
    stage_done(&s, 0, NULL, 0);
    assert_int_equal(is_reply(stage_hear(client, NULL, NULL)), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(lines); i++) {
        e = stage_ask(&s, lines[i], B(LIST_VMS), NULL);
        assert_int_equal(e->body_case, B(VM_LIST));
        assert_int_equal(e->vm_list->n_vms, 1);
        assert_string_equal(e->vm_list->vms[0]->name, "web");
        assert_int_equal(is_reply(stage_ask(&s, lines[i], B(START_VM), "web")), EPERM);
    }
    /* Where one ends another follows, and no other; also where its guest said nothing, or what is no message. */
    channel_freep(&lines[0]);
    other = next_line(broker);
    assert_int_equal(send(channel_fd(lines[1]), "\377\377\377\377", 4, MSG_NOSIGNAL), 4);
    assert_null(stage_hear(lines[1], NULL, NULL));
    channel_freep(&lines[1]);
    lines[1] = next_line(broker);
    channel_free(other);
    other = next_line(broker);
    assert_int_equal(stage_ask(&s, other, B(LIST_VMS), NULL)->body_case, B(VM_LIST));
    assert_true(nothing_comes(broker));
    for (unsigned i = 1; i < ARRAY_SIZE(lines); i++)
        channel_free(lines[i]);
    channel_free(other);
    channel_free(broker);
    channel_free(client);
}

/* The starter has a launcher open it, which says what came of that; the VM's broker takes it back. */
static void a_guest_is_given_a_disk(void **state)
{
    struct channel *client = stage_connect(&s, one), *broker, *lines[4], *launcher;
    Bulkhead__HostEnvelope e = BULKHEAD__HOST_ENVELOPE__INIT;
    Bulkhead__AskDevice asked = BULKHEAD__ASK_DEVICE__INIT;
    Bulkhead__ReturnDevice returned = BULKHEAD__RETURN_DEVICE__INIT;
    Bulkhead__ClientEnvelope said = BULKHEAD__CLIENT_ENVELOPE__INIT;
    Bulkhead__Reply reply = BULKHEAD__REPLY__INIT;
    const Bulkhead__ClientEnvelope *heard;
    ProtobufCMessage *msg = NULL;
    int *fds;
    size_t n_fds;

    (void)state;
    stage_create_controller(&s, client, "ctl");
    broker = stage_run(&s, client, "ctl");
    for (unsigned i = 0; i < ARRAY_SIZE(lines); i++)
        lines[i] = next_line(broker);
    asked.device = returned.device = T("data");
    e.body_case = B(ASK_DEVICE);
    e.ask_device = &asked;
    stage_send(&s, lines[0], &e);
    if (geteuid() != 0) { /* the host's own tenant's */
        assert_int_equal(is_reply(stage_hear(lines[0], NULL, NULL)), EPERM);
        for (unsigned i = 0; i < ARRAY_SIZE(lines); i++)
            channel_free(lines[i]);
        channel_free(broker);
        channel_free(client);
        return;
    }
    stage_asked(&s, STARTER_GIVE);
    assert_string_equal(s.request.vm, "ctl");
    assert_int_equal(channel_new(&launcher, fd_take(&s.fd), CHANNEL_ARENA_CLIENT), 0);
    assert_int_equal(channel_receive_raw(launcher, true, &bulkhead__client_envelope__descriptor,
                                         &msg, &fds, &n_fds),
                     0);
    heard = (const Bulkhead__ClientEnvelope *)msg;
    assert_int_equal(heard->body_case, C(ADD_DEVICE));
    assert_int_equal(heard->add_device->device->n_disks, 1);
    assert_string_equal(heard->add_device->device->disks[0]->path, "/tmp/data");
    stage_done(&s, 0, NULL, 0);
    said.body_case = C(REPLY);
    said.reply = &reply;
    assert_int_equal(channel_send_raw(launcher, &said.base, NULL, 0, true), 0);
    assert_int_equal(is_reply(stage_hear(lines[0], NULL, NULL)), 0);
    channel_free(launcher);
    e.body_case = B(RETURN_DEVICE);
    e.return_device = &returned;
    stage_send(&s, lines[0], &e);
    assert_int_equal(channel_receive_raw(broker, true, &bulkhead__client_envelope__descriptor, &msg,
                                         &fds, &n_fds),
                     0);
    heard = (const Bulkhead__ClientEnvelope *)msg;
    assert_int_equal(heard->body_case, C(REMOVE_DEVICE));
    assert_string_equal(heard->remove_device->device, "data");
    said.id = heard->id;
    assert_int_equal(channel_send_raw(broker, &said.base, NULL, 0, true), 0);
    assert_int_equal(is_reply(stage_hear(lines[0], NULL, NULL)), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(lines); i++)
        channel_free(lines[i]);
    channel_free(broker);
    channel_free(client);
}

/* It waits where it asks too fast, and nobody else does. */
static void a_guest_that_floods_waits(void **state)
{
    enum { ASKED = 12 };
    struct channel *client = stage_connect(&s, one), *broker, *line;
    Bulkhead__HostEnvelope e = BULKHEAD__HOST_ENVELOPE__INIT;
    Bulkhead__ListVms list = BULKHEAD__LIST_VMS__INIT;
    uint64_t begin_ns = now_ns();

    (void)state;
    stage_create_controller(&s, client, "ctl");
    broker = stage_run(&s, client, "ctl");
    line = next_line(broker);
    e.body_case = B(LIST_VMS);
    e.list_vms = &list;
    for (unsigned i = 0; i < ASKED; i++)
        stage_send(&s, line, &e);
    assert_true(stage_ask(&s, client, B(GET_HOST), NULL) && now_ns() - begin_ns < 1000 * MS);
    for (unsigned i = 0; i < ASKED; i++)
        assert_int_equal(stage_hear(line, NULL, NULL)->body_case, B(VM_LIST));
    assert_true(now_ns() - begin_ns > (ASKED - 4) * 100 * MS);
    channel_free(line);
    channel_free(broker);
    channel_free(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_guest_is_known_by_its_line, begin, end),
        cmocka_unit_test_setup_teardown(a_guest_is_given_a_disk, begin, end),
        cmocka_unit_test_setup_teardown(a_guest_that_floods_waits, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
