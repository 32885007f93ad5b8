/* SPDX-License-Identifier: Apache-2.0 */
/* closing_test.c - a real hostd in its sandbox, which is given what takes for ever to close: whose that is waits, and nobody
 * else does. */
#include "stage.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>
#include "base/fd.h"
#include "hostd/run/closer.h"
#include "lingering.h"

#define B(name) BULKHEAD__HOST_ENVELOPE__BODY_##name
#define T(text) ((char *)(uintptr_t)(text))
enum { SOON_MS = 5000, STRANGER = 4711, STRANGERS = 16 /* TENANTS_STRANGERS */ };

static struct stage s;
static int peer;

static int begin(void **state)
{
    (void)state;
    stage_begin(&s, 0);
    return 0;
}

static int end(void **state)
{
    (void)state;
    stage_end(&s);
    fd_closep(&peer);
    return 0;
}

/* A client who has sent it, when hostd looks at him for the first time. By then it is in hostd's hands alone. */
static struct channel *send_lingering(uid_t uid)
{
    Bulkhead__HostEnvelope e = BULKHEAD__HOST_ENVELOPE__INIT;
    Bulkhead__GetHost get = BULKHEAD__GET_HOST__INIT;
    struct channel *client;
    int slow;

    fd_closep(&peer);
    slow = lingering_socket(&peer);
    assert_true(slow >= 0);
    e.body_case = B(GET_HOST);
    e.get_host = &get;
    assert_int_equal(kill(s.hostd, SIGSTOP), 0);
    client = stage_connect(&s, uid);
    assert_int_equal(channel_send_raw(client, &e.base, &slow, 1, true), 0);
    close(slow);
    assert_int_equal(kill(s.hostd, SIGCONT), 0);
    return client;
}

static void expect_end(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    char byte;

    if (poll(&p, 1, SOON_MS) != 1)
        fail_msg("the other end is not closed");
    assert_int_equal(read(fd, &byte, 1), 0);
}

/* What is handed to him, and he closes, hostd has no copy of. */
static void expect_channels_end(uid_t uid)
{
    struct channel *client = stage_connect(&s, uid);
    Bulkhead__HostEnvelope e = BULKHEAD__HOST_ENVELOPE__INIT;
    Bulkhead__OpenVm open = BULKHEAD__OPEN_VM__INIT;
    const Bulkhead__HostEnvelope *answer;
    int pipe_fds[2], *fds;
    size_t n_fds = 0;

    stage_create(&s, client, "web", false);
    stage_asked(&s, STARTER_SAVE);
    stage_done(&s, 0, NULL, 0);
    assert_non_null(stage_hear(client, NULL, NULL));
    open.vm = T("web");
    open.channel = BULKHEAD__VM_CHANNEL__VM_CONSOLE_LOG;
    e.body_case = B(OPEN_VM);
    e.open_vm = &open;
    stage_send(&s, client, &e);
    stage_asked(&s, STARTER_LOGS);
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    stage_done(&s, 0, &pipe_fds[1], 1);
    close(pipe_fds[1]);
    answer = stage_hear(client, &fds, &n_fds);
    assert_non_null(answer);
    assert_int_equal(n_fds, 1);
    fd_closep(&fds[0]);
    expect_end(pipe_fds[0]);
    close(pipe_fds[0]);
    channel_free(client);
}

/* He sent a descriptor and is let go of, and so is what he sent. */
static void expect_descriptors_end(uid_t uid)
{
    struct channel *client = stage_connect(&s, uid);
    Bulkhead__HostEnvelope e = BULKHEAD__HOST_ENVELOPE__INIT;
    Bulkhead__GetHost get = BULKHEAD__GET_HOST__INIT;
    int pipe_fds[2];

    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    e.body_case = B(GET_HOST);
    e.get_host = &get;
    assert_int_equal(channel_send_raw(client, &e.base, &pipe_fds[1], 1, true), 0);
    close(pipe_fds[1]);
    expect_end(pipe_fds[0]);
    close(pipe_fds[0]);
    channel_free(client);
}

/* What he opens is closed behind what lingers; so after a while he gets no more. */
static void of_the_same_tenant(void **state)
{
    struct channel *client = stage_connect(&s, geteuid()), *slow;
    Bulkhead__HostEnvelope e = BULKHEAD__HOST_ENVELOPE__INIT;
    Bulkhead__OpenVm open = BULKHEAD__OPEN_VM__INIT;
    int pipe_fds[2];

    (void)state;
    slow = send_lingering(geteuid());
    assert_null(stage_hear(slow, NULL, NULL));
    channel_free(slow);
    stage_create(&s, client, "web", false);
    stage_asked(&s, STARTER_SAVE);
    stage_done(&s, 0, NULL, 0);
    assert_non_null(stage_hear(client, NULL, NULL));
    open.vm = T("web");
    open.channel = BULKHEAD__VM_CHANNEL__VM_CONSOLE_LOG;
    e.body_case = B(OPEN_VM);
    e.open_vm = &open;
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    for (unsigned i = 0; i < CLOSER_MANY; i++) {
        stage_send(&s, client, &e);
        stage_asked(&s, STARTER_LOGS);
        stage_done(&s, 0, &pipe_fds[1], 1);
        assert_int_equal(stage_hear(client, NULL, NULL)->reply->error, 0);
    }
    stage_send(&s, client, &e);
    assert_int_equal(stage_hear(client, NULL, NULL)->reply->error, EAGAIN);
    close(pipe_fds[1]);
    fd_closep(&peer); /* and after that he does again */
    expect_end(pipe_fds[0]);
    close(pipe_fds[0]);
    stage_send(&s, client, &e);
    stage_asked(&s, STARTER_LOGS);
    stage_done(&s, ENOENT, NULL, 0);
    assert_int_equal(stage_hear(client, NULL, NULL)->reply->error, ENOTCONN);
    channel_free(client);
}

static uid_t a_tenant(void)
{
    return geteuid() == 0 ? 1000000 : geteuid();
}

static void of_another_tenant(void **state)
{
    struct channel *client;

    (void)state;
    if (geteuid() != 0)
        skip();
    client = send_lingering(1000001);
    assert_null(stage_hear(client, NULL, NULL));
    channel_free(client);
    expect_descriptors_end(a_tenant());
    expect_channels_end(a_tenant());
}

/* Somebody whom nobody knows is refused, and had sent it before that. */
static void of_a_stranger(void **state)
{
    struct channel *strangers[STRANGERS], *last;
    const Bulkhead__HostEnvelope *answer;

    (void)state;
    if (geteuid() != 0)
        skip();
    for (unsigned i = 0; i < STRANGERS; i++) {
        strangers[i] = stage_connect(&s, STRANGER);
        assert_non_null(stage_ask(&s, strangers[i], B(GET_HOST), NULL));
    }
    last = send_lingering(STRANGER);
    answer = stage_hear(last, NULL, NULL); /* the kernel may show the end first */
    assert_true(!answer || answer->reply->error == EUSERS);
    channel_free(last);
    expect_descriptors_end(a_tenant());
    expect_channels_end(a_tenant());
    for (unsigned i = 0; i < STRANGERS; i++)
        channel_free(strangers[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(of_another_tenant, begin, end),
        cmocka_unit_test_setup_teardown(of_a_stranger, begin, end),
        cmocka_unit_test_setup_teardown(of_the_same_tenant, begin, end),
    };

    peer = -1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
