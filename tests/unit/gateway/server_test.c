/* SPDX-License-Identifier: Apache-2.0 */
/* server_test.c - how long the HTTP server waits for whom, with short limits: a server in a process of its own that answers a large
 * body for "/", and nothing for "/never". */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "http/server.h"
#include "temp_dir.h"
#include <cmocka.h>

enum { PATIENCE_MS = 20000, LARGE_BYTES = 4 << 20 };

struct fixture {
    char dir[100], path[120];
    pid_t server;
};

/* ---- the server's process ---- */

static struct server *server;
static char *large;

static void on_request(void *arg, const struct server_request *request)
{
    const struct server_answer a = { .status = 200, .body = large, .body_len = LARGE_BYTES };
    const struct server_answer none = { .status = 204 };

    (void)arg;
    if (strcmp(request->target, "/large") == 0)
        server_answer(server, request->number, &a);
    else if (strcmp(request->target, "/never") != 0)
        server_answer(server, request->number, &none);
}

static _Noreturn void serve(int listen_fd, const struct server_limits *limits)
{
    struct loop *loop;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    large = calloc(1, LARGE_BYTES);
    if (!large || loop_new(&loop) < 0 ||
        server_new(&server, loop, listen_fd, limits, on_request, NULL) < 0)
        _exit(1);
    (void)loop_run(loop);
    _exit(1);
}

/* ---- the test's ---- */

static void begin(struct fixture *f, const struct server_limits *limits)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    assert_true(temp_dir(f->dir, 80, "bulkhead-http"));
    snprintf(f->path, sizeof f->path, "%s/http.sock", f->dir);
    snprintf(address.sun_path, sizeof address.sun_path, "%.100s", f->path);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 64), 0);
    f->server = fork();
    if (f->server == 0)
        serve(fd, limits);
    close(fd);
}

static void end(struct fixture *f)
{
    int status = 0;

    kill(f->server, SIGKILL);
    assert_int_equal(waitpid(f->server, &status, 0), f->server);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL); /* it was well */
    unlink(f->path);
    assert_int_equal(rmdir(f->dir), 0);
}

static int ask(const struct fixture *f, const char *text)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%.100s", f->path);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    return fd;
}

/* All that comes until the end; how much. */
static size_t hear(int fd, char *start, size_t size)
{
    size_t len = 0;

    for (;;) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        char bytes[4096];
        ssize_t n;

        if (poll(&p, 1, PATIENCE_MS) != 1)
            fail_msg("it doesn't end");
        n = recv(fd, bytes, sizeof bytes, 0);
        if (n <= 0)
            break;
        for (ssize_t i = 0; i < n && len + (size_t)i < size - 1; i++)
            start[len + (size_t)i] = bytes[i];
        len += (size_t)n;
    }
    start[len < size ? len : size - 1] = '\0';
    close(fd);
    return len;
}

static void expect(const struct fixture *f, const char *text, const char *answer)
{
    char start[200];

    (void)hear(ask(f, text), start, sizeof start);
    if (strncmp(start, answer, strlen(answer)) != 0)
        fail_msg("%s", start);
}

static void test_times(void **state)
{
    const struct server_limits limits = {
        .request_ms = 1, .idle_ms = 1, .answer_ms = 1, .send_ms = 60000
    };
    struct fixture f;

    (void)state;
    begin(&f, &limits);
    expect(&f, "GET / HTT", "HTTP/1.1 408 ");
    expect(&f, "PUT / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab", "HTTP/1.1 408 ");
    expect(&f, "", "");
    expect(&f, "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 204 ");
    expect(&f, "GET /never HTTP/1.1\r\n\r\n", "HTTP/1.1 504 ");
    end(&f);
}

/* Who doesn't read his answer loses it, and holds up nobody. */
static void test_slow_reader(void **state)
{
    const struct server_limits limits = {
        .request_ms = 60000, .idle_ms = 60000, .answer_ms = 60000, .send_ms = 1
    };
    char start[200];
    struct fixture f;
    struct pollfd p = { .events = POLLRDHUP };

    (void)state;
    begin(&f, &limits);
    p.fd = ask(&f, "GET /large HTTP/1.1\r\n\r\n");
    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    assert_true(hear(p.fd, start, sizeof start) < LARGE_BYTES);
    expect(&f, "GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 204 ");
    end(&f);
}

/* Who does gets all of it. */
static void test_large(void **state)
{
    struct fixture f;
    char start[200];

    (void)state;
    begin(&f, &server_usual_limits);
    assert_true(hear(ask(&f, "GET /large HTTP/1.0\r\n\r\n"), start, sizeof start) > LARGE_BYTES);
    assert_non_null(strstr(start, "Content-Length: 4194304\r\n"));
    end(&f);
}

/* All places wait for answers: the next one waits too, and gets in when one has its own. */
static void test_full(void **state)
{
    const struct server_limits limits = {
        .request_ms = 60000, .idle_ms = 60000, .answer_ms = 500, .send_ms = 60000
    };
    int busy[SERVER_MAX_CONNECTIONS];
    struct fixture f;
    char start[200];

    (void)state;
    begin(&f, &limits);
    for (unsigned i = 0; i < SERVER_MAX_CONNECTIONS; i++)
        busy[i] = ask(&f, "GET /never HTTP/1.1\r\n\r\n");
    expect(&f, "GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 204 ");
    for (unsigned i = 0; i < SERVER_MAX_CONNECTIONS; i++) {
        (void)hear(busy[i], start, sizeof start);
        assert_int_equal(strncmp(start, "HTTP/1.1 504 ", 13), 0);
    }
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_slow_reader),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
