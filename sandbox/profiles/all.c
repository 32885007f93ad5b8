/* SPDX-License-Identifier: Apache-2.0 */
/* all.c - every profile, by id. */
#include "profile.h"

const struct profile *const profile_all[SANDBOX_PROFILE__MAX] = {
    [SANDBOX_BROKER] = &profile_broker,
    [SANDBOX_LOADER] = &profile_loader,
    [SANDBOX_CORE_CONTROL] = &profile_core_control,
    [SANDBOX_CORE_VCPU] = &profile_core_vcpu,
    [SANDBOX_BLK] = &profile_blk,
    [SANDBOX_RNG] = &profile_rng,
    [SANDBOX_CONSOLE] = &profile_console,
    [SANDBOX_NET] = &profile_net,
    [SANDBOX_VSOCK] = &profile_vsock,
    [SANDBOX_BALLOON] = &profile_balloon,
    [SANDBOX_START] = &profile_start,
};
