/* SPDX-License-Identifier: Apache-2.0 */
/* lines.c - see lines.h. */
#include "run/lines.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include "base/fd.h"

static int take_first(struct instance *in)
{
    int fd = in->lines[0];

    memmove(&in->lines[0], &in->lines[1], --in->n_lines * sizeof in->lines[0]);
    return fd;
}

void lines_put(struct instance *in, int fd)
{
    if (in->n_lines == INSTANCE_MAX_LINES) {
        int oldest = take_first(in);

        fd_closep(&oldest);
    }
    in->lines[in->n_lines++] = fd;
}

bool lines_are_for(const struct instance *in, uint32_t port)
{
    return in->is_service && in->config->vsock->service_port != 0 &&
           in->config->vsock->service_port == port;
}

/* The service that handed it in may have died. */
static bool is_dead(int fd)
{
    struct pollfd p = { .fd = fd };

    return poll(&p, 1, 0) != 0;
}

int lines_take(struct instance *in)
{
    while (in->n_lines > 0) {
        int fd = take_first(in);

        if (!is_dead(fd))
            return fd;
        fd_closep(&fd);
    }
    return -ECONNREFUSED;
}
