/* SPDX-License-Identifier: Apache-2.0 */
/* lingering.c - see lingering.h. */
#include "lingering.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

int lingering_socket(int *ret_peer)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    const struct linger linger = { .l_onoff = 1, .l_linger = 3600 };
    socklen_t len = sizeof address;
    static char bytes[65536];
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *ret_peer = -1;
    if (server < 0 || fd < 0 || bind(server, (struct sockaddr *)&address, len) < 0 ||
        listen(server, 1) < 0 || getsockname(server, (struct sockaddr *)&address, &len) < 0 ||
        connect(fd, (struct sockaddr *)&address, len) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) < 0)
        return -1;
    *ret_peer = accept4(server, NULL, NULL, SOCK_CLOEXEC);
    close(server);
    while (send(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0)
        ;
    return *ret_peer < 0 ? -1 : fd;
}
