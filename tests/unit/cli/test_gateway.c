/* SPDX-License-Identifier: Apache-2.0 */
/* test_gateway.c - who starts a gateway and serves it (bulkhead run --api-socket): the socket's file, and a gateway that was taken
 * over (hostile_gateway.c is beside this test in the place of bulkhead-gateway, and the real bulkhead-broker). */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "gateway.h"
#include "output.h"
#include "temp_dir.h"
#include <cmocka.h>

enum { PATIENCE_MS = 60000 };

struct fixture {
    char dir[100], path[120];
    int log[2];
    struct gateway gateway;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    if (!f || !temp_dir(f->dir, 80, "bulkhead-api") || pipe2(f->log, O_CLOEXEC | O_NONBLOCK) < 0)
        return -1;
    snprintf(f->path, sizeof f->path, "%s/api.sock", f->dir);
    gateway_init(&f->gateway);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    int r;

    gateway_close(&f->gateway);
    while (waitpid(-1, NULL, 0) > 0)
        ;
    close(f->log[0]);
    close(f->log[1]);
    r = rmdir(f->dir); /* nothing is left in it */
    free(f);
    return r;
}

static int open_it(struct fixture *f)
{
    return gateway_open(&f->gateway, "no-such-vm", f->path, -1, f->log[1], false);
}

static int connect_it(const struct fixture *f)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%.100s", f->path);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void test_socket(void **state)
{
    struct fixture *f = *state;
    struct gateway second;
    struct stat st;
    int client;

    assert_int_equal(open_it(f), EXIT_OK);
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(gateway_open(&second, "b", f->path, -1, f->log[1], false), EXIT_BAD_INPUT);
    gateway_close(&second);
    assert_int_equal(stat(f->path, &st), 0); /* it is not the second one's to remove */
    client = connect_it(f);
    close(client);
    /* One that nobody listens at any more is replaced. */
    fd_closep(&f->gateway.listen_fd);
    assert_int_equal(gateway_open(&second, "b", f->path, -1, f->log[1], false), EXIT_OK);
    socket_path_forget(&f->gateway.socket); /* as of one that was killed */
    gateway_close(&second);
    assert_int_not_equal(stat(f->path, &st), 0);
}

/* Whoever may rename the folder decides nothing about another one. */
static void test_folder_is_swapped(void **state)
{
    struct fixture *f = *state;
    char dir[60], moved[60], path[80], there[80];
    struct gateway g;
    struct stat st;

    snprintf(dir, sizeof dir, "%.50s/d", f->dir);
    snprintf(moved, sizeof moved, "%.50s/moved", f->dir);
    snprintf(path, sizeof path, "%s/api.sock", dir);
    snprintf(there, sizeof there, "%s/api.sock", moved);
    assert_int_equal(mkdir(dir, 0700), 0);
    assert_int_equal(gateway_open(&g, "a", path, -1, f->log[1], false), EXIT_OK);
    assert_int_equal(rename(dir, moved) | mkdir(dir, 0700) | link(there, path), 0);
    gateway_close(&g);
    assert_int_equal(lstat(path, &st) | unlink(path) | rmdir(dir), 0);
    assert_int_equal(rmdir(moved), 0); /* its own is gone */
}

static struct fixture *next;
static struct gateway nexts;
static int nexts_result;

int __real_unlinkat(int dir_fd, const char *name, int flags);
int __wrap_unlinkat(int dir_fd, const char *name, int flags);

/* The next VM starts when the file of one that ends is about to go. */
int __wrap_unlinkat(int dir_fd, const char *name, int flags)
{
    const struct fixture *f = next;

    next = NULL;
    if (f)
        nexts_result = gateway_open(&nexts, "b", f->path, -1, f->log[1], false);
    return __real_unlinkat(dir_fd, name, flags);
}

static void test_the_next_one(void **state)
{
    struct fixture *f = *state;
    struct stat st;

    assert_int_equal(open_it(f), EXIT_OK);
    next = f;
    gateway_close(&f->gateway);
    assert_null(next);
    assert_int_equal(nexts_result, EXIT_BAD_INPUT); /* it is still in use */
    gateway_close(&nexts);
    assert_int_not_equal(lstat(f->path, &st), 0);
}

static void test_handed_in(void **state)
{
    struct fixture *f = *state;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(gateway_open(&f->gateway, "a", NULL, pair[0], f->log[1], false),
                     EXIT_BAD_INPUT);
    close(pair[0]);
    close(pair[1]);
    assert_int_equal(gateway_open(&f->gateway, "a", NULL, -1, f->log[1], false), EXIT_OK);
    assert_int_equal(gateway_wanted(&f->gateway).fd, -1);
}

static void test_hostile(void **state)
{
    struct fixture *f = *state;
    char text[200] = "";
    siginfo_t info;
    ssize_t n;
    int client;

    assert_int_equal(open_it(f), EXIT_OK);
    client = connect_it(f);
    do {
        struct pollfd p = gateway_wanted(&f->gateway);

        assert_true(p.fd >= 0);
        assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
        gateway_act(&f->gateway, &p);
    } while (f->gateway.link);
    /* It has ended, or will: another is not started at once. */
    assert_int_equal(gateway_wanted(&f->gateway).fd, -1);
    assert_int_equal(waitid(P_PID, (id_t)f->gateway.pid, &info, WEXITED | WNOWAIT), 0);
    gateway_reap(&f->gateway);
    assert_int_equal(f->gateway.pid, 0);
    n = read(f->log[0], text, sizeof text - 1);
    assert_true(n > 0);
    /* Of openers as many as there may be; there is no such VM whose broker it could reach. */
    if (!strstr(text, "40 openers, 0 brokers, offence 0\n"))
        fail_msg("%s", text);
    gateway_again(&f->gateway);
    close(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_socket, setup, teardown),
        cmocka_unit_test_setup_teardown(test_folder_is_swapped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_next_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_handed_in, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hostile, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
