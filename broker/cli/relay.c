/* SPDX-License-Identifier: Apache-2.0 */
/* relay.c - see relay.h. */
#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/fd.h"
#include "output.h"

int relay_open(struct relay *ret_relay, int *ret_log_fd)
{
    int ends[2];

    *ret_relay = (struct relay){ .fd = -1 };
    *ret_log_fd = -1;
    if (!isatty(STDERR_FILENO))
        return 0;
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    ret_relay->fd = ends[0];
    *ret_log_fd = ends[1];
    return 0;
}

static void print(struct relay *relay, size_t len)
{
    say(stderr, "%.*s\n", (int)len, relay->line);
}

void relay_read(struct relay *relay)
{
    for (;;) {
        ssize_t got = read(relay->fd, relay->line + relay->n, sizeof relay->line - relay->n);
        char *end;

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return; /* EAGAIN */
        if (got == 0) {
            relay_close(relay);
            return;
        }
        relay->n += (size_t)got;
        while ((end = memchr(relay->line, '\n', relay->n)) != NULL) {
            size_t len = (size_t)(end - relay->line);

            print(relay, len);
            relay->n -= len + 1;
            memmove(relay->line, end + 1, relay->n);
        }
        if (relay->n == sizeof relay->line) {
            print(relay, relay->n);
            relay->n = 0;
        }
    }
}

void relay_close(struct relay *relay)
{
    if (relay->fd >= 0 && relay->n > 0)
        print(relay, relay->n);
    relay->n = 0;
    fd_closep(&relay->fd);
}
