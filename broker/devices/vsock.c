/* SPDX-License-Identifier: Apache-2.0 */
/* vsock.c - see vsock.h. */
#include "devices/vsock.h"
#include "devices/backend.h"

#include <sys/socket.h>

int resources_vsock(const struct trees *trees, const Bulkhead__VsockConfig *vsock,
                    struct backend *b, struct fault *f)
{
    int r =
        socket_path_listen(trees, vsock->id, vsock->socket, SOCK_STREAM, &b->socket, &b->own[0], f);

    if (r == 0)
        b->n_own = 1;
    return r;
}
