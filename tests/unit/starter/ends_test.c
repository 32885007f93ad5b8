/* SPDX-License-Identifier: Apache-2.0 */
/* ends_test.c - VMs that are killed when little is known of them, and starters. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lingering.h"
#include "starter_rig.h"
#include <cmocka.h>

enum { ROUNDS = 10, MAX_BACKLOG = 512 };

static int connect_to(struct starter_rig *rig)
{
    return rig_ask_channel(rig, STARTER_CONNECT, "acme", "web", STARTER_CHANNEL_COMMAND);
}

static void kill_vm(struct starter_rig *rig)
{
    int r;

    assert_int_equal(rig_ask(rig, STARTER_KILL, "acme", "web"), 0);
    while ((r = connect_to(rig)) != ENOENT) {
        if (r == 0)
            close(rig->fds[0]);
        (void)poll(NULL, 0, 1);
    }
}

/* Its broker has made no session perhaps, and holds nothing yet. */
static void test_one_that_was_just_started(void **state)
{
    struct starter_rig *rig = rig_new();
    int channel;

    (void)state;
    rig_write_tenant(rig, "acme");
    rig_start(rig);
    for (unsigned i = 0; i < ROUNDS;) {
        int r = rig_ask_start(rig, "acme", "web", &channel);

        if (r == 0) {
            kill_vm(rig);
            assert_int_equal(rig_ask(rig, STARTER_KILL, "acme", "web"), ENOENT);
            i++;
        } else {
            assert_int_equal(r, EAGAIN); /* launchers of those before */
            (void)poll(NULL, 0, 1);
        }
        close(channel);
    }
    assert_int_equal(rig_stop(rig), 0);
    rig_free(rig);
}

static pid_t ask_pid(struct starter_rig *rig)
{
    char text[64] = "";
    int pid = 0;

    assert_int_equal(connect_to(rig), 0);
    assert_int_equal(send(rig->fds[0], "who", 3, MSG_NOSIGNAL), 3);
    assert_int_equal(
        poll(&(struct pollfd){ .fd = rig->fds[0], .events = POLLIN }, 1, RIG_PATIENCE_MS), 1);
    assert_true(recv(rig->fds[0], text, sizeof text - 1, 0) > 0);
    close(rig->fds[0]);
    assert_int_equal(sscanf(text, "who %d", &pid), 1);
    return pid;
}

/* Its broker stands still, there is no room for one more who waits for it, and the starter is another one. */
static void test_one_that_nobody_can_connect_to(void **state)
{
    struct starter_rig *rig = rig_new();
    int fds[MAX_BACKLOG], n = 0;

    (void)state;
    rig_write_tenant(rig, "acme");
    rig_start(rig);
    assert_int_equal(rig_run(rig, "acme", "web", NULL, 0), 0);
    rig_kill(rig);
    rig_start(rig);
    assert_int_equal(kill(ask_pid(rig), SIGSTOP), 0);
    for (; n < MAX_BACKLOG && connect_to(rig) == 0; n++)
        fds[n] = rig->fds[0];
    assert_in_range(n, 1, MAX_BACKLOG - 1);
    kill_vm(rig);
    while (n > 0)
        close(fds[--n]);
    assert_int_equal(rig_stop(rig), 0);
    rig_free(rig);
}

/* A taken-over hostd hands over a socket whose last close waits, and the starter dies meanwhile: who closes it for the starter
 * has its lock, and its sockets. */
static void test_starter_with_something_to_close(void **state)
{
    struct starter_rig *rig = rig_new();
    struct starter_request q = { .kind = STARTER_PING, .id = 1000 };
    unsigned before;
    int peer, fd;

    (void)state;
    rig_start(rig);
    fd = lingering_socket(&peer); /* which the starter has no copy of */
    assert_true(fd >= 0);
    before = rig_count_fds(rig);
    /* Its own copy isn't the last one: the starter has not looked yet. */
    assert_int_equal(kill(rig->pid, SIGSTOP), 0);
    assert_int_equal(waitpid(rig->pid, NULL, WUNTRACED), rig->pid);
    rig_send(rig, &q, NULL, 0, &fd, 1);
    close(fd);
    assert_int_equal(kill(rig->pid, SIGCONT), 0);
    assert_true(rig_hear(rig, q.id));
    assert_int_equal(rig->done.error, EINVAL);
    assert_int_equal(rig_ask(rig, STARTER_PING, "", ""), 0); /* who closes it is there */
    while (rig_count_fds(rig) > before + 1)                  /* and known */
        (void)poll(NULL, 0, 1);
    rig_kill(rig);
    rig_start(rig);
    assert_int_equal(rig_stop(rig), 0);
    close(peer);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_that_was_just_started),
        cmocka_unit_test(test_one_that_nobody_can_connect_to),
        cmocka_unit_test(test_starter_with_something_to_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
