/* SPDX-License-Identifier: Apache-2.0 */
/* relay.c - see relay.h. */
#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "base/fd.h"
#include "output.h"

int relay_open(struct relay *ret_relay, struct outlet *out, int *ret_log_fd)
{
    int ends[2];

    *ret_relay = (struct relay){ .fd = -1, .out = out };
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    ret_relay->fd = ends[0];
    *ret_log_fd = ends[1];
    return 0;
}

/* At once: other processes may write to the same place. */
static void pass_on(struct relay *relay, size_t len)
{
    char raw[sizeof relay->line + 1], line[sizeof raw + 1];

    memcpy(raw, relay->line, len);
    raw[len] = '\0';
    len = strlen(say_clean(line, sizeof raw, raw));
    line[len++] = '\n';
    (void)outlet_put(relay->out, line, len);
}

bool relay_read(struct relay *relay)
{
    ssize_t got =
        relay->fd < 0 ? -1 : read(relay->fd, relay->line + relay->n, sizeof relay->line - relay->n);
    char *end;

    if (got == 0)
        relay_close(relay);
    if (got <= 0)
        return false;
    relay->n += (size_t)got;
    while ((end = memchr(relay->line, '\n', relay->n)) != NULL) {
        size_t len = (size_t)(end - relay->line);

        pass_on(relay, len);
        relay->n -= len + 1;
        memmove(relay->line, end + 1, relay->n);
    }
    if (relay->n == sizeof relay->line) {
        pass_on(relay, relay->n);
        relay->n = 0;
    }
    return true;
}

void relay_close(struct relay *relay)
{
    if (relay->fd >= 0 && relay->n > 0)
        pass_on(relay, relay->n);
    relay->n = 0;
    fd_closep(&relay->fd);
}
