/* SPDX-License-Identifier: Apache-2.0 */
/* holder.c - who keeps the socket's file of a vsock, or of a device that was added while the VM runs. It has rights of the
 * one who did that, so all that it does is in the one folder, and what it hears are numbers. */
#include <fcntl.h>
#include <sys/socket.h>
#include "base/fd.h"
#include "common.h"
#include "profile.h"
#include "sandbox/enter.h"

static const struct profile_rule rules[] = {
    ALLOW(poll, "sleeps until the broker asks, or nobody is left who could", ARG_IS(1, 1)),
    ALLOW(recvmsg, "does a descriptor come along, which is not to be taken", ARG_IS(0, FD_CONTROL),
          ARG_IS(2, MSG_CMSG_CLOEXEC | MSG_DONTWAIT | MSG_PEEK)),
    ALLOW(newfstatat, "is what has the name still our socket"),
    ALLOW(unlinkat, "our socket's name goes", ARG_IS(0, SANDBOX_FOLDER_FD), ARG_IS(2, 0)),
    ALLOW(openat, "a vsock peer's socket, to look at it and connect", ARG_IS(0, SANDBOX_FOLDER_FD),
          ARG_BITS(2, O_PATH | O_NOFOLLOW, O_PATH | O_NOFOLLOW)),
    ALLOW(socket, "to connect to a vsock peer", ARG_IS(0, AF_UNIX)),
    ALLOW(connect, "a guest's connection to <vsock path>_<port>"),
};
static PROFILE_SET(set, rules);

const struct profile profile_holder = {
    .id = SANDBOX_HOLDER,
    .name = "holder",
    .max_syscalls = 16,
    .sets = { &profile_base, &profile_control, &set, &profile_extra },
};
