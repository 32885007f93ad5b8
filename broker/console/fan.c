/* SPDX-License-Identifier: Apache-2.0 */
/* fan.c - see fan.h. Bytes are counted from the console's first: client->at is the next one he gets. */
#include "console/fan.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"

enum { INPUT_BYTES = 1024, NOTE_BYTES = 80, RETRY_MS = 100, ACCEPTS_PER_TURN = 4 };

struct client {
    struct fan *fan;
    int fd; /* -1: free */
    uint64_t at;
    struct loop_event *in, *out;
    bool says_nothing; /* he closed that half; he may still listen */
    bool is_deaf; /* nothing can be written to him any more; what he typed before is still read */
    bool is_full; /* `out` is watched */
    char note[NOTE_BYTES];
    size_t note_at, note_len;
    uint64_t missing;           /* what the note says */
    uint8_t typed[INPUT_BYTES]; /* not taken yet */
    size_t typed_at, typed_len;
};

struct fan {
    struct fan_config config;
    struct loop_event *listen, *timer;
    uint64_t end; /* bytes that came */
    bool paused, ending;
    struct client clients[FAN_MAX_CLIENTS];
    uint8_t kept[FAN_KEPT_BYTES];
};

static void look_at_end(struct fan *fan)
{
    if (!fan->ending)
        return;
    for (unsigned i = 0; i < FAN_MAX_CLIENTS; i++)
        if (fan->clients[i].fd >= 0)
            return;
    fan->config.on_ended(fan->config.arg);
}

static void leave(struct client *c)
{
    if (c->in)
        loop_event_free(c->in);
    if (c->out)
        loop_event_free(c->out);
    c->in = c->out = NULL;
    fd_closep(&c->fd);
    look_at_end(c->fan);
}

/* ---- to the clients ---- */

static uint64_t history_begins(const struct fan *fan)
{
    return fan->end > FAN_HISTORY_BYTES ? fan->end - FAN_HISTORY_BYTES : 0;
}

/* He is so far behind that what he would get next is gone. */
static void lose_place(struct client *c)
{
    uint64_t begins = history_begins(c->fan);
    int n;

    if (c->note_at ==
        c->note_len) /* else it happens again before he has read the first word of it */
        c->missing = 0;
    c->missing += begins - c->at;
    n = snprintf(c->note, sizeof c->note, "\r\n[bulkhead: %llu bytes are missing here]\r\n",
                 (unsigned long long)c->missing);
    c->note_at = 0;
    c->note_len = n > 0 ? MIN((size_t)n, sizeof c->note - 1) : 0;
    c->at = begins;
}

/* What he gets next, in one piece; 0: he has all. */
static size_t next_piece(struct client *c, const uint8_t **ret_bytes)
{
    const struct fan *fan = c->fan;
    size_t place;

    /* A note that he has begun to read ends where it began. */
    if (fan->end - c->at > FAN_KEPT_BYTES && (c->note_at == 0 || c->note_at == c->note_len))
        lose_place(c);
    if (c->note_at < c->note_len) {
        *ret_bytes = (const uint8_t *)c->note + c->note_at;
        return c->note_len - c->note_at;
    }
    place = (size_t)(c->at % FAN_KEPT_BYTES);
    *ret_bytes = fan->kept + place;
    return (size_t)MIN(fan->end - c->at, (uint64_t)(FAN_KEPT_BYTES - place));
}

static void advance(struct client *c, size_t n)
{
    if (c->note_at < c->note_len)
        c->note_at += n;
    else
        c->at += n;
}

static void wait_for_room(struct client *c)
{
    if (!c->is_full && loop_event_resume(c->out) < 0)
        leave(c);
    else
        c->is_full = true;
}

static void serve(struct client *c)
{
    const uint8_t *bytes;
    size_t len;

    while (!c->is_deaf && (len = next_piece(c, &bytes)) > 0) {
        ssize_t n = write(c->fd, bytes, len);

        if (n > 0) {
            advance(c, (size_t)n);
        } else if (n < 0 && errno == EAGAIN) {
            wait_for_room(c);
            return;
        } else if (n == 0 || errno != EINTR) {
            c->is_deaf = true;
        }
    }
    if (c->is_full)
        (void)loop_event_pause(c->out);
    c->is_full = false;
    if (c->fan->ending || (c->is_deaf && c->says_nothing))
        leave(c);
}

static void on_room(int fd, unsigned what, void *arg)
{
    (void)fd;
    (void)what;
    serve(arg);
}

void fan_put(struct fan *fan, const void *bytes, size_t len)
{
    const uint8_t *from = bytes;

    while (len > 0) {
        size_t place = (size_t)(fan->end % FAN_KEPT_BYTES), n = MIN(len, FAN_KEPT_BYTES - place);

        memcpy(fan->kept + place, from, n);
        fan->end += n;
        from += n;
        len -= n;
    }
    for (unsigned i = 0; i < FAN_MAX_CLIENTS; i++)
        if (fan->clients[i].fd >= 0 && !fan->clients[i].is_full)
            serve(&fan->clients[i]);
}

/* ---- from the clients ---- */

static bool is_gone(const struct client *c)
{
    struct pollfd p = { .fd = c->fd };

    return poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR));
}

static bool wants_to_type(const struct client *c)
{
    return c->fd >= 0 && !c->says_nothing;
}

static void give(struct client *c)
{
    const struct fan_config *config = &c->fan->config;

    if (c->typed_at < c->typed_len)
        c->typed_at +=
            config->on_input(config->arg, c->typed + c->typed_at, c->typed_len - c->typed_at);
}

static void on_typed(int fd, unsigned what, void *arg)
{
    struct client *c = arg;
    ssize_t n;

    (void)what;
    give(c);
    if (c->fan->paused || c->typed_at < c->typed_len)
        return;
    n = read(fd, c->typed, sizeof c->typed);
    if (n > 0) {
        c->typed_at = 0;
        c->typed_len = (size_t)n;
        give(c);
    } else if (n == 0 && !c->is_deaf && !is_gone(c)) {
        c->says_nothing = true;
        (void)loop_event_pause(c->in);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        leave(c);
    }
}

void fan_pause(struct fan *fan)
{
    if (fan->paused)
        return;
    fan->paused = true;
    for (unsigned i = 0; i < FAN_MAX_CLIENTS; i++)
        if (wants_to_type(&fan->clients[i]))
            (void)loop_event_pause(fan->clients[i].in);
}

/* What was read and not taken goes first, which may pause it again. */
void fan_resume(struct fan *fan)
{
    fan->paused = false;
    for (unsigned i = 0; i < FAN_MAX_CLIENTS && !fan->paused; i++)
        if (fan->clients[i].fd >= 0)
            give(&fan->clients[i]);
    for (unsigned i = 0; i < FAN_MAX_CLIENTS && !fan->paused; i++)
        if (wants_to_type(&fan->clients[i]))
            (void)loop_event_resume(fan->clients[i].in);
}

/* ---- who comes ---- */

/* One that closed the half on which he types, or whose typing the guest doesn't take, is not watched: whether he is still
 * there is seen when his place is needed. */
static struct client *find_free(struct fan *fan)
{
    for (unsigned i = 0; i < FAN_MAX_CLIENTS; i++)
        if (fan->clients[i].fd < 0)
            return &fan->clients[i];
    for (unsigned i = 0; i < FAN_MAX_CLIENTS; i++) {
        struct client *c = &fan->clients[i];

        if ((c->says_nothing || fan->paused) && is_gone(c)) {
            leave(c);
            return c;
        }
    }
    return NULL;
}

static void attach(struct fan *fan, int fd)
{
    static const char full[] = "\r\nbulkhead: 16 are attached already\r\n";
    struct client *c = find_free(fan);

    if (!c) {
        ssize_t n = write(fd, full, sizeof full - 1);

        (void)n;
        close(fd);
        return;
    }
    *c = (struct client){ .fan = fan, .fd = fd, .at = history_begins(fan) };
    if (loop_add_fd(fan->config.loop, fd, LOOP_READ, on_typed, c, &c->in) < 0 ||
        loop_add_fd(fan->config.loop, fd, LOOP_WRITE, on_room, c, &c->out) < 0) {
        leave(c);
        return;
    }
    (void)loop_event_pause(c->out);
    if (fan->paused)
        (void)loop_event_pause(c->in);
    serve(c);
}

static void on_client(int listen_fd, unsigned what, void *arg)
{
    struct fan *fan = arg;

    (void)what;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            attach(fan, fd);
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) { /* the host has no more */
            (void)loop_event_pause(fan->listen);
            (void)loop_timer_arm(fan->timer, RETRY_MS, false);
            return;
        }
    }
}

static void on_timer(int fd, unsigned what, void *arg)
{
    struct fan *fan = arg;

    (void)fd;
    (void)what;
    if (!fan->ending) {
        (void)loop_event_resume(fan->listen);
        return;
    }
    for (unsigned i = 0; i < FAN_MAX_CLIENTS; i++)
        if (fan->clients[i].fd >= 0)
            leave(&fan->clients[i]);
}

/* ---- its life ---- */

int fan_new(struct fan **ret_fan, const struct fan_config *config)
{
    struct fan *fan = calloc(1, sizeof *fan);
    int r;

    if (!fan)
        return err_origin(-ENOMEM, "the console's clients");
    fan->config = *config;
    for (unsigned i = 0; i < FAN_MAX_CLIENTS; i++)
        fan->clients[i] = (struct client){ .fan = fan, .fd = -1 };
    r = loop_add_fd(config->loop, config->listen_fd, LOOP_READ, on_client, fan, &fan->listen);
    if (r == 0)
        r = loop_add_timer(config->loop, on_timer, fan, &fan->timer);
    if (r < 0) {
        fan_free(fan);
        return err_trace(r);
    }
    *ret_fan = fan;
    return 0;
}

void fan_free(struct fan *fan)
{
    if (!fan)
        return;
    fan->ending = false; /* nobody is to be told */
    for (unsigned i = 0; i < FAN_MAX_CLIENTS; i++)
        if (fan->clients[i].fd >= 0)
            leave(&fan->clients[i]);
    if (fan->listen)
        loop_event_free(fan->listen);
    if (fan->timer)
        loop_event_free(fan->timer);
    free(fan);
}

void fan_end(struct fan *fan)
{
    bool anybody = false;

    (void)loop_event_pause(fan->listen);
    fan_pause(fan);
    fan->ending = true;
    for (unsigned i = 0; i < FAN_MAX_CLIENTS; i++)
        anybody |= fan->clients[i].fd >= 0;
    if (!anybody)
        fan->config.on_ended(fan->config.arg);
    for (unsigned i = 0; i < FAN_MAX_CLIENTS; i++)
        if (fan->clients[i].fd >= 0)
            serve(&fan->clients[i]);
    (void)loop_timer_arm(fan->timer, FAN_LAST_MS, false);
}
