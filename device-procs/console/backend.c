/* SPDX-License-Identifier: Apache-2.0 */
/* backend.c - the host's side of a console.
 *
 * Three kinds of output: direct (regular files and what epoll can't watch: written at once),
 * polled (terminals, pipes, ptys: asked before each write) and a socket's client, who comes and
 * goes. A pty without a user and a client that closed one half would make a level-triggered
 * watch spin, so these two are looked at by a timer instead.
 */
#include "backend.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <termios.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"

enum { RETRY_MS = 100, REST_PATIENCE_MS = 1000, GUARD_US = 20000, DIRECT_MAX_BYTES = 65536 };

struct backend {
    struct backend_config config;
    int listen_fd;
    int in_fd, out_fd; /* a client's is in both */
    bool in_direct, out_direct;
    bool in_guarded, out_guarded; /* blocking descriptions: cut short by the timer signal */
    bool in_paused;               /* by the caller */
    bool in_ended;                /* end of file: never again from this reader */
    bool hung_up;                 /* a pty without a user: takes no output, */
    bool said_all;                /* and has no input of his any more */
    bool said_dead;
    bool closed;           /* to new clients */
    uint64_t rest_read;    /* of all input, when what a client left behind was looked at last, */
    unsigned rest_idle_ms; /* and for how long the guest has taken none of it */
    bool has_size;
    uint16_t cols, rows;
    struct loop_event *in_event, *out_event, *listen_event;
    struct loop_event *retry; /* see the top of this file; also paces direct input */
    struct loop_event *wake;  /* on_writable soon */
};

static void on_alarm(int sig)
{
    (void)sig;
}

/* A write to a blocking terminal waits for room for all of its bytes, although poll() promised
 * some: the signal makes it return what it has written. It repeats, since the first one may come
 * before the call. */
static void guard(bool on, bool arm)
{
    const struct itimerval t = { .it_interval.tv_usec = arm ? GUARD_US : 0,
                                 .it_value.tv_usec = arm ? GUARD_US : 0 };

    if (on)
        (void)setitimer(ITIMER_REAL, &t, NULL);
}

static short poll_now(int fd, short events)
{
    struct pollfd p = { .fd = fd, .events = events };

    return poll(&p, 1, 0) == 1 ? p.revents : 0;
}

static bool is_socket_mode(const struct backend *b)
{
    return b->config.mode == BULKHEAD__CONSOLE_MODE__CONSOLE_SOCKET;
}

static void retry_soon(struct backend *b)
{
    (void)loop_timer_arm(b->retry, RETRY_MS, false);
}

/* ---- a socket's client ---- */

static void listen_again(struct backend *b)
{
    if (!b->closed)
        (void)loop_event_resume(b->listen_event);
}

static void client_drop(struct backend *b)
{
    loop_event_free(b->in_event);
    loop_event_free(b->out_event);
    b->in_event = b->out_event = NULL;
    b->out_fd = -1;
    fd_closep(&b->in_fd);
    b->in_ended = false;
    listen_again(b);
    if (b->config.on_client)
        b->config.on_client(b->config.arg, -1);
}

/* It takes nothing any more, but what it sent before may wait in its socket, for the guest to have
 * room: that is read on until the end. The next client waits for that, unless the guest takes none. */
static void client_left(struct backend *b)
{
    if (b->in_ended) {
        client_drop(b);
        return;
    }
    loop_event_free(b->out_event);
    b->out_event = NULL;
    b->out_fd = -1;
    b->rest_read = b->config.stats->read_bytes;
    b->rest_idle_ms = 0;
    retry_soon(b);
}

static void look_at_rest(struct backend *b)
{
    if (b->rest_read != b->config.stats->read_bytes)
        b->rest_idle_ms = 0;
    else
        b->rest_idle_ms += RETRY_MS;
    b->rest_read = b->config.stats->read_bytes;
    if (b->rest_idle_ms < REST_PATIENCE_MS)
        retry_soon(b);
    else
        listen_again(b);
}

static void on_in(int fd, unsigned what, void *arg)
{
    struct backend *b = arg;

    (void)fd;
    (void)what;
    b->config.on_input(b->config.arg);
}

static void on_out(int fd, unsigned what, void *arg)
{
    struct backend *b = arg;

    (void)fd;
    (void)what;
    (void)loop_event_pause(b->out_event);
    b->config.on_writable(b->config.arg);
}

static void on_wake(int fd, unsigned what, void *arg)
{
    struct backend *b = arg;

    (void)fd;
    (void)what;
    b->config.on_writable(b->config.arg);
}

static int watch(struct backend *b)
{
    int r;

    if (b->in_fd >= 0 && !b->in_direct) {
        r = loop_add_fd(b->config.loop, b->in_fd, LOOP_READ, on_in, b, &b->in_event);
        if (r < 0)
            return err_trace(r);
        if (b->in_paused)
            (void)loop_event_pause(b->in_event);
    }
    if (b->out_fd >= 0 && !b->out_direct) {
        r = loop_add_fd(b->config.loop, b->out_fd, LOOP_WRITE, on_out, b, &b->out_event);
        if (r < 0)
            return err_trace(r);
        (void)loop_event_pause(b->out_event);
    }
    return 0;
}

static void on_client(int fd, unsigned what, void *arg)
{
    struct backend *b = arg;
    int client;

    (void)what;
    if (b->in_fd >= 0) /* one that left */
        client_drop(b);
    client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0) {
        if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR) { /* the host has no more */
            (void)loop_event_pause(b->listen_event);
            retry_soon(b);
        }
        return;
    }
    b->in_fd = b->out_fd = client;
    b->in_ended = false;
    if (watch(b) < 0) {
        log_warn("console: %s", err_text());
        client_drop(b);
        return;
    }
    if (b->config.on_client)
        b->config.on_client(b->config.arg, client);
    (void)loop_event_pause(b->listen_event); /* one at a time; the next waits in the backlog */
    if (b->in_paused)
        retry_soon(b);
    b->config.on_writable(b->config.arg);
}

/* ---- the timer ---- */

static void on_retry(int fd, unsigned what, void *arg)
{
    struct backend *b = arg;

    (void)fd;
    (void)what;
    if (is_socket_mode(b)) {
        if (b->in_fd < 0)
            listen_again(b);
        else if (b->out_fd < 0)
            look_at_rest(b);
        else if (poll_now(b->in_fd, 0) & (POLLHUP | POLLERR))
            client_left(b);
        else if (b->in_paused || b->in_ended)
            retry_soon(b);
    } else if (b->hung_up) {
        if (poll_now(b->out_fd, 0) & POLLHUP) {
            retry_soon(b);
            return;
        }
        b->hung_up = b->said_all = false;
        if (!b->in_paused)
            (void)loop_event_resume(b->in_event);
        b->config.on_writable(b->config.arg);
    } else if (b->in_direct && !b->in_paused && !b->in_ended) {
        b->config.on_input(b->config.arg);
        if (!b->in_ended)
            (void)loop_timer_arm(b->retry, 1, false);
    }
}

/* What the user wrote before is read on until said_all. */
static void pty_hung_up(struct backend *b)
{
    b->hung_up = true;
    if (b->out_event)
        (void)loop_event_pause(b->out_event);
    retry_soon(b);
}

/* ---- construction ---- */

static bool can_watch(int fd)
{
    struct epoll_event event = { .events = 0 };
    cleanup_(fd_closep) int ep = epoll_create1(EPOLL_CLOEXEC);

    return ep >= 0 && epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event) == 0;
}

static bool is_blocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    return flags >= 0 && !(flags & O_NONBLOCK);
}

static int look_at_fds(struct backend *b)
{
    const struct sigaction alarm_action = { .sa_handler = on_alarm };
    struct winsize size;

    if (is_socket_mode(b)) {
        int r = fd_set_nonblock(b->listen_fd); /* made by the broker, shared with nobody */

        if (r < 0)
            return err_trace(r);
        r = loop_add_fd(b->config.loop, b->listen_fd, LOOP_READ, on_client, b, &b->listen_event);
        if (r < 0 || b->in_fd < 0)
            return err_trace(r);
        (void)loop_event_pause(b->listen_event);
        return err_trace(watch(b));
    }
    if (b->in_fd >= 0) {
        b->in_direct = !can_watch(b->in_fd);
        b->in_guarded = !b->in_direct && is_blocking(b->in_fd);
    }
    if (b->out_fd >= 0) {
        b->out_direct = !can_watch(b->out_fd);
        b->out_guarded = !b->out_direct && is_blocking(b->out_fd);
        if (ioctl(b->out_fd, TIOCGWINSZ, &size) == 0 && size.ws_col && size.ws_row) {
            b->has_size = true;
            b->cols = size.ws_col;
            b->rows = size.ws_row;
        }
    }
    if (sigaction(SIGALRM, &alarm_action, NULL) < 0)
        return err_origin(-errno, "sigaction");
    if (b->in_direct)
        (void)loop_timer_arm(b->retry, 1, false);
    return err_trace(watch(b));
}

int backend_new(struct backend **ret_backend, const struct backend_config *config)
{
    struct backend *b = calloc(1, sizeof(*b));
    bool socket_mode = config->mode == BULKHEAD__CONSOLE_MODE__CONSOLE_SOCKET;
    int r;

    if (!b)
        return err_origin(-ENOMEM, "console");
    b->config = *config;
    b->listen_fd = socket_mode ? config->in_fd : -1;
    b->in_fd = socket_mode ? config->client_fd : config->in_fd;
    b->out_fd = socket_mode ? config->client_fd : config->out_fd;
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR) {
        r = err_origin(-errno, "signal");
        goto fail;
    }
    r = loop_add_timer(config->loop, on_retry, b, &b->retry);
    if (r == 0)
        r = loop_add_timer(config->loop, on_wake, b, &b->wake);
    if (r == 0)
        r = look_at_fds(b);
    if (r < 0)
        goto fail;
    *ret_backend = b;
    return 0;
fail:
    backend_free(b);
    return err_trace(r);
}

void backend_free(struct backend *b)
{
    struct loop_event *events[] = { b->in_event, b->out_event, b->listen_event, b->retry, b->wake };

    for (unsigned i = 0; i < ARRAY_SIZE(events); i++)
        if (events[i])
            loop_event_free(events[i]);
    if (b->out_fd != b->in_fd)
        fd_closep(&b->out_fd);
    fd_closep(&b->in_fd);
    fd_closep(&b->listen_fd);
    free(b);
}

void backend_stop_accepting(struct backend *b)
{
    b->closed = true;
    if (b->listen_event)
        (void)loop_event_pause(b->listen_event);
}

/* ---- output ---- */

/* The other side will never take bytes again: they go nowhere from now on, and are counted. */
static size_t out_dead(struct backend *b, size_t len, int error)
{
    if (!b->said_dead) {
        b->said_dead = true;
        log_warn("console output is lost: %s", strerror(error));
    }
    b->config.stats->dropped += len;
    return len;
}

static size_t write_direct(struct backend *b, const uint8_t *src, size_t len)
{
    ssize_t n = write(b->out_fd, src, MIN(len, (size_t)DIRECT_MAX_BYTES));

    if (n > 0) {
        b->said_dead = false; /* a full disk may have room again */
        return (size_t)n;
    }
    return n < 0 && errno == EINTR ? 0 : out_dead(b, len, n < 0 ? errno : EIO);
}

static size_t write_client(struct backend *b, const uint8_t *src, size_t len)
{
    ssize_t n = write(b->out_fd, src, len); /* ours, so non-blocking; SIGPIPE is ignored */

    if (n > 0)
        return (size_t)n;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        (void)loop_event_resume(b->out_event);
    else
        client_left(b); /* the bytes wait for the next client */
    return 0;
}

static size_t write_polled(struct backend *b, const uint8_t *src, size_t len)
{
    short ready;
    ssize_t n;
    int error;

    if (b->hung_up)
        return 0;
    ready = poll_now(b->out_fd, POLLOUT);
    if (b->config.mode == BULKHEAD__CONSOLE_MODE__CONSOLE_PTY && (ready & POLLHUP)) {
        pty_hung_up(b);
        return 0;
    }
    if (!(ready & (POLLOUT | POLLERR | POLLHUP))) {
        (void)loop_event_resume(b->out_event);
        return 0;
    }
    guard(b->out_guarded, true);
    n = write(b->out_fd, src, MIN(len, (size_t)PIPE_BUF));
    error = n < 0 ? errno : 0;
    guard(b->out_guarded, false);
    if (n > 0)
        return (size_t)n;
    if (error == 0 || error == EAGAIN || error == EINTR) {
        (void)loop_event_resume(b->out_event);
        return 0;
    }
    if (b->out_event) /* its hang-up would wake us for ever */
        (void)loop_event_pause(b->out_event);
    return out_dead(b, len, error);
}

size_t backend_write(struct backend *b, const void *src, size_t len)
{
    const uint8_t *from = src;
    size_t done = 0, n;
    bool over = false;

    if (is_socket_mode(b)) {
        if (b->out_fd < 0)
            return 0;
    } else if (b->out_fd < 0) {
        return len;
    }
    while (done < len) {
        if (is_socket_mode(b))
            n = write_client(b, from + done, len - done);
        else if (b->out_direct)
            n = write_direct(b, from + done, len - done);
        else
            n = write_polled(b, from + done, len - done);
        done += n;
        over = n > 0 && b->config.turn && turn_over(b->config.turn);
        if (n == 0 || over)
            break;
    }
    if (done < len && (b->out_direct || over))
        backend_yield(b);
    return done;
}

void backend_yield(struct backend *b)
{
    (void)loop_timer_arm(b->wake, 1, false);
}

/* ---- input ---- */

static void in_end(struct backend *b)
{
    b->in_ended = true;
    if (b->in_event)
        (void)loop_event_pause(b->in_event);
}

static void on_read_end(struct backend *b, int error)
{
    if (is_socket_mode(b)) {
        if (error || (poll_now(b->in_fd, 0) & (POLLHUP | POLLERR))) {
            client_drop(b);
        } else { /* it will send no more, but may still listen */
            in_end(b);
            retry_soon(b);
        }
    } else if (b->config.mode == BULKHEAD__CONSOLE_MODE__CONSOLE_PTY && error == EIO) {
        b->said_all = true;
        if (b->in_event)
            (void)loop_event_pause(b->in_event);
        pty_hung_up(b);
    } else {
        in_end(b);
    }
}

size_t backend_read(struct backend *b, void *dst, size_t len)
{
    ssize_t n;
    int error;

    if (b->in_fd < 0 || b->in_ended || b->said_all || len == 0)
        return 0;
    /* Somebody else who reads this terminal may have been faster than us. */
    if (!b->in_direct && !poll_now(b->in_fd, POLLIN))
        return 0;
    guard(b->in_guarded, true);
    n = read(b->in_fd, dst, len);
    error = n < 0 ? errno : 0;
    guard(b->in_guarded, false);
    if (n > 0) {
        b->config.stats->read_bytes += (uint64_t)n;
        return (size_t)n;
    }
    if (error != EAGAIN && error != EINTR)
        on_read_end(b, error);
    return 0;
}

void backend_input_pause(struct backend *b)
{
    if (b->in_paused)
        return;
    b->in_paused = true;
    if (b->in_event)
        (void)loop_event_pause(b->in_event);
    if (is_socket_mode(b) && b->in_fd >= 0)
        retry_soon(b); /* a client that leaves is noticed all the same */
}

void backend_input_resume(struct backend *b)
{
    if (!b->in_paused)
        return;
    b->in_paused = false;
    if (b->in_ended || b->said_all)
        return;
    if (b->in_event)
        (void)loop_event_resume(b->in_event);
    else if (b->in_direct)
        (void)loop_timer_arm(b->retry, 1, false);
}

bool backend_size(const struct backend *b, uint16_t *ret_cols, uint16_t *ret_rows)
{
    if (!b->has_size)
        return false;
    *ret_cols = b->cols;
    *ret_rows = b->rows;
    return true;
}
