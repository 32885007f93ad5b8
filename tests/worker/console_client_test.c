/* SPDX-License-Identifier: Apache-2.0 */
/* console_client_test.c - the console worker and the clients of its socket, who come late, leave
 * early, and outlive it. */
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include "base/fd.h"
#include "console_driver.h"
#include "harness_away.h"
#include <cmocka.h>

static int listen_anywhere(struct sockaddr_un *addr, socklen_t *len)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
    *len = sizeof(*addr);
    assert_int_equal(bind(fd, (struct sockaddr *)addr, sizeof(sa_family_t)), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)addr, len), 0);
    return fd;
}

static void a_late_client_gets_the_tail(void **state)
{
    enum { TOTAL = 300000 };
    static uint8_t data[TOTAL], got[BYTE_RING_DATA_BYTES];
    struct sockaddr_un addr;
    socklen_t len;
    int listener = listen_anywhere(&addr, &len), client;
    struct port *p;
    uint64_t end;

    (void)state;
    p = new_port(BULKHEAD__CONSOLE_MODE__CONSOLE_SOCKET, false, listener, -1);
    wh_start(p->wh);
    pattern(data, TOTAL, 0);
    print(p, data, TOTAL);
    wait_for(&p->wh->stats->dropped, TOTAL - BYTE_RING_DATA_BYTES);
    for (int round = 0; round < 3; round++) {
        client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(client, (struct sockaddr *)&addr, len), 0);
        if (round == 0) {
            read_all(client, got, sizeof(got));
            assert_memory_equal(got, data + TOTAL - sizeof(got), sizeof(got));
        }
        print(p, "prompt", 6);
        read_all(client, got, 6);
        assert_memory_equal(got, "prompt", 6);
        assert_int_equal(write(client, "key", 3), 3);
        read_guest(p, got, 3);
        close(client);
    }
    /* Its descriptors are given back: many clients come and go under one small limit. */
    end = wh_now_ns() + WH_PATIENCE_MS * 1000000ull;
    for (int i = 0; i < 100 && wh_now_ns() < end; i++) {
        client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(client, (struct sockaddr *)&addr, len), 0);
        assert_int_equal(write(client, "!", 1), 1);
        read_guest(p, got, 1);
        close(client);
    }
    free_port(p);
}

/* The client as the worker hands it to the broker, or -1 when it says that it left. */
static int client_of(struct port *p)
{
    struct message msg;

    assert_int_equal(wh_try_receive(p->wh, &msg), 0);
    assert_int_equal(msg.envelope->body_case, BULKHEAD__ENVELOPE__BODY_CONSOLE_CLIENT);
    assert_int_equal(msg.n_fds, msg.envelope->console_client->attached ? 1 : 0);
    return msg.n_fds == 1 ? fd_take(&msg.fds[0]) : -1;
}

/* A death, a repair, a reboot of the guest: the client stays where it is. */
static void a_client_outlives_its_worker(void **state)
{
    struct sockaddr_un addr;
    socklen_t len;
    int listener = listen_anywhere(&addr, &len), client, next;
    struct port *p = new_port(BULKHEAD__CONSOLE_MODE__CONSOLE_SOCKET, false, listener, -1);
    struct wh_config *config = &p->wh->config;
    char got[8];

    (void)state;
    wh_start(p->wh);
    client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    next = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&addr, len), 0);
    config->own_fds[config->n_own_fds] = client_of(p);
    assert_true(config->own_fds[config->n_own_fds++] >= 0);
    for (unsigned round = 0; round < 3; round++) {
        print(p, "before", 6);
        read_all(client, got, 6);
        wait_for(&p->wh->stats->write_bytes, round * 11 + 6); /* or it would come once more */
        if (round == 2)
            assert_int_equal(WEXITSTATUS(wh_stop(p->wh)), 0);
        else
            wh_kill(p->wh);
        assert_int_equal(write(client, "keys", 4), 4);
        print(p, "after", 5);
        wh_start(p->wh);
        read_all(client, got, 5);
        assert_memory_equal(got, "after", 5);
        read_guest(p, got, 4);
        assert_memory_equal(got, "keys", 4);
    }
    assert_int_equal(connect(next, (struct sockaddr *)&addr, len), 0); /* one at a time */
    close(client);
    assert_int_equal(client_of(p), -1);
    close(client_of(p));
    print(p, "next", 4);
    read_all(next, got, 4);
    close(next);
    free_port(p);
}

static int connect_to(const struct sockaddr_un *addr, socklen_t len)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, (const struct sockaddr *)addr, len), 0);
    return fd;
}

/* It sends all it has to say and leaves, long before the guest has read it, with output unread. */
static void a_client_that_leaves_is_heard(void **state)
{
    enum { TOTAL = 150000 };
    static uint8_t sent[TOTAL], got[TOTAL];
    struct sockaddr_un addr;
    socklen_t len;
    int listener = listen_anywhere(&addr, &len), client;
    struct port *p = new_port(BULKHEAD__CONSOLE_MODE__CONSOLE_SOCKET, false, listener, -1);

    (void)state;
    pattern(sent, TOTAL, 0);
    wh_start(p->wh);
    for (unsigned round = 0; round < 3; round++) {
        uint64_t before = p->wh->stats->read_bytes;

        client = connect_to(&addr, len);
        assert_int_equal(write(client, sent, TOTAL), TOTAL);
        wait_for(&p->wh->stats->read_bytes, before + BYTE_RING_DATA_BYTES);
        print(p, "prompt", 6);
        if (round == 0)
            read_all(client, got, 6);
        close(client);
        print(p, "more", 4);
        wait_for_beats(p->wh, 2); /* it has been seen */
        if (round == 2)
            break;
        read_guest(p, got, TOTAL);
        assert_memory_equal(got, sent, TOTAL);
    }
    /* Another client has its place, although the guest reads nothing. */
    client = connect_to(&addr, len);
    print(p, "prompt", 6);
    read_all(client, got, 6);
    close(client);
    free_port(p);
}

/* The next one waits until the guest, which reads all the time, has all that the first one sent. */
static void the_next_client_cuts_nobody_off(void **state)
{
    enum { TOTAL = 150000 };
    static uint8_t sent[TOTAL], got[TOTAL];
    struct sockaddr_un addr;
    socklen_t len;
    int listener = listen_anywhere(&addr, &len), client, next;
    struct port *p = new_port(BULKHEAD__CONSOLE_MODE__CONSOLE_SOCKET, false, listener, -1);

    (void)state;
    pattern(sent, TOTAL, 0);
    wh_start(p->wh);
    client = connect_to(&addr, len);
    assert_int_equal(write(client, sent, TOTAL), TOTAL);
    next = connect_to(&addr, len);
    assert_int_equal(write(next, "next", 4), 4);
    close(client);
    wait_for_beats(p->wh, 2); /* it has been seen */
    for (uint32_t at = 0; at < TOTAL; at += TOTAL / 10) {
        read_guest(p, got + at, TOTAL / 10);
        poll(NULL, 0, 50);
    }
    assert_memory_equal(got, sent, TOTAL);
    read_guest(p, got, 4);
    assert_memory_equal(got, "next", 4);
    close(next);
    free_port(p);
}

/* The host has no descriptor for the client: that is waited for, not tried all the time. */
static void a_host_without_descriptors(void **state)
{
    struct sockaddr_un addr;
    socklen_t len;
    int listener = listen_anywhere(&addr, &len), client;
    struct port *p = new_port(BULKHEAD__CONSOLE_MODE__CONSOLE_SOCKET, false, listener, -1);
    struct rlimit before, few;
    struct timespec used, after;
    clockid_t clock;
    char got[6];

    (void)state;
    wh_start(p->wh);
    wait_for_beats(p->wh, 1);
    assert_int_equal(prlimit(p->wh->pid, RLIMIT_NOFILE, NULL, &before), 0);
    few = before;
    few.rlim_cur = 3; /* there are more already */
    assert_int_equal(prlimit(p->wh->pid, RLIMIT_NOFILE, &few, NULL), 0);
    client = connect_to(&addr, len);
    print(p, "prompt", 6);
    assert_int_equal(clock_getcpuclockid(p->wh->pid, &clock), 0);
    assert_int_equal(clock_gettime(clock, &used), 0);
    wait_for_beats(p->wh, 5); /* a second */
    assert_int_equal(clock_gettime(clock, &after), 0);
    assert_true((after.tv_sec - used.tv_sec) * 1000000000 + after.tv_nsec - used.tv_nsec <
                200000000);
    assert_int_equal(prlimit(p->wh->pid, RLIMIT_NOFILE, &before, NULL), 0);
    read_all(client, got, 6);
    close(client);
    free_port(p);
}

/* It writes a line and is gone, as `echo > /dev/pts/N` does, just when the guest says something. */
static void a_users_last_line(void **state)
{
    struct termios raw;
    struct port *p;
    int master, slave;
    char got[4];

    (void)state;
    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    tcgetattr(slave, &raw);
    cfmakeraw(&raw);
    tcsetattr(slave, TCSANOW, &raw);
    p = new_port(BULKHEAD__CONSOLE_MODE__CONSOLE_PTY, false, master,
                 fcntl(master, F_DUPFD_CLOEXEC, 0));
    wh_start(p->wh);
    print(p, "login", 5);
    read_all(slave, (char[5]){ 0 }, 5);
    kill(p->wh->pid, SIGSTOP);
    print(p, "more", 4);
    assert_int_equal(write(slave, "keys", 4), 4);
    close(slave);
    kill(p->wh->pid, SIGCONT);
    read_guest(p, got, 4);
    assert_memory_equal(got, "keys", 4);
    free_port(p);
}

/* A new broker gets the client anew, whether or not the old one had kept it. */
static void a_new_broker_has_the_client(void **state)
{
    struct sockaddr_un addr;
    socklen_t len;
    int listener = listen_anywhere(&addr, &len), client, kept;
    struct port *p = new_port(BULKHEAD__CONSOLE_MODE__CONSOLE_SOCKET, false, listener, -1);
    struct wh_config *config = &p->wh->config;
    char got[8];

    (void)state;
    config->away = true;
    wh_start(p->wh);
    wh_resync(p->wh, 1);
    assert_int_equal(client_of(p), -1);
    wh_go_away(p->wh);
    for (unsigned i = 0; i < 20; i++) { /* they come and go */
        client = connect_to(&addr, len);
        print(p, "hi", 2);
        read_all(client, got, 2);
        close(client);
        wh_let_it_turn(p->wh);
    }
    client = connect_to(&addr, len);
    print(p, "last", 4);
    read_all(client, got, 4);
    wh_come_back(p->wh);
    close(client_of(p));
    wh_expect_silence(p->wh);
    wh_resync(p->wh, 2);
    kept = client_of(p);
    assert_true(kept >= 0);
    wh_kill(p->wh);
    config->own_fds[config->n_own_fds++] = kept;
    wh_start(p->wh);
    wh_resync(p->wh, 1); /* this one has it from the start */
    close(client_of(p));
    print(p, "after", 5);
    read_all(client, got, 5);
    assert_memory_equal(got, "after", 5);
    close(client);
    free_port(p);
}

static void a_new_broker_hears_of_the_keys(void **state)
{
    int in[2], out[2];
    struct port *p;

    (void)state;
    assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
    p = new_port(BULKHEAD__CONSOLE_MODE__CONSOLE_TTY, false, in[0], out[1]);
    p->config.escape = true;
    p->wh->config.away = true;
    wh_start(p->wh);
    assert_false(wh_resync(p->wh, 1)->escape);
    wh_go_away(p->wh);
    assert_int_equal(write(in[1], "\1x\1x", 4), 4);
    wh_let_it_turn(p->wh);
    wh_come_back(p->wh);
    wh_expect(p->wh, BULKHEAD__ENVELOPE__BODY_CONSOLE_ESCAPE);
    wh_expect_silence(p->wh);
    assert_true(wh_resync(p->wh, 2)->escape);
    wh_expect_silence(p->wh);
    close(in[1]);
    close(out[0]);
    free_port(p);
}

static uint64_t offered_at(struct wh *wh, int terminal, struct winsize size)
{
    uint16_t got[2];

    assert_int_equal(ioctl(terminal, TIOCSWINSZ, &size), 0);
    wh_start(wh);
    wh_kill(wh);
    memcpy(got, wh->device_config, sizeof(got));
    assert_int_equal(got[0], size.ws_col);
    assert_int_equal(got[1], size.ws_row);
    return wh->features;
}

/* A successor must offer as much, also at a terminal that has no size any more. */
static void a_size_is_offered_at_any_terminal(void **state)
{
    uint64_t offered;
    int master, slave;
    struct port *p;

    (void)state;
    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    p = new_port(BULKHEAD__CONSOLE_MODE__CONSOLE_TTY, true, slave, dup(slave));
    offered = offered_at(p->wh, master, (struct winsize){ .ws_col = 132, .ws_row = 43 });
    assert_int_equal(offered_at(p->wh, master, (struct winsize){ 0 }), offered);
    close(master);
    free_port(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_late_client_gets_the_tail),
        cmocka_unit_test(a_client_outlives_its_worker),
        cmocka_unit_test(a_client_that_leaves_is_heard),
        cmocka_unit_test(the_next_client_cuts_nobody_off),
        cmocka_unit_test(a_users_last_line),
        cmocka_unit_test(a_host_without_descriptors),
        cmocka_unit_test(a_new_broker_has_the_client),
        cmocka_unit_test(a_new_broker_hears_of_the_keys),
        cmocka_unit_test(a_size_is_offered_at_any_terminal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
