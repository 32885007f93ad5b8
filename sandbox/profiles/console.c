/* SPDX-License-Identifier: Apache-2.0 */
/* console.c - the serial port's other end and the virtio console. */
#include <sys/socket.h>
#include <sys/time.h>
#include "common.h"
#include "profile.h"

static const struct profile_rule rules[] = {
    ALLOW(accept4, "the one client of a console socket", ARG_ONLY(3, SOCK_NONBLOCK | SOCK_CLOEXEC)),
    ALLOW(setitimer, "cuts short a write that a blocking terminal took only in part",
          ARG_IS(0, ITIMER_REAL)),
};
static PROFILE_SET(set, rules);

const struct profile profile_console = {
    .id = SANDBOX_CONSOLE,
    .name = "console",
    .max_syscalls = 18,
    .sets = { &profile_base, &profile_loop, &profile_control, &profile_ram, &set, &profile_extra },
};
