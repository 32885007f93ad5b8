/* SPDX-License-Identifier: Apache-2.0 */
/* vsock.c - the socket device. */
#include <fcntl.h>
#include <sys/socket.h>
#include "common.h"
#include "profile.h"

static const struct profile_rule rules[] = {
    ALLOW(accept4, "a host program connects", ARG_ONLY(3, SOCK_NONBLOCK | SOCK_CLOEXEC)),
    ALLOW(readv, "a connection's bytes into the guest's buffers"),
    ALLOW(writev, "a connection's bytes from the guest's buffers"),
    ALLOW(recvfrom, "look at a host program's CONNECT line before taking it", ARG_NULL(4),
          ARG_ONLY(3, MSG_PEEK | MSG_DONTWAIT)),
    ALLOW(shutdown, "half-close"),
    ALLOW(fcntl, "flags of a connection that the broker made", ARG_IS(1, F_GETFL)),
    ALLOW(fcntl, "it becomes non-blocking", ARG_IS(1, F_SETFL), ARG_IS(2, O_RDWR | O_NONBLOCK)),
};
static PROFILE_SET(set, rules);

const struct profile profile_vsock = {
    .id = SANDBOX_VSOCK,
    .name = "vsock",
    .max_syscalls = 24,
    .sets = { &profile_base, &profile_loop, &profile_control, &profile_ram, &set, &profile_extra },
};
