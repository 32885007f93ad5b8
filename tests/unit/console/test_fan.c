/* SPDX-License-Identifier: Apache-2.0 */
/* test_fan.c - who attaches to a console when the host has no descriptor for him. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/loop.h"
#include "console/fan.h"
#include <cmocka.h>

enum { TRIES = 3, RETRY_MS = 100, PATIENCE_MS = 30000 };

static struct loop *loop;
static unsigned n_accepts, enough;

int __real_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags);

int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags)
{
    if (++n_accepts == enough)
        loop_quit(loop, 0);
    return __real_accept4(fd, address, len, flags);
}

static size_t on_input(void *arg, const uint8_t *bytes, size_t len)
{
    (void)arg;
    (void)bytes;
    loop_quit(loop, 0);
    return len;
}

static void on_ended(void *arg)
{
    (void)arg;
    loop_quit(loop, 0);
}

static void on_late(int fd, unsigned what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    loop_quit(loop, -ETIME);
}

/* Until so many tries to let somebody in (0: until he was heard). */
static void run_until(unsigned tries)
{
    struct loop_event *late;

    n_accepts = 0;
    enough = tries;
    assert_int_equal(loop_add_timer(loop, on_late, NULL, &late), 0);
    assert_int_equal(loop_timer_arm(late, PATIENCE_MS, false), 0);
    assert_int_equal(loop_run(loop), 0);
    loop_event_free(late);
}

static int listener(struct sockaddr_un *ret_address, socklen_t *ret_len)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    /* One that is in no folder. */
    *ret_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
    *ret_len = sizeof *ret_address;
    assert_int_equal(bind(fd, (struct sockaddr *)ret_address, sizeof(sa_family_t)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)ret_address, ret_len), 0);
    assert_int_equal(listen(fd, 4), 0);
    return fd;
}

/* The connection stays, and the kernel tells of it for as long: it is looked at now and then, not all the time. When
 * there are descriptors again he gets in. */
static void who_comes_when_descriptors_are_gone(void **state)
{
    struct fan_config config = { .on_input = on_input, .on_ended = on_ended };
    struct sockaddr_un address;
    struct rlimit before, none;
    struct fan *fan;
    uint64_t began;
    socklen_t len;
    int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    assert_int_equal(loop_new(&loop), 0);
    config.loop = loop;
    config.listen_fd = listener(&address, &len);
    assert_int_equal(fan_new(&fan, &config), 0);
    assert_int_equal(connect(client, (struct sockaddr *)&address, len), 0);
    assert_int_equal(send(client, "x", 1, MSG_NOSIGNAL), 1);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = (rlim_t)dup(0); /* the first that is free */
    close((int)none.rlim_cur);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    began = now_ns();
    run_until(TRIES);
    assert_true(now_ns() - began >=
                (TRIES - 1) * (RETRY_MS - 1) * UINT64_C(1000000)); /* it doesn't spin */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    run_until(0);
    close(client);
    fan_free(fan);
    close(config.listen_fd);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_comes_when_descriptors_are_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
