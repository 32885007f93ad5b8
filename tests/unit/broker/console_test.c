/* SPDX-License-Identifier: Apache-2.0 */
/* console_test.c - what the broker gives a console's worker, and keeps of it. */
#include <fcntl.h>
#include <pty.h>
#include <sys/socket.h>
#include <unistd.h>
#include "rig.h"

static uint32_t console(struct rig *rig)
{
    return rig_device(rig, BULKHEAD__ROLE__ROLE_CONSOLE)->worker;
}

static bool is_killed(struct rig *rig)
{
    return rig_worker(rig, BULKHEAD__ROLE__ROLE_CONSOLE)->killed_ns != 0;
}

static void say_escape(struct rig *rig)
{
    Bulkhead__ConsoleEscape escape = BULKHEAD__CONSOLE_ESCAPE__INIT;
    ENVELOPE(e, CONSOLE_ESCAPE, console_escape, &escape);

    rig_say(rig, console(rig), &e);
}

static char dir[32], path[64];

static int make_dir(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/bh-console-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/s", dir);
    return 0;
}

/* Also of a test that failed. */
static int remove_dir(void **state)
{
    (void)state;
    (void)unlink(path);
    (void)rmdir(dir);
    return 0;
}

/* What comes through a pipe was typed by nobody, whatever bytes it has. */
static void keys_are_a_terminals(void **state)
{
    static struct rig rig;
    int in[2], out[2], master, slave;

    (void)state;
    assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
    rig_run_console(&rig, 5, NULL, (int[]){ in[0], out[1] });
    assert_false(rig.console_escape);
    say_escape(&rig);
    assert_true(is_killed(&rig));
    assert_false(rig.in.vm.end.ended);
    rig_end(&rig);

    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    rig_run_console(&rig, 5, NULL, (int[]){ slave, out[1] });
    assert_true(rig.console_escape);
    say_escape(&rig);
    assert_true(rig.in.vm.end.ended && rig.in.vm.end.by == END_BY_USER);
    rig_end(&rig);
    close(master);
    close(slave);
    for (unsigned i = 0; i < 2; i++) {
        close(in[i]);
        close(out[i]);
    }
}

static void say_client(struct rig *rig, int fd)
{
    Bulkhead__ConsoleClient client = BULKHEAD__CONSOLE_CLIENT__INIT;
    ENVELOPE(e, CONSOLE_CLIENT, console_client, &client);

    client.attached = fd >= 0;
    rig_say_fd(rig, console(rig), &e, fd);
}

static bool is_open(int peer)
{
    char byte;

    return recv(peer, &byte, 1, MSG_DONTWAIT) < 0;
}

/* A console socket's client stays connected whatever becomes of the processes that serve it. */
static void a_client_is_kept(void **state)
{
    static struct rig rig;
    char byte = 0;
    unsigned alone;
    int pair[2];

    (void)state;
    rig_run_console(&rig, 5, path, NULL);
    alone = rig.console_fds;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    say_client(&rig, pair[0]);
    close(pair[0]);

    rig_exit(&rig, console(&rig)); /* dies, and is replaced */
    rig_make_ready(&rig, console(&rig));
    assert_int_equal(rig.console_fds, alone + 1);
    rig_reboot(&rig);
    assert_int_equal(rig.console_fds, alone + 1);
    assert_int_equal(send(rig.console_last_fd, "x", 1, MSG_NOSIGNAL), 1);
    assert_int_equal(recv(pair[1], &byte, 1, MSG_DONTWAIT), 1);
    assert_int_equal(byte, 'x'); /* it is the client's connection */
    assert_true(is_open(pair[1]));

    say_client(&rig, -1); /* it left */
    rig_reboot(&rig);
    assert_int_equal(rig.console_fds, alone);
    assert_false(is_open(pair[1]));
    close(pair[1]);
    rig_end(&rig);
    assert_int_equal(rmdir(dir), 0); /* the socket is gone */
}

/* A worker that was taken over can have nothing else kept for it. */
static void nothing_else_is_kept(void **state)
{
    static struct rig rig;
    int file = open("/dev/null", O_RDONLY | O_CLOEXEC), pair[2], in[2], out[2];

    (void)state;
    rig_run_console(&rig, 5, path, NULL);
    say_client(&rig, file);
    assert_true(is_killed(&rig));
    rig_end(&rig);
    assert_int_equal(rmdir(dir), 0); /* the socket is gone */

    assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    rig_run_console(&rig, 5, NULL, (int[]){ in[0], out[1] });
    say_client(&rig, pair[0]); /* of a console without a socket */
    assert_true(is_killed(&rig));
    rig_end(&rig);
    close(file);
    for (unsigned i = 0; i < 2; i++) {
        close(pair[i]);
        close(in[i]);
        close(out[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_a_terminals),
        cmocka_unit_test_setup_teardown(a_client_is_kept, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(nothing_else_is_kept, make_dir, remove_dir),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
