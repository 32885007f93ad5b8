/* SPDX-License-Identifier: Apache-2.0 */
/* loop.c - libevent behind loop.h.
 *
 * Fd events are persistent, and level-triggered but for LOOP_EDGE. Freed events are only unlinked while callbacks
 * run and released afterwards, so that a callback may free any event, its own included.
 */
#include "base/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>
#include "base/err.h"

struct loop_event {
    struct loop *loop;
    struct event *event;
    struct loop_event *next_dead;
    loop_fn fn;
    void *arg;
    int fd; /* -1: timer */
    bool dead;
    bool repeat;
};

struct loop {
    struct event_base *base;
    void (*before_sleep)(void *arg);
    void *before_sleep_arg;
    struct loop_event *dead;
    int epoll_fd;
    int value;
    bool quit;
};

uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

/* libevent has no name for its epoll descriptor. It opens that one first, so it gets the lowest
 * free number. */
static int lowest_free_fd(void)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);

    if (fd >= 0)
        close(fd);
    return fd;
}

int loop_new(struct loop **ret_loop)
{
    int epoll_fd = lowest_free_fd();
    struct event_config *config = event_config_new();
    struct loop *loop = calloc(1, sizeof *loop);

    if (config && loop) {
        /* epoll alone; no environment, no locks, and no cached time that lags behind. */
        event_config_avoid_method(config, "select");
        event_config_avoid_method(config, "poll");
        event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV |
                                          EVENT_BASE_FLAG_NO_CACHE_TIME);
        loop->base = event_base_new_with_config(config);
    }
    if (config)
        event_config_free(config);
    if (!loop || !loop->base) {
        free(loop);
        return err_origin(-ENOMEM, "event loop");
    }
    loop->epoll_fd = epoll_fd;
    *ret_loop = loop;
    return 0;
}

int loop_fd(const struct loop *loop)
{
    return loop->epoll_fd;
}

static void reap(struct loop *loop)
{
    while (loop->dead) {
        struct loop_event *event = loop->dead;

        loop->dead = event->next_dead;
        event_free(event->event);
        free(event);
    }
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    reap(loop);
    event_base_free(loop->base);
    free(loop);
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    struct loop_event *event = arg;
    unsigned w = 0;

    if (event->dead)
        return;
    if (what & EV_READ)
        w |= LOOP_READ;
    if (what & EV_WRITE)
        w |= LOOP_WRITE;
    if (what & EV_CLOSED)
        w |= LOOP_HANGUP;
    event->fn((int)fd, w, event->arg);
}

static int event_new_common(struct loop *loop, int fd, short flags, event_callback_fn callback,
                            loop_fn fn, void *arg, struct loop_event **ret_event)
{
    struct loop_event *event = calloc(1, sizeof *event);

    if (!event)
        return err_origin(-ENOMEM, "event");
    *event = (struct loop_event){ .loop = loop, .fn = fn, .arg = arg, .fd = fd };
    event->event = event_new(loop->base, fd, flags, callback, event);
    if (!event->event) {
        free(event);
        return err_origin(-ENOMEM, "event");
    }
    *ret_event = event;
    return 0;
}

int loop_add_fd(struct loop *loop, int fd, unsigned what, loop_fn fn, void *arg,
                struct loop_event **ret_event)
{
    short flags = EV_PERSIST;
    struct loop_event *event = NULL;
    int r;

    if (what & LOOP_READ)
        flags |= EV_READ;
    if (what & LOOP_WRITE)
        flags |= EV_WRITE;
    if (what & LOOP_HANGUP)
        flags |= EV_CLOSED;
    if (what & LOOP_EDGE)
        flags |= EV_ET;
    r = event_new_common(loop, fd, flags, on_event, fn, arg, &event);
    if (r != 0 || !event)
        return err_trace(r);
    if (event_add(event->event, NULL) < 0) {
        r = errno ? -errno : -EINVAL;
        event_free(event->event);
        free(event);
        return err_origin(r, "watching fd %d", fd);
    }
    *ret_event = event;
    return 0;
}

int loop_event_pause(struct loop_event *event)
{
    return event_del(event->event) < 0 ? -EIO : 0;
}

int loop_event_resume(struct loop_event *event)
{
    return event_add(event->event, NULL) < 0 ? -EIO : 0;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct loop_event *event = arg;

    (void)fd;
    (void)what;
    if (event->dead)
        return;
    if (!event->repeat)
        event_del(event->event);
    event->fn(-1, 0, event->arg);
}

int loop_add_timer(struct loop *loop, loop_fn fn, void *arg, struct loop_event **ret_event)
{
    return event_new_common(loop, -1, EV_PERSIST, on_timer, fn, arg, ret_event);
}

int loop_timer_arm(struct loop_event *event, uint64_t after_ms, bool repeat)
{
    struct timeval tv = { .tv_sec = (time_t)(after_ms / 1000),
                          .tv_usec = (suseconds_t)(after_ms % 1000 * 1000) };

    event_del(event->event);
    event->repeat = repeat;
    return event_add(event->event, &tv) < 0 ? -ENOMEM : 0;
}

void loop_timer_disarm(struct loop_event *event)
{
    event_del(event->event);
}

void loop_set_before_sleep(struct loop *loop, void (*fn)(void *arg), void *arg)
{
    loop->before_sleep = fn;
    loop->before_sleep_arg = arg;
}

void loop_event_free(struct loop_event *event)
{
    if (!event || event->dead)
        return;
    event_del(event->event);
    event->dead = true;
    event->next_dead = event->loop->dead;
    event->loop->dead = event;
}

int loop_run(struct loop *loop)
{
    while (!loop->quit) {
        if (loop->before_sleep)
            loop->before_sleep(loop->before_sleep_arg);
        if (loop->quit)
            break;
        if (event_base_loop(loop->base, EVLOOP_ONCE) < 0)
            return err_origin(-EIO, "event loop");
        reap(loop);
    }
    loop->quit = false;
    return loop->value;
}

void loop_quit(struct loop *loop, int value)
{
    loop->quit = true;
    loop->value = value;
    event_base_loopbreak(loop->base);
}
