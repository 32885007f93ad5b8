// SPDX-License-Identifier: Apache-2.0
// outlet.c - see outlet.h.
#include "outlet.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/fd.h"

enum { KEPT_BYTES = 1 << 18, LOST_BYTES = 512 };

/* Somebody else's O_NONBLOCK is not to be changed, so a pipe or a terminal is opened once more. */
static int open_again(int fd)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

int outlet_open(struct outlet *ret_outlet, int fd,
                size_t (*say_lost)(char *dst, size_t size, unsigned lost))
{
    struct outlet o = { .fd = -1, .way = OUTLET_OWN, .say_lost = say_lost };
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    if (S_ISSOCK(st.st_mode)) {
        o.way = OUTLET_SOCKET;
    } else if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)) {
        o.fd = open_again(fd);
        o.piece = S_ISFIFO(st.st_mode) ? PIPE_BUF : 1;
        o.way = o.fd < 0 ? OUTLET_ASK : OUTLET_OWN;
    }
    if (o.fd < 0)
        o.fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (o.fd < 0)
        return -errno;
    o.kept = malloc(KEPT_BYTES);
    if (!o.kept) {
        fd_closep(&o.fd);
        return -ENOMEM;
    }
    *ret_outlet = o;
    return 0;
}

static ssize_t write_some(const struct outlet *o)
{
    struct pollfd p = { .fd = o->fd, .events = POLLOUT };

    if (o->way == OUTLET_SOCKET)
        return send(o->fd, o->kept, o->n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (o->way == OUTLET_OWN)
        return write(o->fd, o->kept, o->n);
    if (poll(&p, 1, 0) == 1)
        return write(o->fd, o->kept, MIN(o->n, o->piece));
    errno = EAGAIN;
    return -1;
}

/* 0: all of it, or all that has room. */
static int write_kept(struct outlet *o)
{
    while (o->n > 0) {
        ssize_t n = write_some(o);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return 0;
        if (n < 0) {
            o->n = 0;
            return -errno;
        }
        o->n -= (size_t)n;
        memmove(o->kept, o->kept + n, o->n);
    }
    return 0;
}

static bool keep(struct outlet *o, const char *text, size_t len)
{
    if (len > KEPT_BYTES - o->n)
        return false;
    memcpy(o->kept + o->n, text, len);
    o->n += len;
    return true;
}

static void keep_lost(struct outlet *o)
{
    char line[LOST_BYTES];

    if (o->lost > 0 && keep(o, line, o->say_lost(line, sizeof(line), o->lost)))
        o->lost = 0;
}

int outlet_put(struct outlet *o, const char *text, size_t len)
{
    int r;

    if (o->fd < 0)
        return 0;
    r = write_kept(o);
    if (r < 0)
        return r;
    if (o->n == 0) /* not beside the rest of what had no room: that is for lines */
        keep_lost(o);
    if (o->lost > 0 || !keep(o, text, len)) {
        o->lost++;
        return 0;
    }
    return write_kept(o);
}

bool outlet_is_behind(const struct outlet *o)
{
    return o->fd >= 0 && o->n > 0;
}

void outlet_go_on(struct outlet *o)
{
    if (o->fd >= 0)
        (void)write_kept(o);
}

void outlet_drain(struct outlet *o, int timeout_ms, int stop_fd)
{
    const int64_t until = clock_ms(CLOCK_MONOTONIC) + timeout_ms;

    if (o->fd < 0)
        return;
    for (;;) {
        struct pollfd p[] = { { .fd = o->fd, .events = POLLOUT },
                              { .fd = stop_fd, .events = POLLIN } };
        int64_t left = until - clock_ms(CLOCK_MONOTONIC);

        outlet_go_on(o);
        if (o->n == 0)
            keep_lost(o);
        if (!outlet_is_behind(o) || left <= 0 || (poll(p, 2, (int)left) > 0 && p[1].revents))
            return;
    }
}

void outlet_forget(struct outlet *o)
{
    o->n = 0;
    o->lost = 0;
}

void outlet_close(struct outlet *o)
{
    fd_closep(&o->fd);
    free(o->kept);
    *o = (struct outlet){ .fd = -1 };
}

static ssize_t on_write(void *arg, const char *text, size_t len)
{
    (void)outlet_put(arg, text, len);
    return (ssize_t)len;
}

FILE *outlet_stream(struct outlet *o)
{
    FILE *stream = fopencookie(o, "w", (cookie_io_functions_t){ .write = on_write });

    if (stream)
        setvbuf(stream, NULL, _IOLBF, 4096);
    return stream;
}
