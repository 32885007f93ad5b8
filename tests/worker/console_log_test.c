/* SPDX-License-Identifier: Apache-2.0 */
/* console_log_test.c - bulkhead-console: who hears what, what is logged, and that nobody waits for anybody. */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/compiler.h"
#include "base/fd.h"
#include "console/descriptors.h"
#include "console/fan.h"
#include "hub_rig.h"
#include <cmocka.h>

enum { MANY = 2 << 20 };

/* ---- the tests ---- */

static void test_all_hear_and_all_speak(void **state)
{
    struct hub_rig *rig = hub_begin();
    int a, b, late;

    (void)state;
    hub_start(rig);
    hub_put(rig->serial, "boot\r\n", 6);
    a = hub_attach(rig);
    b = hub_attach(rig);
    hub_expect(a, "boot\r\n");
    hub_expect(b, "boot\r\n");
    hub_put(rig->serial, "login: ", 7);
    hub_expect(a, "login: ");
    hub_expect(b, "login: ");
    hub_put(a, "root", 4);
    hub_expect(rig->serial, "root");
    hub_put(b, "\r", 1);
    hub_expect(rig->serial, "\r");
    late = hub_attach(rig);
    hub_expect(late, "boot\r\nlogin: ");
    hub_put(rig->log, "a disk is gone\n", 15);
    hub_wait_logged(rig, "broker.log", "a disk is gone\n");
    hub_wait_logged(rig, "console.log", "boot\r\nlogin: ");
    close(b);
    hub_put(rig->serial, "bye", 3);
    hub_expect(a, "bye");
    close(a);
    fd_closep(&rig->serial);
    hub_expect(late, "bye");
    assert_true(hub_has_ended(late));
    close(late);
    hub_end(rig);
}

static void test_it_is_shut_in(void **state)
{
    static const char *const lines[] = { "Seccomp:\t2\n", "NoNewPrivs:\t1\n",
                                         "CapEff:\t0000000000000000\n",
                                         "CapBnd:\t0000000000000000\n" };
    struct hub_rig *rig = hub_begin();
    char path[64], text[4096];
    int fd, client;
    ssize_t n;

    (void)state;
    hub_start(rig);
    hub_put(rig->serial, "x", 1);
    client = hub_attach(rig);
    hub_expect(client, "x"); /* in its sandbox by now */
    snprintf(path, sizeof path, "/proc/%d/status", (int)rig->pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = read(fd, text, sizeof text - 1);
    assert_true(n > 0);
    text[n] = '\0';
    for (unsigned i = 0; i < ARRAY_SIZE(lines); i++)
        if (!strstr(text, lines[i]))
            fail_msg("%s isn't in\n%s", lines[i], text);
    close(fd);
    close(client);
    hub_end(rig);
}

static void test_rotation_keeps_the_end_in_order(void **state)
{
    static uint8_t log[4 * HUB_LOG_BYTES];
    const size_t total = 10 * HUB_LOG_BYTES, piece = 8 * 1237;
    struct hub_rig *rig = hub_begin();
    uint8_t *text = hub_numbered(total), *heard = malloc(total);
    int client;

    (void)state;
    hub_start(rig);
    client = hub_attach(rig);
    for (size_t at = 0; at < total; at += piece) {
        size_t n = MIN(piece, total - at), kept;

        hub_put(rig->serial, text + at, n);
        assert_int_equal(hub_get(client, heard, n),
                         n); /* what somebody has heard was logged before */
        assert_memory_equal(heard, text + at, n);
        kept = hub_load_log(rig, "console.log", log, sizeof log);
        assert_true(kept <= 2 * HUB_LOG_BYTES &&
                    kept >= MIN(at + n, (size_t)HUB_LOG_BYTES - piece));
        assert_memory_equal(log, text + at + n - kept, kept);
    }
    assert_true(hub_load(rig, "console.log", log, sizeof log) <= HUB_LOG_BYTES);
    assert_true(hub_load(rig, "console.log.1", log, sizeof log) > HUB_LOG_BYTES / 2);
    close(client);
    free(heard);
    free(text);
    hub_end(rig);
}

static void test_interrupted_rotation_is_finished(void **state)
{
    static uint8_t log[4 * HUB_LOG_BYTES];
    const size_t len = HUB_LOG_BYTES - 8;
    struct hub_rig *rig = hub_begin();
    uint8_t *text = hub_numbered(2 * HUB_LOG_BYTES);
    int now = hub_open_in(rig, "console.log", O_WRONLY | O_CREAT),
        before = hub_open_in(rig, "console.log.1", O_WRONLY | O_CREAT);

    (void)state;
    hub_put(now, text, len);
    hub_put(before, text, 20000);
    hub_start(rig);
    hub_put(rig->serial, text + len, 4096);
    fd_closep(&rig->serial);
    fd_closep(&rig->log);
    assert_int_equal(hub_wait_end(rig), 0);
    assert_int_equal(hub_load_log(rig, "console.log", log, sizeof log), len + 4096);
    assert_memory_equal(log, text, len + 4096);
    close(now);
    close(before);
    free(text);
    hub_end(rig);
}

static void test_slow_one_loses_his_place_alone(void **state)
{
    struct hub_rig *rig = hub_begin();
    uint8_t *text = hub_numbered(MANY), *heard = malloc(MANY + 4096);
    int slow, quick;
    size_t got = 0, missing = 0;
    char *note;

    (void)state;
    hub_start(rig);
    slow = hub_attach(rig);
    quick = hub_attach(rig);
    for (size_t at = 0; at < MANY; at += 16384) {
        hub_put(rig->serial, text + at, 16384);
        assert_int_equal(hub_get(quick, heard, 16384), 16384);
        assert_memory_equal(heard, text + at, 16384);
    }
    fd_closep(&rig->serial); /* and he gets what there is still for him */
    got = hub_get(slow, heard, MANY + 4095);
    heard[got] = '\0';
    note = strstr((char *)heard, "\r\n[bulkhead: ");
    assert_non_null(note);
    assert_int_equal(sscanf(note, "\r\n[bulkhead: %zu bytes are missing here]\r\n", &missing), 1);
    assert_memory_equal(heard, text, (size_t)(note - (char *)heard));
    assert_memory_equal(heard + got - FAN_HISTORY_BYTES, text + MANY - FAN_HISTORY_BYTES,
                        FAN_HISTORY_BYTES);
    assert_int_equal((size_t)(note - (char *)heard) + missing + FAN_HISTORY_BYTES, MANY);
    close(slow);
    close(quick);
    free(heard);
    free(text);
    hub_end(rig);
}

/* He had left before he was let in, and again while the console wrote to him: either way the guest gets what he typed. */
static void test_who_types_and_leaves_is_heard(void **state)
{
    struct hub_rig *rig = hub_begin();
    char typed[4];
    int user;

    (void)state;
    hub_start(rig);
    hub_put(rig->serial, "history", 7);
    hub_wait_logged(rig, "console.log", "history");
    assert_int_equal(kill(rig->pid, SIGSTOP), 0);
    user = hub_attach(rig);
    hub_put(user, "one", 3);
    close(user);
    assert_int_equal(kill(rig->pid, SIGCONT), 0);
    assert_int_equal(hub_get(rig->serial, typed, 3), 3);
    assert_memory_equal(typed, "one", 3);

    user = hub_attach(rig);
    hub_expect(user, "history");
    assert_int_equal(kill(rig->pid, SIGSTOP), 0);
    hub_put(user, "two", 3);
    close(user);
    hub_put(rig->serial, "more", 4); /* may be seen first */
    assert_int_equal(kill(rig->pid, SIGCONT), 0);
    assert_int_equal(hub_get(rig->serial, typed, 3), 3);
    assert_memory_equal(typed, "two", 3);
    hub_end(rig);
}

static void test_who_reads_nothing_holds_up_no_end(void **state)
{
    struct hub_rig *rig = hub_begin();
    uint8_t *text = hub_numbered(MANY);
    int deaf;

    (void)state;
    hub_start(rig);
    deaf = hub_attach(rig);
    hub_put(rig->serial, text, MANY);
    free(text);
    hub_end(rig);
    close(deaf);
}

static void test_guest_that_reads_nothing_holds_up_nothing(void **state)
{
    const size_t typed = 1 << 20;
    struct hub_rig *rig = hub_begin();
    uint8_t *text = hub_numbered(typed), *heard = malloc(typed);
    int typist, other;
    size_t sent = 0;
    ssize_t n;

    (void)state;
    hub_start(rig);
    typist = hub_attach(rig);
    other = hub_attach(rig);
    do { /* until nobody takes it */
        struct pollfd p = { .fd = typist, .events = POLLOUT };

        n = poll(&p, 1, 200) == 1 ? send(typist, text + sent, typed - sent, MSG_DONTWAIT) : -1;
        sent += n > 0 ? (size_t)n : 0;
    } while (n > 0);
    assert_true(sent < typed);
    hub_put(rig->serial, "still here", 10);
    hub_expect(other, "still here");
    close(other);
    other = hub_attach(rig);
    hub_expect(other, "still here");
    assert_int_equal(hub_get(rig->serial, heard, sent), sent);
    assert_memory_equal(heard, text, sent);
    hub_put(other, "me too", 6);
    hub_expect(rig->serial, "me too");
    close(other);
    close(typist);
    free(text);
    free(heard);
    hub_end(rig);
}

static void test_seventeenth_is_told(void **state)
{
    struct hub_rig *rig = hub_begin();
    int fds[FAN_MAX_CLIENTS], more;
    char text[64];
    size_t n;

    (void)state;
    hub_start(rig);
    hub_put(rig->serial, "x", 1);
    for (unsigned i = 0; i < FAN_MAX_CLIENTS; i++) {
        fds[i] = hub_attach(rig);
        hub_expect(fds[i], "x");
    }
    more = hub_attach(rig);
    n = hub_get(more, text, sizeof text - 1);
    text[n] = '\0';
    assert_non_null(strstr(text, "16 are attached already"));
    close(more);
    /* One that only listens keeps his place; when he is gone, it is free. */
    assert_int_equal(shutdown(fds[3], SHUT_WR), 0);
    hub_put(rig->serial, "y", 1);
    hub_expect(fds[3], "y");
    close(fds[3]);
    more = hub_attach(rig);
    hub_expect(more, "xy");
    fds[3] = more;
    for (unsigned i = 0; i < FAN_MAX_CLIENTS; i++)
        close(fds[i]);
    hub_end(rig);
}

static void test_killed_and_started_again(void **state)
{
    static uint8_t log[4 * HUB_LOG_BYTES];
    struct hub_rig *rig = hub_begin();
    struct hub_rig second;
    uint8_t *text = hub_numbered(3 * HUB_LOG_BYTES);
    size_t at = 0;
    int client;

    (void)state;
    for (int life = 0; life < 5; life++) {
        hub_start(rig);
        client = hub_attach(rig);
        hub_put(rig->serial, text + at, 8 * 1000);
        assert_int_equal(hub_get(client, log, 8 * 1000), 8 * 1000);
        at += 8 * 1000;
        second = *rig; /* there is one already */
        hub_start(&second);
        assert_int_equal(WEXITSTATUS(hub_wait_end(&second)), CONSOLE_EXIT_TAKEN);
        close(second.serial);
        assert_int_equal(kill(rig->pid, SIGKILL), 0);
        assert_true(WIFSIGNALED(hub_wait_end(rig)));
        assert_true(hub_has_ended(client));
        hub_put(rig->log, "unheard\n", 8); /* stays in the fifo */
        close(client);
        close(rig->serial);
    }
    hub_start(rig);
    hub_wait_logged(rig, "broker.log", "unheard\nunheard\n");
    assert_int_equal(hub_load_log(rig, "console.log", log, sizeof log), at);
    assert_memory_equal(log, text, at);
    free(text);
    hub_end(rig);
}

static void test_stays_as_long_as_somebody_logs(void **state)
{
    struct hub_rig *rig = hub_begin();
    int client;

    (void)state;
    hub_start(rig);
    client = hub_attach(rig);
    hub_put(rig->serial, "end", 3);
    fd_closep(&rig->serial);
    hub_expect(client, "end");
    assert_true(hub_has_ended(client));
    close(client);
    hub_put(rig->log, "the VM has ended\n", 17);
    hub_wait_logged(rig, "broker.log", "the VM has ended\n");
    hub_put(rig->log, "all is removed\n", 15);
    fd_closep(&rig->log);
    assert_int_equal(hub_wait_end(rig), 0);
    hub_wait_logged(rig, "broker.log", "all is removed\n");
    hub_end(rig);
}

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* Whoever comes and goes, and whatever is said, the log is what the guest wrote. */
static void test_garbage(void **state)
{
    static uint8_t all[HUB_LOG_BYTES], log[4 * HUB_LOG_BYTES];
    struct hub_rig *rig = hub_begin();
    uint64_t seed = 0x9e3779b97f4a7c15u;
    int clients[20];
    size_t at = 0;

    (void)state;
    hub_start(rig);
    for (unsigned i = 0; i < ARRAY_SIZE(clients); i++)
        clients[i] = -1;
    while (at < sizeof all - 512) {
        int *fd = &clients[next_random(&seed) % ARRAY_SIZE(clients)];
        uint8_t bytes[512], drop[4096];
        size_t n = 1 + next_random(&seed) % sizeof bytes;

        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)next_random(&seed);
        if (*fd < 0)
            *fd = hub_attach(rig);
        else if (next_random(&seed) % 4 == 0)
            fd_closep(fd);
        else if (next_random(&seed) % 4 == 0)
            (void)shutdown(*fd, next_random(&seed) % 2 ? SHUT_WR : SHUT_RD);
        else
            (void)!send(*fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        (void)!write(rig->log, bytes, n);
        hub_put(rig->serial, bytes, n);
        memcpy(all + at, bytes, n);
        at += n;
        while (recv(rig->serial, drop, sizeof drop, MSG_DONTWAIT) > 0)
            ;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(clients); i++)
        fd_closep(&clients[i]);
    fd_closep(&rig->serial);
    fd_closep(&rig->log);
    assert_int_equal(hub_wait_end(rig), 0);
    assert_int_equal(hub_load_log(rig, "console.log", log, sizeof log), at);
    assert_memory_equal(log, all, at);
    hub_end(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_hear_and_all_speak),
        cmocka_unit_test(test_it_is_shut_in),
        cmocka_unit_test(test_rotation_keeps_the_end_in_order),
        cmocka_unit_test(test_interrupted_rotation_is_finished),
        cmocka_unit_test(test_slow_one_loses_his_place_alone),
        cmocka_unit_test(test_who_types_and_leaves_is_heard),
        cmocka_unit_test(test_who_reads_nothing_holds_up_no_end),
        cmocka_unit_test(test_guest_that_reads_nothing_holds_up_nothing),
        cmocka_unit_test(test_seventeenth_is_told),
        cmocka_unit_test(test_killed_and_started_again),
        cmocka_unit_test(test_stays_as_long_as_somebody_logs),
        cmocka_unit_test(test_garbage),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
