/* SPDX-License-Identifier: Apache-2.0 */
/* rng.c - the entropy device. */
#include <sys/random.h>
#include "common.h"
#include "profile.h"

static const struct profile_rule rules[] = {
    ALLOW(getrandom, "what the guest asks for", ARG_ONLY(2, GRND_NONBLOCK)),
};
static PROFILE_SET(set, rules);

const struct profile profile_rng = {
    .id = SANDBOX_RNG,
    .name = "rng",
    .max_syscalls = 16,
    .sets = { &profile_base, &profile_loop, &profile_control, &profile_ram, &set, &profile_extra },
};
