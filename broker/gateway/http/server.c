/* SPDX-License-Identifier: Apache-2.0 */
/* server.c - see server.h.
 *
 * A request's bytes are looked at (MSG_PEEK), and as many as are its own are then taken, with the descriptors that the
 * kernel delivers with the first of them. libevent's own HTTP reads by readv(), which loses descriptors. */
#include "http/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "http/answer.h"

enum {
    LOOK_BYTES = 4096,
    TICK_MS = 250,
    ACCEPT_AGAIN_MS = 100,
    GRACE_MS = 50,        /* in which what a client has sent is read, whoever wants its place */
    KERNEL_MAX_FDS = 253, /* that one message may bring */
};
#define NS_PER_MS UINT64_C(1000000)

enum phase {
    FREE,
    READING,
    ANSWERING, /* its request is being dealt with */
    SENDING,
    LEAVING, /* as SENDING, and then it ends */
};

struct connection {
    struct server *server;
    enum phase phase;
    int fd;
    struct loop_event *readable, *writable;
    struct http_request request;
    uint64_t number;   /* of its request; 0: none */
    uint64_t until_ns; /* when its patience is at an end */
    uint64_t since_ns; /* its last whole request, or its connection */
    int fds[SERVER_MAX_FDS];
    size_t n_fds;
    bool too_many_fds, keep_alive;
    char *out;
    size_t out_len, out_sent;
};

struct server {
    struct loop *loop;
    int listen_fd;
    struct loop_event *listen_event, *tick;
    struct server_limits limits;
    void (*on_request)(void *arg, const struct server_request *request);
    void *arg;
    uint64_t last_number, empty_ns;
    unsigned n;
    bool deaf; /* nobody is let in for now */
    struct connection connections[SERVER_MAX_CONNECTIONS];
};

const struct server_limits server_usual_limits = { .request_ms = SERVER_REQUEST_MS,
                                                   .idle_ms = SERVER_IDLE_MS,
                                                   .answer_ms = SERVER_ANSWER_MS,
                                                   .send_ms = SERVER_SEND_MS };

static void begin_to_listen(struct server *s)
{
    if (s->deaf && loop_event_resume(s->listen_event) == 0)
        s->deaf = false;
}

static void close_fds(struct connection *c)
{
    for (size_t i = 0; i < c->n_fds; i++)
        fd_closep(&c->fds[i]);
    c->n_fds = 0;
    c->too_many_fds = false;
}

static void drop(struct connection *c)
{
    struct server *s = c->server;

    loop_event_free(c->readable);
    loop_event_free(c->writable);
    close_fds(c);
    http_request_reset(&c->request);
    free(c->out);
    fd_closep(&c->fd);
    memset(c, 0, sizeof *c);
    s->n--;
    if (s->n == 0)
        s->empty_ns = now_ns();
    begin_to_listen(s);
}

static void set_patience(struct connection *c, unsigned ms)
{
    c->until_ns = now_ns() + ms * NS_PER_MS;
}

/* ---- answers ---- */

static void read_next(struct connection *c)
{
    struct server *s = c->server;

    free(c->out);
    c->out = NULL;
    close_fds(c);
    http_request_reset(&c->request);
    c->number = 0;
    c->phase = READING;
    set_patience(c, s->limits.idle_ms);
    if (loop_event_resume(c->readable) < 0)
        drop(c);
}

static void send_more(struct connection *c)
{
    while (c->out_sent < c->out_len) {
        struct iovec iov = { .iov_base = c->out + c->out_sent,
                             .iov_len = c->out_len - c->out_sent };
        struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
        ssize_t n = sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            (void)loop_event_resume(c->writable);
            return;
        }
        if (n < 0) {
            drop(c);
            return;
        }
        c->out_sent += (size_t)n;
    }
    (void)loop_event_pause(c->writable);
    if (c->phase == LEAVING)
        drop(c);
    else if (c->phase == SENDING)
        read_next(c);
}

static void answer(struct connection *c, const struct server_answer *a, bool leave)
{
    bool keep = c->keep_alive && !leave;

    c->out_sent = 0;
    c->out = answer_text(a->status, a->body, a->body_len, a->ignored, keep, &c->out_len);
    if (!c->out) {
        drop(c);
        return;
    }
    c->phase = keep ? SENDING : LEAVING;
    set_patience(c, c->server->limits.send_ms);
    send_more(c);
}

/* Where the next request would begin isn't known: it is the connection's last. */
static void refuse(struct connection *c, int status, const char *why)
{
    struct server_answer a = { .status = status };
    char *body = answer_fault(status, why);

    (void)loop_event_pause(c->readable);
    a.body = body ? body : "[]";
    a.body_len = strlen(a.body);
    answer(c, &a, true);
    free(body);
}

void server_answer(struct server *s, uint64_t number, const struct server_answer *a)
{
    for (unsigned i = 0; i < SERVER_MAX_CONNECTIONS; i++) {
        struct connection *c = &s->connections[i];

        if (c->phase == ANSWERING && c->number == number) {
            answer(c, a, false);
            return;
        }
    }
}

/* ---- requests ---- */

static void on_whole_request(struct connection *c)
{
    struct server *s = c->server;
    const struct server_request request = {
        .method = c->request.method,
        .target = c->request.target,
        .body = c->request.body_len > 0 ? c->request.body : NULL,
        .body_len = c->request.body_len,
        .fds = c->fds,
        .n_fds = c->n_fds,
        .number = ++s->last_number,
    };

    (void)loop_event_pause(c->readable);
    c->phase = ANSWERING;
    c->number = request.number;
    c->keep_alive = c->request.keep_alive;
    c->since_ns = now_ns();
    set_patience(c, s->limits.answer_ms);
    if (c->too_many_fds)
        refuse(c, 400, "more than 16 descriptors came with the request");
    else
        s->on_request(s->arg, &request);
}

static void keep_fds(struct connection *c, struct msghdr *msg)
{
    if (msg->msg_flags & MSG_CTRUNC)
        c->too_many_fds = true;
    for (struct cmsghdr *m = CMSG_FIRSTHDR(msg); m; m = CMSG_NXTHDR(msg, m)) {
        size_t n = (m->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        if (m->cmsg_level != SOL_SOCKET || m->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < n; i++) {
            int fd = -1;

            memcpy(&fd, CMSG_DATA(m) + i * sizeof fd, sizeof fd);
            if (c->n_fds < SERVER_MAX_FDS) {
                c->fds[c->n_fds++] = fd;
            } else {
                c->too_many_fds = true;
                fd_closep(&fd);
            }
        }
    }
}

/* Takes n bytes that were looked at, with what comes with them. */
static bool take(struct connection *c, size_t n)
{
    uint8_t bytes[LOOK_BYTES];
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int) * KERNEL_MAX_FDS)];
    } control;

    while (n > 0) {
        struct iovec iov = { .iov_base = bytes, .iov_len = n };
        struct msghdr msg = { .msg_iov = &iov,
                              .msg_iovlen = 1,
                              .msg_control = control.bytes,
                              .msg_controllen = sizeof control.bytes };
        ssize_t got = recvmsg(c->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        keep_fds(c, &msg);
        n -= (size_t)got;
    }
    return true;
}

static void say_continue(struct connection *c)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct iovec iov = { .iov_base = (char *)(uintptr_t)text, .iov_len = sizeof text - 1 };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

    /* Nothing else is on its way: there is room, or the client has gone. */
    if (sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)iov.iov_len)
        drop(c);
}

static void on_readable(int fd, unsigned what, void *arg)
{
    struct connection *c = arg;
    uint8_t bytes[LOOK_BYTES];
    struct iovec iov = { .iov_base = bytes, .iov_len = sizeof bytes };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    bool begun = http_request_begun(&c->request);
    ssize_t n = recvmsg(fd, &msg, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    enum http_progress progress;
    size_t used = 0;

    (void)what;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        drop(c);
        return;
    }
    progress = http_request_feed(&c->request, bytes, (size_t)n, &used);
    if (!take(c, used)) {
        drop(c);
        return;
    }
    if (!begun && http_request_begun(&c->request))
        set_patience(c, c->server->limits.request_ms);
    if (progress == HTTP_BAD)
        refuse(c, c->request.status, c->request.fault);
    else if (progress == HTTP_CONTINUE)
        say_continue(c);
    else if (progress == HTTP_DONE)
        on_whole_request(c);
}

static void on_writable(int fd, unsigned what, void *arg)
{
    (void)fd;
    (void)what;
    send_more(arg);
}

/* ---- who comes and goes ---- */

/* A free place; else that of who has been longest without a whole request. NULL: all wait for answers, or have only just
 * come. */
static struct connection *find_place(struct server *s)
{
    const uint64_t late_ns = now_ns() - GRACE_MS * NS_PER_MS;
    struct connection *oldest = NULL;

    for (unsigned i = 0; i < SERVER_MAX_CONNECTIONS; i++) {
        struct connection *c = &s->connections[i];

        if (c->phase == FREE)
            return c;
        if (c->phase != ANSWERING && c->since_ns < late_ns &&
            (!oldest || c->since_ns < oldest->since_ns))
            oldest = c;
    }
    if (oldest)
        drop(oldest);
    return oldest;
}

static bool begin(struct server *s, struct connection *c, int fd)
{
    *c = (struct connection){ .server = s, .phase = READING, .fd = fd, .since_ns = now_ns() };
    if (loop_add_fd(s->loop, fd, LOOP_READ, on_readable, c, &c->readable) < 0)
        return false;
    if (loop_add_fd(s->loop, fd, LOOP_WRITE, on_writable, c, &c->writable) < 0 ||
        loop_event_pause(c->writable) < 0) {
        loop_event_free(c->readable);
        loop_event_free(c->writable);
        return false;
    }
    set_patience(c, s->limits.idle_ms);
    s->n++;
    return true;
}

static void stop_listening(struct server *s)
{
    if (!s->deaf && loop_event_pause(s->listen_event) == 0)
        s->deaf = true;
}

static void on_connection(int listen_fd, unsigned what, void *arg)
{
    struct server *s = arg;
    struct connection *c = find_place(s);
    int fd;

    (void)what;
    if (!c) {
        stop_listening(s); /* until the next tick, or one is free */
        return;
    }
    fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
            stop_listening(s); /* until the next tick */
        return;
    }
    if (!begin(s, c, fd)) {
        memset(c, 0, sizeof *c);
        close(fd);
    }
}

static void out_of_patience(struct connection *c)
{
    struct server_answer a = { .status = 504 };
    char *body;

    if (c->phase == READING && http_request_begun(&c->request)) {
        refuse(c, 408, "the request did not come in time");
    } else if (c->phase == ANSWERING) {
        body = answer_fault(504, "the VM's broker gave no answer in time");
        a.body = body ? body : "[]";
        a.body_len = strlen(a.body);
        answer(c, &a, true);
        free(body);
    } else {
        drop(c);
    }
}

static void on_tick(int fd, unsigned what, void *arg)
{
    struct server *s = arg;
    uint64_t now = now_ns();

    (void)fd;
    (void)what;
    for (unsigned i = 0; i < SERVER_MAX_CONNECTIONS; i++)
        if (s->connections[i].phase != FREE && now >= s->connections[i].until_ns)
            out_of_patience(&s->connections[i]);
    begin_to_listen(s);
}

unsigned server_connections(const struct server *s, uint64_t *ret_empty_ns)
{
    *ret_empty_ns = s->empty_ns;
    return s->n;
}

int server_new(struct server **ret_server, struct loop *loop, int listen_fd,
               const struct server_limits *limits,
               void (*on_request)(void *arg, const struct server_request *request), void *arg)
{
    struct server *s = calloc(1, sizeof *s);
    int r;

    if (!s)
        return err_origin(-ENOMEM, "HTTP server");
    s->loop = loop;
    s->listen_fd = listen_fd;
    s->limits = *limits;
    s->on_request = on_request;
    s->arg = arg;
    s->empty_ns = now_ns();
    r = loop_add_fd(loop, listen_fd, LOOP_READ, on_connection, s, &s->listen_event);
    if (r == 0)
        r = loop_add_timer(loop, on_tick, s, &s->tick);
    if (r == 0)
        r = loop_timer_arm(s->tick, TICK_MS, true);
    if (r < 0) {
        server_free(s);
        return err_trace(r);
    }
    *ret_server = s;
    return 0;
}

void server_free(struct server *s)
{
    for (unsigned i = 0; s && i < SERVER_MAX_CONNECTIONS; i++)
        if (s->connections[i].phase != FREE)
            drop(&s->connections[i]);
    if (s && s->listen_event)
        loop_event_free(s->listen_event);
    if (s && s->tick)
        loop_event_free(s->tick);
    free(s);
}
