/* SPDX-License-Identifier: Apache-2.0 */
/* gateway.c - bulkhead-gateway: connections of clients at the socket that it was born with, one to the VM's broker, one to
 * who started it. It opens nothing: what it needs comes by message. */
#include <sys/mman.h>
#include <sys/socket.h>
#include "common.h"
#include "profile.h"

static const struct profile_rule rules[] = {
    ALLOW(accept4, "a client connects", ARG_IS(3, SOCK_NONBLOCK | SOCK_CLOEXEC)),
    ALLOW(recvmsg,
          "a client's bytes, looked at first and then taken with what descriptors come with "
          "them; messages of the broker",
          ARG_BITS(2, ~(unsigned)MSG_PEEK & 0xffffffffu, MSG_CMSG_CLOEXEC | MSG_DONTWAIT)),
    ALLOW(sendmsg, "answers; requests to the broker, with descriptors that a client gave",
          ARG_IS(2, MSG_NOSIGNAL | MSG_DONTWAIT)),
    ALLOW(shutdown, "a broker that is gone"),
    ALLOW(mmap, "the buffers of a broker's connection; never to be executed",
          ARG_IS(2, PROT_READ | PROT_WRITE), ARG_IS(3, MAP_PRIVATE | MAP_ANONYMOUS)),
    ALLOW(munmap, "and back again"),
    ALLOW(mremap, "a long answer grows"),
};
static PROFILE_SET(set, rules);

const struct profile profile_gateway = {
    .id = SANDBOX_GATEWAY,
    .name = "gateway",
    .max_syscalls = 19,
    .sets = { &profile_base, &profile_loop, &set, &profile_extra },
};
