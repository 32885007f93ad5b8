/* SPDX-License-Identifier: Apache-2.0 */
/* console_log.c - bulkhead-console: bytes between descriptors that it is born with. It hears nobody's messages. */
#include <sys/socket.h>
#include "common.h"
#include "profile.h"

static const struct profile_rule rules[] = {
    ALLOW(accept4, "somebody attaches", ARG_IS(3, SOCK_NONBLOCK | SOCK_CLOEXEC)),
    ALLOW(pread64, "a full log's bytes move to the older one"),
    ALLOW(ftruncate, "and both begin anew", ARG_NULL(1)),
};
static PROFILE_SET(set, rules);

const struct profile profile_console_log = {
    .id = SANDBOX_CONSOLE_LOG,
    .name = "console_log",
    .max_syscalls = 15,
    .sets = { &profile_base, &profile_loop, &set, &profile_extra },
};
