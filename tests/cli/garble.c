/* SPDX-License-Identifier: Apache-2.0 */
/* garble.c - writes what is no frame into the stream of a running passt: `garble PID FD`. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    static const unsigned char no_frame[64] = { 0xff, 0xff, 0xff, 0xff }; /* a length of 4 GiB */
    int pidfd, fd;

    if (argc != 3) {
        fprintf(stderr, "usage: garble PID FD\n");
        return 2;
    }
    pidfd = (int)syscall(SYS_pidfd_open, atoi(argv[1]), 0);
    fd = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, atoi(argv[2]), 0);
    if (fd < 0 || send(fd, no_frame, sizeof no_frame, MSG_NOSIGNAL) != (ssize_t)sizeof no_frame) {
        perror("garble");
        return 1;
    }
    return 0;
}
