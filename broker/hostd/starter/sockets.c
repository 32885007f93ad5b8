/* SPDX-License-Identifier: Apache-2.0 */
/* sockets.c - see sockets.h. */
#include "hostd/starter/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"

static int open_socket(int type, int dir_fd, const char *name, struct sockaddr_un *ret_address)
{
    int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return err_origin(-errno, "a socket for %s", name);
    *ret_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
    snprintf(ret_address->sun_path, sizeof ret_address->sun_path, "/proc/self/fd/%d/%s", dir_fd,
             name);
    return fd;
}

int sockets_listen(int dir_fd, const char *name, int type, int backlog)
{
    struct sockaddr_un address;
    cleanup_(fd_closep) int fd = open_socket(type, dir_fd, name, &address);

    if (fd < 0)
        return err_trace(fd);
    (void)unlinkat(dir_fd, name, 0);
    if (bind(fd, (const struct sockaddr *)&address, sizeof address) < 0 || listen(fd, backlog) < 0)
        return err_origin(-errno, "listening at %s", name);
    return fd_take(&fd);
}

int sockets_connect(int dir_fd, const char *name, int type)
{
    struct sockaddr_un address;
    cleanup_(fd_closep) int fd = open_socket(type, dir_fd, name, &address);
    struct ucred who;
    socklen_t len = sizeof who;

    if (fd < 0)
        return err_trace(fd);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0)
        return err_origin(-errno, "connecting to %s", name);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
        return err_origin(-errno, "who listens at %s", name);
    if (who.uid != geteuid())
        return err_origin(-EPERM, "user %u listens at %s", (unsigned)who.uid, name);
    return fd_take(&fd);
}
