/* SPDX-License-Identifier: Apache-2.0 */
/* handed_test.c - whatever the spawner is handed, and however little room there is, it doesn't close it
 * itself: what is handed over is a TCP socket whose last close waits until its peer is closed. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/compiler.h"
#include "base/fd.h"
#include "lingering.h"
#include "sandbox/ids.h"
#include "spawner/handed.h"
#include "spawner/spawner.h"

enum { FEW = 700, PATIENCE_S = 60 };

static struct closers closers;
static int server, peer; /* ends of a connection */

static int lingering(void)
{
    int fd = lingering_socket(&peer);

    assert_true(fd >= 0);
    return fd;
}

/* Sends it, and has it no more. */
static void hand_over(int fd)
{
    const struct spawner_request request = { .kind = SPAWNER_DEPOSIT };
    struct spawner broker = { .fd = server };

    assert_int_equal(spawner_send(&broker, &request, &fd, 1), 0);
    close(fd);
}

static void wait_until_closed(void)
{
    while (closers_are_busy(&closers)) {
        closers_go_on(&closers);
        poll(NULL, 0, 1);
    }
}

static void a_table_that_is_full(void **state)
{
    const struct rlimit few = { FEW, FEW };
    static struct spawner_request request;
    static struct handed fds;
    int pair[2], slow = lingering();

    (void)state;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    closers_init(&closers);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    server = pair[0];
    hand_over(slow);
    while (fcntl(server, F_DUPFD_CLOEXEC, 0) >= 0)
        ;
    assert_int_equal(errno, EMFILE);
    /* It is refused, and closed by another. */
    assert_int_equal(handed_receive(&closers, pair[1], &request, sizeof request, &fds), -EMSGSIZE);
    assert_int_equal(fds.n, 1);
    handed_close(&closers, &fds);
    assert_true(closers_are_busy(&closers));
    close(peer);
    wait_until_closed();
    /* With room for one, the peer's, it is taken. */
    hand_over(fcntl(server, F_DUPFD_CLOEXEC, 0));
    assert_int_equal(handed_receive(&closers, pair[1], &request, sizeof request, &fds),
                     sizeof request);
    assert_int_equal(fds.n, 1);
    assert_in_range(fds.fds[0], 0, closers.first_reserved - 1);
}

/* Nor when the host has no room for the one that would close it: it stays open until there is. */
static void no_process_more(void **state)
{
    struct rlimit limit;
    struct handed fds = { .n = 1 };
    int slow = lingering();

    (void)state;
    closers_init(&closers);
    if (geteuid() == 0)
        assert_int_equal(sandbox_ids_take(sandbox_uid((uint32_t)getpid(), 9), 65534, true), 0);
    assert_int_equal(getrlimit(RLIMIT_NPROC, &limit), 0);
    assert_int_equal(setrlimit(RLIMIT_NPROC, &(struct rlimit){ 0, limit.rlim_max }), 0);
    fds.fds[0] = slow;
    handed_close(&closers, &fds);
    assert_true(closers_are_busy(&closers));
    assert_true(fcntl(slow, F_GETFD) >= 0);
    assert_int_equal(setrlimit(RLIMIT_NPROC, &limit), 0);
    closers_go_on(&closers);
    assert_false(closers_are_busy(&closers));
    close(peer);
}

/* What waits is ended by the alarm. */
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            no_process_more), /* it gives up root, and the other one lowers limits for good */
        cmocka_unit_test(a_table_that_is_full),
    };

    alarm(PATIENCE_S);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
