// SPDX-License-Identifier: Apache-2.0
// guest_service.c - see guest_service.h.
#include "guest_service.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
// <linux/vm_sockets.h> wants the ones above
#include <linux/vm_sockets.h>
#include "base/err.h"
#include "base/fd.h"
#include "client/hostdir.h"

enum { TRIES = 20, AGAIN_MS = 100 };

const char *guest_service_where(void)
{
    const char *where = getenv(GUEST_SERVICE_VARIABLE);

    return where && *where ? where : NULL;
}

static bool parse(const char *where, struct sockaddr_vm *ret_address)
{
    unsigned cid = VMADDR_CID_HOST, port = HOSTDIR_SERVICE_PORT;
    int end = 0;

    if (strcmp(where, "vsock") != 0 &&
        (sscanf(where, "vsock:%9u:%9u%n", &cid, &port, &end) != 2 || where[end] != '\0'))
        return false;
    *ret_address = (struct sockaddr_vm){ .svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port };
    return true;
}

/* Of a few connections at once; where all are taken, or the service is just being upgraded, one is free in a moment. */
int guest_service_connect(const char *where, int *ret_fd)
{
    const struct timespec pause = { .tv_nsec = AGAIN_MS * 1000000 };
    struct sockaddr_vm address;
    int error = 0;

    if (!parse(where, &address))
        return err_origin(-EREMOTE, "--service: '%.60s' is neither vsock nor vsock:CID:PORT",
                          where);
    for (unsigned i = 0; i < TRIES; i++) {
        cleanup_(fd_closep) int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0)
            return err_origin(-EREMOTE,
                              "%s: there is no vsock here: is this a VM's guest, with the "
                              "driver loaded?",
                              where);
        if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0) {
            *ret_fd = fd_take(&fd);
            return 0;
        }
        error = errno;
        nanosleep(&pause, NULL);
    }
    return err_origin(-EREMOTE,
                      "%s: no service answers (%s): has this VM's description a right (control)?",
                      where, strerror(error));
}
