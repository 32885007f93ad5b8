/* SPDX-License-Identifier: Apache-2.0 */
/* backend.c - empty, and closed. */
#include "devices/backend.h"

#include <string.h>
#include "base/fd.h"
#include "resources/tap.h"

void backend_init(struct backend *b)
{
    memset(b, 0, sizeof *b);
    for (unsigned i = 0; i < RESOURCES_MAX_OWN; i++)
        b->own[i] = -1;
    b->held[0] = b->held[1] = b->client = -1;
    socket_path_init(&b->socket);
}

void backend_forget(struct backend *b)
{
    for (unsigned i = 0; i < RESOURCES_MAX_OWN; i++)
        b->own[i] = -1;
    b->held[0] = b->held[1] = b->client = -1;
    b->socket.dir_fd = b->socket.socket_fd = -1;
}

void backend_deinit(struct backend *b)
{
    for (unsigned i = 0; i < RESOURCES_MAX_OWN; i++)
        fd_closep(&b->own[i]);
    fd_closep(&b->held[0]);
    fd_closep(&b->held[1]);
    fd_closep(&b->client);
    socket_path_remove(&b->socket);
    if (b->made_tap[0] != '\0')
        resources_tap_await_gone(b->made_tap);
    b->made_tap[0] = '\0';
}
