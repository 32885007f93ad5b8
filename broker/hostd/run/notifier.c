/* SPDX-License-Identifier: Apache-2.0 */
/* notifier.c - see notifier.h. */
#include "hostd/run/notifier.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"

struct notifier {
    int fd;
    uint64_t every_ms; /* 0: it need not be told that */
    struct loop_event *timer;
    bool (*lives)(void *arg);
    void *arg;
};

static int open_socket(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t len = strlen(path);
    int fd;

    if ((path[0] != '/' && path[0] != '@') || len >= sizeof address.sun_path)
        return err_origin(-EINVAL, "NOTIFY_SOCKET=%s", path);
    memcpy(address.sun_path, path, len);
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_origin(-errno, "a socket for NOTIFY_SOCKET");
    if (connect(fd, (const struct sockaddr *)&address,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len +
                            (path[0] == '/' ? 1 : 0))) < 0) {
        int r = err_origin(-errno, "NOTIFY_SOCKET=%s", path);

        close(fd);
        return r;
    }
    return fd;
}

static void say(struct notifier *n, const char *text)
{
    if (n && send(n->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        log_warn("the service manager: %s", strerror(errno));
}

static void on_timer(int fd, unsigned what, void *arg)
{
    struct notifier *n = arg;

    (void)fd;
    (void)what;
    if (n->lives(n->arg))
        say(n, "WATCHDOG=1");
    else
        log_warn("the starter does not answer");
}

int notifier_new(struct notifier **ret, struct loop *loop, bool (*lives)(void *arg), void *arg)
{
    const char *path = getenv("NOTIFY_SOCKET"), *usec = getenv("WATCHDOG_USEC");
    struct notifier *n;
    int fd, r;

    *ret = NULL;
    if (!path || path[0] == '\0')
        return 0;
    fd = open_socket(path);
    if (fd < 0)
        return err_trace(fd);
    n = calloc(1, sizeof *n);
    if (!n) {
        close(fd);
        return err_origin(-ENOMEM, "the service manager");
    }
    n->fd = fd;
    n->lives = lives;
    n->arg = arg;
    if (usec)
        n->every_ms = strtoull(usec, NULL, 10) / 2000;
    r = loop_add_timer(loop, on_timer, n, &n->timer);
    if (r < 0) {
        notifier_free(n);
        return err_trace(r);
    }
    *ret = n;
    return 0;
}

void notifier_free(struct notifier *n)
{
    if (!n)
        return;
    if (n->timer)
        loop_event_free(n->timer);
    fd_closep(&n->fd);
    free(n);
}

void notifier_ready(struct notifier *n)
{
    say(n, "READY=1");
    if (n && n->every_ms > 0)
        loop_timer_arm(n->timer, n->every_ms, true);
}

void notifier_stopping(struct notifier *n)
{
    say(n, "STOPPING=1");
}

int notifier_fd(const struct notifier *n)
{
    return n ? n->fd : -1;
}
