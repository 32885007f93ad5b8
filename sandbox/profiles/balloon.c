/* SPDX-License-Identifier: Apache-2.0 */
/* balloon.c - the memory balloon. */
#include <sys/mman.h>
#include "common.h"
#include "profile.h"

static const struct profile_rule rules[] = {
    ALLOW(madvise, "give guest pages back to the host; never changes the size of RAM",
          ARG_IS(2, MADV_REMOVE)),
};
static PROFILE_SET(set, rules);

const struct profile profile_balloon = {
    .id = SANDBOX_BALLOON,
    .name = "balloon",
    .max_syscalls = 16,
    .sets = { &profile_base, &profile_loop, &profile_control, &profile_ram, &set, &profile_extra },
};
