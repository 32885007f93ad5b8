/* SPDX-License-Identifier: Apache-2.0 */
/* test_backend.c - files, pipes, ptys and a socket's clients: nothing blocks, nothing is lost that
 * the caller was told had not gone out. */
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>
#include "console/backend.h"
#include <cmocka.h>

enum { HANG_MS = 20000 };

struct bench {
    struct loop *loop;
    struct loop_event *watchdog;
    struct stats_page stats;
    struct backend *backend;
    unsigned inputs, writables;
    uint8_t got[1 << 16];
    size_t n_got;
    bool quit_on_input, quit_on_writable;
};

static void on_watchdog(int fd, unsigned what, void *arg)
{
    struct bench *t = arg;

    (void)fd;
    (void)what;
    loop_quit(t->loop, -ETIMEDOUT);
}

static void on_input(void *arg)
{
    struct bench *t = arg;
    size_t n = backend_read(t->backend, t->got + t->n_got, sizeof(t->got) - t->n_got);

    t->inputs++;
    t->n_got += n;
    if (t->quit_on_input && n > 0)
        loop_quit(t->loop, 0);
}

static void on_writable(void *arg)
{
    struct bench *t = arg;

    t->writables++;
    if (t->quit_on_writable)
        loop_quit(t->loop, 0);
}

static void start(struct bench *t, Bulkhead__ConsoleMode mode, int in_fd, int out_fd)
{
    struct backend_config config = { .mode = mode,
                                     .in_fd = in_fd,
                                     .out_fd = out_fd,
                                     .stats = &t->stats,
                                     .on_input = on_input,
                                     .on_writable = on_writable,
                                     .arg = t };

    memset(t, 0, sizeof(*t));
    assert_int_equal(loop_new(&t->loop), 0);
    assert_int_equal(loop_add_timer(t->loop, on_watchdog, t, &t->watchdog), 0);
    assert_int_equal(loop_timer_arm(t->watchdog, HANG_MS, false), 0);
    config.client_fd = -1;
    config.loop = t->loop;
    assert_int_equal(backend_new(&t->backend, &config), 0);
}

static void end(struct bench *t)
{
    backend_free(t->backend);
    loop_event_free(t->watchdog);
    loop_free(t->loop);
}

static void test_null_takes_all(void **state)
{
    struct bench t;

    (void)state;
    start(&t, BULKHEAD__CONSOLE_MODE__CONSOLE_NULL, -1, -1);
    assert_int_equal(backend_write(t.backend, "abc", 3), 3);
    assert_int_equal(t.stats.dropped, 0);
    end(&t);
}

static void test_file_and_full_disk(void **state)
{
    char data[1000];
    int fd = memfd_create("out", MFD_CLOEXEC), full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    int keep = dup(fd);
    struct bench t;

    (void)state;
    memset(data, 'x', sizeof(data));
    start(&t, BULKHEAD__CONSOLE_MODE__CONSOLE_FILE, -1, fd);
    assert_int_equal(backend_write(t.backend, data, sizeof(data)), sizeof(data));
    assert_int_equal(lseek(keep, 0, SEEK_END), sizeof(data));
    end(&t);
    close(keep);
    start(&t, BULKHEAD__CONSOLE_MODE__CONSOLE_FILE, -1, full);
    assert_int_equal(backend_write(t.backend, data, sizeof(data)), sizeof(data));
    assert_int_equal(t.stats.dropped, sizeof(data)); /* lost, counted, no stall */
    end(&t);
}

/* A reader that doesn't read: the write ends short, the flags of the shared description stay. */
static void test_stuck_pipe(void **state)
{
    static char data[200000], sink[200000];
    struct bench t;
    int p[2];
    size_t n, more;
    ssize_t got;

    (void)state;
    memset(data, 'y', sizeof(data));
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    start(&t, BULKHEAD__CONSOLE_MODE__CONSOLE_TTY, -1, p[1]);
    n = backend_write(t.backend, data, sizeof(data));
    assert_in_range(n, 1, sizeof(data) - 1);
    assert_false(fcntl(p[1], F_GETFL) & O_NONBLOCK);
    assert_int_equal(backend_write(t.backend, data, 1), 0);
    got = read(p[0], sink, sizeof(sink));
    assert_int_equal(got, n);
    t.quit_on_writable = true;
    assert_int_equal(loop_run(t.loop), 0);
    more = backend_write(t.backend, data, 10);
    assert_int_equal(more, 10);
    close(p[0]);
    assert_int_equal(backend_write(t.backend, data, 10), 10); /* EPIPE: gone for good */
    assert_int_equal(t.stats.dropped, 10);
    end(&t);
}

/* A blocking terminal with a little room left: poll() says yes, write() would wait. */
static void test_stuck_terminal(void **state)
{
    static char data[1 << 20];
    struct termios raw;
    struct bench t;
    int master, slave;
    size_t n;

    (void)state;
    memset(data, 'z', sizeof(data));
    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    assert_int_equal(tcgetattr(slave, &raw), 0);
    cfmakeraw(&raw);
    assert_int_equal(tcsetattr(slave, TCSANOW, &raw), 0);
    start(&t, BULKHEAD__CONSOLE_MODE__CONSOLE_TTY, dup(slave), slave);
    n = backend_write(t.backend, data, sizeof(data)); /* hangs here without the guard */
    assert_in_range(n, 1, sizeof(data) - 1);
    assert_false(fcntl(slave, F_GETFL) & O_NONBLOCK);
    end(&t);
    close(master);
}

static void test_terminal_input(void **state)
{
    struct bench t;
    int p[2];

    (void)state;
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    start(&t, BULKHEAD__CONSOLE_MODE__CONSOLE_TTY, p[0], -1);
    assert_int_equal(write(p[1], "hello", 5), 5);
    t.quit_on_input = true;
    assert_int_equal(loop_run(t.loop), 0);
    assert_int_equal(t.n_got, 5);
    assert_memory_equal(t.got, "hello", 5);
    assert_int_equal(t.stats.read_bytes, 5);
    end(&t);
    close(p[1]);
}

/* Standard input that epoll can't watch: a regular file is read to its end, /dev/null is empty. */
static void test_unwatchable_input(void **state)
{
    struct bench t;
    int fd = memfd_create("in", MFD_CLOEXEC);

    (void)state;
    assert_int_equal(pwrite(fd, "script\n", 7, 0), 7);
    start(&t, BULKHEAD__CONSOLE_MODE__CONSOLE_TTY, fd, -1);
    t.quit_on_input = true;
    assert_int_equal(loop_run(t.loop), 0);
    assert_int_equal(t.n_got, 7);
    end(&t);
    start(&t, BULKHEAD__CONSOLE_MODE__CONSOLE_TTY, open("/dev/null", O_RDWR | O_CLOEXEC), -1);
    loop_timer_arm(t.watchdog, 50, false);
    assert_int_equal(loop_run(t.loop), -ETIMEDOUT);
    assert_in_range(t.inputs, 0, 2); /* looked once, saw the end */
    end(&t);
}

/* A pty nobody has opened any more must not keep the loop busy; its next user gets on. */
static void test_pty_user_leaves_and_returns(void **state)
{
    char path[64];
    struct termios raw;
    struct bench t;
    int master, slave;

    (void)state;
    assert_int_equal(openpty(&master, &slave, path, NULL, NULL), 0);
    assert_int_equal(tcgetattr(slave, &raw), 0);
    cfmakeraw(&raw);
    assert_int_equal(tcsetattr(slave, TCSANOW, &raw), 0);
    close(slave);
    start(&t, BULKHEAD__CONSOLE_MODE__CONSOLE_PTY, dup(master), master);
    loop_timer_arm(t.watchdog, 350, false);
    assert_int_equal(loop_run(t.loop), -ETIMEDOUT);
    assert_in_range(t.inputs, 0, 5);
    assert_int_equal(backend_write(t.backend, "kept", 4), 0);
    slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(slave >= 0);
    loop_timer_arm(t.watchdog, HANG_MS, false);
    t.quit_on_writable = true;
    assert_int_equal(loop_run(t.loop), 0);
    assert_int_equal(backend_write(t.backend, "kept", 4), 4);
    assert_int_equal(read(slave, path, sizeof(path)), 4);
    assert_int_equal(write(slave, "key", 3), 3);
    t.quit_on_input = true;
    t.quit_on_writable = false;
    assert_int_equal(loop_run(t.loop), 0);
    assert_int_equal(t.n_got, 3);
    close(slave);
    end(&t);
}

static int listener(struct sockaddr_un *addr)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof(*addr);
    sa_family_t family = AF_UNIX;

    /* Autobind: an abstract name that nobody else has, and nothing to clean up. */
    assert_int_equal(bind(fd, (struct sockaddr *)&family, sizeof(family)), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)addr, &len), 0);
    addr->sun_path[sizeof(addr->sun_path) - 1] = (char)(len - sizeof(family));
    return fd;
}

static int join(const struct sockaddr_un *addr)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len =
        (socklen_t)addr->sun_path[sizeof(addr->sun_path) - 1] + (socklen_t)sizeof(sa_family_t);

    assert_int_equal(connect(fd, (const struct sockaddr *)addr, len), 0);
    return fd;
}

static void test_socket_clients(void **state)
{
    struct sockaddr_un addr;
    struct bench t;
    char got[16] = { 0 };
    int a, b;

    (void)state;
    start(&t, BULKHEAD__CONSOLE_MODE__CONSOLE_SOCKET, listener(&addr), -1);
    assert_int_equal(backend_write(t.backend, "early", 5), 0); /* stays with the caller */
    a = join(&addr);
    b = join(&addr); /* waits for its turn */
    t.quit_on_writable = true;
    assert_int_equal(loop_run(t.loop), 0); /* a client is there: asked to write */
    assert_int_equal(backend_write(t.backend, "early", 5), 5);
    assert_int_equal(read(a, got, sizeof(got)), 5);
    assert_memory_equal(got, "early", 5);
    assert_int_equal(write(a, "x", 1), 1);
    t.quit_on_input = true;
    assert_int_equal(loop_run(t.loop), 0);
    assert_int_equal(t.n_got, 1);
    close(a);
    assert_int_equal(loop_run(t.loop), 0); /* the second one moves up */
    assert_int_equal(backend_write(t.backend, "two", 3), 3);
    assert_int_equal(read(b, got, sizeof(got)), 3);
    close(b);
    end(&t);
}

/* A client that only listens after shutting down its half still gets output; when it leaves while
 * the guest takes no input, that is noticed too. */
static void test_socket_half_close_and_silent_leave(void **state)
{
    struct sockaddr_un addr;
    struct bench t;
    char got[16];
    int a, b;

    (void)state;
    start(&t, BULKHEAD__CONSOLE_MODE__CONSOLE_SOCKET, listener(&addr), -1);
    a = join(&addr);
    t.quit_on_writable = true;
    assert_int_equal(loop_run(t.loop), 0);
    assert_int_equal(shutdown(a, SHUT_WR), 0);
    b = join(&addr);
    loop_timer_arm(t.watchdog, 300, false);
    assert_int_equal(loop_run(t.loop), -ETIMEDOUT); /* no turn for b yet, no busy loop */
    assert_in_range(t.inputs, 0, 3);
    assert_int_equal(backend_write(t.backend, "still", 5), 5);
    assert_int_equal(read(a, got, sizeof(got)), 5);
    loop_timer_arm(t.watchdog, HANG_MS, false);
    close(a);
    assert_int_equal(loop_run(t.loop), 0);
    backend_input_pause(t.backend);
    close(b);
    a = join(&addr);
    assert_int_equal(loop_run(t.loop), 0);
    close(a);
    end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_null_takes_all),
        cmocka_unit_test(test_file_and_full_disk),
        cmocka_unit_test(test_stuck_pipe),
        cmocka_unit_test(test_stuck_terminal),
        cmocka_unit_test(test_terminal_input),
        cmocka_unit_test(test_unwatchable_input),
        cmocka_unit_test(test_pty_user_leaves_and_returns),
        cmocka_unit_test(test_socket_clients),
        cmocka_unit_test(test_socket_half_close_and_silent_leave),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
